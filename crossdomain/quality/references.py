"""Rules that look beyond one table and day: references between tables, and keys that must not come back.

Declared as data, counted by DuckDB on hashes of the keys, recorded as rule results under stable ids. All of them warn:
clean is committed when they can be answered, and the tables that read it must not wait for days that are long past.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from crossdomain.quality.results import RuleResult
from crossdomain.quality.rules import WARN
from crossdomain.storage.engine import identifier, literal

_NO_ITEM = "Behaviour about an item that no catalogue has can be neither recommended nor explained."
_NO_ACCOUNT = "An account that no user feed brought has no profile: a feed is late, or ids are mapped differently."
_NO_EXPERIMENT = "An experiment without a design is never analysed."
EXPERIMENTS = "known.experiments"
"""View of the designs' ids (``experiment_id``), which the job gives."""


@dataclass(frozen=True)
class Reference:
    """Rows of a table that name a row of another one.

    Attributes:
        table: Table that refers, such as "clean.events".
        columns: Columns that refer; rows without a value in one of them are not looked at. The last names the rule.
        parent: Table that must have it, on the day or an earlier one; or ``EXPERIMENTS``.
        parent_columns: Its columns, in the same order.
        reason: Why the rule is there.
        share_off: Share of the rows that may be off.
        where: Rows that refer at all.
        has_domain: Whether rows of both tables belong to a domain: a domain of which the parent never had a row is
            not compared.
        look_back: Days before the day that are searched; None for all.
    """

    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    reason: str
    share_off: float = 0.0
    where: str = "true"
    has_domain: bool = True
    look_back: int | None = None

    @property
    def id(self) -> str:
        """Stable id, such as ``events.item_id.exists_in.items``."""
        return f"{_name(self.table)}.{self.columns[-1]}.exists_in.{_name(self.parent)}"


@dataclass(frozen=True)
class KeyAcrossDays:
    """A key that stands in one day's partition only."""

    table: str
    columns: tuple[str, ...]
    reason: str

    @property
    def id(self) -> str:
        """Stable id, such as ``events.event_id.unique_across_days``."""
        return f"{_name(self.table)}.{self.columns[-1]}.unique_across_days"


def _of_item(table: str) -> Reference:
    key = ("domain", "item_id")
    return Reference(table, key, "clean.items", key, _NO_ITEM, share_off=0.01)


def _of_account(table: str, column: str = "account", *, where: str = "true", has_domain: bool = True) -> Reference:
    return Reference(
        table, (column,), "clean.users", ("account",), _NO_ACCOUNT, share_off=0.01, where=where, has_domain=has_domain
    )


def _of_experiment(table: str) -> Reference:
    key = ("experiment_id",)
    return Reference(table, key, EXPERIMENTS, key, _NO_EXPERIMENT, has_domain=False)


REFERENCES = (
    _of_item("clean.events"),
    _of_account("clean.events"),
    Reference(
        "clean.events",
        ("domain", "ref_event_id"),
        "clean.events",
        ("domain", "event_id"),
        "A refund or rating of an unknown purchase cannot be set off against it.",
        share_off=0.05,
        look_back=15,
    ),
    _of_item("clean.reviews"),
    _of_account("clean.reviews"),
    _of_account("clean.consents"),
    _of_account("clean.sends"),
    _of_account("clean.coupons"),
    _of_account("clean.identity_links", "knowledge_account", has_domain=False),
    _of_account("clean.identity_links", "beauty_account", has_domain=False),
    _of_account("clean.exposures", "unit", where="unit_type = 'account'", has_domain=False),
    _of_experiment("clean.exposures"),
    _of_experiment("clean.experiment_counts"),
)
"""All references, by table."""

KEYS = (
    KeyAcrossDays("clean.events", ("domain", "event_id"), "An event on two days is counted on both."),
    KeyAcrossDays("clean.reviews", ("domain", "review_id"), "A review on two days is an opinion counted twice."),
    KeyAcrossDays("clean.coupons", ("domain", "coupon_id"), "A coupon on two days is a budget counted twice."),
    KeyAcrossDays("clean.sends", ("domain", "send_id"), "A send on two days exhausts the frequency cap."),
)
"""All keys that must not come back."""


def check_reference(
    con: duckdb.DuckDBPyConnection, rule: Reference, ds: date, parent_days: Sequence[date]
) -> RuleResult:
    """Counts the day's rows that name what the other table does not have.

    The day itself is searched first, then earlier days, newest first, in growing steps and only for what is still
    missing: of a daily whole state one day is read, of changes as many as it takes.

    Args:
        con: Has both tables as views of their full names, with ``ds`` among the columns.
        rule: The reference.
        ds: The business day.
        parent_days: Days of the other table that have rows, up to ``ds``.
    """
    looked_at = _collect(con, rule, ds)
    missing = looked_at
    for first, last in _steps(rule, ds, parent_days):
        if not missing:
            break
        missing = _strike(con, rule, first, last)
    apart: dict[str, int] = {}
    if missing:
        apart = _incomparable(con, rule, parent_days)
        missing, looked_at = missing - sum(apart.values()), looked_at - sum(apart.values())
    con.execute("DROP TABLE unresolved; DROP TABLE IF EXISTS found")
    observed = f"{missing} of {looked_at} rows"
    if apart:
        listed = ", ".join(f"{domain or 'all'}: {rows}" for domain, rows in apart.items())
        observed += f"; not compared, as {rule.parent} has nothing of them: {listed}"
    success = looked_at == 0 or missing / looked_at <= rule.share_off
    return RuleResult(rule.id, WARN, success, observed, missing, looked_at, rule.reason)


