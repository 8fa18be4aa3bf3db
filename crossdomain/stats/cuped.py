"""CUPED: a difference of means or ratios with less variance, by what the units were before the experiment.

Source: Deng, Xu, Kohavi, Walker: Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data (WSDM 2013); for ratios its appendix B, with the delta method of Deng, Knoblich, Lu (KDD 2018).
The coefficient is that of both arms within arms (ANCOVA), so that the covariate's difference between the arms
does not enter it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Self

from crossdomain.errors import InputError
from crossdomain.stats.comparison import (
    Comparison,
    Relative,
    RelativeEffect,
    Unmeasurable,
    check_alpha,
    relative_of_dependent,
    satterthwaite,
)
from crossdomain.stats.distributions import normal_critical, normal_p, t_critical, t_p
from crossdomain.stats.moments import Number, check_count, check_finite, exact


@dataclass(frozen=True)
class JointMoments:
    """Count, sums and sums of products of several values per unit.

    Attributes:
        n: Number of units, zeros included.
        sums: Sum of each value.
        products: Sums of the products of every two values, each pair once, in the order of the rows of a matrix:
            for values a, b, c they are aa, ab, ac, bb, bc, cc.
    """

    n: int
    sums: tuple[Number, ...]
    products: tuple[Number, ...]

    def __post_init__(self) -> None:
        """Refuse what no sample can have.

        Raises:
            InputError: ``n`` is negative, a sum is NaN or infinite, or the numbers of sums do not fit.
        """
        check_count(self.n)
        check_finite(**{f"sum {i}": value for i, value in enumerate(self.sums)})
        check_finite(**{f"product {i}": value for i, value in enumerate(self.products)})
        if len(self.products) != len(self.sums) * (len(self.sums) + 1) // 2:
            raise InputError(f"{len(self.sums)} sums and {len(self.products)} products do not fit")

    @classmethod
    def of(cls, *columns: Sequence[Number]) -> Self:
        """Moments of columns with one value a unit; exact, whatever the order of the units.

        Raises:
            InputError: The columns differ in length.
        """
        if len({len(column) for column in columns}) != 1:
            raise InputError(f"columns of {[len(column) for column in columns]} values do not pair")
        kept = [exact(column) for column in columns]
        return cls(
            len(kept[0]),
            tuple(sum(column, Fraction(0)) for column in kept),
            tuple(
                sum((x * y for x, y in zip(one, other, strict=True)), Fraction(0))
                for one, other in combinations_with_replacement(kept, 2)
            ),
        )

    def mean(self, i: int) -> Fraction:
        """Mean of a value; needs a unit."""
        return Fraction(self.sums[i]) / self.n

    @cached_property
    def scatter(self) -> tuple[tuple[Fraction, ...], ...]:
        """Sums of products of deviations from the means, a symmetric matrix; needs a unit."""
        width = len(self.sums)
        pairs = combinations_with_replacement(range(width), 2)
        found = {}
        for (i, j), product in zip(pairs, self.products, strict=True):
            value = Fraction(product) - Fraction(self.sums[i]) * Fraction(self.sums[j]) / self.n
            found[i, j] = found[j, i] = max(value, Fraction(0)) if i == j else value
        return tuple(tuple(found[i, j] for j in range(width)) for i in range(width))


class MeanAndCovariate(JointMoments):
    """Moments of (metric, covariate)."""


class RatioAndCovariate(JointMoments):
    """Moments of (numerator, denominator, covariate), or with a fourth value, the covariate's denominator."""


class ClusteredAndCovariate(JointMoments):
    """As ``RatioAndCovariate``, over the clusters of an arm whose clusters were randomised."""


def compare_adjusted_means(
    control: MeanAndCovariate, treatment: MeanAndCovariate, *, alpha: float = 0.05, relative: Relative = "delta"
) -> Comparison:
    """Difference of two means, adjusted for a covariate.

    Args:
        control: Moments of the control.
        treatment: Moments of the treatment.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Returns:
        The comparison. ``mean`` and ``mean_control`` are the arms' own, unadjusted; the adjusted ``estimate`` is
        not their difference. The relative effect is the adjusted estimate over the control's own mean. A covariate
        that does not vary adjusts nothing.

    Raises:
        Unmeasurable: Too few units, or no variance.
        InputError: An option is not valid.
    """
    return _compare(
        _Linear.of_mean(control), _Linear.of_mean(treatment), alpha=alpha, relative=relative, method="cuped_welch_t"
    )


