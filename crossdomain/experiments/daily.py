"""The analysis of an experiment as of a day, from the moments, counts and state that the daily pipeline keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from crossdomain.experiments.checks import (
    missing_days_check,
    other_exposures_check,
    sample_ratio_check,
    unit_checks,
)
from crossdomain.experiments.comparing import compare_all
from crossdomain.experiments.design import Design
from crossdomain.experiments.metrics import UnitCounts, Window
from crossdomain.experiments.moments import Strata, samples, units_by_day
from crossdomain.experiments.results import Analysis, NoResult
from crossdomain.experiments.tallies import Tallies

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Measured:
    """What the pipeline knows of an experiment as of a day.

    Attributes:
        strata: Moments by first day, arm and metric.
        tallies: Counts for the checks.
        fingerprint: Of the rows of ``held.experiment_state`` that are the experiment's.
    """

    strata: Strata
    tallies: Tallies
    fingerprint: str

    def days(self, name: str) -> set[date]:
        """Business days on which something was counted."""
        return {tally.day for tally in self.tallies if tally.name == name}

    def total(self, name: str) -> int:
        """A count over all days and variants."""
        return sum(value for tally, value in self.tallies.items() if tally.name == name)


def analyze_measured(
    con: duckdb.DuckDBPyConnection, design: Design, measured: Measured, until: date
) -> Analysis | NoResult:
    """Analyses one experiment over exposures as of a day.

    Args:
        con: Connection with view ``held.experiment_state``, which quantiles and pooled caps are read from.
        design: The design.
        measured: Moments and counts as of ``until``.
        until: Business day.

    Returns:
        The analysis, or why there is none: not started, or nothing was exposed yet.
    """
    if design.start and until < design.start:
        return NoResult(design.experiment_id, f"starts on {design.start}")
    window = window_of_tallies(design, measured, until)
    if window is None:
        return NoResult(design.experiment_id, f"no exposures of unit {design.unit} up to {until}")
    units = count_units(design, measured)
    checks = (
        sample_ratio_check(design, units.by_variant),
        *unit_checks(design, units),
        other_exposures_check(design, measured.total("other_unit"), measured.total("before_start")),
        missing_days_check(design, window, events=measured.days("events"), exposures=measured.days("exposures")),
    )
    found = samples(design, measured.strata, window.last)
    taken = {(metric, variant): sums.sample(design.metric(metric)) for (metric, variant), sums in found.items()}
    return Analysis(design, window, compare_all(design, taken, window), checks)


def window_of_tallies(design: Design, measured: Measured, until: date) -> Window | None:
    """First and last day that count; None if nothing was exposed."""
    exposed = measured.days("exposures")
    if not exposed:
        return None
    last = min(until, design.end) if design.end else until
    return Window(design.start or min(exposed), last)


def count_units(design: Design, measured: Measured) -> UnitCounts:
    """Units by what the exposures say of them."""
    by_variant = {name: 0 for name, _ in design.variants}
    for counted in units_by_day(design, measured.strata).values():
        for variant, units in counted.items():
            by_variant[variant] += units
    return UnitCounts(by_variant, measured.total("several"), measured.total("unknown"))
