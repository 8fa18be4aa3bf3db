"""Measures of small tables whose numbers can be counted by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from crossdomain.quality.measures import (
    FEED_ROWS,
    LATE_SHARE,
    LEVEL,
    MOST_CATEGORIES,
    NULL_SHARE,
    OTHERS,
    ROWS,
    SHARE,
    SILENT_MINUTES,
    SPREAD,
    Key,
    Measure,
    Watched,
    late_rows,
    measure_day,
    measure_history,
)
from crossdomain.quality.suites import SUITES, WATCHED
from crossdomain.settings import Settings
from crossdomain.tables import TableSpec, registry

DAY = date(2026, 1, 6)
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = "2026-01-06 12:00:00+08"
Fill = Callable[[list[dict[str, object]]], duckdb.DuckDBPyConnection]


@pytest.fixture
def spec() -> TableSpec:
    return registry(Settings().include).get("clean.events")


@pytest.fixture
def fill(spec: TableSpec) -> Iterator[Fill]:
    """Gives clean.events with rows that name only what matters."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.execute("CREATE SCHEMA clean")
    columns = ", ".join(f'"{column.name}" {column.type}' for column in spec.columns)
    con.execute(f"CREATE TABLE clean.events (ds DATE, {columns})")

    def filled(rows: list[dict[str, object]]) -> duckdb.DuckDBPyConnection:
        for number, row in enumerate(rows):
            whole = {
                "ds": DAY, "event_id": str(number), "account": b"0123456789abcdef", "domain": "beauty", "ts": NOON,
                "event_type": "view", "consent_assumed": False, "delivered_ds": DAY, "feed": "shop", **row,
            }  # fmt: skip
            names = ", ".join(whole)
            con.execute(f"INSERT INTO clean.events ({names}) VALUES ({', '.join('?' * len(whole))})", [*whole.values()])
        return con

    yield filled
    con.close()


def by_key(measures: list[Measure]) -> dict[Key, tuple[float, int]]:
    return {measure.key: (measure.value, measure.rows) for measure in measures}


def test_a_day_is_counted(fill: Fill, spec: TableSpec) -> None:
    con = fill([
        {"event_type": "purchase", "value": 9, "ts": "2026-01-06 23:30:00+08"},
        {"event_type": "purchase", "value": 99, "feed": "app", "ts": "2026-01-06 00:10:00+08"},
        {"channel": "web"},
        {"channel": "web", "feed": "app"},
    ])  # fmt: skip
    watched = Watched(categories=("event_type", "channel"), numbers=("value",), moment="ts")
    found = by_key(measure_day(con, spec, watched, DAY, SHANGHAI))
    assert found[Key(ROWS)] == (4, 4)
    assert {key.category: value for key, value in found.items() if key.measure == FEED_ROWS} == {
        "app": (2, 4), "shop": (2, 4),
    }  # fmt: skip
    assert found[Key(NULL_SHARE, "channel")] == (2, 4)
    assert found[Key(NULL_SHARE, "rec_id")] == (4, 4)
    assert not [key for key in found if key.measure == NULL_SHARE and key.column in ("event_id", "account", "feed")]
    shares = {(key.column, key.category): value[0] for key, value in found.items() if key.measure == SHARE}
    assert shares == {
        ("event_type", "purchase"): 2, ("event_type", "view"): 2, ("channel", "web"): 2,
        ("value", "3–15"): 1, ("value", "63–255"): 1,
        ("ts", "00–04 h"): 1, ("ts", "12–16 h"): 2, ("ts", "20–24 h"): 1,
    }  # fmt: skip
    logs = [math.log(10), math.log(100)]
    mean = sum(logs) / 2
    assert found[Key(LEVEL, "value")] == (pytest.approx(mean, abs=1e-6), 2)
    assert found[Key(SPREAD, "value")] == (pytest.approx(logs[1] - mean, abs=1e-6), 2)
    assert found[Key(SILENT_MINUTES, "ts")] == (30, 4)


def test_only_what_was_known_when_the_day_closed_is_measured(fill: Fill, spec: TableSpec) -> None:
    con = fill([{}, {"delivered_ds": DAY - timedelta(days=1)}, {"delivered_ds": DAY + timedelta(days=1)}])
    before = measure_day(con, spec, WATCHED["clean.events"], DAY, SHANGHAI)
    assert by_key(before)[Key(ROWS)] == (2, 2)
    fill([{"event_id": "late", "delivered_ds": DAY + timedelta(days=2)}, {"event_id": "other", "ds": date(2026, 1, 7)}])
    assert measure_day(con, spec, WATCHED["clean.events"], DAY, SHANGHAI) == before


