"""Checks and results by attributes of units that the platform knows: what each had done before its first exposure.

An attribute must not depend on the variant, or its parts are no longer comparable. These are of the 28 times 24 hours
before a unit's first exposure, which no variant can have changed, whatever an exposure event or a trigger adds later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from crossdomain.experiments.comparing import adjust
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_checks import PLATFORM_DIMENSIONS
from crossdomain.experiments.moments import Strata, moments_of_totals
from crossdomain.experiments.results import MetricResult, Part
from crossdomain.experiments.selections import Binder
from crossdomain.experiments.state import EVENTS_OF

if TYPE_CHECKING:
    import duckdb

LOOKED_BACK = 28
"""Days before the first exposure that the attributes are of."""
_SQL = {
    "activity": (
        "CASE WHEN count(e.ts) = 0 THEN '0' WHEN count(e.ts) < 5 THEN '1-4' WHEN count(e.ts) < 20 THEN '5-19' "
        "ELSE '20+' END"
    ),
    "sides": "coalesce(string_agg(DISTINCT e.domain, '+' ORDER BY e.domain), 'none')",
}
assert tuple(_SQL) == PLATFORM_DIMENSIONS


def make_dimensions(con: duckdb.DuckDBPyConnection, design: Design) -> None:
    """Makes temporary table ``experiment_dimensions``: unit, variant and a column for each dimension of the design.

    Args:
        con: Connection with temporary table ``experiment_totals`` and view ``clean.events``.
        design: A design over exposures with dimensions.
    """
    ((earliest, latest),) = con.execute(
        "SELECT CAST(min(exposed_ts) AS DATE), CAST(max(exposed_ts) AS DATE) FROM experiment_totals"
    ).fetchall()
    columns = ", ".join(f'{_SQL[name]} AS "{name}"' for name in design.dimensions)
    # A business day may begin on the UTC day before or after: a day more on both sides.
    span = (earliest or date.max) - timedelta(days=LOOKED_BACK + 1), (latest or date.min) + timedelta(days=1)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE experiment_dimensions AS SELECT t.unit, t.variant, {columns} "  # noqa: S608
        f"FROM experiment_totals AS t LEFT JOIN {EVENTS_OF[design.unit]} AS e ON e.account = t.unit "
        f"AND e.ds BETWEEN ? AND ? AND e.ts < t.exposed_ts AND e.ts >= t.exposed_ts - to_days({LOOKED_BACK}) "
        "GROUP BY t.unit, t.variant",
        list(span),
    ).fetchall()


def units_by_value(con: duckdb.DuckDBPyConnection, design: Design, dimension: str) -> dict[str, dict[str, int]]:
    """Units by value of a dimension and variant; every variant is given.

    Args:
        con: Connection after ``make_dimensions``.
        design: The design.
        dimension: One of its dimensions.
    """
    rows = con.execute(
        f'SELECT "{dimension}", variant, count(*) FROM experiment_dimensions GROUP BY ALL ORDER BY ALL'  # noqa: S608
    ).fetchall()
    found: dict[str, dict[str, int]] = {}
    for value, variant, units in rows:
        found.setdefault(value, {name: 0 for name, _ in design.variants})[variant] = units
    return found


def results_by_part(
    con: duckdb.DuckDBPyConnection, design: Design, compare: Callable[[Strata], tuple[MetricResult, ...]]
) -> Iterator[Part]:
    """Results of the registered segments, then of every value of every dimension, adjusted over a dimension's values.

    Args:
        con: Connection after ``make_dimensions``, with ``experiment_totals`` of all units, which is one part's when
            ``compare`` is called and the whole again at the end.
        design: The design.
        compare: Results from a part's moments and its ``experiment_totals``.
    """
    con.execute("CREATE OR REPLACE TEMP TABLE all_totals AS FROM experiment_totals").fetchall()
    for segment in design.segments:
        yield Part("segment", segment.name, "", _of_part(con, design, dict(segment.where), compare))
    for dimension in design.dimensions:
        values = list(units_by_value(con, design, dimension))
        found = [_of_part(con, design, {dimension: (value,)}, compare) for value in values]
        adjusted = iter(adjust([result for results in found for result in results], design))
        for value, results in zip(values, found, strict=True):
            yield Part("dimension", dimension, value, tuple(next(adjusted) for _ in results))
    con.execute("CREATE OR REPLACE TEMP TABLE experiment_totals AS FROM all_totals").fetchall()


def _of_part(
    con: duckdb.DuckDBPyConnection,
    design: Design,
    where: Mapping[str, tuple[str, ...]],
    compare: Callable[[Strata], tuple[MetricResult, ...]],
) -> tuple[MetricResult, ...]:
    bind = Binder()
    wanted = " AND ".join(f'"{dimension}" IN ({bind.all(values)})' for dimension, values in where.items())
    con.execute(
        "CREATE OR REPLACE TEMP TABLE experiment_totals AS FROM all_totals "
        f"SEMI JOIN (FROM experiment_dimensions WHERE {wanted}) USING (unit)",
        bind.values,
    ).fetchall()
    return compare(moments_of_totals(con, design))
