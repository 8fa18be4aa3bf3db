"""Counts that the checks look at, by day and variant, carried forward like the moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from crossdomain.experiments.design import Design
from crossdomain.experiments.state import Fold, newest_rows, window_of

if TYPE_CHECKING:
    import duckdb

NOBODY = ""
"""Variant of what no variant is known of."""


@dataclass(frozen=True)
class Tally:
    """What is counted.

    Attributes:
        name: ``several`` (units seen in several variants, by the day they came), ``unknown`` (units seen only in
            variants that the design does not have), ``waiting`` (units without the event that their analysis begins
            with), ``exposures`` (by their day), ``other_unit`` and ``before_start`` (exposures that do not count),
            ``events`` (of anybody, by their day).
        day: Business day.
        variant: Variant; empty where there is none, or several.
    """

    name: str
    day: date
    variant: str


Tallies = dict[Tally, int]


def day_tallies(con: duckdb.DuckDBPyConnection, design: Design, fold: Fold) -> Tallies:
    """What the fold changed; add it to the tallies before.

    Args:
        con: Connection after ``fold_state``.
        design: The design.
        fold: What was folded.
    """
    found = _of_units(con, design, "SELECT * FROM state_after WHERE written", sign=1)
    before = "SELECT b.* FROM state_before AS b SEMI JOIN (FROM state_after WHERE written) AS a ON a.unit = b.unit"
    for tally, value in _of_units(con, design, before, sign=-1).items():
        found[tally] = found.get(tally, 0) + value
    return found | _of_exposures(con, design, fold) | _of_events(con, design, fold)


def held_tallies(con: duckdb.DuckDBPyConnection, design: Design, held: str, before: Tallies) -> Tallies:
    """Tallies with those of units counted again from ``held.experiment_state``."""
    kept = {tally: value for tally, value in before.items() if tally.name not in ("several", "unknown", "waiting")}
    return kept | _of_units(con, design, newest_rows(design, held), sign=1)


def added(before: Tallies, difference: Tallies) -> Tallies:
    """Tallies after a fold; what counts nothing is dropped."""
    joined = {tally: before.get(tally, 0) + difference.get(tally, 0) for tally in {**before, **difference}}
    return {tally: joined[tally] for tally in sorted(joined, key=_order) if joined[tally]}


def _order(tally: Tally) -> tuple[str, date, str]:
    return tally.name, tally.day, tally.variant


def _of_units(con: duckdb.DuckDBPyConnection, design: Design, rows: str, *, sign: int) -> Tallies:
    names = ", ".join("'" + name.replace("'", "''") + "'" for name, _ in design.variants)
    found = con.execute(
        f"SELECT CASE WHEN several THEN 'several' WHEN variant NOT IN ({names}) THEN 'unknown' "  # noqa: S608
        f"WHEN first_ts IS NULL THEN 'waiting' END AS name, exposed_ds, variant, count(*) FROM ({rows}) "
        "GROUP BY ALL HAVING name IS NOT NULL"
    ).fetchall()
    return {Tally(name, day, variant): sign * units for name, day, variant, units in found}


def _of_exposures(con: duckdb.DuckDBPyConnection, design: Design, fold: Fold) -> Tallies:
    rows = con.execute(
        "SELECT CASE WHEN unit_type <> $unit_type THEN 'other_unit' WHEN ds < $start THEN 'before_start' "
        "ELSE 'exposures' END AS name, ds, if(name = 'exposures', variant, ''), count(*) FROM clean.exposures "
        "WHERE experiment_id = $experiment AND ds BETWEEN $first AND $last GROUP BY ALL",
        {
            "experiment": design.experiment_id,
            "unit_type": design.unit,
            "start": design.start or date.min,
            "first": fold.first,
            "last": min(fold.last, design.end) if design.end else fold.last,
        },
    ).fetchall()
    return {Tally(name, day, variant): count for name, day, variant, count in rows}


def _of_events(con: duckdb.DuckDBPyConnection, design: Design, fold: Fold) -> Tallies:
    rows = con.execute(
        "SELECT ds, count(*) FROM clean.events WHERE ds BETWEEN ? AND ? GROUP BY ds", list(window_of(design, fold))
    ).fetchall()
    return {Tally("events", day, NOBODY): count for day, count in rows}
