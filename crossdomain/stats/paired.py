"""Differences of the same units under two treatments: the paired t test and its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.stats.comparison import check_alpha

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedComparison:
    """A treatment against its control on the same units.

    Attributes:
        estimate: Mean of treatment minus control.
        low: Lower end of the two-sided interval at confidence 1 - alpha.
        high: Upper end.
        p: Two-sided p-value.
        n: Units.
    """

    estimate: float
    low: float
    high: float
    p: float
    n: int


def compare_pairs(control: Values, treatment: Values, *, alpha: float = 0.05) -> PairedComparison:
    """Mean difference of pairs with Student's interval.

    Where all differences are equal the interval is that one point, and p is 1 if it is 0, else 0.

    Args:
        control: A value for each unit.
        treatment: A value for each unit, in the same order.
        alpha: One minus the confidence of the interval.

    Raises:
        InputError: The lengths differ, there are fewer than two units, or ``alpha`` is not valid.
    """
    check_alpha(alpha)
    if len(control) != len(treatment):
        raise InputError(f"pairs need as many values on both sides, not {len(control)} and {len(treatment)}")
    mean, low, high = mean_interval(treatment - control, alpha=alpha)
    spread = (high - low) / 2
    if not spread:
        return PairedComparison(mean, low, high, float(mean == 0), len(control))
    df = len(control) - 1
    statistic = mean / spread * float(stats.t.ppf(1 - alpha / 2, df))
    return PairedComparison(mean, low, high, float(2 * stats.t.sf(abs(statistic), df)), len(control))


def mean_interval(values: Values, *, alpha: float = 0.05) -> tuple[float, float, float]:
    """Mean, and the lower and upper end of its Student interval.

    Raises:
        InputError: There are fewer than two values.
    """
    n = len(values)
    if n < 2:
        raise InputError(f"an interval needs two values or more, not {n}")
    mean = float(np.mean(values))
    spread = float(stats.t.ppf(1 - alpha / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean, mean - spread, mean + spread
