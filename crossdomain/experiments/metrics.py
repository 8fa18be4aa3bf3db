"""Per-unit totals and per-arm moments of a design's metrics, all in DuckDB.

The unit of analysis is the unit over the whole experiment: its totals are formed first, then squared.
Adding up daily moments instead would ignore that a unit's days belong together (43 % false positives
were measured that way). Money is DECIMAL from end to end, so the sums are exact and do not depend on the
order of rows or on threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric, Selection
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.proportions import Successes

if TYPE_CHECKING:
    import duckdb

Sample = Successes | Moments | PairMoments
"""What one arm gives for one metric: of a proportion, a mean, a ratio."""

_UNITS = """
CREATE OR REPLACE TEMP TABLE experiment_units AS
SELECT unit, min(variant) AS variant, count(DISTINCT variant) AS variants, min(ts) AS first_ts
FROM clean.exposures
WHERE experiment_id = $experiment AND unit_type = $unit_type AND ds BETWEEN $first AND $last
GROUP BY unit
"""

_ACCOUNTS = {
    "account": "SELECT unit, unit AS account, first_ts FROM experiment_units WHERE variants = 1",
    "person": (
        "SELECT unit, people.account, first_ts FROM experiment_units"
        " JOIN derived.people AS people ON people.person = unit WHERE variants = 1"
    ),
}
"""Accounts whose events belong to a unit, by the design's unit."""

_AMOUNTS = {None: ("1", "DECIMAL(18,0)"), "quantity": ("coalesce(e.quantity, 0)", "DECIMAL(18,0)"),
            "value": ("coalesce(e.value, 0)", "DECIMAL(18,2)")}  # fmt: skip


@dataclass(frozen=True)
class Window:
    """First and last business day, both included, of the exposures and outcomes that count."""

    first: date
    last: date


@dataclass(frozen=True)
class UnitCounts:
    """Units by what the exposures say of them.

    Attributes:
        by_variant: Analysed units of each variant of the design, in its order; zero is given.
        several_variants: Units seen in two variants or more; excluded.
        unknown_variant: Units seen only in a variant that the design does not have; excluded.
    """

    by_variant: dict[str, int]
    several_variants: int
    unknown_variant: int


def exposure_window(con: duckdb.DuckDBPyConnection, design: Design, until: date) -> Window | None:
    """The days of an experiment as seen on a day; None if it has no exposure of its unit in them.

    Args:
        con: Connection with view ``clean.exposures`` (experiment_id, unit_type, ds, …).
        design: The design; a start of None is the day of the first exposure.
        until: Last business day that may count.
    """
    last = min(until, design.end) if design.end else until
    (first,) = con.execute(
        "SELECT min(ds) FROM clean.exposures WHERE experiment_id = $experiment AND unit_type = $unit_type"
        " AND ds BETWEEN $first AND $last",
        {
            "experiment": design.experiment_id,
            "unit_type": design.unit,
            "first": design.start or date.min,
            "last": last,
        },
    ).fetchall()[0]
    return None if first is None else Window(design.start or first, last)


def build_units(con: duckdb.DuckDBPyConnection, design: Design, window: Window) -> UnitCounts:
    """Makes temporary table ``experiment_units``: one row per exposed unit with its first exposure.

    Columns: unit, variant (its only one, or the smallest), variants (how many), first_ts.
    """
    con.execute(
        _UNITS,
        {
            "experiment": design.experiment_id,
            "unit_type": design.unit,
            "first": window.first,
            "last": window.last,
        },
    ).fetchall()
    names = [name for name, _ in design.variants]
    rows = con.execute("SELECT variant, variants > 1, count(*) FROM experiment_units GROUP BY ALL").fetchall()
    single = {variant: count for variant, several, count in rows if not several}
    return UnitCounts(
        by_variant={name: single.get(name, 0) for name in names},
        several_variants=sum(count for _, several, count in rows if several),
        unknown_variant=sum(count for variant, count in single.items() if variant not in names),
    )


