"""Analysis of an analyst's own file: checks, comparisons, parts, decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.experiments.comparing import adjust, compare_all
from crossdomain.experiments.deciding import decide
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.file_checks import arms_of_clusters, check_rows
from crossdomain.experiments.metrics import Window
from crossdomain.experiments.monitoring import Progress, interval_any_day, level_now, measure_progress
from crossdomain.experiments.results import Analysis, CheckResult, DailyEffect, MetricResult, Part
from crossdomain.experiments.skew_warnings import skewness_warnings
from crossdomain.experiments.slot_checks import check_slots
from crossdomain.experiments.slot_rows import place_rows
from crossdomain.experiments.unit_metrics import build_samples, covariate_columns, metric_columns
from crossdomain.experiments.unit_rows import Codes, Flags, UnitRows, read_unit_rows
from crossdomain.stats.distributions import normal_critical

MOST_VALUES = 20
"""Values of a dimension that results are shown for, those with the most units first."""


def needed_columns(design: Design) -> list[str]:
    """Columns that a file of unit rows must have, in order of their place in the design.

    Raises:
        InputError: The design does not describe a file.
    """
    columns = design.file
    if columns is None:
        raise InputError(
            f"{design.source}: describes the platform's tables, not a file: give data with the columns of the file, "
            "or see `crossdomain experiment show`"
        )
    named = [columns.unit, columns.variant, columns.cluster, columns.day, columns.time, columns.slot]
    named += columns.covariates
    if columns.events is None:
        for metric in design.metrics:
            named += [*metric_columns(metric), *covariate_columns(metric)]
        named += design.sample_ratio_metrics
    return list(dict.fromkeys(name for name in (*named, *design.dimensions) if name is not None))


def analyze_rows(design: Design, table: pa.Table, zone: ZoneInfo) -> Analysis:
    """Analyses unit rows.

    Args:
        design: A design of a file.
        table: The columns of ``needed_columns``; the order of the rows changes nothing.
        zone: The business zone, in which the slots of a switchback begin.

    Raises:
        InputError: A column cannot be used as the design says.
    """
    if design.switchback is None:
        rows = read_unit_rows(design, table)
        days = _days(design, rows)
        return _analyze(design, rows, days, check_rows(design, rows, days), rows.arm)
    placed = place_rows(design, table, zone)
    rows = read_unit_rows(placed.design, placed.table)
    checks = check_slots(placed, rows, zone)
    return _analyze(placed.design, rows, _days(placed.design, rows), checks, arms_of_clusters(rows))


def _analyze(
    design: Design, rows: UnitRows, days: Sequence[date], checks: tuple[CheckResult, ...], randomised: Codes
) -> Analysis:
    """Analysis of rows whose days and checks are known; ``randomised`` are the arms of what was randomised."""
    window = Window(min(days), max(days)) if days else None
    units = np.bincount(randomised, minlength=len(design.variants))
    progress = measure_progress(
        design, units=int(units.sum()), day=(window.last - (design.start or window.first)).days + 1 if window else None
    )
    results = compare_all(design, build_samples(design, rows), window, progress=progress)
    return Analysis(
        design=design,
        window=window,
        metrics=results,
        checks=checks,
        units=tuple(int(n) for n in units),
        decisions=decide(design, results, checks, progress),
        parts=tuple(_parts(design, rows, window, progress)),
        daily=tuple(_daily(design, rows)),
        warnings=tuple(skewness_warnings(design, rows)),
    )


def _days(design: Design, rows: UnitRows) -> list[date]:
    """Days of the rows, where they are dates; sorted."""
    assert design.file is not None
    if design.file.day is None:
        return []
    _, labels = rows.labels(design.file.day)
    try:
        return sorted(datetime.fromisoformat(label).date() for label in labels)
    except ValueError:
        return []  # labels such as "Sat, Oct 11" tell days apart, not when they were


def _parts(design: Design, rows: UnitRows, window: Window | None, progress: Progress) -> Iterator[Part]:
    for segment in design.segments:
        chosen = np.ones(len(rows.unit), dtype=bool)
        for dimension, values in segment.where:
            codes, labels = rows.labels(dimension)
            chosen &= np.isin(codes, [place for place, label in enumerate(labels) if label in values])
        yield Part("segment", segment.name, "", _of_part(design, rows, chosen, window, progress))
    for dimension in design.dimensions:
        codes, labels = rows.labels(dimension)
        common = np.bincount(codes, minlength=len(labels))
        shown = sorted(range(len(labels)), key=lambda place: (-common[place], labels[place]))[:MOST_VALUES]
        found = [(labels[place], _of_part(design, rows, codes == place, window, progress)) for place in sorted(shown)]
        adjusted = iter(adjust([result for _, results in found for result in results], design))
        for value, results in found:
            yield Part("dimension", dimension, value, tuple(next(adjusted) for _ in results))


def _of_part(
    design: Design, rows: UnitRows, chosen: Flags, window: Window | None, progress: Progress
) -> tuple[MetricResult, ...]:
    return compare_all(design, build_samples(design, rows.chosen(chosen)), window, progress=progress)


def _daily(design: Design, rows: UnitRows) -> Iterator[DailyEffect]:
    """The primary metric over all rows up to each day."""
    assert design.file is not None
    if design.file.day is None or not (days := _days(design, rows)):
        return
    codes, labels = rows.labels(design.file.day)
    of_label = {label: datetime.fromisoformat(label).date() for label in labels}
    primary = _only(design, design.metric(design.primary_metric))
    first = design.start or days[0]
    for step in range((days[-1] - days[0]).days + 1):
        day = days[0] + timedelta(days=step)
        part = rows.chosen(np.isin(codes, [place for place, label in enumerate(labels) if of_label[label] <= day]))
        number = (day - first).days + 1
        for result in compare_all(primary, build_samples(primary, part), None):
            yield daily_effect(design, result, day, number)


def _only(design: Design, metric: Metric) -> Design:
    """The design with one metric, looked at once."""
    from dataclasses import replace

    return replace(design, metrics=(metric,), analysis="fixed", looks=(), guardrails=())


def daily_effect(design: Design, fixed: MetricResult, day: date, number: int) -> DailyEffect:
    """A day's result, by itself, with the bound that holds over all days or looks.

    Args:
        design: The design.
        fixed: The result as a fixed analysis gives it.
        day: The day.
        number: Day of the experiment, from 1.
    """
    bound: tuple[float | None, float | None] = (None, None)
    if fixed.estimate is not None and fixed.se:
        units = fixed.n + fixed.n_control
        if design.analysis == "group_sequential":
            progress = measure_progress(design, units=units, day=number)
            half = normal_critical(level_now(design, progress, units)) * fixed.se
            bound = (fixed.estimate - half, fixed.estimate + half)
        else:
            bound = interval_any_day(design, fixed.estimate, fixed.se, units)
    return DailyEffect(day.isoformat(), fixed.variant, fixed.estimate, fixed.low, fixed.high, *bound)
