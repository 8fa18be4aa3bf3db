"""Samples of every metric where the weights changed: each unit counts by the inverse of the weight of its day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crossdomain.experiments.allocation import inverse_weight, weighted_pairs, weighted_strata
from crossdomain.experiments.assignment import WeightPeriod
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.moments import Strata, Sums
from crossdomain.experiments.samples import NoSample, Sample
from crossdomain.experiments.state_samples import Days, event_values, needs_units, unit_values
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.cuped import RatioAndCovariate
from crossdomain.stats.exact_sums import joint_moments, pair_moments
from crossdomain.stats.quantiles import estimate_quantile
from crossdomain.stats.winsorizing import Values, cut, pooled_caps

if TYPE_CHECKING:
    import duckdb


def weighted_samples(
    con: duckdb.DuckDBPyConnection,
    design: Design,
    strata: Strata,
    periods: Sequence[WeightPeriod],
    until: date,
    make_totals: Callable[[], None],
) -> dict[tuple[str, str], Sample]:
    """Samples of every metric and arm in which each unit counts by the inverse of its weight (see ``allocation``).

    A mean is then a ratio of two sums over units, and so is its covariate's. Caps are quantiles of all units as they
    came: any cap that is the same for all arms compares the same thing. A quantile is that of the weighted values.

    Args:
        con: Connection; for quantiles of single events with view ``clean.events``.
        design: The design.
        strata: Moments as of ``until``.
        periods: Weights so far, by first day.
        until: Last business day that counts.
        make_totals: Makes temporary table ``experiment_totals``; called only where a metric needs the units.
    """
    found: dict[tuple[str, str], Sample] = {}
    made = False
    for metric in design.metrics:
        if needs_units(metric) and not made:
            make_totals()
            made = True
        for variant, sample in _of_metric(con, design, metric, strata, periods, until):
            found[metric.name, variant] = sample
    return found


def _of_metric(
    con: duckdb.DuckDBPyConnection,
    design: Design,
    metric: Metric,
    strata: Strata,
    periods: Sequence[WeightPeriod],
    until: date,
) -> Iterator[tuple[str, Sample]]:
    if metric.kind == "quantile":
        yield from _quantiles(con, design, metric, periods, until)
    elif metric.winsorize is not None:
        yield from _winsorized(con, design, metric, periods, until)
    else:
        for variant, _ in design.variants:
            if metric.cuped:
                yield variant, weighted_joint(design, metric, variant, strata, periods, until)
            else:
                yield variant, weighted_pairs(design, metric.name, variant, strata, periods, until)


def weighted_joint(
    design: Design, metric: Metric, variant: str, strata: Strata, periods: Sequence[WeightPeriod], until: date
) -> RatioAndCovariate:
    """An arm's mean and its covariate's as ratios of weighted sums, exact; as ``weighted_pairs``."""
    n, sums, products = 0, [Fraction(0)] * 4, [Fraction(0)] * 10
    for w, one in weighted_strata(design, metric, variant, strata, periods, until):
        n += one.n
        values, squares = _four(metric, one)
        sums = [total + w * value for total, value in zip(sums, values, strict=True)]
        products = [total + w**2 * value for total, value in zip(products, squares, strict=True)]
    return RatioAndCovariate(n, tuple(sums), tuple(products))


def _four(metric: Metric, one: Sums) -> tuple[list[Fraction], list[Fraction]]:
    """Sums of numerator, denominator and their covariates, and of their products; a mean's denominators are ones."""
    names = ("x", "y", "cx", "cy") if metric.kind == "ratio" else ("x", "", "cx", "")
    pairs = [_product(one, a, b) for a, b in combinations_with_replacement(names, 2)]
    return [_product(one, name, "") for name in names], pairs


def _product(one: Sums, a: str, b: str) -> Fraction:
    """Sum of a product of two numbers, of which an empty name is one."""
    return Fraction(getattr(one, a + b) if a + b else one.n)


def _winsorized(
    con: duckdb.DuckDBPyConnection, design: Design, metric: Metric, periods: Sequence[WeightPeriod], until: date
) -> Iterator[tuple[str, Sample]]:
    caps = metric.winsorize
    assert caps is not None
    place = design.metrics.index(metric)
    arms: dict[str, tuple[Values, Values, Values | None]] = {}
    for variant, _ in design.variants:
        values, days = unit_values(con, metric, f"x{place}", variant, until)
        weights = _weights(periods, variant, days)
        counts = weights > 0
        before = unit_values(con, metric, f"cx{place}", variant, until)[0][counts] if metric.cuped else None
        arms[variant] = values[counts], weights[counts], before
    bounds = pooled_caps(
        [values for values, _, _ in arms.values()], lower=caps.lower, upper=caps.upper, ignore_zeros=caps.ignore_zeros
    )
    for variant, (values, weights, before) in arms.items():
        weighted = weights * cut(values, bounds)
        if before is None:
            yield variant, pair_moments(weighted, weights)
        else:
            joint = joint_moments(weighted, weights, weights * before, weights)
            yield variant, RatioAndCovariate(joint.n, joint.sums, joint.products)


def _quantiles(
    con: duckdb.DuckDBPyConnection, design: Design, metric: Metric, periods: Sequence[WeightPeriod], until: date
) -> Iterator[tuple[str, Sample]]:
    assert metric.quantile is not None
    place = design.metrics.index(metric)
    for variant, _ in design.variants:
        clusters: npt.NDArray[np.int64] | None = None
        values, days = unit_values(con, metric, f"x{place}", variant, until)
        units = int((_weights(periods, variant, days) > 0).sum())
        if metric.per == "event":
            values, clusters, days = event_values(con, metric, variant, until)
        weights = _weights(periods, variant, days)
        counts = weights > 0
        try:
            yield (
                variant,
                estimate_quantile(
                    values[counts],
                    metric.quantile,
                    clusters=None if clusters is None else clusters[counts],
                    weights=weights[counts],
                    alpha=design.alpha,
                ),
            )
        except Unmeasurable as reason:
            yield variant, NoSample(reason.verdict, units)


def _weights(periods: Sequence[WeightPeriod], variant: str, days: Days) -> Values:
    """How much units count that came on these days; 0 where they do not."""
    known, place = np.unique(days, return_inverse=True)
    each = [inverse_weight(periods, variant, day) for day in known.tolist()]
    return np.array([0.0 if weight is None else float(weight) for weight in each])[place]
