"""Moments of one group of units: all that a test of a mean, a share or a ratio needs.

Sums may be exact (int, Decimal) or floats. Variances are formed in rational arithmetic, so that the
subtraction of two near numbers loses nothing that the sums still had.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from crossdomain.errors import InputError

Number = int | float | Decimal | Fraction


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of one value per unit.

    Attributes:
        n: Number of units, zeros included.
        total: Sum of the value over the units.
        squares: Sum of the squared value over the units.
    """

    n: int
    total: Number
    squares: Number

    def __post_init__(self) -> None:
        """Refuse what no sample can have.

        Raises:
            InputError: ``n`` is negative, or a sum is NaN or infinite, or the sum of squares is negative.
        """
        check_count(self.n)
        check_finite(total=self.total, squares=self.squares)
        if self.squares < 0:
            raise InputError(f"a sum of squares cannot be negative: {self.squares}")

    @classmethod
    def of(cls, values: Iterable[Number]) -> Moments:
        """Moments of the values, one a unit; exact, whatever their order."""
        kept = exact(values)
        return cls(len(kept), sum(kept, Fraction(0)), sum((x * x for x in kept), Fraction(0)))

    @property
    def mean(self) -> float:
        """Arithmetic mean; needs at least one unit."""
        return float(Fraction(self.total) / self.n)

    @property
    def variance(self) -> float:
        """Sample variance with n - 1 in the denominator; needs two units. Never below zero."""
        return float(_central(self.n, self.total, self.total, self.squares))

    @property
    def mean_variance(self) -> float:
        """Variance of the mean: sample variance over n."""
        return self.variance / self.n


@dataclass(frozen=True)
class PairMoments:
    """Count, sums, squares and product of two values per unit: a ratio's numerator x and denominator y.

    Attributes:
        n: Number of units, zeros included.
        x: Sum of the numerator.
        y: Sum of the denominator.
        xx: Sum of the squared numerator.
        yy: Sum of the squared denominator.
        xy: Sum of the product.
    """

    n: int
    x: Number
    y: Number
    xx: Number
    yy: Number
    xy: Number

    def __post_init__(self) -> None:
        """Refuse what no sample can have.

        Raises:
            InputError: ``n`` is negative, or a sum is NaN or infinite.
        """
        check_count(self.n)
        check_finite(x=self.x, y=self.y, xx=self.xx, yy=self.yy, xy=self.xy)

    @classmethod
    def of(cls, numerators: Iterable[Number], denominators: Iterable[Number]) -> PairMoments:
        """Moments of paired values, one pair a unit; exact, whatever their order.

        Raises:
            InputError: The two differ in length.
        """
        xs, ys = exact(numerators), exact(denominators)
        if len(xs) != len(ys):
            raise InputError(f"{len(xs)} numerators and {len(ys)} denominators do not pair")
        zero = Fraction(0)
        return cls(
            n=len(xs),
            x=sum(xs, zero),
            y=sum(ys, zero),
            xx=sum((x * x for x in xs), zero),
            yy=sum((y * y for y in ys), zero),
            xy=sum((x * y for x, y in zip(xs, ys, strict=True)), zero),
        )

    @property
    def ratio(self) -> float:
        """Sum of x over sum of y; needs a sum of y that is not zero."""
        return float(Fraction(self.x) / Fraction(self.y))

    @property
    def ratio_variance(self) -> float:
        """Delta-method variance of the ratio of means: var(x - R y) / (n mean(y)^2); needs two units.

        Source: Deng, Knoblich, Lu: Applying the delta method in metric analytics (KDD 2018), eq. 5.
        """
        n, ratio = self.n, Fraction(self.x) / Fraction(self.y)
        linearised = (
            _central(n, self.x, self.x, self.xx)
            - 2 * ratio * _central(n, self.x, self.y, self.xy)
            + ratio**2 * _central(n, self.y, self.y, self.yy)
        )
        return float(max(linearised, Fraction(0)) / (n * (Fraction(self.y) / n) ** 2))


def _central(n: int, first: Number, second: Number, product: Number) -> Fraction:
    """Sample covariance from sums; a variance (first is second) is cut off at zero."""
    value = (Fraction(product) - Fraction(first) * Fraction(second) / n) / (n - 1)
    return max(value, Fraction(0)) if first is second else value


def exact(values: Iterable[Number]) -> list[Fraction]:
    """The values as rational numbers.

    Raises:
        InputError: A value is NaN or infinite.
    """
    kept = list(values)
    for value in kept:
        check_finite(value=value)
    fractions = [Fraction(value) for value in kept]
    # numpy's whole numbers would stay numpy's inside a fraction, and overflow.
    return [Fraction(int(value.numerator), int(value.denominator)) for value in fractions]


def check_count(n: int) -> None:
    """Refuse a negative number of units.

    Raises:
        InputError: It is negative.
    """
    if n < 0:
        raise InputError(f"a number of units cannot be negative: {n}")


def check_finite(**sums: Number) -> None:
    """Refuse sums that are not finite.

    Raises:
        InputError: A sum is NaN or infinite.
    """
    for name, value in sums.items():
        if not math.isfinite(value):
            raise InputError(f"{name} is {value}: every value must be a finite number")
