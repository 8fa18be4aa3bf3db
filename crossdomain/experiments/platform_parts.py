"""Results by registered segment and by value of a dimension, from the moments that the pipeline keeps of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from crossdomain.experiments.comparing import adjust
from crossdomain.experiments.design import Design
from crossdomain.experiments.moments import PartName, PartStrata, Strata, in_part, units_by_day
from crossdomain.experiments.results import MetricResult, Part
from crossdomain.experiments.state_samples import needs_units

if TYPE_CHECKING:
    import duckdb

TOO_SMALL = "too_small"
"""Verdict of a comparison of a part that is not told, since an arm of it has too few units."""


def units_by_value(design: Design, moments: PartStrata, dimension: str) -> dict[str, dict[str, int]]:
    """Units by value of a dimension and variant; every variant is given.

    Args:
        design: The design.
        moments: Moments by part.
        dimension: One of its dimensions.
    """
    found: dict[str, dict[str, int]] = {}
    for part, strata in moments.items():
        if (part.kind, part.name) == ("dimension", dimension):
            days = units_by_day(design, strata).values()
            found[part.value] = {name: sum(day[name] for day in days) for name, _ in design.variants}
    return found


def results_by_part(
    con: duckdb.DuckDBPyConnection,
    design: Design,
    moments: PartStrata,
    make_totals: Callable[[], None],
    compare: Callable[[Strata, Callable[[], None]], tuple[MetricResult, ...]],
    *,
    least: int,
) -> Iterator[Part]:
    """Results of the registered segments, then of every value of every dimension, adjusted over a dimension's values.

    Args:
        con: Connection that ``make_totals`` makes its table in; a part's units are put in its place where a metric
            needs them.
        design: The design.
        moments: Moments by part.
        make_totals: Makes temporary table ``experiment_totals`` of all units.
        compare: Results from a part's moments and what puts its units into ``experiment_totals``.
        least: Units that both arms of a comparison must have for it to be told; else its verdict is ``too_small``.
    """
    if not design.dimensions:
        return
    if any(needs_units(metric) for metric in design.metrics):
        make_totals()
        con.execute("CREATE OR REPLACE TEMP TABLE all_totals AS FROM experiment_totals").fetchall()

    def results_of(part: PartName) -> tuple[MetricResult, ...]:
        found = compare(moments.get(part, {}), lambda: _restrict(con, design, part))
        return tuple(_told(one, least) for one in found)

    for segment in design.segments:
        name = PartName("segment", segment.name, "")
        yield Part("segment", segment.name, "", adjust(results_of(name), design))
    for dimension in design.dimensions:
        names = [part for part in sorted(moments) if (part.kind, part.name) == ("dimension", dimension)]
        found = [results_of(part) for part in names]
        adjusted = iter(adjust([result for results in found for result in results], design))
        for part, results in zip(names, found, strict=True):
            yield Part("dimension", dimension, part.value, tuple(next(adjusted) for _ in results))


def _restrict(con: duckdb.DuckDBPyConnection, design: Design, part: PartName) -> None:
    """Puts a part's units into ``experiment_totals``."""
    condition, values = in_part(design, part)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE experiment_totals AS FROM all_totals WHERE {condition}", values
    ).fetchall()


def _told(result: MetricResult, least: int) -> MetricResult:
    """The result, or only that it is of too few units: neither numbers nor counts."""
    if min(result.n, result.n_control) >= least:
        return result
    return replace(
        result,
        estimate=None,
        low=None,
        high=None,
        p=None,
        p_adjusted=None,
        relative=None,
        relative_low=None,
        relative_high=None,
        mean=None,
        mean_control=None,
        n=0,
        n_control=0,
        method=None,
        verdict=TOO_SMALL,
        se=None,
        better_probability=None,
        expected_loss=None,
    )
