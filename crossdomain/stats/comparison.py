"""What a comparison of a treatment with its control gives, and when there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from crossdomain.errors import InputError
from crossdomain.stats.distributions import normal_critical, normal_p, t_critical, t_p

Relative = Literal["delta", "log"]
"""Convention of a relative effect's interval; see ``relative_effect``."""


@dataclass(frozen=True)
class RelativeEffect:
    """Relative effect (treatment - control) / control with its interval.

    Attributes:
        estimate: None where the control mean is not positive: a share of nothing has no meaning.
        low: Lower end; None with the estimate, or where the log convention needs two positive means.
        high: Upper end; as ``low``.
        method: Convention of the interval, ``delta`` or ``log``.
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
    (tea-tasting's convention).

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
    if method not in ("delta", "log"):
        raise InputError(f"unknown convention of the relative effect {method!r}: use delta or log")
    if mean_control <= 0:
        return RelativeEffect(None, None, None, method)
    estimate = (mean - mean_control) / mean_control
    if method == "delta":
        se = math.sqrt(mean_variance / mean_control**2 + mean**2 * mean_variance_control / mean_control**4)
        return RelativeEffect(estimate, estimate - quantile * se, estimate + quantile * se, method)
    if mean <= 0:
        return RelativeEffect(estimate, None, None, method)
    half = quantile * math.sqrt(mean_variance / mean**2 + mean_variance_control / mean_control**2)
    centre = math.log(mean / mean_control)
    return RelativeEffect(estimate, math.expm1(centre - half), math.expm1(centre + half), method)


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
    return float((var_c + var_t) ** 2 / (var_c**2 / (n_c - 1) + var_t**2 / (n_t - 1)))


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
