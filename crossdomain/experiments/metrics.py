"""Units, per-unit totals and per-arm moments of a whole experiment at once, all in DuckDB.

The unit of analysis is the unit over the whole experiment: its totals are formed first, then squared. Adding up daily
moments instead would ignore that a unit's days belong together (43 % false positives were measured that way). The
daily pipeline gets the same numbers by folding one day after the other (``state``, ``moments``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from crossdomain.experiments.design import Design
from crossdomain.experiments.moments import Sample, day_difference, samples
from crossdomain.experiments.state import Fold, fold_state, totals_columns

if TYPE_CHECKING:
    import duckdb

__all__ = ["Sample", "UnitCounts", "Window", "build_totals", "build_units", "exposure_window", "read_samples"]


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
    """Makes temporary table ``state_after``, one row per exposed unit, and counts its units.

    Needs views ``clean.exposures`` and ``clean.events`` and, for persons, ``derived.people``.
    """
    fold_state(con, design, Fold(window.first, window.last, held=False))
    names = [name for name, _ in design.variants]
    rows = con.execute(
        "SELECT variant, several, counted, count(*) FROM state_after WHERE several OR first_ts IS NOT NULL GROUP BY ALL"
    ).fetchall()
    counted = {variant: units for variant, _, analysed, units in rows if analysed}
    return UnitCounts(
        by_variant={name: counted.get(name, 0) for name in names},
        several_variants=sum(units for _, several, _, units in rows if several),
        unknown_variant=sum(units for variant, several, _, units in rows if not several and variant not in names),
    )


def build_totals(con: duckdb.DuckDBPyConnection, design: Design) -> None:
    """Makes temporary table ``experiment_totals`` of ``state_after``: one row per analysed unit.

    Columns as ``state.view_totals`` gives them. A unit without events has 0 everywhere.
    """
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE experiment_totals AS SELECT {totals_columns(design)} "  # noqa: S608 - our names
        "FROM state_after WHERE counted"
    ).fetchall()


def read_samples(con: duckdb.DuckDBPyConnection, design: Design, until: date) -> dict[tuple[str, str], Sample]:
    """Moments of every metric and variant from ``state_after``.

    Returns:
        (metric, variant) to what the metric's comparison takes; a variant without units gives zeros.
    """
    found = samples(design, day_difference(con, design), until)
    return {(metric, variant): sums.sample(design.metric(metric)) for (metric, variant), sums in found.items()}