def compare_adjusted_ratios(
    control: RatioAndCovariate | ClusteredAndCovariate,
    treatment: RatioAndCovariate | ClusteredAndCovariate,
    *,
    alpha: float = 0.05,
    relative: Relative = "delta",
) -> Comparison:
    """Difference of two ratios of sums, adjusted for a covariate (a value per unit, or a ratio of its own).

    Each ratio is taken as the mean of its linearisation, (x - R y) / mean(y) + R, and so is the covariate's, with the
    ratio and mean of its arm. Clusters are often few, so t takes the place of z for theirs.

    Args:
        control: Moments of the control.
        treatment: Moments of the treatment.
        alpha: One minus the confidence of the intervals.
        relative: Convention of the relative effect's interval.

    Returns:
        As ``compare_adjusted_means``.

    Raises:
        Unmeasurable: Too few units, a denominator that adds up to zero, or no variance.
        InputError: An option is not valid.
    """
    clustered = isinstance(control, ClusteredAndCovariate)
    return _compare(
        _Linear.of_ratio(control),
        _Linear.of_ratio(treatment),
        alpha=alpha,
        relative=relative,
        method="cuped_clustered_t" if clustered else "cuped_z_delta",
    )


@dataclass(frozen=True)
class _Linear:
    """An arm as linear statistics: value and covariate, and the scatter of the terms whose means they are."""

    n: int
    value: Fraction
    covariate: Fraction
    vv: Fraction
    vw: Fraction
    ww: Fraction

    @classmethod
    def of_mean(cls, arm: JointMoments) -> _Linear:
        _check_units(arm)
        scatter = arm.scatter
        return cls(arm.n, arm.mean(0), arm.mean(1), scatter[0][0], scatter[0][1], scatter[1][1])

    @classmethod
    def of_ratio(cls, arm: JointMoments) -> _Linear:
        _check_units(arm)
        ratio, weights = _linearised(arm, 0, 1)
        covariate, other = (arm.mean(2), {2: Fraction(1)}) if len(arm.sums) == 3 else _linearised(arm, 2, 3)

        def scatter(a: dict[int, Fraction], b: dict[int, Fraction]) -> Fraction:
            return sum((u * v * arm.scatter[i][j] for i, u in a.items() for j, v in b.items()), Fraction(0))

        return cls(arm.n, ratio, covariate, scatter(weights, weights), scatter(weights, other), scatter(other, other))


def _check_units(arm: JointMoments) -> None:
    if arm.n < 3:
        raise Unmeasurable("too_few_units", f"CUPED needs three units an arm, not {arm.n}")


def _linearised(arm: JointMoments, x: int, y: int) -> tuple[Fraction, dict[int, Fraction]]:
    """A ratio of sums, and the weights of its two values in its linearisation."""
    if arm.sums[y] == 0:
        raise Unmeasurable("zero_denominator", "the denominators of an arm add up to zero: there is no ratio")
    ratio = Fraction(arm.sums[x]) / Fraction(arm.sums[y])
    return ratio, {x: 1 / arm.mean(y), y: -ratio / arm.mean(y)}


def _compare(control: _Linear, treatment: _Linear, *, alpha: float, relative: Relative, method: str) -> Comparison:
    check_alpha(alpha)
    spread = control.ww + treatment.ww
    theta = (control.vw + treatment.vw) / spread if spread else Fraction(0)
    estimate = float(treatment.value - control.value - theta * (treatment.covariate - control.covariate))
    var_c, var_t = (
        float(max(arm.vv - 2 * theta * arm.vw + theta**2 * arm.ww, Fraction(0)) / (arm.n - 1) / arm.n)
        for arm in (control, treatment)
    )
    if var_c + var_t == 0:
        raise Unmeasurable("zero_variance", "nothing varies beyond the covariate: there is no test")
    se = math.sqrt(var_c + var_t)
    # One degree of freedom more goes to the coefficient that the arms share.
    df = satterthwaite(var_c, control.n, var_t, treatment.n) - 1
    by_t = method.endswith("_t")
    if by_t:
        quantile, p = t_critical(alpha, df), t_p(estimate / se, df)
    else:
        quantile, p = normal_critical(alpha), normal_p(estimate / se)
    return Comparison(
        estimate=estimate,
        se=se,
        low=estimate - quantile * se,
        high=estimate + quantile * se,
        statistic=estimate / se,
        df=df if by_t else None,
        p=p,
        mean=float(treatment.value),
        mean_control=float(control.value),
        n=treatment.n,
        n_control=control.n,
        relative=_relative(control, theta, estimate, se, quantile=quantile, method=relative),
        alpha=alpha,
        method=method,
    )


def _relative(
    control: _Linear, theta: Fraction, estimate: float, se: float, *, quantile: float, method: Relative
) -> RelativeEffect:
    """Adjusted estimate e over the control's own mean c; cov(e, c) = -cov(adjusted control, control)."""
    scale = (control.n - 1) * control.n
    return relative_of_dependent(
        estimate,
        se**2,
        float(control.value),
        float(control.vv / scale),
        -float((control.vv - theta * control.vw) / scale),
        quantile=quantile,
        method=method,
    )
