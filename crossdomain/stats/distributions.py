"""Critical values and p-values of the normal and t distributions, two-sided.

scipy.special instead of scipy.stats: the same numbers at a hundredth of the time, and exact for tiny levels, where
1 - alpha / 2 rounds to 1.
"""

from __future__ import annotations

from scipy.special import ndtr, ndtri, stdtr, stdtrit


def normal_critical(alpha: float) -> float:
    """The value that |z| exceeds with probability alpha."""
    return float(-ndtri(alpha / 2))


def normal_p(z: float) -> float:
    """Probability that |z| is as large or larger."""
    return float(2 * ndtr(-abs(z)))


def normal_below(z: float) -> float:
    """Probability of a value up to z."""
    return float(ndtr(z))


def t_critical(alpha: float, df: float) -> float:
    """The value that |t| exceeds with probability alpha."""
    return float(-stdtrit(df, alpha / 2))


def t_p(t: float, df: float) -> float:
    """Probability that |t| is as large or larger."""
    return float(2 * stdtr(df, -abs(t)))
