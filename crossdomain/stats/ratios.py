"""Ratios of sums (revenue per order) where the unit of analysis is the unit, by the delta method."""

from __future__ import annotations

import math

from crossdomain.stats.comparison import Comparison, Estimate, Relative, Unmeasurable, check_alpha, compare_z
from crossdomain.stats.moments import PairMoments


def compare_ratios(
    control: PairMoments, treatment: PairMoments, *, alpha: float = 0.05, relative: Relative = "delta"
) -> Comparison:
    """Difference of two ratios of sums over units, z test with delta-method variances.

    Args:
        control: Moments of the control's pairs.
        treatment: Moments of the treatment's pairs.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Raises:
        Unmeasurable: An arm has fewer than two units (``too_few_units``), its denominators add up to
            zero (``zero_denominator``), or the ratio varies in no arm (``zero_variance``).
        InputError: An option is not valid.
    """
    check_alpha(alpha)
    if min(control.n, treatment.n) < 2:
        raise Unmeasurable("too_few_units", f"a ratio needs two units an arm: {control.n} and {treatment.n}")
    if control.y == 0 or treatment.y == 0:
        raise Unmeasurable("zero_denominator", "the denominators of an arm add up to zero: there is no ratio")
    var_c, var_t = control.ratio_variance, treatment.ratio_variance
    if var_c + var_t == 0:
        raise Unmeasurable("zero_variance", "the ratio varies in no arm: there is no test")
    se = math.sqrt(var_c + var_t)
    return compare_z(
        Estimate(control.ratio, var_c, control.n),
        Estimate(treatment.ratio, var_t, treatment.n),
        se=se,
        se_test=se,
        alpha=alpha,
        relative=relative,
        method="z_delta",
    )
