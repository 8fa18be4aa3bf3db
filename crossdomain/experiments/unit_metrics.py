"""Samples of a design's metrics from an analyst's unit rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.samples import NoSample, Sample
from crossdomain.experiments.unit_rows import Codes, Flags, Floats, UnitRows, sums_by
from crossdomain.stats.blocks import BlockedSums
from crossdomain.stats.clusters import ClusteredMean
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.cuped import ClusteredAndCovariate, MeanAndCovariate, RatioAndCovariate
from crossdomain.stats.exact_sums import joint_moments, moments, pair_moments
from crossdomain.stats.proportions import Successes
from crossdomain.stats.quantiles import estimate_quantile
from crossdomain.stats.winsorizing import cut, pooled_caps


@dataclass(frozen=True)
class Flaws:
    """Values of a metric that are not numbers.

    Attributes:
        missing: Missing values by arm.
        not_finite: NaN and infinite values by arm.
    """

    missing: tuple[int, ...]
    not_finite: tuple[int, ...]


def metric_columns(metric: Metric) -> tuple[str, ...]:
    """Columns that the metric adds up."""
    return tuple(part for part in (metric.numerator, metric.denominator) if isinstance(part, str))


def covariate_columns(metric: Metric) -> tuple[str, ...]:
    """Columns of the metric's covariate."""
    if metric.covariate is None:
        return ()
    return tuple(name for name in (metric.covariate.column, metric.covariate.denominator) if name is not None)


def find_flaws(design: Design, rows: UnitRows, metric: Metric) -> Flaws:
    """Missing, NaN and infinite values of the metric's columns, by arm."""
    arm, arms = rows.arm[rows.unit], len(design.variants)
    missing, wild = np.zeros(arms, dtype=np.int64), np.zeros(arms, dtype=np.int64)
    for name in metric_columns(metric):
        values, there = rows.numbers(name)
        missing += np.bincount(arm[~there], minlength=arms)
        wild += np.bincount(arm[~np.isfinite(values)], minlength=arms)
    return Flaws(tuple(missing.tolist()), tuple(wild.tolist()))


def build_samples(design: Design, rows: UnitRows) -> dict[tuple[str, str], Sample]:
    """Samples of every metric and variant of the design.

    Args:
        design: A design of a file.
        rows: Its units.

    Raises:
        InputError: A column holds no numbers, a proportion's something other than 0 and 1, or a covariate differs
            between the rows of a unit.
    """
    found: dict[tuple[str, str], Sample] = {}
    for metric in design.metrics:
        for (variant, _), sample in zip(design.variants, _samples(design, rows, metric), strict=True):
            found[metric.name, variant] = sample
    return found


def usable_rows(design: Design, rows: UnitRows, metric: Metric) -> tuple[Flags, str | None]:
    """Rows that have all of the metric's values, and the verdict if the metric must not be measured.

    With ``missing: leave_out`` and a column of days, a day on which any arm lacks a value counts for no arm:
    payments that cannot be known yet must not make one arm look worse.
    """
    flaws = find_flaws(design, rows, metric)
    every = np.ones(len(rows.unit), dtype=bool)
    if any(flaws.not_finite):
        return every, "not_finite"
    if not any(flaws.missing) or metric.missing == "zero":
        return every, None
    if metric.missing == "refuse":
        return every, "missing_values"
    there = np.logical_and.reduce([rows.numbers(name)[1] for name in metric_columns(metric)])
    # The arms of a switchback take turns within a day: leaving days out would compare nothing better.
    if design.file is not None and design.file.day is not None and design.switchback is None:
        days, labels = rows.labels(design.file.day)
        lacking = np.zeros(len(labels), dtype=bool)
        lacking[days[~there]] = True
        there &= ~lacking[days]
    return there, None


def _samples(design: Design, rows: UnitRows, metric: Metric) -> Iterator[Sample]:
    chosen, verdict = usable_rows(design, rows, metric)
    if verdict is not None:
        counts = np.bincount(rows.arm, minlength=len(design.variants))
        yield from (NoSample(verdict, int(n)) for n in counts)
        return
    part = rows if chosen.all() else rows.chosen(chosen)
    if metric.kind == "quantile":
        yield from _quantiles(design, part, metric)
        return
    x, y = _measured(part, metric)
    before = [covariate_values(part, name) for name in covariate_columns(metric)]
    trials = metric.kind == "proportion" and y is not None and design.file is not None and design.file.unit is None
    for arm in range(len(design.variants)):
        yield _sample(part, metric, part.arm == arm, (x, y, before), trials=trials)


def _sample(
    rows: UnitRows, metric: Metric, of_arm: Flags, values: tuple[Floats, Floats | None, list[Floats]], *, trials: bool
) -> Sample:
    x, y, before = values
    columns = [column[of_arm] for column in (x, *([] if y is None else [y]), *before)]
    units = int(of_arm.sum())
    if rows.block is not None:
        return _blocked(columns, rows.block[of_arm], int(rows.block.max(initial=-1)) + 1, pair=y is not None)
    if rows.cluster is not None:
        return _clustered(columns, rows.cluster[of_arm], pair=y is not None)
    if trials:
        return Successes(*(_count(column, metric) for column in columns[:2]))
    if before:
        joint = joint_moments(*columns)
        kind = MeanAndCovariate if y is None else RatioAndCovariate
        return kind(joint.n, joint.sums, joint.products)
    if y is not None:
        return pair_moments(*columns)
    if metric.kind == "proportion":
        return Successes(int(columns[0].sum()), units)
    return moments(columns[0])


