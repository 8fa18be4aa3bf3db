"""What is hidden in any kind of file is found; what only looks like it is not."""

import bz2
import gzip
import io
import json
import lzma
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import joblib
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from crossdomain.storage.contents import Hit, Needle, Unreadable, search

WORD = Needle("word", b"K10023", whole_word=True)
KEY = Needle("key", bytes(range(200, 216)), is_text=False)
HEX = Needle("hex", bytes(range(200, 216)).hex().encode())
PADDING = b"x,y,z\n" * 5000


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def found(con: duckdb.DuckDBPyConnection, path: Path, *needles: Needle) -> set[tuple[str, str]]:
    hits = list(search(con, path, needles or (WORD, KEY, HEX)))
    assert not any(isinstance(hit, Unreadable) for hit in hits), hits
    return {(hit.what, hit.within) for hit in hits if isinstance(hit, Hit)}


def text(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def zipped(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", content)


def doubly_packed(path: Path, content: bytes) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep.csv.gz", gzip.compress(content))
    path.write_bytes(bz2.compress(inner.getvalue()))


def zstd(path: Path, content: bytes) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(content)


def lz4(path: Path, content: bytes) -> None:
    with pa.CompressedOutputStream(str(path), "lz4") as stream:
        stream.write(content)


STREAMS: dict[str, Callable[[Path, bytes], object]] = {
    "text": text,
    "gzip": lambda path, content: path.write_bytes(gzip.compress(content)),
    "bzip2": lambda path, content: path.write_bytes(bz2.compress(content)),
    "xz": lambda path, content: path.write_bytes(lzma.compress(content)),
    "zlib": lambda path, content: path.write_bytes(zlib.compress(content)),
    "zstd": zstd,
    "lz4": lz4,
    "zip": zipped,
    "gzip in zip in bzip2": doubly_packed,
}


@pytest.mark.parametrize("kind", STREAMS)
def test_streams_and_containers(con: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    STREAMS[kind](path, PADDING + b"a,K10023,b\n" + KEY.content + PADDING)
    assert {what for what, _ in found(con, path)} == {"word", "key"}
    STREAMS[kind](path, PADDING + b"a,K100234,b\n" + KEY.content[:-1] + PADDING)
    assert found(con, path) == set()


@pytest.mark.parametrize("offset", range(-8, 3))
def test_across_the_edges_of_what_is_read_at_once(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr("crossdomain.storage.contents._CHUNK", 1 << 12)
    path = tmp_path / "file"
    path.write_bytes(b"\n" * ((1 << 13) + offset) + b"K10023" + b"\n" * 5000)
    (hit,) = search(con, path, [WORD])
    assert isinstance(hit, Hit)
    assert (hit.count, hit.where) == (1, f"line {(1 << 13) + offset + 1}, byte {(1 << 13) + offset}")


def test_cells_of_parquet_whatever_their_type(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    rows = 3000
    blobs = [bytes([number % 251]) * 16 for number in range(rows)]
    table = pa.table(
        {
            "plain": pa.array(["v"] * rows),
            "word": pa.array(["a"] * 2999 + ["ask K10023!"]),
            "near": pa.array(["K100234"] * rows),
            "blob": pa.array([*blobs[:-1], KEY.content], pa.binary()),
            "list": pa.array([["x"]] * 2999 + [["y", "K10023"]]),
            "blobs": pa.array([[b"z"]] * 2999 + [[b"", KEY.content]], pa.list_(pa.binary())),
            "nested": pa.array([{"a": 1, "b": "q"}] * 2999 + [{"a": 2, "b": "K10023"}]),
            "hex": pa.array(["0"] * 2999 + [HEX.content.decode()]),
        }
    )
    pq.write_table(table, path, compression="zstd")
    hits = {(hit.what, hit.within, hit.where) for hit in search(con, path, [WORD, KEY, HEX]) if isinstance(hit, Hit)}
    cells = {(what, within) for what, within, where in hits if within and where == "row 2999"}
    assert cells == {
        ("word", "word"), ("key", "blob"), ("word", "list"), ("key", "blobs"), ("word", "nested"), ("hex", "hex"),
    }  # fmt: skip


def test_a_thousand_rows_that_only_look_like_it_hide_nothing(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"user": ["K100234"] * 5000 + ["K10023"]}), path)
    assert ("word", "user") in found(con, path, WORD)


def test_numbers_are_searched_as_text(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"user": [80000108, 7], "other": [1, 800001081]}), path)
    assert found(con, path, Needle("id", b"80000108", whole_word=True)) == {("id", "user")}


def test_databases(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    path = tmp_path / "serving.duckdb"
    with duckdb.connect(str(path)) as database:
        database.execute("CREATE TABLE people AS SELECT 'K' || range AS id, ''::BLOB AS key FROM range(20000)")
        database.execute("INSERT INTO people VALUES ('no', ?)", [KEY.content])
    assert {("word", "people.id"), ("key", "people.key")} <= found(con, path)
    path = tmp_path / "airflow.db"
    with sqlite3.connect(path) as lite:
        lite.execute("CREATE TABLE log (n, t)")
        lite.executemany("INSERT INTO log VALUES (?, ?)", [(1, "x"), (2, "of K10023"), (3, KEY.content)])
    lite.close()
    assert {("word", "log.t"), ("key", "log.t")} <= found(con, path)


def test_models_workbooks_and_arrays(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    joblib.dump({"users": ["K1", "K10023"] * 500}, tmp_path / "model.joblib", compress=3)
    np.savez_compressed(tmp_path / "model.npz", users=np.array([b"K1", b"K10023"] * 500))
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["a", "K10023"])
    book.save(tmp_path / "book.xlsx")
    (tmp_path / "names.json").write_text(json.dumps({"K10023": 1}), encoding="utf-8")
    for path in sorted(tmp_path.iterdir()):
        assert "word" in {what for what, _ in found(con, path)}, path.name


def test_the_log_of_a_delta_table_and_its_checkpoint(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pa.table({"user": ["K10023", "K1"], "n": [1, 2]}), partition_by=["user"])
    from deltalake import DeltaTable

    DeltaTable(str(tmp_path / "t")).create_checkpoint()
    log = tmp_path / "t" / "_delta_log"
    for pattern in ("*.json", "*.checkpoint.parquet"):
        (path,) = [path for path in log.glob(pattern) if path.name.startswith("0")]
        assert "word" in {what for what, _ in found(con, path)}, pattern


def test_what_cannot_be_decoded_is_said(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    whole = gzip.compress(PADDING * 100)
    for name, content in {
        "a.gz": whole[: len(whole) // 2],
        "b.parquet": b"PAR1" + b"x" * 50,
        "c.zip": b"PK\x03\x04x",
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert any(isinstance(hit, Unreadable) for hit in search(con, path, [WORD])), name
