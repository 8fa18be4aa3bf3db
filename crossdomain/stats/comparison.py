"""What a comparison of a treatment with its control gives, and when there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from crossdomain.errors import InputError
from crossdomain.stats.distributions import normal_critical, normal_p, t_critical, t_p

Relative = Literal["delta", "log", "fieller"]
"""Convention of a relative effect's interval; see ``relative_effect``."""


@dataclass(frozen=True)
class RelativeEffect:
    """Relative effect (treatment - control) / control with its interval.

    Attributes:
        estimate: None where the control mean is not positive: a share of nothing has no meaning.
        low: Lower end; None with the estimate, where the log convention needs two positive means, or where Fieller's
            set has no ends because the control's mean is not clearly above zero.
        high: Upper end; as ``low``.
        method: Convention of the interval, ``delta``, ``log`` or ``fieller``.
    """

    estimate: float | None
    low: float | None
    high: float | None
    method: Relative


@dataclass(frozen=True)
class Comparison:
    """A treatment against its control.

    Attributes:
        estimate: Mean of the treatment minus mean of the control, in the metric's unit.
        se: Standard error that the interval uses.
        low: Lower end of the two-sided interval at confidence 1 - alpha.
        high: Upper end.
        statistic: Test statistic, t or z.
        df: Degrees of freedom of t; None for z.
        p: Two-sided p-value.
        mean: Mean (share, ratio) of the treatment.
        mean_control: Mean (share, ratio) of the control.
        n: Units of the treatment.
        n_control: Units of the control.
        relative: Relative effect with the convention of its interval.
        alpha: One minus the confidence of the intervals.
        method: Name of test and interval, such as ``welch_t``.
    """

    estimate: float
    se: float
    low: float
    high: float
    statistic: float
    df: float | None
    p: float
    mean: float
    mean_control: float
    n: int
    n_control: int
    relative: RelativeEffect
    alpha: float
    method: str


