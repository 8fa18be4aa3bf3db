"""Means of independent groups from their moments: Welch's t test and interval."""

from __future__ import annotations

import math

from crossdomain.stats.comparison import (
    Comparison,
    Estimate,
    Relative,
    Unmeasurable,
    check_alpha,
    compare_t,
    satterthwaite,
)
from crossdomain.stats.distributions import t_critical
from crossdomain.stats.moments import Moments


def compare_means(
    control: Moments, treatment: Moments, *, alpha: float = 0.05, relative: Relative = "delta"
) -> Comparison:
    """Difference of two means with unequal variances (Welch 1947, Satterthwaite's degrees of freedom).

    Args:
        control: Moments of the control's units.
        treatment: Moments of the treatment's units.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Returns:
        The comparison. The relative interval uses the same t quantile as the difference; under ``log``
        the degrees of freedom are those of the variances on the log scale, as in tea-tasting.

    Raises:
        Unmeasurable: An arm has fewer than two units (``too_few_units``), or no unit differs from its
            arm's mean in either arm (``zero_variance``).
        InputError: ``alpha`` or ``relative`` is not valid.
    """
    check_alpha(alpha)
    if min(control.n, treatment.n) < 2:
        raise Unmeasurable("too_few_units", f"a mean needs two units an arm: {control.n} and {treatment.n}")
    var_c, var_t = control.mean_variance, treatment.mean_variance
    if var_c + var_t == 0:
        raise Unmeasurable("zero_variance", "every unit has the same value in each arm: there is no test")
    return compare_t(
        Estimate(control.mean, var_c, control.n),
        Estimate(treatment.mean, var_t, treatment.n),
        df=satterthwaite(var_c, control.n, var_t, treatment.n),
        alpha=alpha,
        relative=relative,
        method="welch_t",
        relative_quantile=_log_quantile(control, treatment, alpha) if relative == "log" else None,
    )


def _log_quantile(control: Moments, treatment: Moments, alpha: float) -> float:
    """Quantile of t for the difference of logarithms; of no use (NaN) where a mean is not positive."""
    if min(control.mean, treatment.mean) <= 0:
        return math.nan
    df = satterthwaite(
        control.mean_variance / control.mean**2,
        control.n,
        treatment.mean_variance / treatment.mean**2,
        treatment.n,
    )
    return t_critical(alpha, df)
