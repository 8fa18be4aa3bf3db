"""Exposures and events of an analyst's files as one row a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import FileColumns, Metric, Selection
from crossdomain.storage.engine import quoted

if TYPE_CHECKING:
    import duckdb


def event_columns(design: Design) -> list[str]:
    """Columns that the file of events must have.

    Raises:
        InputError: The design's metrics are not made from events.
    """
    if design.file is None or design.file.events is None:
        raise InputError(f"{design.source}: data.events: is required to read a file of events")
    columns = design.file.events
    named = [columns.unit, columns.time, columns.kind]
    for metric in design.metrics:
        for part in (metric.numerator, metric.denominator):
            if isinstance(part, Selection):
                named += [part.column] if part.column else []
                named += [name for name, _ in part.where]
    return list(dict.fromkeys(named))


def join_events(
    con: duckdb.DuckDBPyConnection, design: Design, exposures: pa.Table, events: pa.Table
) -> tuple[Design, pa.Table]:
    """Unit rows of exposed units, with the metrics' numbers from their events at or after their first exposure.

    A unit that was exposed to several variants keeps a row of each, so that it is found and left out.

    Args:
        con: Any DuckDB connection.
        design: A design of exposures and events.
        exposures: Columns of the exposures.
        events: Columns of ``event_columns``.

    Returns:
        The design over the new columns, and the rows.

    Raises:
        InputError: A time cannot be read as one.
    """
    columns = design.file
    assert columns is not None
    assert columns.unit is not None
    assert columns.time is not None
    assert columns.events is not None
    _check_times(exposures, columns.time, events, columns.events.time)
    con.register("exposures_given", exposures.append_column("moment", exposures[columns.time]))
    kinds = events[columns.events.kind].cast(pa.string())
    con.register(
        "events_given", events.append_column("moment", events[columns.events.time]).append_column("kind", kinds)
    )
    kept = [*design.dimensions, *columns.covariates, *([columns.day] if columns.day else [])]
    metrics, sums, values = _numbers(design)
    joined = con.sql(_query(columns, list(dict.fromkeys(kept)), sums), params=values).to_arrow_table()
    con.unregister("exposures_given")
    con.unregister("events_given")
    return replace(design, metrics=metrics, file=replace(columns, time=None, events=None)), joined


def _numbers(design: Design) -> tuple[tuple[Metric, ...], dict[str, tuple[str, int]], dict[str, object]]:
    """The metrics over new columns; column to its SQL and to the days that a unit needs; bound values."""
    metrics: list[Metric] = []
    sums: dict[str, tuple[str, int]] = {}
    values: dict[str, object] = {}
    for place, metric in enumerate(design.metrics):
        if metric.kind == "quantile" and metric.per == "event":
            raise InputError(f"{design.source}: {metric.name}: per: event needs a file with a row an event")
        parts: list[str] = []
        for letter, part in (("x", metric.numerator), ("y", metric.denominator)):
            if isinstance(part, Selection):
                parts.append(f"{letter}{place}")
                sums[parts[-1]] = (_total(part, metric, values), part.days[1] if part.days else 0)
            elif part is not None:
                parts.append("exposures")
        waits = any(isinstance(part, Selection) and part.days for part in (metric.numerator, metric.denominator))
        metrics.append(
            replace(
                metric,
                numerator=parts[0],
                denominator=parts[1] if len(parts) > 1 else None,
                missing="leave_out" if waits else metric.missing,
            )
        )
    return tuple(metrics), sums, values


def _query(columns: FileColumns, kept: Sequence[str], sums: Mapping[str, tuple[str, int]]) -> str:
    assert columns.unit is not None
    assert columns.events is not None
    unit, variant = quoted(columns.unit), quoted(columns.variant)
    attributes = "".join(f", min_by({quoted(name)}, moment) AS {quoted(name)}" for name in kept)
    totals = "".join(f", {sql} AS {name}" for name, (sql, _) in sums.items())
    # A unit that has not had all of a metric's days yet has no number for it.
    filled = "".join(
        f", CASE WHEN x.first::DATE + {days} <= span.last OR {days} = 0 THEN coalesce(o.{name}, 0) END AS {name}"
        for name, (_, days) in sums.items()
    )
    # The pieces are fixed text and quoted names; every value of the design is bound.
    return f"""
WITH exposed AS (
  SELECT {unit} AS unit, {variant} AS variant, min(moment) AS first, count(*) AS exposures{attributes}
  FROM exposures_given GROUP BY 1, 2
),
outcomes AS (
  SELECT x.unit, x.variant{totals}
  FROM exposed AS x JOIN events_given AS e
    ON e.{quoted(columns.events.unit)}::VARCHAR = x.unit::VARCHAR AND e.moment >= x.first
  GROUP BY 1, 2
)
SELECT x.unit AS {unit}, x.variant AS {variant}, x.exposures{"".join(f", x.{quoted(name)}" for name in kept)}{filled}
FROM exposed AS x CROSS JOIN (SELECT max(moment)::DATE AS last FROM events_given) AS span
LEFT JOIN outcomes AS o ON o.unit = x.unit AND o.variant IS NOT DISTINCT FROM x.variant
"""  # noqa: S608


def _total(selection: Selection, metric: Metric, values: dict[str, object]) -> str:
    added = _condition(selection.events, selection, values)
    if metric.kind == "proportion":
        return f"max(CASE WHEN {added} THEN 1 ELSE 0 END)"
    amount = "1" if selection.column is None else f"coalesce(e.{quoted(selection.column)}, 0)"
    cases = f"WHEN {added} THEN {amount}"
    if selection.subtract:
        cases += f" WHEN {_condition(selection.subtract, selection, values)} THEN -abs({amount})"
    # In the order of the values, so that sums of floats do not depend on that of the rows.
    return f"sum(CASE {cases} ELSE 0 END ORDER BY CASE {cases} ELSE 0 END)"


def _condition(kinds: Sequence[str], selection: Selection, values: dict[str, object]) -> str:
    def bind(value: object) -> str:
        values[f"p{len(values)}"] = value
        return f"$p{len(values) - 1}"

    tests = [f"e.kind IN ({', '.join(map(bind, kinds))})"]
    tests += [f"e.{quoted(name)}::VARCHAR = {bind(value)}" for name, value in selection.where]
    if selection.days:
        tests.append(f"e.moment::DATE - x.first::DATE BETWEEN {bind(selection.days[0])} AND {bind(selection.days[1])}")
    return " AND ".join(tests)


def _check_times(exposures: pa.Table, exposed: str, events: pa.Table, happened: str) -> None:
    """Both columns must hold times of one kind, in every row."""
    kinds = []
    for what, table, name in (("exposures", exposures, exposed), ("events", events, happened)):
        column = table[name]
        if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
            example = next((value for value in column.to_pylist() if value is not None), None)
            raise InputError(f"{what}: column {name!r} holds {str(example)[:40]!r}, not times as 2026-01-05 08:30:00")
        if column.null_count:
            raise InputError(f"{what}: column {name!r} lacks a time in {column.null_count} rows")
        kinds.append(pa.types.is_timestamp(column.type) and column.type.tz is not None)
    if kinds[0] != kinds[1]:
        raise InputError(f"columns {exposed!r} and {happened!r} do not compare: one has a time zone, the other none")