def test_a_day_without_rows_is_a_measure_too(fill: Fill, spec: TableSpec) -> None:
    assert measure_day(fill([]), spec, WATCHED["clean.events"], DAY, SHANGHAI) == [Measure(Key(ROWS), 0, 0)]


def test_history_is_measured_day_by_day_of_its_zone(fill: Fill, spec: TableSpec) -> None:
    con = fill([
        {"ts": "2026-01-06 00:00:00+08"}, {"ts": "2026-01-03 23:59:59+08"}, {"ts": "2026-01-03 00:00:00+08"},
        {"ts": "2025-10-01 12:00:00+08"},
    ])  # fmt: skip
    found = measure_history(con, spec, WATCHED["clean.events"], DAY, SHANGHAI, days=56)
    rows = {day: by_key(measures)[Key(ROWS)][0] for day, measures in found.items()}
    assert rows == {date(2026, 1, 3): 2, date(2026, 1, 4): 0, date(2026, 1, 5): 0, date(2026, 1, 6): 1}
    assert by_key(found[date(2026, 1, 3)])[Key(SILENT_MINUTES, "ts")][0] == pytest.approx(1 / 60)


def test_the_history_of_a_table_of_states_is_one_load_and_tells_nothing() -> None:
    users = registry(Settings().include).get("clean.users")
    with duckdb.connect() as con:
        assert measure_history(con, users, WATCHED["clean.users"], DAY, SHANGHAI, days=56) == {}


def test_hours_are_local_where_the_clock_changes(fill: Fill, spec: TableSpec) -> None:
    day, berlin = date(2026, 3, 29), ZoneInfo("Europe/Berlin")  # 02:00 becomes 03:00
    moments = [datetime(2026, 3, 29, 1, 30, tzinfo=UTC), datetime(2026, 3, 29, 2, 30, tzinfo=UTC)]
    con = fill([{"ds": day, "delivered_ds": day, "ts": moment} for moment in moments])
    found = by_key(measure_day(con, spec, Watched(moment="ts"), day, berlin))
    assert found[Key(SHARE, "ts", "00–04 h")] == (1, 2)
    assert found[Key(SHARE, "ts", "04–08 h")] == (1, 2)
    assert found[Key(SILENT_MINUTES, "ts")][0] == 19.5 * 60


def test_the_rarest_of_many_categories_are_one(fill: Fill, spec: TableSpec) -> None:
    con = fill([{"channel": f"c{number:03}"} for number in range(MOST_CATEGORIES + 7)] + [{"channel": "c000"}])
    found = by_key(measure_day(con, spec, Watched(categories=("channel",)), DAY, SHANGHAI))
    shares = {key.category: value[0] for key, value in found.items() if key.measure == SHARE}
    assert len(shares) == MOST_CATEGORIES + 1
    assert (shares["c000"], shares[OTHERS]) == (2, 7)


def test_late_rows_are_those_that_went_into_earlier_days() -> None:
    with duckdb.connect() as con:
        con.execute("CREATE SCHEMA derived")
        con.execute(
            "CREATE TABLE derived.row_counts AS SELECT * FROM (VALUES "
            "(DATE '2026-01-06', 'events', 'shop', DATE '2026-01-06', 'clean', 90), "
            "(DATE '2026-01-05', 'events', 'shop', DATE '2026-01-06', 'clean', 8), "
            "(DATE '2026-01-04', 'events', 'app', DATE '2026-01-06', 'clean', 2), "
            "(DATE '2026-01-05', 'events', 'shop', DATE '2026-01-05', 'clean', 70), "
            "(DATE '2026-01-05', 'events', 'shop', DATE '2026-01-06', 'duplicate', 5), "
            "(DATE '2026-01-07', 'events', 'shop', DATE '2026-01-06', 'clean', 3)"
            ") AS t(ds, table_name, feed, delivered_ds, class, rows)"
        )
        assert late_rows(con, DAY) == {"clean.events": Measure(Key(LATE_SHARE), 10, 100)}


def test_what_is_watched_are_columns_of_every_table() -> None:
    tables = registry(Settings().include)
    assert set(WATCHED) == set(SUITES)
    for name, watched in WATCHED.items():
        columns = {column.name: column.type for column in tables.get(name).columns}
        assert {*watched.categories, *watched.numbers} <= set(columns)
        assert watched.moment is None or columns[watched.moment] == "TIMESTAMPTZ"