class Unmeasurable(InputError):
    """The numbers are in order but allow no test: say so instead of giving an interval.

    Attributes:
        verdict: ``too_few_units``, ``zero_variance`` or ``zero_denominator``.
    """

    def __init__(self, verdict: str, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict


def relative_effect(
    mean: float,
    mean_variance: float,
    mean_control: float,
    mean_variance_control: float,
    *,
    quantile: float,
    method: Relative = "delta",
) -> RelativeEffect:
    """Relative effect of independent arms, with an interval under a named convention.

    ``delta``: the raw control mean is the base; the variance of t/c by the delta method is
    var(t)/c^2 + t^2 var(c)/c^4, the interval symmetric (Deng, Knoblich, Lu 2018; GrowthBook).
    ``log``: symmetric on the log scale, exp(log(t/c) +- quantile sqrt(var(t)/t^2 + var(c)/c^2)) - 1
    (tea-tasting's convention). ``fieller``: see ``relative_of_dependent``.

    Args:
        mean: Mean of the treatment.
        mean_variance: Variance of that mean.
        mean_control: Mean of the control.
        mean_variance_control: Variance of that mean.
        quantile: Two-sided quantile of t or z at the wanted confidence.
        method: The convention.

    Raises:
        InputError: Unknown convention.
    """
    _check_convention(method)
    if mean_control <= 0:
        return RelativeEffect(None, None, None, method)
    estimate = (mean - mean_control) / mean_control
    if method == "fieller":
        return relative_of_dependent(
            mean - mean_control,
            mean_variance + mean_variance_control,
            mean_control,
            mean_variance_control,
            -mean_variance_control,
            quantile=quantile,
            method=method,
        )
    if method == "delta":
        se = math.sqrt(mean_variance / mean_control**2 + mean**2 * mean_variance_control / mean_control**4)
        return RelativeEffect(estimate, estimate - quantile * se, estimate + quantile * se, method)
    if mean <= 0:
        return RelativeEffect(estimate, None, None, method)
    half = quantile * math.sqrt(mean_variance / mean**2 + mean_variance_control / mean_control**2)
    centre = math.log(mean / mean_control)
    return RelativeEffect(estimate, math.expm1(centre - half), math.expm1(centre + half), method)


def relative_of_dependent(
    estimate: float,
    variance: float,
    base: float,
    base_variance: float,
    covariance: float,
    *,
    quantile: float,
    method: Relative,
) -> RelativeEffect:
    """Relative effect e / c of an estimate e that depends on its base, the control's own mean c.

    ``delta``: var(e / c) = var(e) / c^2 + e^2 var(c) / c^4 - 2 e cov(e, c) / c^3, symmetric. ``log``: log(1 + e / c) by
    the same gradient. ``fieller``: all r for which (e - r c)^2 <= quantile^2 var(e - r c), the ratios that a test of
    e - r c does not reject (Fieller 1954); 0 lies in it exactly where the difference's interval holds it, and where
    skewed arms of one size share their skewness it keeps what the difference keeps.

    Args:
        estimate: The estimate e.
        variance: Its variance.
        base: The control's own mean c.
        base_variance: Its variance.
        covariance: Covariance of the two.
        quantile: Two-sided quantile of t or z at the wanted confidence.
        method: The convention.

    Raises:
        InputError: Unknown convention.
    """
    _check_convention(method)
    if base <= 0:
        return RelativeEffect(None, None, None, method)
    share = estimate / base
    if method == "fieller":
        low, high = _fieller(estimate, variance, base, base_variance, covariance, quantile)
        return RelativeEffect(share, low, high, method)
    of_share = variance / base**2 + share**2 * base_variance / base**2 - 2 * share * covariance / base**2
    half = quantile * math.sqrt(max(of_share, 0.0))
    if method == "delta":
        return RelativeEffect(share, share - half, share + half, method)
    if share <= -1:
        return RelativeEffect(share, None, None, method)
    centre, spread = math.log1p(share), half / (1 + share)
    return RelativeEffect(share, math.expm1(centre - spread), math.expm1(centre + spread), method)


def _fieller(
    estimate: float, variance: float, base: float, base_variance: float, covariance: float, quantile: float
) -> tuple[float, float] | tuple[None, None]:
    """The two roots of Fieller's quadratic; none where the base is not told from zero and the set has no ends."""
    square = base**2 - quantile**2 * base_variance
    if not square > 0:
        return None, None
    middle = estimate * base - quantile**2 * covariance
    root = math.sqrt(max(middle**2 - square * (estimate**2 - quantile**2 * variance), 0.0))
    return (middle - root) / square, (middle + root) / square


def _check_convention(method: str) -> None:
    if method not in ("delta", "log", "fieller"):
        raise InputError(f"unknown convention of the relative effect {method!r}: use delta, log or fieller")


def check_alpha(alpha: float) -> None:
    """Refuse a level outside (0, 1).

    Raises:
        InputError: ``alpha`` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1, not {alpha}")


@dataclass(frozen=True)
class Estimate:
    """A mean, share or ratio of an arm with the variance of that number, and the arm's units."""

    value: float
    variance: float
    n: int


def compare_z(
    control: Estimate,
    treatment: Estimate,
    *,
    se: float,
    se_test: float,
    alpha: float,
    relative: Relative,
    method: str,
) -> Comparison:
    """Difference of two estimates by the normal approximation.

    Args:
        control: The control.
        treatment: The treatment.
        se: Standard error of the difference that the interval uses.
        se_test: Standard error that the test uses; another one where it pools the arms.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.
        method: Name of test and interval.
    """
    quantile, statistic = normal_critical(alpha), (treatment.value - control.value) / se_test
    return Comparison(
        **_difference(control, treatment, se, quantile),
        statistic=statistic,
        df=None,
        p=normal_p(statistic),
        relative=_relative_difference(control, treatment, quantile, relative),
        alpha=alpha,
        method=method,
    )


def compare_t(
    control: Estimate,
    treatment: Estimate,
    *,
    df: float,
    alpha: float,
    relative: Relative,
    method: str,
    relative_quantile: float | None = None,
) -> Comparison:
    """Difference of two estimates by t, their variances apart.

    Args:
        control: The control.
        treatment: The treatment; one of the two varies.
        df: Degrees of freedom, such as ``satterthwaite``'s.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.
        method: Name of test and interval.
        relative_quantile: Two-sided quantile of the relative interval; that of the difference when not given.
    """
    se, quantile = math.sqrt(control.variance + treatment.variance), t_critical(alpha, df)
    statistic = (treatment.value - control.value) / se
    width = quantile if relative_quantile is None else relative_quantile
    return Comparison(
        **_difference(control, treatment, se, quantile),
        statistic=statistic,
        df=df,
        p=t_p(statistic, df),
        relative=_relative_difference(control, treatment, width, relative),
        alpha=alpha,
        method=method,
    )


def satterthwaite(var_c: float, n_c: int, var_t: float, n_t: int) -> float:
    """Degrees of freedom of a sum of two variances of means (Satterthwaite 1946)."""
    return satterthwaite_of([(var_c, n_c), (var_t, n_t)])


def satterthwaite_of(parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of independent variances of means, given as (variance, units) each."""
    return float(sum(variance for variance, _ in parts) ** 2 / sum(variance**2 / (n - 1) for variance, n in parts))


class _Difference(TypedDict):
    estimate: float
    se: float
    low: float
    high: float
    mean: float
    mean_control: float
    n: int
    n_control: int


def _difference(control: Estimate, treatment: Estimate, se: float, quantile: float) -> _Difference:
    estimate = treatment.value - control.value
    return {
        "estimate": estimate,
        "se": se,
        "low": estimate - quantile * se,
        "high": estimate + quantile * se,
        "mean": treatment.value,
        "mean_control": control.value,
        "n": treatment.n,
        "n_control": control.n,
    }


def _relative_difference(control: Estimate, treatment: Estimate, quantile: float, method: Relative) -> RelativeEffect:
    return relative_effect(
        treatment.value, treatment.variance, control.value, control.variance, quantile=quantile, method=method
    )
