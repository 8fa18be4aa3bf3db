"""Sums over arrays of floats that do not depend on the order of the values, and lose nothing to cancellation."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from crossdomain.errors import InputError
from crossdomain.stats.cuped import JointMoments
from crossdomain.stats.moments import Moments, PairMoments

Floats = npt.NDArray[np.float64]


def joint_moments(*columns: Floats) -> JointMoments:
    """Moments of arrays with one value a unit.

    Each column is centred at its mean first, products are taken of what is left, and sums are exactly rounded
    (``math.fsum``), so that neither order nor a large mean changes a variance; the shift back is rational.

    Args:
        columns: One or more arrays of one length; values must be finite.

    Raises:
        InputError: A value is not finite, or the columns differ in length.
    """
    n = len(columns[0])
    if any(len(column) != n for column in columns):
        raise InputError(f"columns of {[len(column) for column in columns]} values do not pair")
    if not all(np.isfinite(column).all() for column in columns):
        raise InputError("every value must be a finite number")
    if n == 0:
        zeros = (0,) * len(columns)
        return JointMoments(0, zeros, (0,) * (len(columns) * (len(columns) + 1) // 2))
    centres = [math.fsum(column.tolist()) / n for column in columns]
    rest = [column - centre for column, centre in zip(columns, centres, strict=True)]
    shifts = [Fraction(centre) for centre in centres]
    left = [Fraction(math.fsum(column.tolist())) for column in rest]
    sums = tuple(n * shift + over for shift, over in zip(shifts, left, strict=True))
    products = tuple(
        Fraction(math.fsum((rest[i] * rest[j]).tolist()))
        + shifts[i] * left[j]
        + shifts[j] * left[i]
        + n * shifts[i] * shifts[j]
        for i, j in combinations_with_replacement(range(len(columns)), 2)
    )
    return JointMoments(n, sums, products)


def moments(values: Floats) -> Moments:
    """Moments of one array; as ``joint_moments``."""
    found = joint_moments(values)
    return Moments(found.n, found.sums[0], found.products[0])


def pair_moments(numerators: Floats, denominators: Floats) -> PairMoments:
    """Moments of two arrays; as ``joint_moments``."""
    found = joint_moments(numerators, denominators)
    (x, y), (xx, xy, yy) = found.sums, found.products
    return PairMoments(found.n, x=x, y=y, xx=xx, yy=yy, xy=xy)
