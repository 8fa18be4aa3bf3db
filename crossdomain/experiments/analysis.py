"""The analysis of an experiment as seen on a day, computed from its first day at once.

The daily pipeline gets the same numbers by folding one day after the other.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from crossdomain.experiments.counts import DailyCount, analyze_daily_counts
from crossdomain.experiments.daily import Measured, analyze_measured
from crossdomain.experiments.design import Design
from crossdomain.experiments.moments import carried, day_difference
from crossdomain.experiments.results import Analysis, NoResult
from crossdomain.experiments.state import Fold, build_totals, fold_state
from crossdomain.experiments.tallies import added, day_tallies

if TYPE_CHECKING:
    import duckdb

_NEWEST_COUNTS = """
SELECT variant, day, metric, last(value ORDER BY delivered_ds, ds) AS value
FROM clean.experiment_counts
WHERE experiment_id = $experiment
GROUP BY variant, day, metric
ORDER BY variant, day, metric
"""


def analyze(con: duckdb.DuckDBPyConnection, design: Design, until: date, *, part_units: int = 0) -> Analysis | NoResult:
    """Analyses one experiment from its first day to a day.

    Args:
        con: Connection with views ``clean.exposures`` (ds, experiment_id, unit_type, unit, variant, ts) and
            ``clean.events`` (ds, account, event_type, ts, value, quantity, …), for persons also
            ``derived.people`` (account, person), what the design's dimensions need (``make_attributes``), or for
            daily counts ``clean.experiment_counts`` (ds, delivered_ds, experiment_id, variant, day, metric, value).
            Temporary tables are made in it.
        design: The design.
        until: Last business day that may count; days after the design's end do not.
        part_units: Units an arm of a segment or of a dimension's value must have for its numbers to be told.

    Returns:
        The analysis, or why there is none: not started, or nothing was exposed or counted yet.
    """
    if design.start and until < design.start:
        return NoResult(design.experiment_id, f"starts on {design.start}")
    if design.data == "counts":
        return analyze_daily_counts(design, read_daily_counts(con, design), until)
    fold = Fold(date.min, until, held=False)
    fold_state(con, design, fold)
    measured = Measured(carried({}, day_difference(con, design)), added({}, day_tallies(con, design, fold)))
    return analyze_measured(con, design, measured, until, lambda: build_totals(con, design), part_units=part_units)


def read_daily_counts(con: duckdb.DuckDBPyConnection, design: Design) -> list[DailyCount]:
    """Daily counts of an experiment; of a count delivered more than once, the last delivery holds."""
    rows = con.execute(_NEWEST_COUNTS, {"experiment": design.experiment_id}).fetchall()
    return [DailyCount(*row) for row in rows]