def build_totals(con: duckdb.DuckDBPyConnection, design: Design, window: Window) -> None:
    """Makes temporary table ``experiment_totals``: one row per analysed unit with its metric totals.

    Columns: unit, variant, and ``x<i>`` (``y<i>`` for the denominator of a ratio) for metric i of the
    design. An event counts if its business day lies in the window and its time is not before the unit's
    first exposure; one in the same second counts, since logs are often that coarse. A unit without such
    events has 0 everywhere. Needs ``experiment_units``, view ``clean.events`` and, for persons,
    ``derived.people``.
    """
    bind = _Binder()
    parts = list(_parts(design.metrics))
    sums = ",\n    ".join(f"{_total(selection, metric, bind)} AS {name}" for name, metric, selection in parts)
    filled = ", ".join(f"coalesce(o.{name}, 0) AS {name}" for name, _, _ in parts)
    event_types = sorted({kind for _, _, selection in parts for kind in selection.events + selection.subtract})
    # The pieces are fixed text and names made here; every value of the design is bound.
    query = f"""
CREATE OR REPLACE TEMP TABLE experiment_totals AS
WITH accounts AS ({_ACCOUNTS[design.unit]}),
outcomes AS (
  SELECT accounts.unit,
    {sums}
  FROM accounts JOIN clean.events AS e ON e.account = accounts.account
  WHERE e.ds BETWEEN {bind(window.first)} AND {bind(window.last)}
    AND e.ts >= accounts.first_ts
    AND e.event_type IN ({", ".join(bind(kind) for kind in event_types)})
  GROUP BY accounts.unit
)
SELECT u.unit, u.variant, {filled}
FROM experiment_units AS u LEFT JOIN outcomes AS o ON o.unit = u.unit
WHERE u.variants = 1 AND u.variant IN ({", ".join(bind(name) for name, _ in design.variants)})
"""  # noqa: S608
    con.execute(query, bind.values).fetchall()


def read_samples(con: duckdb.DuckDBPyConnection, design: Design) -> dict[tuple[str, str], Sample]:
    """Moments of every metric and variant from ``experiment_totals``.

    Returns:
        (metric, variant) to what the metric's comparison takes; a variant without units gives zeros.
    """
    columns = [_moment_columns(position, metric) for position, metric in enumerate(design.metrics)]
    listed = ", ".join(column for group in columns for column in group)
    rows = con.execute(
        f"SELECT variant, count(*), {listed} FROM experiment_totals GROUP BY variant ORDER BY variant"  # noqa: S608
    ).fetchall()
    by_variant = {row[0]: row[1:] for row in rows}
    empty = (0, *(0 for group in columns for _ in group))
    samples: dict[tuple[str, str], Sample] = {}
    for variant, _ in design.variants:
        n, *sums = by_variant.get(variant, empty)
        remaining = iter(sums)
        for metric, group in zip(design.metrics, columns, strict=True):
            samples[metric.name, variant] = _sample(metric, n, [next(remaining) for _ in group])
    return samples


class _Binder:
    """Collects bound values and gives their names."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __call__(self, value: Any) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"


def _parts(metrics: Sequence[Metric]) -> Iterator[tuple[str, Metric, Selection]]:
    """Column, metric and selection of every per-unit total."""
    for position, metric in enumerate(metrics):
        for letter, selection in (("x", metric.numerator), ("y", metric.denominator)):
            if isinstance(selection, Selection):
                yield f"{letter}{position}", metric, selection


def _total(selection: Selection, metric: Metric, bind: _Binder) -> str:
    added = _condition(selection.events, selection, bind)
    if metric.kind == "proportion":
        return f"max(CASE WHEN {added} THEN 1 ELSE 0 END)"
    amount, sql_type = _AMOUNTS[selection.column]
    cases = f"WHEN {added} THEN {amount}"
    if selection.subtract:
        cases += f" WHEN {_condition(selection.subtract, selection, bind)} THEN -abs({amount})"
    return f"CAST(sum(CASE {cases} ELSE 0 END) AS {sql_type})"


def _condition(events: Sequence[str], selection: Selection, bind: _Binder) -> str:
    tests = [f"e.event_type IN ({', '.join(bind(event) for event in events)})"]
    tests += [f"e.{column} = {bind(value)}" for column, value in selection.where]
    return " AND ".join(tests)


def _moment_columns(position: int, metric: Metric) -> list[str]:
    x, y = f"x{position}", f"y{position}"
    if metric.kind == "proportion":
        return [f"sum({x})"]
    if metric.kind == "mean":
        return [f"sum({x})", f"sum({x} * {x})"]
    return [f"sum({x})", f"sum({y})", f"sum({x} * {x})", f"sum({y} * {y})", f"sum({x} * {y})"]


def _sample(metric: Metric, n: int, sums: Sequence[Any]) -> Sample:
    if metric.kind == "proportion":
        return Successes(int(sums[0]), n)
    if metric.kind == "mean":
        return Moments(n, *sums)
    return PairMoments(n, *sums)
