"""People in delivered files: theirs goes, everybody else's stays where it was, byte for byte."""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossdomain.errors import CrossdomainError
from crossdomain.governance.landing import FileForm, Searcher
from crossdomain.governance.subjects import Subject, make_subject
from crossdomain.storage.keys import Keyring

KEYS = Keyring(pseudonym=b"p" * 32, erasure=b"e" * 32)
DOMAINS = ("knowledge", "beauty")
ANN = make_subject(KEYS, "knowledge", "K10023")
SHORT = make_subject(KEYS, "knowledge", "12")


def form(kind: str = "csv", encoding: str = "utf-8", constants: Mapping[str, str] | None = None) -> FileForm:
    given = {"domain": "knowledge"} if constants is None else constants
    return FileForm(kind, encoding, None, {"user_id": "user", "domain": "side"}, given, ["user_id"])


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def search(con: duckdb.DuckDBPyConnection, *subjects: Subject) -> Searcher:
    return Searcher(con, subjects or [ANN], DOMAINS)


HEADER = b"id,user,text\r\n"


def test_a_persons_lines_become_blank_and_all_others_stay_byte_for_byte(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    lines = [HEADER, b"1,K10022,a\r\n", b"2,K10023,b\r\n", b"3,K100234,c\r\n", b'4," K10023 ","d"\r\n', b"5,K1,e"]
    path = tmp_path / "events.csv"
    path.write_bytes(b"".join(lines))
    path.chmod(0o640)
    found = search(con).take_out(path, form())
    assert found.counts == {(ANN.name, "own"): 2}
    assert path.read_bytes() == b"".join([*lines[:2], b"\r\n", lines[3], b"\r\n", lines[5]])
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"
    before = path.stat()
    assert search(con).take_out(path, form()).counts == {}
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns), "not written again"


