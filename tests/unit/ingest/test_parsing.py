from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossdomain.ingest.canonical import CanonicalColumn, ColumnKind, canonical_table
from crossdomain.ingest.feeds import Feed, SourceColumn
from crossdomain.ingest.parsing import SQL_TYPES, read_columns, value_of
from crossdomain.ingest.repair import define_repairs

NOON = datetime(2026, 1, 5, 4, 0, tzinfo=UTC)  # noon in Shanghai


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        define_repairs(connection)
        yield connection


def feed_with(source: SourceColumn) -> Feed:
    return Feed(
        name="f", table=canonical_table("items"), kind="append", format="csv", encoding="utf-8", sheet=None,
        timezone="Asia/Shanghai", expected="any", late_days=3, may_be_empty=False, consent_assumed=False, version=None,
        constants={}, ignore=frozenset(), columns=(source,), digest="",
    )  # fmt: skip


def parse_all(con: duckdb.DuckDBPyConnection, kind: ColumnKind, values: list[str | None], **options: Any) -> list[Any]:
    feed, column = feed_with(SourceColumn("c", "c", **options)), CanonicalColumn("c", kind)
    read = read_columns(feed, [column], "SELECT unnest(?::VARCHAR[]) AS c")
    rows = con.execute(f'SELECT CAST("{value_of(column)}" AS {SQL_TYPES[kind]}) FROM ({read})', [values]).fetchall()
    return [value for (value,) in rows]


def parse(con: duckdb.DuckDBPyConnection, kind: ColumnKind, value: str | None, **options: Any) -> Any:
    return parse_all(con, kind, [value], **options)[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-05 12:00:00", NOON),
        ("2026-01-05T12:00:00", NOON),
        ("2026-01-05T04:00:00Z", NOON),
        ("2026-01-05T12:00:00+08:00", NOON),
        ("2026-01-05 04:00:00.000+00", NOON),
        ("２０２６-０１-０５ １２：００：００", NOON),
        ("\ufeff2026-01-05 12:00:00\u3000", NOON),
        ("2026-02-30 12:00:00", None),
        ("infinity", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_instants_and_local_where_they_name_no_zone(
    con: duckdb.DuckDBPyConnection, value: str | None, expected: datetime | None
) -> None:
    assert parse(con, "time", value) == expected


@pytest.mark.parametrize(
    ("formats", "value", "expected"),
    [
        (("%Y/%m/%d",), "2016/11/5", datetime(2016, 11, 4, 16, 0, tzinfo=UTC)),
        (("%Y/%m/%d",), "2016/13/5", None),
        (("%Y-%m-%d", "%Y#%m#%d"), "2019#3#11", datetime(2019, 3, 10, 16, 0, tzinfo=UTC)),
        (("%Y-%m-%dT%H:%M:%S%z",), "2026-01-05T12:00:00+0800", NOON),
        (("epoch_seconds",), "1767585600", NOON),
        (("epoch_milliseconds",), "1767585600000", NOON),
        (("epoch_seconds",), "1e300", None),
        (("epoch_seconds",), "soon", None),
        (("%Y-%m-%d",), "infinity", None),
        (("%Y-%m-%d",), "Epoch", None),
        (("%Y-%m-%dT%H:%M:%S%z",), "-infinity", None),
        (("%Y-%m-%d",), "1900-01-01", datetime(1899, 12, 31, 15, 54, 17, tzinfo=UTC)),
    ],
)
def test_declared_time_formats(
    con: duckdb.DuckDBPyConnection, formats: tuple[str, ...], value: str, expected: datetime | None
) -> None:
    assert parse(con, "time", value, formats=formats) == expected


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("1999", {"unit": "fen"}, Decimal("19.99")),
        ("1999", {}, Decimal("1999.00")),
        ("1,473.50", {}, Decimal("1473.50")),
        ("1,47", {}, None),
        ("１２．５", {}, Decimal("12.50")),
        ("86元", {}, None),
        ("86元", {"strip": ("元",)}, Decimal("86.00")),
        ("¥ 86", {"strip": ("元", "¥")}, Decimal("86.00")),
        ("-5", {}, Decimal("-5.00")),
        ("1e3", {}, None),
        ("nan", {}, None),
        ("99999999999999999999", {}, None),
    ],
)
def test_money(con: duckdb.DuckDBPyConnection, value: str, options: dict[str, Any], expected: Decimal | None) -> None:
    assert parse(con, "money", value, **options) == expected


@pytest.mark.parametrize(
    ("kind", "value", "options", "expected"),
    [
        ("integer", "12", {}, 12),
        ("integer", "12.0", {}, 12),
        ("integer", "12.7", {}, None),
        ("integer", "1_000", {}, None),
        ("integer", "1,473", {}, 1473),
        ("integer", "1473个", {"strip": ("个",)}, 1473),
        ("number", "4.5", {}, 4.5),
        ("number", "inf", {}, None),
        ("boolean", "TRUE", {}, True),
        ("boolean", "否", {}, False),
        ("boolean", "maybe", {}, None),
        ("word", " View ", {}, "view"),
        ("rich_text", "a<br/>b&amp;c", {}, "a\nb&c"),
        ("text", "\u3000 ", {}, None),
        ("tags", "搞钱、热门、搞钱 、", {}, ["搞钱", "热门"]),
        ("tags", '["a", "b, c"]', {}, ["a", "b, c"]),
        ("tags", "a,b;c", {"separator": ";"}, ["a,b", "c"]),
        ("day", "2026-01-05", {}, date(2026, 1, 5)),
        ("day", "Sat, Oct 11 2014", {"formats": ("%a, %b %d %Y",)}, date(2014, 10, 11)),
        ("day", "2026-02-29", {}, None),
    ],
)
def test_other_kinds(
    con: duckdb.DuckDBPyConnection, kind: ColumnKind, value: str, options: dict[str, Any], expected: object
) -> None:
    assert parse(con, kind, value, **options) == expected


@settings(deadline=None, max_examples=20, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), min_size=20, max_size=50
    )
)
def test_no_text_is_ever_an_error(con: duckdb.DuckDBPyConnection, values: list[str | None]) -> None:
    for kind in SQL_TYPES:
        assert len(parse_all(con, kind, values)) == len(values)
    for formats in (("%Y-%m-%d",), ("epoch_seconds",)):
        assert len(parse_all(con, "time", values, formats=formats)) == len(values)
