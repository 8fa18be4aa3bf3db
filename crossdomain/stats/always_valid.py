"""Confidence sequences: intervals that hold at every moment at once, however often one looks.

For an estimate e with estimated standard error s from n units, the sequence mixes over a normal prior of the
effect: e +- s sqrt((n r + 1) / (n r) log((n r + 1) / alpha^2)), r the mixing variance in units of the variance of
one unit. With a known variance it is the mixture sequential probability ratio test (Robbins 1970; Johari, Pekelis,
Walsh 2015); with an estimated one it is asymptotic: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform
central limit theory and asymptotic confidence sequences (Annals of Statistics 2024), theorem 2.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import lambertw

from crossdomain.errors import InputError
from crossdomain.stats.comparison import check_alpha

PLANNED_UNITS = 10_000
"""Units at which the interval is narrowest, where the design says none."""


@dataclass(frozen=True)
class AlwaysValid:
    """An interval and a p-value that hold on every day.

    Attributes:
        low: Lower end.
        high: Upper end.
        p: The smallest alpha at which the interval leaves out zero.
    """

    low: float
    high: float
    p: float


def mixing_variance(planned_units: float = PLANNED_UNITS, *, alpha: float = 0.05) -> float:
    """The mixing variance r that makes the interval narrowest at a number of units.

    It must be chosen before the data come in. With u = n r + 1 the squared width is, but for a factor,
    u / (u - 1) log(u / alpha^2); its minimum satisfies u - 1 - log(u) = -2 log(alpha), whose solution is
    u = -W_{-1}(-alpha^2 / e) (Waudby-Smith et al. 2024, appendix B).

    Args:
        planned_units: Units of both arms together.
        alpha: Level.

    Raises:
        InputError: A number is out of range.
    """
    check_alpha(alpha)
    if not 0 < planned_units < math.inf:
        raise InputError(f"the planned units must be a positive number, not {planned_units}")
    return float((-lambertw(-(alpha**2) / math.e, -1).real - 1) / planned_units)


def always_valid(estimate: float, se: float, units: float, *, mixing: float, alpha: float = 0.05) -> AlwaysValid:
    """Interval and p-value at one moment of the sequence.

    Args:
        estimate: Estimated effect so far.
        se: Its standard error.
        units: Units of both arms together so far.
        mixing: The mixing variance, the same at every moment.
        alpha: One minus the confidence over all moments.

    Raises:
        InputError: A number is out of range.
    """
    check_alpha(alpha)
    if not (se > 0 and units > 0 and mixing > 0):
        raise InputError(f"standard error, units and mixing variance must be positive: {se}, {units}, {mixing}")
    u = units * mixing + 1
    half = se * math.sqrt(u / (u - 1) * math.log(u / alpha**2))
    p = math.sqrt(u) * math.exp(-((estimate / se) ** 2) / 2 * (u - 1) / u)
    return AlwaysValid(estimate - half, estimate + half, min(p, 1.0))
