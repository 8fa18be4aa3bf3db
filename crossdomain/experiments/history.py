"""An experiment's results read back from the serving tables: the last day whole, the days before as a curve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date
from typing import Any

from crossdomain.experiments.design import Design
from crossdomain.experiments.file_analysis import daily_effect
from crossdomain.experiments.metrics import Window
from crossdomain.experiments.results import Analysis, CheckResult, DailyEffect, Decision, MetricResult, Part
from crossdomain.stats.distributions import normal_critical

Row = Mapping[str, Any]


def results_from_rows(
    metric_rows: Iterable[Row], check_rows: Iterable[Row], experiment_id: str
) -> tuple[tuple[MetricResult, ...], tuple[CheckResult, ...]]:
    """One experiment's results from rows of the serving tables (other columns, such as ds, are ignored).

    Args:
        metric_rows: Rows of ``serving.experiment_metrics`` of one day.
        check_rows: Rows of ``serving.experiment_checks`` of that day.
        experiment_id: The experiment.
    """
    return _of(MetricResult, metric_rows, experiment_id), _of(CheckResult, check_rows, experiment_id)


def analysis_from_rows(
    design: Design,
    day: date,
    metric_rows: Sequence[Row],
    check_rows: Sequence[Row],
    decision_rows: Sequence[Row],
    part_rows: Sequence[Row] = (),
) -> Analysis | None:
    """One experiment as the serving tables have it on a day; None if that day has no result.

    Args:
        design: The design.
        day: The day.
        metric_rows: Rows of ``serving.experiment_metrics`` of the day and the days before (column ``ds``).
        check_rows: Rows of ``serving.experiment_checks`` of the day.
        decision_rows: Rows of ``serving.experiment_decisions`` of the day.
        part_rows: Rows of ``serving.experiment_parts`` of the day.
    """
    today = [row for row in metric_rows if row["ds"] == day]
    metrics, checks = results_from_rows(today, check_rows, design.experiment_id)
    if not metrics:
        return None
    first, last = metrics[0].first_ds, metrics[0].last_ds
    return Analysis(
        design=design,
        window=Window(first, last) if first and last else None,
        metrics=metrics,
        checks=checks,
        units=_units(design, metrics),
        decisions=_of(Decision, decision_rows, design.experiment_id),
        parts=_parts(design, part_rows),
        daily=tuple(daily_curve(design, metric_rows)),
    )


def _parts(design: Design, rows: Iterable[Row]) -> tuple[Part, ...]:
    """Segments, then dimensions by value, metrics and variants within, all in the design's order."""
    places = {("segment", one.name): place for place, one in enumerate(design.segments)}
    places |= {("dimension", name): len(places) + place for place, name in enumerate(design.dimensions)}
    metrics = [metric.name for metric in design.metrics]
    found: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        found.setdefault((places[row["part"], row["part_name"]], row["part_value"]), []).append(row)
    parts = []
    for _, own in sorted(found.items()):
        own.sort(key=lambda row: (metrics.index(row["metric"]), design.treatments.index(row["variant"])))
        kind, name, value = (own[0][column] for column in ("part", "part_name", "part_value"))
        parts.append(Part(kind, name, value, _of(MetricResult, own, design.experiment_id)))
    return tuple(parts)


def _of(kind: type[Any], rows: Iterable[Row], experiment_id: str) -> tuple[Any, ...]:
    names = [field.name for field in fields(kind)]
    return tuple(
        kind(**{name: row[name] for name in names if name in row})
        for row in rows
        if row["experiment_id"] == experiment_id
    )


def _units(design: Design, metrics: Sequence[MetricResult]) -> tuple[int, ...] | None:
    """Units of each variant: the most that a metric has, since some wait for their days; None for counts."""
    if design.data == "counts":
        return None
    most = {name: 0 for name, _ in design.variants}
    for result in metrics:
        most[result.variant] = max(most[result.variant], result.n)
        most[design.control] = max(most[design.control], result.n_control)
    return tuple(most.values())


def daily_curve(design: Design, rows: Iterable[Row]) -> Iterator[DailyEffect]:
    """The primary metric of each day; a day is its last one, however often it was reported after the end.

    Args:
        design: The design.
        rows: Rows of ``serving.experiment_metrics`` of this experiment, with ``ds``, in any order.
    """
    primary = [row for row in rows if row["metric"] == design.primary_metric]
    shown: set[tuple[date, str]] = set()
    for row in sorted(primary, key=lambda row: (row["ds"], row["variant"])):
        for result in _of(MetricResult, [row], design.experiment_id):
            key = (result.last_ds, result.variant)
            if key in shown or result.last_ds is None or result.first_ds is None:
                continue
            shown.add(key)
            if design.analysis == "fixed" or result.estimate is None or result.se is None:
                yield daily_effect(design, result, result.last_ds, (result.last_ds - result.first_ds).days + 1)
            else:
                half = normal_critical(design.alpha) * result.se
                own = (result.estimate - half, result.estimate + half)
                label = result.last_ds.isoformat()
                yield DailyEffect(label, result.variant, result.estimate, *own, result.low, result.high)
