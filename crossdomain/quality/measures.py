"""What is measured of a clean table and day: a small set of numbers, counted by DuckDB in passes over single columns.

Only rows that were known when the day closed are measured (``delivered_ds`` up to the day), so that a day is measured
alike on its first night and after late rows. A partition that holds history (the declared start) is measured day by
day of its moments, so that the comparison of days begins with a history.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from crossdomain.storage.engine import identifier, literal
from crossdomain.tables import TableSpec

ROWS = "rows"
FEED_ROWS = "rows_of_feed"
NULL_SHARE = "null_share"
SHARE = "share"
LEVEL = "level"
SPREAD = "spread"
SILENT_MINUTES = "silent_minutes"
LATE_SHARE = "late_share"
COUNTS = (ROWS, FEED_ROWS)
"""Measures that count rows."""
SHARES = (SHARE, NULL_SHARE, LATE_SHARE)
"""Measures that count rows of all rows."""

MOST_CATEGORIES = 50
"""Categories of a column that are measured one by one; the rarer ones are one category."""
OTHERS = "…"
_HOURS = 4
_QUARTER = 900
_MILLIONTHS = 1_000_000


@dataclass(frozen=True)
class Watched:
    """What of a table is watched beside its rows, its feeds and the nulls of its optional columns.

    Attributes:
        categories: Columns with few values; the share of each value is measured.
        numbers: Columns whose typical value, spread and distribution are measured.
        moment: Column that says when, for silence at the end of the day and shares of the hours; None for tables of
            states.
    """

    categories: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    moment: str | None = None


@dataclass(frozen=True, order=True)
class Key:
    """Which measure of a table: its kind, the column and the category that it is about ('' where about none)."""

    measure: str
    column: str = ""
    category: str = ""


@dataclass(frozen=True)
class Measure:
    """One number of a table and day.

    Attributes:
        key: Which.
        value: Number of rows for counts and shares; for ``level`` the mean of ln(1 + |x|), for ``spread`` its
            standard deviation; minutes for ``silent_minutes``.
        rows: Rows that it was measured on: all of the table and day, for numbers those with a value, for
            ``late_share`` those of the delivery.
    """

    key: Key
    value: float
    rows: int


def measure_day(
    con: duckdb.DuckDBPyConnection, spec: TableSpec, watched: Watched, ds: date, zone: ZoneInfo
) -> list[Measure]:
    """Measures an ordinary day of a table.

    Args:
        con: Has the table as a view of its full name, with ``ds`` among the columns.
        spec: The table.
        watched: What of it is watched.
        ds: The business day.
        zone: The business time zone.

    Returns:
        The measures, ordered by key; of a day without rows only their number, 0.
    """
    day = f"DATE {literal(ds.isoformat())}"
    rows = (
        f"SELECT {day} AS measured_day, * FROM {identifier(spec.full_name)} "  # noqa: S608 - quoted names
        f"WHERE ds = {day} AND delivered_ds <= {day}"
    )
    return _Measured(con, spec, watched, rows, zone).of_days([ds])[ds]


def measure_history(
    con: duckdb.DuckDBPyConnection, spec: TableSpec, watched: Watched, start: date, zone: ZoneInfo, *, days: int
) -> dict[date, list[Measure]]:
    """Measures the last days of the history that the declared start of the data holds, each by itself.

    Args:
        con: Has the table as a view of its full name, with ``ds`` among the columns.
        spec: The table.
        watched: What of it is watched.
        start: The declared start, whose partition holds the history.
        zone: The business time zone.
        days: How many days, the start included.

    Returns:
        Measures by day, from the first day with rows on; none for tables of states, whose opening is one load.
    """
    if watched.moment is None:
        return {}
    moment, name = identifier(watched.moment), literal(zone.key)
    first = start - timedelta(days=days - 1)
    rows = (
        f"SELECT CAST(timezone({name}, {moment}) AS DATE) AS measured_day, * FROM {identifier(spec.full_name)} "  # noqa: S608
        f"WHERE ds = DATE {literal(start.isoformat())} AND {moment} >= {_instant(first, zone)} "
        f"AND {moment} < {_instant(start + timedelta(days=1), zone)}"
    )
    measured = _Measured(con, spec, watched, rows, zone)
    begun = measured.first_day()
    if begun is None:
        return {}
    return measured.of_days([begun + timedelta(days=step) for step in range((start - begun).days + 1)])


def late_rows(con: duckdb.DuckDBPyConnection, ds: date) -> dict[str, Measure]:
    """Share of late rows in the delivery of a day, by full table name: rows that went into earlier days' clean tables.

    Args:
        con: Has ``derived.row_counts`` as a view of the days that a delivery may reach back to.
        ds: The delivery day.
    """
    found = con.execute(
        "SELECT 'clean.' || table_name, sum(rows) FILTER (ds < $ds), sum(rows) FROM derived.row_counts "
        "WHERE class = 'clean' AND delivered_ds = $ds AND ds <= $ds GROUP BY 1 ORDER BY 1",
        {"ds": ds},
    ).fetchall()
    return {table: Measure(Key(LATE_SHARE), float(late or 0), int(rows)) for table, late, rows in found}


@dataclass(frozen=True)
class _Measured:
    """Queries over ``rows``, a select with a column ``measured_day`` beside the table's own."""

    con: duckdb.DuckDBPyConnection
    spec: TableSpec
    watched: Watched
    rows: str
    zone: ZoneInfo

    def first_day(self) -> date | None:
        """First day that has rows."""
        found: list[tuple[date | None]] = self.con.execute(f"SELECT min(measured_day) FROM ({self.rows})").fetchall()  # noqa: S608
        return found[0][0]

    def of_days(self, days: Sequence[date]) -> dict[date, list[Measure]]:
        """All measures of the days, each day's ordered by key."""
        found: dict[date, list[Measure]] = {day: [] for day in days}
        totals = self._whole(found)
        for day, total in totals.items():
            found[day].append(Measure(Key(ROWS), float(total), total))
        for column in ("feed", *self.watched.categories):
            self._shares(column, found, totals)
        for column in self.watched.numbers:
            self._numbers(column, found, totals)
        if self.watched.moment:
            self._hours(self.watched.moment, found, totals)
        return {day: sorted(measures, key=lambda measure: measure.key) for day, measures in found.items()}

    def _ask(self, columns: str, group: str = "measured_day", where: str = "true") -> list[tuple[Any, ...]]:
        query = f"SELECT {columns} FROM ({self.rows}) WHERE {where} GROUP BY {group} ORDER BY {group}"  # noqa: S608
        return self.con.execute(query).fetchall()

    def _whole(self, found: dict[date, list[Measure]]) -> dict[date, int]:
        """Rows, nulls and silence: one pass. Gives the rows of each day."""
        optional = [column.name for column in self.spec.columns if not column.required]
        nulls = "".join(f", count(*) - count({identifier(name)})" for name in optional)
        last = f", epoch(max({identifier(self.watched.moment)}))" if self.watched.moment else ""
        totals = dict.fromkeys(found, 0)
        for day, total, *counted in self._ask(f"measured_day, count(*){nulls}{last}"):
            totals[day] = total
            for name, empty in zip(optional, counted, strict=False):
                found[day].append(Measure(Key(NULL_SHARE, name), float(empty), total))
            if last:
                silent = (_epoch(day + timedelta(days=1), self.zone) - counted[-1]) / 60
                found[day].append(Measure(Key(SILENT_MINUTES, self.watched.moment or ""), max(silent, 0.0), total))
        return totals

    def _shares(self, column: str, found: dict[date, list[Measure]], totals: dict[date, int]) -> None:
        name = identifier(column)
        kind = FEED_ROWS if column == "feed" else SHARE
        counted = self._ask(
            f"measured_day, CAST({name} AS VARCHAR), count(*)", f"measured_day, {name}", f"{name} IS NOT NULL"
        )
        by_day: dict[date, list[tuple[str, int]]] = {}
        for day, category, count in counted:
            by_day.setdefault(day, []).append((category, count))
        for day, counts in by_day.items():
            for category, count in _fewest(counts):
                found[day].append(Measure(Key(kind, column, category), float(count), totals[day]))

    def _numbers(self, column: str, found: dict[date, list[Measure]], totals: dict[date, int]) -> None:
        """Level and spread of ln(1 + |x|) in whole millionths, so that the sums are exact, and shares of its bins."""
        name = identifier(column)
        log = f"CAST(round(ln(1 + abs(CAST({name} AS DOUBLE))) * {_MILLIONTHS}) AS BIGINT)"
        bins = f"CAST(floor({log} / {round(2 * math.log(2) * _MILLIONTHS)}) AS INTEGER)"
        counted = self._ask(
            f"measured_day, {bins} AS bin, count(*), sum({log}), sum(CAST({log} AS HUGEINT) * {log})",
            "measured_day, bin",
            f"{name} IS NOT NULL",
        )
        sums: dict[date, tuple[int, int, int]] = {}
        for day, place, count, total, squares in counted:
            category = f"{4**place - 1}–{4 ** (place + 1) - 1}"
            found[day].append(Measure(Key(SHARE, column, category), float(count), totals[day]))
            before = sums.get(day, (0, 0, 0))
            sums[day] = (before[0] + count, before[1] + int(total), before[2] + int(squares))
        for day, (count, total, squares) in sums.items():
            variance = (squares * count - total * total) / (count * count)
            found[day].append(Measure(Key(LEVEL, column), total / count / _MILLIONTHS, count))
            found[day].append(Measure(Key(SPREAD, column), math.sqrt(variance) / _MILLIONTHS, count))

    def _hours(self, column: str, found: dict[date, list[Measure]], totals: dict[date, int]) -> None:
        """Shares of four-hour parts of the local day; grouped by quarters of an hour, which every zone keeps."""
        counts: dict[tuple[date, int], int] = {}
        quarters = f"epoch_us({identifier(column)}) // {_QUARTER * 1_000_000}"
        for day, quarter, count in self._ask(f"measured_day, {quarters} AS quarter, count(*)", "measured_day, quarter"):
            hour = datetime.fromtimestamp(quarter * _QUARTER, self.zone).hour
            counts[day, hour // _HOURS] = counts.get((day, hour // _HOURS), 0) + count
        for (day, part), count in counts.items():
            category = f"{part * _HOURS:02}–{(part + 1) * _HOURS:02} h"
            found[day].append(Measure(Key(SHARE, column, category), float(count), totals[day]))


def _fewest(counts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """At most ``MOST_CATEGORIES``, the largest by themselves and the others together."""
    if len(counts) <= MOST_CATEGORIES:
        return list(counts)
    ordered = sorted(counts, key=lambda entry: (-entry[1], entry[0]))
    return [*ordered[:MOST_CATEGORIES], (OTHERS, sum(count for _, count in ordered[MOST_CATEGORIES:]))]


def _epoch(day: date, zone: ZoneInfo) -> float:
    return datetime.combine(day, time.min, tzinfo=zone).timestamp()


def _instant(day: date, zone: ZoneInfo) -> str:
    return f"TIMESTAMPTZ {literal(datetime.combine(day, time.min, tzinfo=zone).isoformat())}"
