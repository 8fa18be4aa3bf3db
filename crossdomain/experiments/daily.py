"""The analysis of an experiment as of a day, from the moments, counts and state that the daily pipeline keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from scipy.stats import chi2 as chi2_distribution

from crossdomain.experiments.allocation import weighted_samples
from crossdomain.experiments.assignment import WeightPeriod
from crossdomain.experiments.checks import (
    alike_before_check,
    assignment_check,
    missing_days_check,
    other_exposures_check,
    sample_ratio_by_check,
    sample_ratio_check,
    unit_checks,
)
from crossdomain.experiments.comparing import compare_all
from crossdomain.experiments.deciding import decide
from crossdomain.experiments.design import Design
from crossdomain.experiments.metrics import UnitCounts, Window
from crossdomain.experiments.moments import WHOLE, PartStrata, Strata, samples, units_by_day
from crossdomain.experiments.monitoring import measure_progress
from crossdomain.experiments.novelty import novelty_checks
from crossdomain.experiments.platform_parts import results_by_part, units_by_value
from crossdomain.experiments.results import Analysis, CheckResult, MetricResult, NoResult
from crossdomain.experiments.state_samples import state_samples
from crossdomain.experiments.tallies import Tallies
from crossdomain.stats.moments import Moments
from crossdomain.stats.srm import SRM_ALPHA, sample_ratio_test

if TYPE_CHECKING:
    import duckdb

_SHOWN_PERIODS = 5


@dataclass(frozen=True)
class Measured:
    """What the pipeline knows of an experiment as of a day.

    Attributes:
        moments: Moments by part, first day, arm and metric.
        tallies: Counts for the checks.
    """

    moments: PartStrata
    tallies: Tallies

    @property
    def strata(self) -> Strata:
        """Moments of all units."""
        return self.moments.get(WHOLE, {})

    def days(self, name: str) -> set[date]:
        """Business days on which something was counted."""
        return {tally.day for tally in self.tallies if tally.name == name}

    def total(self, name: str) -> int:
        """A count over all days and variants."""
        return sum(value for tally, value in self.tallies.items() if tally.name == name)


def analyze_measured(
    con: duckdb.DuckDBPyConnection,
    design: Design,
    measured: Measured,
    until: date,
    make_totals: Callable[[], None],
    *,
    weights: Sequence[WeightPeriod] = (),
    mismatches: tuple[int, int] | None = None,
    part_units: int = 0,
) -> Analysis | NoResult:
    """Analyses one experiment over exposures as of a day.

    Args:
        con: Connection, which quantiles and pooled caps are read through.
        design: The design.
        measured: Moments and counts as of ``until``.
        until: Business day.
        make_totals: Makes temporary table ``experiment_totals`` of the units' state; called where a metric needs it.
        weights: Weights over time where they changed, by first day; then units count by the inverse of theirs.
        mismatches: Exposed units whose assignment is known, and those that saw another variant; None: nobody knows.
        part_units: Units an arm of a segment or of a dimension's value must have for its numbers to be told.

    Returns:
        The analysis, or why there is none: not started, or nothing was exposed yet.
    """
    if design.start and until < design.start:
        return NoResult(design.experiment_id, f"starts on {design.start}")
    window = window_of_tallies(design, measured, until)
    if window is None:
        return NoResult(design.experiment_id, f"no exposures of unit {design.unit} up to {until}")
    units = count_units(design, measured)
    counted = tuple(units.by_variant.values())
    progress = measure_progress(design, units=sum(counted), day=(window.last - window.first).days + 1)
    checks = tuple(_checks(design, measured, window, units, weights))
    checks = (*checks, *_checks_by_dimension(design, measured, weights, part_units))
    if mismatches is not None:
        checks = (*checks, assignment_check(design, *mismatches))

    def compare(strata: Strata, make_units: Callable[[], None]) -> tuple[MetricResult, ...]:
        if weights:
            found = weighted_samples(design, strata, weights, window.last)
        else:
            found = state_samples(con, design, strata, window.last, make_units)
        return compare_all(design, found, window, progress=progress)

    results = compare(measured.strata, make_totals)
    decisions = decide(design, results, checks, progress)
    parts = results_by_part(con, design, measured.moments, make_totals, compare, least=part_units)
    return Analysis(design, window, results, checks, counted, decisions, tuple(parts))


def _checks_by_dimension(
    design: Design, measured: Measured, weights: Sequence[WeightPeriod], part_units: int
) -> Iterator[CheckResult]:
    """Sample ratios within each value of the dimensions; where weights changed, no single ratio is expected."""
    if not weights:
        for dimension in design.dimensions:
            counts = units_by_value(design, measured.moments, dimension)
            yield sample_ratio_by_check(design, dimension, counts, shown_from=part_units)


def _checks(
    design: Design, measured: Measured, window: Window, units: UnitCounts, weights: Sequence[WeightPeriod]
) -> Iterator[CheckResult]:
    by_day = units_by_day(design, measured.strata)
    if weights:
        yield sample_ratio_by_periods(design, by_day, weights)
    else:
        yield sample_ratio_check(design, units.by_variant)
        yield sample_ratio_by_check(design, "day", {day.isoformat(): counts for day, counts in by_day.items()})
    yield from unit_checks(design, units)
    yield other_exposures_check(design, measured.total("other_unit"), measured.total("before_start"))
    yield missing_days_check(design, window, events=measured.days("events"), exposures=measured.days("exposures"))
    yield from _alike_before(design, measured, window)
    yield from novelty_checks(design, measured.strata, window.last)


def _alike_before(design: Design, measured: Measured, window: Window) -> Iterator[CheckResult]:
    """Whether the arms were alike in each covariate: what they did before cannot be an effect of the experiment."""
    found = samples(design, measured.strata, window.last)
    for metric in design.metrics:
        if metric.cuped and metric.kind != "ratio":
            arms = {variant: found[metric.name, variant] for variant, _ in design.variants}
            yield alike_before_check(
                design, metric.name, {variant: Moments(one.n, one.cx, one.cxcx) for variant, one in arms.items()}
            )


def sample_ratio_by_periods(
    design: Design, by_day: Mapping[date, Mapping[str, int]], weights: Sequence[WeightPeriod]
) -> CheckResult:
    """Units of each period of weights against the weights of that period: chi-squares and their degrees added up.

    Args:
        design: The design.
        by_day: Units by the day they came and variant.
        weights: Weights over time, by first day.
    """
    chi2, df, shown = 0.0, 0, []
    for place, period in enumerate(weights):
        first = period.first or date.min
        last = weights[place + 1].first if place + 1 < len(weights) else None
        days = [day for day in by_day if first <= day and (last is None or day < last)]
        names = [name for name, weight in period.weights if weight > 0]
        observed = [sum(by_day[day].get(name, 0) for day in days) for name in names]
        if sum(observed) == 0 or len(names) < 2:
            continue
        test = sample_ratio_test(observed, [dict(period.weights)[name] for name in names])
        chi2, df = chi2 + test.chi2, df + test.df
        shown.append(f"from {period.first or min(days)}: {', '.join(map(str, observed))}")
    if df == 0:
        return CheckResult(design.experiment_id, "sample_ratio", False, None, None, "nothing to compare")
    p = float(chi2_distribution.sf(chi2, df))
    detail = f"{'; '.join(shown[-_SHOWN_PERIODS:])}; chi2 {chi2:.4f}, df {df}"
    return CheckResult(design.experiment_id, "sample_ratio", p >= SRM_ALPHA, p, chi2, detail)


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
