"""p-values of several tests, adjusted so that each may be compared with the level of all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from crossdomain.errors import InputError

Adjustment = Literal["holm", "benjamini_hochberg", "bonferroni", "hochberg", "benjamini_yekutieli", "none"]


def adjust_p(pvalues: Sequence[float], *, method: Adjustment = "holm") -> tuple[float, ...]:
    """Adjusted p-values in the order given.

    ``bonferroni`` and ``holm`` (Holm 1979, step-down) bound the family-wise error under any dependence;
    ``hochberg`` (1988, step-up) where the tests are independent or positively dependent.
    ``benjamini_hochberg`` (1995) bounds the false discovery rate there, ``benjamini_yekutieli`` (2001) under any
    dependence. An adjusted p-value is the smallest level of the family at which its test rejects.

    Args:
        pvalues: p-values of the family; equal ones are adjusted alike, whatever their order.
        method: The procedure.

    Raises:
        InputError: A value is not between 0 and 1, or the method is unknown.
    """
    if not all(0 <= p <= 1 for p in pvalues):
        raise InputError(f"p-values lie between 0 and 1: {list(pvalues)}")
    m = len(pvalues)
    order = sorted(range(m), key=lambda i: pvalues[i])
    ranked = [pvalues[i] for i in order]
    harmonic = math.fsum(1 / rank for rank in range(1, m + 1))
    if method == "none":
        scaled = ranked
    elif method == "bonferroni":
        scaled = [m * p for p in ranked]
    elif method == "holm":
        scaled = _running_maximum([(m - i) * p for i, p in enumerate(ranked)])
    elif method == "hochberg":
        scaled = _running_minimum([(m - i) * p for i, p in enumerate(ranked)])
    elif method == "benjamini_hochberg":
        scaled = _running_minimum([m * p / (i + 1) for i, p in enumerate(ranked)])
    elif method == "benjamini_yekutieli":
        scaled = _running_minimum([harmonic * m * p / (i + 1) for i, p in enumerate(ranked)])
    else:
        raise InputError(f"unknown correction {method!r}")
    adjusted = [0.0] * m
    for position, value in zip(order, scaled, strict=True):
        adjusted[position] = min(value, 1.0)
    return tuple(adjusted)


def _running_maximum(values: Sequence[float]) -> list[float]:
    """Each value, or the greatest before it (step-down)."""
    found, greatest = [], 0.0
    for value in values:
        greatest = max(greatest, value)
        found.append(greatest)
    return found


def _running_minimum(values: Sequence[float]) -> list[float]:
    """Each value, or the least after it (step-up)."""
    found, least = [], math.inf
    for value in reversed(values):
        least = min(least, value)
        found.append(least)
    return found[::-1]