def test_a_record_of_several_lines_goes_whole_and_the_next_one_keeps_its_number(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(HEADER + b'1,K10023,"first\nsecond, ""quoted""\nthird"\n2,K2,"kept\nwhole"\n')
    search(con).take_out(path, form())
    assert path.read_bytes() == HEADER + b'\n\n\n2,K2,"kept\nwhole"\n'


def test_gb18030_is_read_as_such_and_stays(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    # the last byte of 両 is an ASCII letter in GB18030: a search of bytes would take it for a part of the word
    text = "编号,会员号,备注\n1,K10023,化妆水\n2,K9,推荐人両K10023很好\n3,K8,面霜€\n"
    path = tmp_path / "members.csv"
    path.write_bytes(text.encode("gb18030"))
    assert "両".encode("gb18030")[-1:].isalnum()
    given = FileForm("csv", "gb18030", None, {"user_id": "会员号"}, {"domain": "knowledge"}, ["user_id"])
    assert search(con).take_out(path, given).counts == {(ANN.name, "own"): 1, (ANN.name, "mention"): 1}
    assert path.read_bytes().decode("gb18030") == "编号,会员号,备注\n\n2,K9,推荐人両[erased]很好\n3,K8,面霜€\n"


def test_another_domains_account_of_the_same_id_is_somebody_else(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "consents.csv"
    path.write_text("user,side,x\nK10023,knowledge,1\nK10023,Beauty,2\nK10023,KNOWLEDGE,3\nK10023,,4\nK10023,??,5\n")
    found = search(con).take_out(path, form(constants={}))
    assert found.of("own") == {ANN.name: 4}, "a domain that cannot be read does not protect the row"
    assert [line for line in path.read_text().splitlines() if line][1:] == ["[erased],Beauty,2"]


def test_a_short_id_is_only_an_id_where_ids_stand(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("id,user,price\n12,7,12\n13,12,5\n14,8,12.5\n")
    assert search(con, SHORT).take_out(path, form()).counts == {(SHORT.name, "own"): 1}
    assert path.read_text() == "id,user,price\n12,7,12\n\n14,8,12.5\n"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (b"2,K10023\n", b"\n"),  # too few cells: what is no record names its person only in its text
        (b"2,x,y,z,K10023\n", b"\n"),
        (b'2,"K10023,unclosed\n3,K5,kept\n', b"\n3,K5,kept\n"),  # an unclosed quote does not take the rest with it
        (b"2,,K10023\n", b"\n"),  # nobody's record that names a person
    ],
)
def test_unreadable_lines_that_name_a_person_go(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, line: bytes, left: bytes
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(HEADER + b"1,K1,a\n" + line)
    search(con).take_out(path, form())
    assert path.read_bytes() == HEADER + b"1,K1,a\n" + left


def test_packed_files_stay_packed(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(HEADER + b"1,K10023,a\n2,K2,b\n"))
    search(con).take_out(path, form())
    assert gzip.decompress(path.read_bytes()) == HEADER + b"\n2,K2,b\n"


def test_lines_of_json(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    given = FileForm("jsonl", "utf-8", None, {"user_id": "who.id"}, {"domain": "knowledge"}, ["user_id"])
    rows = [
        {"who": {"id": "K10023"}, "n": 1},
        {"who": {"id": "K2"}, "invited_by": "K10023"},
        {"who": {"id": "K3"}, "n": 3},
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), '{"who": {"id": "K10023"', ""]))
    search(con).take_out(path, given)
    first, second, third, broken = path.read_text().splitlines()
    assert (first, broken) == ("", "")
    assert json.loads(second) == {"who": {"id": "K2"}, "invited_by": "[erased]"}
    assert json.loads(third) == rows[2]


def test_rows_of_parquet(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "coupons.parquet"
    table = pa.table({"user": ["K1", "K10023", "K2"], "a.note": ["K10023 asked", "x", "y"], "n": [1, 2, 3]})
    pq.write_table(table, path)
    assert search(con).take_out(path, form("parquet")).counts == {(ANN.name, "own"): 1, (ANN.name, "mention"): 1}
    left = pq.read_table(path)
    assert [(f.name, f.type) for f in left.schema] == [(f.name, f.type) for f in table.schema]
    assert left.to_pydict() == {"user": ["K1", "K2"], "a.note": ["[erased] asked", "y"], "n": [1, 3]}


def test_cells_of_a_workbook(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    number = make_subject(KEYS, "knowledge", "80000108")
    for row in (["user", "n", "note"], [80000108, 1, None], ["K2", 2, "of 80000108"], ["K3", 2.5, "x"]):
        page.append(row)
    path = tmp_path / "members.xlsx"
    book.save(path)
    found = search(con, number).take_out(path, form("xlsx"))
    assert found.counts == {(number.name, "own"): 1, (number.name, "mention"): 1}
    rows = list(openpyxl.load_workbook(path).active.iter_rows(values_only=True))  # type: ignore[union-attr]
    assert rows == [("user", "n", "note"), (None, None, None), ("K2", 2, "of [erased]"), ("K3", 2.5, "x")]


def test_a_link_goes_with_either_of_its_two(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    columns = ("knowledge_user_id", "beauty_user_id")
    given = FileForm("csv", "utf-8", None, {name: name for name in columns}, {}, columns)
    beauty = make_subject(KEYS, "beauty", "K10023")
    text = "knowledge_user_id,beauty_user_id\nK10023,B1\nK5,K10023\nK6,B6\n"
    path = tmp_path / "links.csv"
    path.write_text(text)
    search(con).take_out(path, given)
    assert path.read_text() == "knowledge_user_id,beauty_user_id\n\nK5,[erased]\nK6,B6\n"
    path.write_text(text)
    search(con, beauty).take_out(path, given)
    assert path.read_text() == "knowledge_user_id,beauty_user_id\n[erased],B1\n\nK6,B6\n"


def test_units_of_an_experiment_that_are_no_people_stay(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    names = ("unit_type", "unit_id", "domain")
    given = FileForm("csv", "utf-8", None, {name: name for name in names}, {}, ["unit_id"])
    path = tmp_path / "exposures.csv"
    path.write_text(
        "unit_type,unit_id,domain\naccount,K10023,knowledge\nperson,K10023,\ndevice,12,\naccount,K10023,beauty\n"
    )
    assert search(con).find(path, given).of("own") == {ANN.name: 2}
    assert search(con, SHORT).find(path, given).counts == {}


def test_a_file_that_cannot_be_read_is_named(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(HEADER + b"1,K10023,a\n" * 10_000)[:-20])
    with pytest.raises(CrossdomainError, match=r"events\.csv\.gz: cannot be searched"):
        search(con).take_out(path, form())


@pytest.mark.parametrize("at_once", [16, 61, 1000, 1 << 22])
def test_what_is_left_is_still_a_file_that_csv_reads(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("crossdomain.storage.delivered_files._CHUNK", at_once)
    path = tmp_path / "events.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "user", "text"])
        for number in range(200):
            writer.writerow([number, f"K{10000 + number % 50}", 'a "quoted"\nline, with all' * (number % 3)])
    with path.open(newline="") as file:
        expected = [row for row in csv.reader(file) if row[1] != "K10023"]
    lines = path.read_bytes().count(b"\n")
    assert search(con).take_out(path, form()).of("own") == {ANN.name: 4}
    with path.open(newline="") as file:
        assert [row for row in csv.reader(file) if row] == expected
    assert path.read_bytes().count(b"\n") == lines
