from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import openpyxl
import pytest

from crossdomain.errors import InputError
from crossdomain.ingest.feeds import load_feed
from crossdomain.ingest.readers import find_lines, read_file
from tests.unit.ingest.conftest import EVENTS_HEADER, World

ITEMS: dict[str, Any] = {
    "feed": "columns",
    "table": "items",
    "kind": "snapshot",
    "format": "jsonl",
    "constants": {"domain": "knowledge"},
    "columns": {"item_id": "id", "title": "title", "sales": "num.readers", "tags": "tags"},
}


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


class FileReport(NamedTuple):
    file: str
    rows: int
    unmapped: tuple[str, ...]
    missing: tuple[str, ...]


class Reader:
    def __init__(self, world: World, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
        self.world, self.con, self.scratch, self.folder = world, con, tmp_path / "scratch", tmp_path / "files"
        self.scratch.mkdir()
        self.folder.mkdir()

    def read(self, name: str, content: str | bytes, **feed: Any) -> FileReport:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self.read_path(path, **feed)

    def read_path(self, path: Path, **feed: Any) -> FileReport:
        loaded = load_feed(
            self.world.settings.include / "feeds" / f"{self.world.feed(**feed)}.yaml", self.world.settings
        )
        records = read_file(self.con, loaded, path, self.scratch)
        self.con.execute(f"CREATE OR REPLACE TABLE read_once AS {records.rows}")
        ((rows,),) = self.con.execute("SELECT count(*) FROM read_once").fetchall()
        lines = find_lines(self.con, loaded, records, "SELECT *, rowid AS file_row_number FROM read_once", rows)
        in_place = "SELECT * REPLACE (coalesce(_line, rowid + 2) AS _line) FROM read_once"
        source = f"{lines.numbered} UNION ALL BY NAME ({lines.unreadable})" if lines else in_place
        self.con.execute(f"CREATE OR REPLACE TABLE landing AS {source}")
        ((rows,),) = self.con.execute("SELECT count(*) FROM landing").fetchall()
        return FileReport(records.file, rows, records.unmapped, records.missing)

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        return self.con.execute(f"SELECT {columns} FROM landing ORDER BY _line").fetchall()


@pytest.fixture
def reader(world: World, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> Reader:
    return Reader(world, con, tmp_path)


def test_csv_values_are_kept_as_delivered(reader: Reader) -> None:
    report = reader.read("a.csv", EVENTS_HEADER + "e1,u1,i1,View ,2026-01-05 10:00:00,1999\n")
    assert report == FileReport("a.csv", 1, (), ())
    assert reader.rows("event_id, event_type, value, domain, quantity, extra, _file, _line, _reason") == [
        ("e1", "View ", "1999", "beauty", None, None, "a.csv", 2, None)
    ]


def test_lines_are_physical_ones_whatever_stands_between(reader: Reader) -> None:
    content = EVENTS_HEADER + 'e1,u,i,"vi\new",t,1\nragged,u\n\ne2,u,i,v,t,1,too many\ne3,u,"x"y,v,t,1\ne4,u,i,v,t,1'
    report = reader.read("a.csv", content)
    assert report.rows == 5
    assert reader.rows("event_id, _line, _reason") == [
        ("e1", 2, None),
        (None, 4, "ragged_line"),
        (None, 6, "ragged_line"),
        (None, 7, "malformed_line"),
        ("e4", 8, None),
    ]
    assert json.loads(reader.rows("extra")[1][0]) == {"_line": "ragged,u"}


def test_a_quote_inside_a_value_opens_nothing(reader: Reader) -> None:
    reader.read(
        "a.csv", EVENTS_HEADER + 'e1,6"u,i,v,t,1\ne2,u,i,"a ""b"", c",t,1\nragged,u\ne3,u,i,"x\n""",t,1\nshort\n'
    )
    assert reader.rows("event_id, _line, _reason") == [
        ("e1", 2, None),
        ("e2", 3, None),
        (None, 4, "ragged_line"),
        ("e3", 5, None),
        (None, 7, "ragged_line"),
    ]


def test_a_line_stands_for_one_row_however_broken_the_quotes_are(reader: Reader) -> None:
    broken = ['e1,u,i,"v,t,1', 'e2,u,i,v"",t,1', "e3,u", 'e4,"u"x,i,v,t,1', '"', 'e5,u,i,v,"t"",1', "e6,u,i,v,t,1"]
    for start in range(len(broken)):
        reader.read("a.csv", EVENTS_HEADER + "\n".join(broken[start:] + broken[:start]) + "\n")
        assert reader.con.execute("SELECT count(*) = count(DISTINCT _line) FROM landing").fetchall() == [(True,)]


def test_unreadable_lines_of_a_large_file_keep_their_number(reader: Reader) -> None:
    bad = {17, 30_000, 59_999}
    lines = ["ragged" if number in bad else f"e{number},u,i,v,t,1" for number in range(2, 60_002)]
    reader.read("a.csv", EVENTS_HEADER + "\n".join(lines) + "\n")
    assert reader.con.execute("SELECT _line FROM landing WHERE _reason = 'ragged_line' ORDER BY 1").fetchall() == [
        (17,), (30_000,), (59_999,)
    ]  # fmt: skip
    assert reader.con.execute("SELECT count(*) FROM landing WHERE event_id <> 'e' || _line").fetchall() == [(0,)]


def test_embedded_nul_marks_the_row(reader: Reader) -> None:
    reader.read("a.csv", EVENTS_HEADER + "e1,u,i,v,t,1\ne\0,u,i,v,t,1\n")
    assert reader.rows("_line, _reason") == [(2, None), (3, "embedded_nul")]


def test_unknown_column_is_kept_and_reported_a_missing_optional_one_is_null(reader: Reader) -> None:
    report = reader.read("a.csv", "id,user,action,time,mood\ne1,u,v,t,好\n")
    assert (report.unmapped, report.missing) == (("mood",), ("item", "fen"))
    assert reader.rows("item_id, extra") == [(None, '{"mood":"好"}')]


def test_ignored_columns_are_dropped(reader: Reader) -> None:
    report = reader.read("a.csv", "id,user,action,time,mood\ne1,u,v,t,x\n", ignore=["mood"])
    assert report.unmapped == ()
    assert reader.rows("extra") == [(None,)]


def test_missing_required_column_refuses_the_file(reader: Reader) -> None:
    with pytest.raises(
        InputError, match=r"a\.csv: column 'time' .for events\.ts, required. is missing; .*has id, user"
    ):
        reader.read("a.csv", "id,user,item,action\ne1,u,i,v\n")


def test_column_twice_in_the_header_is_refused(reader: Reader) -> None:
    with pytest.raises(InputError, match="line 1: column 'id' stands twice"):
        reader.read("a.csv", "id,id,user,action,time\n")


def test_tsv_and_crlf(reader: Reader) -> None:
    reader.read("a.tsv", EVENTS_HEADER.replace(",", "\t").replace("\n", "\r\n") + "e1\tu\ti\tv\tt\t1\r\n", format="tsv")
    assert reader.rows("event_id, value, _line") == [("e1", "1", 2)]


def test_json_lines_with_paths_lists_and_rubbish(reader: Reader) -> None:
    lines = [
        '{"id": 7, "title": "A", "num": {"readers": 5, "contents": 9}, "tags": ["x", "y"], "owner": "o"}',
        "",
        "{broken",
        '[1, 2]',
        '{"id": "8", "num": {"readers": null}}',
    ]  # fmt: skip
    report = reader.read("a.jsonl", "\r\n".join(lines), base=ITEMS)
    assert report.unmapped == ("owner", "num.contents")
    assert report.rows == 4
    assert reader.rows("item_id, title, sales, tags, _line, _reason") == [
        ("7", "A", "5", '["x","y"]', 1, None),
        (None, None, None, None, 3, "malformed_line"),
        (None, None, None, None, 4, "malformed_line"),
        ("8", None, None, None, 5, None),
    ]
    assert json.loads(reader.rows("extra")[0][0]) == {"owner": "o", "num.contents": "9"}


def test_parquet_values_become_text(reader: Reader) -> None:
    path = reader.folder / "a.parquet"
    reader.con.execute(
        "COPY (SELECT 1 AS id, 'T' AS title, ['a', 'b'] AS tags, {'readers': 3} AS num, "
        "TIMESTAMP '2026-01-05 10:00:00' AS t) "
        f"TO '{path}'"
    )
    feed = {**ITEMS, "format": "parquet", "columns": {"item_id": "id", "tags": "tags", "listed_at": "t"}}
    report = reader.read_path(path, base=feed)
    assert report.unmapped == ("title", "num")
    assert reader.rows("item_id, tags, listed_at, _line") == [("1", '["a","b"]', "2026-01-05 10:00:00", 1)]


def test_truncated_parquet_is_refused(reader: Reader) -> None:
    path = reader.folder / "a.parquet"
    reader.con.execute(f"COPY (SELECT range AS id FROM range(100)) TO '{path}'")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.parquet: truncated or not Parquet"):
        reader.read_path(path, base={**ITEMS, "format": "parquet", "columns": {"item_id": "id"}})


def test_sheet_keeps_dirty_cells_and_their_row(reader: Reader) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "销售"
    for row in (["id", "title", "price"], ["a", "甲", 12.0], [None, None, None], ["b", datetime(2019, 3, 11), "86元"]):  # noqa: DTZ001
        sheet.append(row)
    path = reader.folder / "a.xlsx"
    book.save(path)
    feed = {**ITEMS, "format": "xlsx", "columns": {"item_id": "id", "title": "title", "price": "price"}}
    reader.read_path(path, base=feed)
    assert reader.rows("item_id, title, price, _file, _line") == [
        ("a", "甲", "12", "a.xlsx#销售", 2),
        ("b", "2019-03-11 00:00:00", "86元", "a.xlsx#销售", 4),
    ]


def test_rubbish_for_a_sheet_is_refused(reader: Reader) -> None:
    with pytest.raises(InputError, match="truncated or not an xlsx file"):
        reader.read("a.xlsx", b"PK\x03\x04rubbish", base={**ITEMS, "format": "xlsx"})
