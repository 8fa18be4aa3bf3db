"""Sample-ratio mismatch: did the arms get the share of units that the design gave them?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import chdtrc

from crossdomain.errors import InputError

SRM_ALPHA = 0.001
"""Level of the check: low, since it is run every day on every experiment (GrowthBook's default)."""


@dataclass(frozen=True)
class SampleRatio:
    """Outcome of the check.

    Attributes:
        chi2: Pearson's statistic.
        df: Number of arms minus one.
        p: Its p-value.
        ok: Whether p is at least the level.
        expected: Expected units of each arm, in the order given.
        approximate: Whether an expected count is below five, where chi-square is a rough guide.
    """

    chi2: float
    df: int
    p: float
    ok: bool
    expected: tuple[float, ...]
    approximate: bool


def sample_ratio_test(counts: Sequence[int], weights: Sequence[float], *, alpha: float = SRM_ALPHA) -> SampleRatio:
    """Pearson chi-square goodness of fit of the arms' counts against the design's weights.

    Args:
        counts: Units of each arm; zero is a count.
        weights: Weights of the arms in the same order, in any scale.
        alpha: Level below which the check fails.

    Raises:
        InputError: Fewer than two arms, lengths differ, a count is negative, all are zero, or a weight
            is not a positive number.
    """
    if len(counts) != len(weights) or len(counts) < 2:
        raise InputError(f"give a count and a weight for two or more arms: {len(counts)} and {len(weights)}")
    if min(counts) < 0 or sum(counts) == 0:
        raise InputError(f"counts must not be negative and not all zero: {list(counts)}")
    if not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise InputError(f"weights must be positive numbers: {list(weights)}")
    total, scale = sum(counts), math.fsum(weights)
    expected = tuple(total * weight / scale for weight in weights)
    chi2 = math.fsum((count - want) ** 2 / want for count, want in zip(counts, expected, strict=True))
    p = float(chdtrc(len(counts) - 1, chi2))
    return SampleRatio(chi2, len(counts) - 1, p, p >= alpha, expected, min(expected) < 5)