def _clustered(columns: list[Floats], cluster: Codes, *, pair: bool) -> Sample:
    """An arm by cluster: values and covariates are added up, and a mean gets the number of units as denominator."""
    units = len(cluster)
    _, codes = np.unique(cluster, return_inverse=True)
    length = int(codes.max()) + 1 if units else 0
    sums = [sums_by(codes, column, length) for column in columns]
    sizes = np.bincount(codes, minlength=length).astype(np.float64)
    parts = sums if pair else [sums[0], sizes, *(one for column in sums[1:] for one in (column, sizes))]
    if len(parts) > 2:
        joint = joint_moments(*parts)
        return ClusteredAndCovariate(joint.n, joint.sums, joint.products)
    return ClusteredMean.of(parts[0], parts[1], units)


def _blocked(columns: list[Floats], block: Codes, blocks: int, *, pair: bool) -> Sample:
    """An arm by block; a mean gets the number of units as denominator."""
    sums = [sums_by(block, column, blocks) for column in columns]
    below = sums[1] if pair else np.bincount(block, minlength=blocks).astype(np.float64)
    return BlockedSums(sums[0], below, len(block))


def sums_of_clusters(design: Design, rows: UnitRows, metric: Metric) -> tuple[UnitRows, Floats, Floats] | None:
    """Numerator and denominator of each cluster in a metric (of a mean the denominator is its number of units).

    Args:
        design: A design of a file whose clusters were randomised.
        rows: Its units.
        metric: The metric; caps are applied, a covariate is not.

    Returns:
        The units that have the metric, and the sums by their clusters; None where it is not measured, or a quantile.
    """
    found = measured_units(design, rows, metric)
    if found is None:
        return None
    part, x, y = found
    assert part.cluster is not None
    clusters = int(part.cluster.max(initial=-1)) + 1
    sizes = np.bincount(part.cluster, minlength=clusters).astype(np.float64)
    below = sizes if y is None else sums_by(part.cluster, y, clusters)
    return part, sums_by(part.cluster, x, clusters), below


def measured_units(design: Design, rows: UnitRows, metric: Metric) -> tuple[UnitRows, Floats, Floats | None] | None:
    """The units that have a metric, numerator (within its caps), denominator; None if not measured, or a quantile."""
    chosen, verdict = usable_rows(design, rows, metric)
    if verdict is not None or metric.kind == "quantile":
        return None
    part = rows if chosen.all() else rows.chosen(chosen)
    return part, *_measured(part, metric)


def _measured(rows: UnitRows, metric: Metric) -> tuple[Floats, Floats | None]:
    """Numerator and denominator of each unit, the numerator within its caps."""
    x, y = _values(rows, metric)
    if metric.winsorize is not None:
        caps = metric.winsorize
        x = cut(x, pooled_caps([x], lower=caps.lower, upper=caps.upper, ignore_zeros=caps.ignore_zeros))
    return x, y


def _values(rows: UnitRows, metric: Metric) -> tuple[Floats, Floats | None]:
    """Numerator and denominator of each unit."""
    numerator, *rest = metric_columns(metric)
    x = rows.numbers(numerator)[0]
    if rest:
        return rows.totals(x), rows.totals(rows.numbers(rest[0])[0])
    if metric.kind == "proportion":
        if not np.isin(x, (0.0, 1.0)).all():
            wrong = float(x[~np.isin(x, (0.0, 1.0))].min())
            raise InputError(
                f"{metric.name}: column {numerator!r} holds {wrong:g}: a proportion needs 0 or 1; use kind mean, or "
                "give numerator and denominator"
            )
        return rows.largest(x), None
    return rows.totals(x), None


def covariate_values(rows: UnitRows, name: str) -> Floats:
    """A covariate of each unit; where it is missing, the mean of those that have one, which adjusts nothing."""
    values, known = rows.constants(name)
    if not known.all():
        values[~known] = np.sort(values[known]).mean() if known.any() else 0.0
    return values


def _quantiles(design: Design, rows: UnitRows, metric: Metric) -> Iterator[Sample]:
    assert metric.quantile is not None
    values = rows.numbers(metric_columns(metric)[0])[0]
    if metric.per == "unit":
        values, unit = rows.totals(values), np.arange(rows.units, dtype=np.int64)
    else:
        unit = rows.unit
    clusters = unit if rows.cluster is None else rows.cluster[unit]
    own = rows.cluster is None and (metric.per == "unit" or rows.single)
    for arm in range(len(design.variants)):
        of_arm = rows.arm[unit] == arm
        try:
            yield estimate_quantile(
                values[of_arm], metric.quantile, clusters=None if own else clusters[of_arm], alpha=design.alpha
            )
        except Unmeasurable as reason:
            yield NoSample(reason.verdict, int((rows.arm == arm).sum()))


def _count(column: Floats, metric: Metric) -> int:
    """A column of counts added up.

    Raises:
        InputError: It holds something other than whole numbers from 0.
    """
    if len(column) and (bool((column < 0).any()) or bool((column != np.floor(column)).any())):
        raise InputError(f"{metric.name}: a proportion of rows without units needs whole numbers from 0 as counts")
    return int(column.sum())
