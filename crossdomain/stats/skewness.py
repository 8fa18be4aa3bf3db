"""Is a difference of means of skewed values near enough to normal for t and z?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError

Values = npt.NDArray[np.float64]

UNITS_PER_SQUARED_SKEWNESS = 355
"""Rule of thumb: a mean of n values of skewness g is near enough to normal for a 95 % interval where n > 355 g^2; each
tail then holds 2.5 % to within half a point (Boos, Hughes-Oliver 2000; Kohavi, Deng, Longbotham, Xu: Seven rules of
thumb for web site experimenters, KDD 2014)."""
HARMLESS = 1 / math.sqrt(UNITS_PER_SQUARED_SKEWNESS)
"""Skewness of an estimate up to which the rule calls it near enough to normal."""


def pooled_skewness(arms: Sequence[Values]) -> float:
    """Skewness of values around their arm's mean, all arms together; 0 where nothing varies.

    Sums are exactly rounded, so that the order of the values changes nothing. Of few values with a long tail it comes
    out too small.

    Args:
        arms: The values of each arm.
    """
    rest = np.concatenate([arm - math.fsum(arm.tolist()) / len(arm) for arm in arms if len(arm)] or [np.zeros(0)])
    squares = math.fsum((rest**2).tolist())
    if not squares > 0:
        return 0.0
    third = math.fsum((rest**3).tolist()) / len(rest)
    return float(third / (squares / len(rest)) ** 1.5)


def skewness_of_difference(skewness: float, n_control: int, n: int) -> float:
    """Skewness of the difference of two means of equally skewed values.

    g (1 / n^2 - 1 / m^2) / (1 / n + 1 / m)^1.5 for arms of n and m units: arms of one size cancel it, and next to an
    arm without end it is g / sqrt(n), a single mean's.

    Args:
        skewness: Skewness g of a unit's value.
        n_control: Units of the control.
        n: Units of the treatment.

    Raises:
        InputError: An arm has no unit.
    """
    if min(n_control, n) < 1:
        raise InputError(f"arms of {n_control} and {n} units do not compare")
    return float(skewness * (1 / n**2 - 1 / n_control**2) / (1 / n + 1 / n_control) ** 1.5)
