"""Quantiles of independent arms, with intervals from order statistics that also hold for clustered values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Comparison, Estimate, Relative, Unmeasurable, check_alpha, compare_z
from crossdomain.stats.distributions import normal_critical

Values = npt.NDArray[np.float64]
Clusters = Sequence[int] | npt.NDArray[np.int64]

_LEAST_VALUES = 20


@dataclass(frozen=True)
class Quantile:
    """A quantile of one arm.

    Attributes:
        level: Which one, between 0 and 1.
        value: Linear interpolation between the two nearest order statistics (Hyndman and Fan's type 7).
        low: Lower end of its interval, an order statistic.
        high: Upper end, an order statistic.
        se: Standard error: half the interval between the exact (fractional) ranks over the normal quantile.
        n: Values.
        units: Independent units that they come from.
    """

    level: float
    value: float
    low: float
    high: float
    se: float
    n: int
    units: int


def estimate_quantile(
    values: Values,
    level: float,
    *,
    clusters: Clusters | None = None,
    weights: Values | None = None,
    alpha: float = 0.05,
) -> Quantile:
    """A quantile with the outer interval of order statistics.

    The share of values below the quantile varies with standard deviation s: sqrt(level (1 - level) / n) for
    independent values, the delta-method one of a ratio of sums over clusters otherwise. The interval runs from
    the order statistic floor(n (level - z s)) to ceil(n (level + z s)), counted from 1. Source: Deng, Knoblich,
    Lu: Applying the delta method in metric analytics (KDD 2018), section 4. Rounding the ranks outwards widens the
    interval by a spacing, which makes tests of differences conservative, so the standard error interpolates between
    order statistics instead.

    With weights a value's rank is n times the share of all weight up to it, and the share below the quantile is a ratio
    of weighted sums (Woodruff 1952); equal weights change nothing.

    Args:
        values: The values, in any order.
        level: Which quantile, between 0 and 1.
        clusters: For each value the unit that it comes from; None: each its own.
        weights: For each value how much it counts, positive; None: all alike.
        alpha: One minus the confidence of the interval.

    Raises:
        Unmeasurable: Too few values for order statistics on both sides (``too_few_units``).
        InputError: A value is not finite, or ``level`` or ``alpha`` is not between 0 and 1.
    """
    check_alpha(alpha)
    if not 0 < level < 1:
        raise InputError(f"a quantile lies between 0 and 1, not {level}")
    kept = np.asarray(values, dtype=np.float64)
    if not np.isfinite(kept).all():
        raise InputError("every value must be a finite number")
    n = len(kept)
    if n < _LEAST_VALUES:
        raise Unmeasurable("too_few_units", f"a quantile needs {_LEAST_VALUES} values an arm, not {n}")
    ordered, ranks = _ranked(kept, weights)
    value = float(np.interp(ranks[0] + (n - ranks[0]) * level, ranks, ordered))
    units, deviation = n, math.sqrt(level * (1 - level) / n)
    if clusters is not None or weights is not None:
        own = np.arange(n, dtype=np.int64) if clusters is None else np.asarray(clusters)
        units, deviation = _clustered_deviation(kept <= value, own, level, weights)
    z = normal_critical(alpha)
    lower, upper = n * (level - z * deviation), n * (level + z * deviation)
    if lower < ranks[0] or upper > n:
        raise Unmeasurable("too_few_units", f"{n} values are too few for an interval of the {level:g} quantile")
    return Quantile(
        level=level,
        value=value,
        low=float(ordered[np.searchsorted(ranks, lower, side="right") - 1]),
        high=float(ordered[np.searchsorted(ranks, upper, side="left")]),
        se=float(np.interp(upper, ranks, ordered) - np.interp(lower, ranks, ordered)) / (2 * z),
        n=n,
        units=units,
    )


def compare_quantiles(
    control: Quantile, treatment: Quantile, *, alpha: float = 0.05, relative: Relative = "delta"
) -> Comparison:
    """Difference of two quantiles by the normal approximation.

    Args:
        control: The control's quantile.
        treatment: The treatment's quantile, of the same level.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Raises:
        Unmeasurable: The values are tied around the quantile in both arms (``zero_variance``).
        InputError: The levels differ, or an option is not valid.
    """
    check_alpha(alpha)
    if control.level != treatment.level:
        raise InputError(f"quantiles of different levels do not compare: {control.level} and {treatment.level}")
    var_c, var_t = control.se**2, treatment.se**2
    if var_c + var_t == 0:
        raise Unmeasurable("zero_variance", "the values around the quantile are all alike: there is no test")
    se = math.sqrt(var_c + var_t)
    return compare_z(
        Estimate(control.value, var_c, control.units),
        Estimate(treatment.value, var_t, treatment.units),
        se=se,
        se_test=se,
        alpha=alpha,
        relative=relative,
        method="quantile_order_statistics",
    )


def _ranked(values: Values, weights: Values | None) -> tuple[Values, Values]:
    """The values in order, and their ranks: from 1 to n, or the cumulated weight where these differ."""
    n = len(values)
    if weights is None:
        return np.sort(values), np.arange(1.0, n + 1)
    if len(weights) != n or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise InputError(f"{n} values need as many positive weights")
    order = np.lexsort((weights, values))
    ranks = np.cumsum(weights[order])
    ranks *= n / ranks[-1]
    ranks[-1] = n
    return values[order], ranks


def _clustered_deviation(
    below: npt.NDArray[np.bool_], clusters: npt.NDArray[np.int64], level: float, weights: Values | None
) -> tuple[int, float]:
    """Units, and the delta-method standard deviation of the share of values below the quantile."""
    if len(clusters) != len(below):
        raise InputError(f"{len(below)} values and {len(clusters)} clusters do not pair")
    _, codes = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(codes, weights=weights).astype(np.float64)
    if len(sizes) < 2:
        raise Unmeasurable("too_few_units", "a quantile of clustered values needs two units an arm")
    # Whole numbers, so their sums are exact in any order; a unit's weights are all the same.
    hits = np.bincount(codes, weights=below if weights is None else below * weights)
    residual, mean = np.sort(hits - level * sizes), float(np.sort(sizes).mean())
    variance = float(((residual - residual.mean()) ** 2).sum()) / (len(sizes) - 1)
    return len(sizes), math.sqrt(variance / len(sizes)) / mean
