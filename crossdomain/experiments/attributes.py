"""What the platform knows of a unit when it is first exposed: the dimensions of designs over its tables.

An attribute must not depend on the variant, or its parts are no longer comparable. These are what a unit did in the
28 times 24 hours before its first exposure, what the platform knew of its account on the day before, and where it was
first exposed. They are fixed then, whatever an exposure event or a trigger adds later.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

from crossdomain.experiments.design import Design
from crossdomain.experiments.selections import EVENTS_OF, Binder

if TYPE_CHECKING:
    import duckdb

LOOKED_BACK = 28
"""Days before the first exposure that the attributes of behaviour are of."""
WITHHELD = "withheld"
"""Value of a profile attribute of whoever does not allow ``profiling``."""
_BEHAVIOUR = {
    "activity": (
        "count(*)",
        "CASE WHEN e.activity IS NULL THEN '0' WHEN e.activity < 5 THEN '1-4' WHEN e.activity < 20 THEN '5-19' "
        "ELSE '20+' END",
    ),
    "sides": ("string_agg(DISTINCT e.domain, '+' ORDER BY e.domain)", "coalesce(e.sides, 'none')"),
    "channel": (
        "arg_max(e.channel, {'ts': e.ts, 'channel': e.channel}) FILTER (WHERE e.channel IS NOT NULL)",
        "coalesce(e.channel, 'none')",
    ),
}
"""Aggregate over the events of the days before, and the value from it."""
_ACCOUNT = {
    "domain": "coalesce(a.domain, 'unknown')",
    "registered": (
        "CASE WHEN a.account IS NULL THEN 'new' WHEN a.registered_at IS NULL THEN 'unknown' "
        "WHEN t.exposed_ts < a.registered_at + to_days(7) THEN '0-6' "
        "WHEN t.exposed_ts < a.registered_at + to_days(30) THEN '7-29' "
        "WHEN t.exposed_ts < a.registered_at + to_days(180) THEN '30-179' ELSE '180+' END"
    ),
}
_AGE = "year(t.exposed_ds) - a.birth_year"
_PROFILE = {
    "age": (
        f"CASE WHEN a.birth_year IS NULL THEN 'unknown' WHEN {_AGE} < 18 THEN '0-17' WHEN {_AGE} < 25 THEN '18-24' "
        f"WHEN {_AGE} < 35 THEN '25-34' WHEN {_AGE} < 45 THEN '35-44' WHEN {_AGE} < 55 THEN '45-54' ELSE '55+' END"
    ),
    "gender": "coalesce(a.gender, 'unknown')",
    "province": "coalesce(a.province, 'unknown')",
}
PLACEMENT = "placement"
DIMENSIONS = (*_BEHAVIOUR, PLACEMENT, *_ACCOUNT, *_PROFILE)
"""What ``design.schema.json`` lets designs over the platform's tables be broken down by."""


def needs_accounts(design: Design) -> bool:
    """Whether attributes of the design are read from the accounts of the day before."""
    return any(name in _ACCOUNT or name in _PROFILE for name in design.dimensions)


def needs_profiling(design: Design) -> bool:
    """Whether attributes of the design are a profile, which nobody has who does not allow it."""
    return any(name in _PROFILE for name in design.dimensions)


def make_attributes(con: duckdb.DuckDBPyConnection, design: Design) -> None:
    """Makes temporary table ``state_attributes``: unit and the values of the design's dimensions, in their order.

    Args:
        con: Connection with temporary table ``state_new`` (unit, exposed_ts, exposed_ds, and placement where the design
            breaks down by it) of the units that are exposed for the first time, and view ``clean.events``. Attributes
            of accounts need ``derived.accounts`` (ds, account, domain, registered_at, gender, birth_year, province);
            profiles also ``derived.people`` (ds, account, profiling) and temporary table ``withheld`` (unit): who says
            no to ``profiling`` by now.
        design: A design over exposures with dimensions.
    """
    ((earliest, latest),) = con.execute("SELECT min(exposed_ds), max(exposed_ds) FROM state_new").fetchall()
    if earliest is None:
        con.execute("CREATE OR REPLACE TEMP TABLE state_attributes (unit BLOB, attributes VARCHAR[])")
        return
    bind = Binder()
    behaviour = [name for name in design.dimensions if name in _BEHAVIOUR]
    joined = _of_behaviour(design, behaviour, bind, earliest, latest) if behaviour else ""
    joined += "".join(_of_accounts(design, bind, earliest - timedelta(days=1), latest - timedelta(days=1)))
    values = ", ".join(f"CAST({_value(name)} AS VARCHAR)" for name in design.dimensions)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE state_attributes AS SELECT t.unit, [{values}] AS attributes "  # noqa: S608
        f"FROM (SELECT *, exposed_ds - 1 AS day_before FROM state_new) AS t{joined}",
        bind.values,
    ).fetchall()


def _of_behaviour(design: Design, names: list[str], bind: Binder, earliest: date, latest: date) -> str:
    sums = ", ".join(f"{_BEHAVIOUR[name][0]} AS {name}" for name in names)
    # The moment of a business day's beginning may lie a day before that of the exposure: a day more.
    span = f"e.ds BETWEEN {bind(earliest - timedelta(days=LOOKED_BACK + 1))} AND {bind(latest)}"
    return f"""
 LEFT JOIN (
  SELECT n.unit, {sums} FROM state_new AS n JOIN {EVENTS_OF[design.unit]} AS e ON e.account = n.unit
  WHERE {span} AND e.ts < n.exposed_ts AND e.ts >= n.exposed_ts - to_days({LOOKED_BACK}) GROUP BY n.unit
 ) AS e ON e.unit = t.unit"""  # noqa: S608 - our own text; values are bound


def _of_accounts(design: Design, bind: Binder, first: date, last: date) -> Iterator[str]:
    if needs_accounts(design):
        yield (
            f" LEFT JOIN (FROM derived.accounts WHERE ds BETWEEN {bind(first)} AND {bind(last)}) AS a"
            " ON a.account = t.unit AND a.ds = t.day_before"
        )
    if needs_profiling(design):
        yield (
            f" LEFT JOIN (FROM derived.people WHERE ds BETWEEN {bind(first)} AND {bind(last)} AND profiling) AS p"
            " ON p.account = t.unit AND p.ds = t.day_before LEFT JOIN withheld AS w ON w.unit = t.unit"
        )


def _value(name: str) -> str:
    if name in _BEHAVIOUR:
        return _BEHAVIOUR[name][1]
    if name in _ACCOUNT:
        return _ACCOUNT[name]
    if name in _PROFILE:
        return f"CASE WHEN p.account IS NULL OR w.unit IS NOT NULL THEN '{WITHHELD}' ELSE {_PROFILE[name]} END"
    return f"t.{PLACEMENT}"
