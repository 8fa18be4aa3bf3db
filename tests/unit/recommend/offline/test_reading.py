"""Files as analysts have them: what is taken as it is meant, and what each refusal names."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.offline.reading import read_events, read_items

HEAD = "user_id,domain,item_id,ts\n"


def _file(folder, content: str | bytes, name: str = "e.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _times(folder, *texts: str) -> list[int]:
    rows = "".join(f"u,a,{number},{text}\n" for number, text in enumerate(texts))
    return read_events(_file(folder, HEAD + rows))["ts"].to_pylist()


def test_ids_stay_as_they_are_written(tmp_path) -> None:
    found = read_events(_file(tmp_path, "user_id,domain,item_id\n001,1,1.0\n1,01,1\n1e3,1,1000\n"))
    assert found["user_id"].to_pylist() == ["001", "1", "1e3"]
    assert found["domain"].to_pylist() == ["1", "01", "1"]
    assert found["item_id"].to_pylist() == ["1.0", "1", "1000"]
    items = read_items(_file(tmp_path, "item_id,domain,type\n01,a,1\n1,a,2\n", "i.csv"))
    assert items["item_id"].to_pylist() == ["01", "1"]


def test_a_byte_order_mark_chinese_ids_and_capitals_in_the_name_are_read(tmp_path) -> None:
    text = "\ufeff" + HEAD + '"人 1",美妆,"口红, 红",2024-01-02\r\n'
    found = read_events(_file(tmp_path, text, "E.CSV")).to_pylist()
    assert found == [{"user_id": "人 1", "domain": "美妆", "item_id": "口红, 红", "ts": 1704153600, "weight": 1.0}]


def test_texts_may_have_several_lines(tmp_path) -> None:
    text = 'item_id,domain,title,description\n1,a,Soap,"Mild\n\nand cheap"\n2,a,Cream,\n'
    assert read_items(_file(tmp_path, text))["text"].to_pylist() == ["Soap\nMild\n\nand cheap", "Cream"]


def test_times_mean_the_same_in_every_form(tmp_path) -> None:
    moment = 1704153600
    assert _times(tmp_path, str(moment), "0") == [moment, 0]
    assert _times(tmp_path, f"{moment}.75") == [moment]
    assert _times(tmp_path, "2024-01-02", "2024-01-02 00:00:01") == [moment, moment + 1]
    assert _times(tmp_path, "2024-01-02T00:00:00.5", "2024-01-02 00:00") == [moment, moment]
    assert _times(tmp_path, "2024-01-02T08:00:00+08:00", "2024-01-02T00:00:00Z") == [moment, moment]
    assert _times(tmp_path, "2024-01-02 00:00:00.123456789") == [moment]
    assert _times(tmp_path, "", "") == [None, None]
    table = pa.table({"user_id": ["u"], "domain": ["a"], "item_id": ["1"], "ts": np.array([moment], "datetime64[s]")})
    table = table.set_column(3, "ts", pa.array([moment * 10**9 + 1], pa.timestamp("ns", "Asia/Shanghai")))
    pa.parquet.write_table(table, tmp_path / "e.parquet")
    assert read_events(tmp_path / "e.parquet")["ts"].to_pylist() == [moment]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("1704153600000",), "row 1 has a ts beyond the year 9999.*milliseconds"),
        (("1", "inf"), "row 2 has a ts beyond the year 9999"),
        (("1", "", "2"), "row 2 has no ts: give a time to every row or to none"),
        (("1", "2", "yesterday"), "row 3: ts 'yesterday' is not seconds since 1970, or times like 2024-01-31"),
        (("2024-01-02", "2024-01-02", "2024-01-02T08:00:00+08:00"), "row 3: ts '2024-01-02T08:00:00.08:00' is not"),
        (("2024-01-02", "1704153600"), "row 2: ts '1704153600' is not"),
        (("2024/1/2",), "row 1: ts '2024/1/2' is not"),
        (("20240102", "20240301"), "ts looks like days without dashes .20240102."),
    ],
)
def test_times_that_are_none_are_named(tmp_path, texts, message) -> None:
    with pytest.raises(InputError, match=f"e.csv: {message}"):
        _times(tmp_path, *texts)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", "", "e.csv cannot be read: Empty CSV file; give CSV"),
        ("e.csv", HEAD, "e.csv has no rows"),
        ("e.csv", HEAD + "u,a,1,1\nu,a,1\n", "e.csv cannot be read: .*Row #3: Expected 4 columns, got 3"),
        ("e.csv", (HEAD + "人,a,1,1\n").encode("gbk"), "e.csv cannot be read: .*in UTF-8"),
        ("e.csv", HEAD.replace(",", ";"), "lacks the column user_id, domain, item_id.*separate the columns by commas"),
        ("e.csv", "user_id,domain,item_id,user_id\nu,a,1,v\n", "e.csv has the column user_id twice"),
        ("e.csv", HEAD + "u,a,1,1\n,a,1,1\n", "row 2 has no user_id"),
        ("e.csv", HEAD + "u,a,1,1\nu,a,NULL,1\n", "row 2 has no item_id"),
        ("e.csv", HEAD + "u,  ,1,1\n", "row 1 has no domain"),
        ("e.csv.gz", "no gzip", "e.csv.gz cannot be read"),
        ("e.csv.gz", gzip.compress((HEAD + "u,a,1,1\n" * 9).encode())[:-12], "e.csv.gz cannot be read"),
        ("e.parquet", "no parquet", "e.parquet cannot be read"),
        (
            "e.jsonl",
            '{"user_id": ["u"], "domain": "a", "item_id": "1"}',
            "the column user_id is list.*: give a text or",
        ),
        ("e.txt", HEAD, "e.txt has no known form"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, message) -> None:
    with pytest.raises(InputError, match=message):
        read_events(_file(tmp_path, content, name))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["view,", "pv,"], "row 2 has an unknown event_type: give attend, .*, or leave the column out"),
        (["VIEW,"], "row 1 has an unknown event_type"),
        (["view,", ","], "row 2 has no event_type"),
        (["rating,4", "rating,good"], "row 2: value 'good' is not a number"),
        (["impression,", "unsubscribe,"], "no row says what a person likes"),
        (["impression,", "refund,"], "no row says what a person likes"),
    ],
)
def test_types_and_values_that_say_nothing_are_named(tmp_path, rows, message) -> None:
    text = "user_id,domain,item_id,event_type,value\n" + "".join(f"u,a,1,{row}\n" for row in rows)
    with pytest.raises(InputError, match=message):
        read_events(_file(tmp_path, text))


def test_a_catalogue_lists_an_item_once(tmp_path) -> None:
    head = "item_id,domain,title\n"
    again = read_items(_file(tmp_path, head + "2,a,Soap\n1,a,Cream\n2,a,Soap\n2,b,Soap\n"))
    assert [tuple(row.values()) for row in again.select(["item_id", "domain"]).to_pylist()] == [
        ("2", "a"), ("1", "a"), ("2", "b"),
    ]  # fmt: skip
    with pytest.raises(InputError, match="row 3 describes item 2 of a in another way: list it once"):
        read_items(_file(tmp_path, head + "2,a,Soap\n1,a,Cream\n2,a,Sope\n"))
