"""The analysis of an experiment as seen on a day: window, units, checks, comparisons."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from crossdomain.experiments.checks import (
    missing_days_check,
    other_exposures_check,
    sample_ratio_check,
    unit_checks,
)
from crossdomain.experiments.comparing import compare_all
from crossdomain.experiments.counts import DailyCount, analyze_daily_counts
from crossdomain.experiments.design import Design
from crossdomain.experiments.metrics import (
    Window,
    build_totals,
    build_units,
    exposure_window,
    read_samples,
)
from crossdomain.experiments.results import Analysis, CheckResult, NoResult

if TYPE_CHECKING:
    import duckdb

_NEWEST_COUNTS = """
SELECT variant, day, metric, last(value ORDER BY delivered_ds, ds) AS value
FROM clean.experiment_counts
WHERE experiment_id = $experiment
GROUP BY variant, day, metric
ORDER BY variant, day, metric
"""

_EVENT_DAYS = "SELECT DISTINCT ds FROM clean.events WHERE ds BETWEEN $first AND $last"
_EXPOSURE_DAYS = (
    "SELECT DISTINCT ds FROM clean.exposures WHERE experiment_id = $experiment AND ds BETWEEN $first AND $last"
)


def analyze(con: duckdb.DuckDBPyConnection, design: Design, until: date) -> Analysis | NoResult:
    """Analyses one experiment from its first day to a day.

    Args:
        con: Connection with views ``clean.exposures`` (ds, experiment_id, unit_type, unit, variant, ts) and
            ``clean.events`` (ds, account, event_type, ts, value, quantity, …), for persons also
            ``derived.people`` (account, person), or for daily counts ``clean.experiment_counts``
            (ds, delivered_ds, experiment_id, variant, day, metric, value). Temporary tables
            ``experiment_units`` and ``experiment_totals`` are made in it.
        design: The design.
        until: Last business day that may count; days after the design's end do not.

    Returns:
        The analysis, or why there is none: not started, or nothing was exposed or counted yet.
    """
    if design.start and until < design.start:
        return NoResult(design.experiment_id, f"starts on {design.start}")
    if design.data == "counts":
        return analyze_daily_counts(design, read_daily_counts(con, design), until)
    window = exposure_window(con, design, until)
    if window is None:
        return NoResult(design.experiment_id, f"no exposures of unit {design.unit} up to {until}")
    units = build_units(con, design, window)
    build_totals(con, design)
    checks = (
        sample_ratio_check(design, units.by_variant),
        *unit_checks(design, units),
        _other_exposures(con, design, window),
        _missing_days(con, design, window),
    )
    return Analysis(design, window, compare_all(design, read_samples(con, design, window.last), window), checks)


def read_daily_counts(con: duckdb.DuckDBPyConnection, design: Design) -> list[DailyCount]:
    """Daily counts of an experiment; of a count delivered more than once, the last delivery holds."""
    rows = con.execute(_NEWEST_COUNTS, {"experiment": design.experiment_id}).fetchall()
    return [DailyCount(*row) for row in rows]


def _other_exposures(con: duckdb.DuckDBPyConnection, design: Design, window: Window) -> CheckResult:
    rows = con.execute(
        "SELECT count(*) FILTER (unit_type <> $unit_type),"
        " count(*) FILTER (unit_type = $unit_type AND ds < $first)"
        " FROM clean.exposures WHERE experiment_id = $experiment AND ds <= $last",
        {
            "experiment": design.experiment_id,
            "unit_type": design.unit,
            "first": window.first,
            "last": window.last,
        },
    ).fetchall()
    return other_exposures_check(design, *rows[0])


def _missing_days(con: duckdb.DuckDBPyConnection, design: Design, window: Window) -> CheckResult:
    bounds = {"first": window.first, "last": window.last}
    events = con.execute(_EVENT_DAYS, bounds).fetchall()
    exposures = con.execute(_EXPOSURE_DAYS, bounds | {"experiment": design.experiment_id}).fetchall()
    return missing_days_check(
        design, window, events={day for (day,) in events}, exposures={day for (day,) in exposures}
    )