def check_key(con: duckdb.DuckDBPyConnection, rule: KeyAcrossDays, ds: date, days: int) -> RuleResult:
    """Counts the day's rows whose key also stands in one of the days before it.

    Keys are compared by their hashes of 64 bits: for ten million keys a day and a week of them about one in 25,000
    checks names a row too many.

    Args:
        con: Has the table as a view of its full name, with ``ds`` among the columns.
        rule: The key.
        ds: The business day.
        days: Days before it that are compared.
    """
    table, key = identifier(rule.table), _hashed(rule.columns)
    first = ds - timedelta(days=days)
    found = con.execute(
        f"WITH today AS (SELECT {key} AS key FROM {table} WHERE ds = {_day(ds)}), "  # noqa: S608 - quoted
        f"earlier AS (SELECT {key} AS key FROM {table} WHERE ds >= {_day(first)} AND ds < {_day(ds)}) "
        "SELECT (SELECT count(*) FROM today), (SELECT count(*) FROM today SEMI JOIN earlier USING (key))"
    ).fetchall()
    rows, twice = found[0]
    observed = f"{twice} of {rows} rows stand in one of the {days} days before, too"
    return RuleResult(rule.id, WARN, twice == 0, observed, twice, rows, rule.reason)


def _collect(con: duckdb.DuckDBPyConnection, rule: Reference, ds: date) -> int:
    """Table ``unresolved`` of the values that are referred to, hashed, with their domain and rows; gives the rows."""
    filled = " AND ".join(f"{identifier(column)} IS NOT NULL" for column in rule.columns)
    domain = "domain" if rule.has_domain else "''"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE unresolved AS SELECT {domain} AS side, {_hashed(rule.columns)} AS key, "  # noqa: S608
        f"count(*) AS rows FROM {identifier(rule.table)} WHERE ds = {_day(ds)} AND {filled} AND ({rule.where}) "
        "GROUP BY ALL"
    )
    return _rows(con)


def _strike(con: duckdb.DuckDBPyConnection, rule: Reference, first: date | None, last: date) -> int:
    """Removes from ``unresolved`` what the other table has on these days; gives the rows that are left."""
    days = "true" if first is None else f"ds BETWEEN {_day(first)} AND {_day(last)}"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE found AS SELECT DISTINCT key FROM "  # noqa: S608 - quoted names
        f"(SELECT {_hashed(rule.parent_columns)} AS key FROM {identifier(rule.parent)} WHERE {days}) "
        "SEMI JOIN unresolved USING (key)"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE unresolved AS SELECT * FROM unresolved ANTI JOIN found USING (key)")
    return _rows(con)


def _hashed(columns: Sequence[str]) -> str:
    """A key in 64 bits, whatever its columns."""
    return f"hash({', '.join(identifier(column) for column in columns)})"


def _incomparable(con: duckdb.DuckDBPyConnection, rule: Reference, parent_days: Sequence[date]) -> dict[str, int]:
    """Rows, by domain, of domains that the other table never had."""
    if rule.parent == EXPERIMENTS:
        return {}
    if not parent_days:
        known = "SELECT NULL WHERE false"
    else:
        side = "domain" if rule.has_domain else "''"
        known = f"SELECT DISTINCT {side} FROM {identifier(rule.parent)}"  # noqa: S608 - quoted names
    found = con.execute(
        f"SELECT side, sum(rows) FROM unresolved WHERE side NOT IN ({known}) GROUP BY side ORDER BY side"  # noqa: S608
    ).fetchall()
    return {side: int(rows) for side, rows in found}


def _steps(rule: Reference, ds: date, parent_days: Sequence[date]) -> Iterator[tuple[date | None, date]]:
    """Spans of days to search, newest first, each about twice as long as the one before."""
    if rule.parent == EXPERIMENTS:
        yield None, ds
        return
    oldest = date.min if rule.look_back is None else ds - timedelta(days=rule.look_back)
    days = sorted((day for day in parent_days if oldest <= day <= ds), reverse=True)
    size, at = 1, 0
    while at < len(days):
        chunk = days[at : at + size]
        yield chunk[-1], chunk[0]
        at, size = at + size, size * 2


def _rows(con: duckdb.DuckDBPyConnection) -> int:
    return int(con.execute("SELECT coalesce(sum(rows), 0) FROM unresolved").fetchall()[0][0])


def _day(day: date) -> str:
    return f"DATE {literal(day.isoformat())}"


def _name(table: str) -> str:
    return table.partition(".")[2]
