"""Weights over time: how a bandit moves them, and comparisons that stay unbiased while they move.

Units that came under different weights must not be pooled as they are: if more people buy in December and the winner's
weight rose by then, it looks better than it is (Simpson's paradox). Each unit therefore counts by the inverse of the
weight that its variant had on the day on which it came (Horvitz, Thompson 1952), normalised by the sum of these
(Hájek 1971), which makes an arm's mean a ratio of two sums over units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from crossdomain.experiments.assignment import WeightPeriod
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.moments import Strata, Sums
from crossdomain.experiments.selections import matured_after
from crossdomain.stats.bayes import best_of_beta, best_of_normal, with_floor
from crossdomain.stats.moments import PairMoments

LEAST_UNITS = 30
"""Units an arm must have before a bandit moves the weights."""


@dataclass(frozen=True)
class Allocated:
    """Weights from a day on, and why.

    Attributes:
        first: First business day on which units are dealt by them; None: from the beginning.
        weights: Pairs of variant and weight in the design's order.
        best: For each variant the probability that it is the best, where a bandit said so; else None.
        reason: ``design``, ``thompson`` or ``promoted``.
    """

    first: date | None
    weights: tuple[tuple[str, float], ...]
    best: tuple[float | None, ...]
    reason: str

    @property
    def period(self) -> WeightPeriod:
        """The weights alone."""
        return WeightPeriod(self.first, self.weights)


def first_allocation(design: Design) -> Allocated:
    """The design's weights, which hold from the beginning."""
    return Allocated(None, design.variants, (None,) * len(design.variants), "design")


def next_allocation(design: Design, history: Sequence[Allocated], strata: Strata, day: date) -> Allocated | None:
    """The weights from the day after on, if they change.

    Args:
        design: The design.
        history: What was in force so far, by first day; empty on an experiment's first day.
        strata: Moments as of the day.
        day: Business day that is over.

    Returns:
        New weights, or None where the old ones go on: a fixed design has not changed, or a bandit knows too little.
    """
    tomorrow = day + timedelta(days=1)
    if not history:
        return first_allocation(design)
    if design.end is not None and day >= design.end:
        return None
    if design.allocation.method == "fixed":
        if history[-1].weights == design.variants:
            return None
        return Allocated(tomorrow, design.variants, (None,) * len(design.variants), "design")
    found = thompson(design, [one.period for one in history], strata, day)
    if found is None:
        return None
    weights, best = found
    return Allocated(tomorrow, weights, best, "thompson")


def promoted_allocation(design: Design, history: Sequence[Allocated], variant: str, day: date) -> Allocated | None:
    """All the weight for one variant from the day after on; None where it has it already."""
    weights = tuple((name, 1.0 if name == variant else 0.0) for name, _ in design.variants)
    if history and history[-1].weights == weights:
        return None
    return Allocated(day + timedelta(days=1), weights, (None,) * len(weights), "promoted")


def thompson(
    design: Design, periods: Sequence[WeightPeriod], strata: Strata, day: date
) -> tuple[tuple[tuple[str, float], ...], tuple[float, ...]] | None:
    """Weights by the probability of being the best in the primary metric, each at least the floor.

    A proportion has a beta posterior from a flat prior, with as many trials as the weighted units are worth (Kish's
    effective size); other metrics a normal one. Source: Thompson 1933; Russo et al.: A tutorial on Thompson sampling
    (2018); the floor keeps every arm measured.

    Args:
        design: The design.
        periods: Weights so far.
        strata: Moments as of the day.
        day: Business day.

    Returns:
        Weights in the design's order, rounded to a millionth, and the probabilities; None where an arm has fewer than
        ``LEAST_UNITS`` units, or the metric does not vary.
    """
    metric = design.metric(design.primary_metric)
    arms = [weighted_pairs(design, metric.name, variant, strata, periods, day) for variant, _ in design.variants]
    if any(arm.n < LEAST_UNITS or arm.y == 0 for arm in arms):
        return None
    if metric.kind == "proportion" and metric.better == "higher":
        effective = [float(Fraction(arm.y) ** 2 / Fraction(arm.yy)) for arm in arms]
        best = best_of_beta(
            [(1 + arm.ratio * size, 1 + (1 - arm.ratio) * size) for arm, size in zip(arms, effective, strict=True)]
        )
    else:
        sign = 1 if metric.better == "higher" else -1
        deviations = [arm.ratio_variance**0.5 for arm in arms]
        if not all(deviation > 0 for deviation in deviations):
            return None
        best = best_of_normal([sign * arm.ratio for arm in arms], deviations)
    total = sum(best)
    weights = with_floor([share / total for share in best], design.allocation.floor)
    names = [name for name, _ in design.variants]
    return tuple(zip(names, _millionths(weights), strict=True)), tuple(best)


def weighted_pairs(
    design: Design, metric: str, variant: str, strata: Strata, periods: Sequence[WeightPeriod], until: date
) -> PairMoments:
    """An arm's mean as a ratio of sums: of w x over w, or of w x over w y for a ratio; w is one over the weight.

    Days on which a variant had no weight are left out: what came on them has nothing to be compared with. Exact:
    weights count as the decimals that they are written as.
    """
    chosen, n, sums = design.metric(metric), 0, [Fraction(0)] * 5
    for w, one in weighted_strata(design, chosen, variant, strata, periods, until):
        y, yy, xy = (one.y, one.yy, one.xy) if chosen.kind == "ratio" else (one.n, one.n, one.x)
        n += one.n
        added = (
            w * Fraction(one.x),
            w * Fraction(y),
            w**2 * Fraction(one.xx),
            w**2 * Fraction(yy),
            w**2 * Fraction(xy),
        )
        sums = [total + more for total, more in zip(sums, added, strict=True)]
    return PairMoments(n, *sums)


def weighted_strata(
    design: Design,
    metric: Metric,
    variant: str,
    strata: Strata,
    periods: Sequence[WeightPeriod],
    until: date,
) -> Iterator[tuple[Fraction, Sums]]:
    """An arm's moments by day with the inverse of the weight of that day; days that count for no arm are left out."""
    latest = until - timedelta(days=matured_after(metric))
    for stratum, one in strata.items():
        if (stratum.metric, stratum.variant) == (metric.name, variant) and stratum.first_ds <= latest and one.n:
            weight = inverse_weight(periods, variant, stratum.first_ds)
            if weight is not None:
                yield weight, one


def inverse_weight(periods: Sequence[WeightPeriod], variant: str, day: date) -> Fraction | None:
    """One over a variant's weight on a day; None where a variant had none, so that nothing compares."""
    weights = weights_on(periods, day)
    return 1 / Fraction(repr(weights[variant])) if min(weights.values(), default=0.0) > 0 else None


def weights_on(periods: Sequence[WeightPeriod], day: date) -> Mapping[str, float]:
    """Weights in force on a day."""
    begun = [period for period in periods if period.first is None or period.first <= day]
    return dict(begun[-1].weights) if begun else {}


def _millionths(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights as whole millionths that sum to one; what rounding leaves over goes to the largest (ties: the first)."""
    rounded = [round(weight * 1_000_000) for weight in weights]
    largest = max(range(len(rounded)), key=lambda place: (rounded[place], -place))
    rounded[largest] += 1_000_000 - sum(rounded)
    return tuple(one / 1_000_000 for one in rounded)
