"""Looks for needles in what files say once decoded.

A search of compressed bytes finds nothing and proves nothing. So containers are opened and streams decompressed,
however deeply they lie in each other, tables are read cell by cell, and every file is read as it is, too.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import duckdb
import pyarrow as pa

from crossdomain.storage.engine import file_literal, literal

_CHUNK = 1 << 22
_OVERLAP = 1 << 10
_DEEPEST = 4
_MOST_ROWS = 1000
_CELL_END = "\x1f"
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")


@dataclass(frozen=True)
class Needle:
    """What is looked for.

    Attributes:
        what: Says what it is, without showing it.
        content: Its bytes; text in UTF-8.
        whole_word: Whether a letter, digit or underscore beside it makes it another word.
        is_text: Whether it may stand in a cell of text; else only in bytes.
    """

    what: str
    content: bytes = field(repr=False)
    whole_word: bool = False
    is_text: bool = True


@dataclass(frozen=True)
class Hit:
    """Needles of one kind in one place of a file.

    Attributes:
        what: ``Needle.what``.
        within: Member, table and column; empty for the file's own bytes.
        where: First line of text (from 1), byte of a stream, or row of a table (from 0), with its name.
        count: How often; rows of a table, counted up to a thousand.
    """

    what: str
    within: str
    where: str
    count: int


@dataclass(frozen=True)
class Unreadable:
    """A part of a file that could not be decoded, and why."""

    within: str
    reason: str


def search(con: duckdb.DuckDBPyConnection, path: Path, needles: Sequence[Needle]) -> Iterator[Hit | Unreadable]:
    """Finds needles in a file: in its bytes and in whatever they can be decoded to.

    Args:
        con: A connection to read tables with.
        path: The file.
        needles: What is looked for.

    Raises:
        FileNotFoundError: The file is gone.
    """
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        yield from _in_stream(file, "", needles)
    if head.startswith(b"SQLite format 3\0"):
        yield from _guarded(lambda: _in_sqlite(path, needles), "", (sqlite3.Error,))
    elif head[8:12] == b"DUCK":
        yield from _guarded(lambda: _in_duckdb(path, needles), "", (duckdb.Error,))
    elif head.startswith(b"PAR1"):
        source = f"read_parquet({file_literal(path)}, hive_partitioning = false)"
        yield from _guarded(lambda: _in_table(con, source, "", needles), "", (duckdb.Error,))
    else:
        with path.open("rb") as file:
            yield from _in_container(file, "", 0, needles)


# streams -------------------------------------------------------------------------------------------


def _in_stream(file: IO[bytes], within: str, needles: Sequence[Needle]) -> Iterator[Hit]:
    found: dict[str, list[int]] = {}
    offset, before, lines = 0, b"", 0
    first: dict[str, str] = {}
    while block := file.read(_CHUNK):
        content = before + block
        for needle in needles:
            for place in _places(content, needle):
                if place + len(needle.content) <= len(before):
                    continue  # was seen in the chunk before
                found.setdefault(needle.what, []).append(place)
                line = lines + content.count(b"\n", 0, place) + 1
                first.setdefault(needle.what, f"line {line}, byte {offset - len(before) + place}")
        lines += content.count(b"\n", 0, max(0, len(content) - _OVERLAP))
        offset += len(block)
        before = content[-_OVERLAP:]
    for what, places in found.items():
        yield Hit(what, within.rstrip("/"), first[what], len(places))


def _places(content: bytes, needle: Needle) -> Iterator[int]:
    place = content.find(needle.content)
    while place >= 0:
        end = place + len(needle.content)
        beside = (content[place - 1 : place] if place else b"") + content[end : end + 1]
        if not needle.whole_word or not any(byte in _WORD for byte in beside):
            yield place
        place = content.find(needle.content, place + 1)


def _in_container(file: IO[bytes], within: str, depth: int, needles: Sequence[Needle]) -> Iterator[Hit | Unreadable]:
    """What a container or compressed stream holds; nothing if it is neither."""
    head = file.read(16)
    file.seek(0)
    if depth == _DEEPEST:
        return
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _guarded(lambda: _in_zip(file, within, depth, needles), within, _BROKEN)
        return
    for name, recognised, opened in _STREAMS:
        if recognised(head):
            place = f"{within}{name}/"

            def decoded(
                place: str = place, opened: Callable[[IO[bytes]], IO[bytes]] = opened
            ) -> Iterator[Hit | Unreadable]:
                yield from _in_member(opened(file), place, depth, needles)

            yield from _guarded(decoded, place, _BROKEN)
            return


def _in_zip(file: IO[bytes], within: str, depth: int, needles: Sequence[Needle]) -> Iterator[Hit | Unreadable]:
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                yield from _in_member(member, f"{within}{name}/", depth, needles)


def _in_member(stream: IO[bytes], within: str, depth: int, needles: Sequence[Needle]) -> Iterator[Hit | Unreadable]:
    yield from _in_stream(stream, within, needles)
    stream.seek(0)
    head = stream.read(16)
    stream.seek(0)
    if head.startswith(b"PK\x03\x04") or any(recognised(head) for _, recognised, _ in _STREAMS):
        yield from _in_container(io.BytesIO(stream.read()), within, depth + 1, needles)


def _zlib(file: IO[bytes]) -> IO[bytes]:
    """Joblib and others write bare zlib streams."""
    return io.BytesIO(zlib.decompress(file.read()))


def _xz(file: IO[bytes]) -> IO[bytes]:
    return io.BytesIO(lzma.decompress(file.read()))


def _arrow(codec: str) -> Callable[[IO[bytes]], IO[bytes]]:
    def opened(file: IO[bytes]) -> IO[bytes]:
        return io.BytesIO(pa.CompressedInputStream(pa.PythonFile(file), codec).read())

    return opened


_STREAMS: tuple[tuple[str, Callable[[bytes], bool], Callable[[IO[bytes]], IO[bytes]]], ...] = (
    ("gzip", lambda head: head.startswith(b"\x1f\x8b"), lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file))),
    ("bzip2", lambda head: head.startswith(b"BZh"), lambda file: cast("IO[bytes]", bz2.BZ2File(file))),
    ("xz", lambda head: head.startswith(b"\xfd7zXZ\0"), _xz),
    ("zstd", lambda head: head.startswith(b"\x28\xb5\x2f\xfd"), _arrow("zstd")),
    ("lz4", lambda head: head.startswith(b"\x04\x22\x4d\x18"), _arrow("lz4")),
    ("zlib", lambda head: head[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"), _zlib),
)
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError, pa.ArrowException, RuntimeError)


# tables --------------------------------------------------------------------------------------------


def _in_duckdb(path: Path, needles: Sequence[Needle]) -> Iterator[Hit]:
    with closing(duckdb.connect(str(path), read_only=True)) as con:
        names = con.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        for schema, name in names:
            yield from _in_table(con, f"{_quoted(schema)}.{_quoted(name)}", f"{name}.", needles)


def _in_table(con: duckdb.DuckDBPyConnection, source: str, within: str, needles: Sequence[Needle]) -> Iterator[Hit]:
    """Rows are searched whole, blobs as hexadecimal digits; the cells of those that hold something are looked at."""
    described = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608 - quoted
    names = [(name, kind) for name, kind, *_ in described]
    cells = [_cell(name, kind) for name, kind in names]
    held = " OR ".join(sorted({condition for needle in needles for condition in _conditions(needle)}))
    whole = f"concat_ws({literal(_CELL_END)}, {', '.join(cells)})"
    rows = con.execute(
        f"SELECT number, cells FROM (SELECT row_number() OVER () - 1 AS number, [{', '.join(cells)}] AS cells, "  # noqa: S608 - quoted
        f"{whole} AS whole FROM {source}) WHERE {held} ORDER BY number LIMIT {_MOST_ROWS}"
    ).fetchall()
    found: dict[tuple[str, str], list[int]] = {}
    for number, values in rows:
        for (name, kind), value in zip(names, values, strict=True):
            content = _bytes_of(value, kind)
            for needle in needles:
                if content and next(_places(content, needle), None) is not None:
                    found.setdefault((needle.what, name), []).append(number)
    for (what, name), numbers in found.items():
        yield Hit(what, f"{within}{name}", f"row {numbers[0]}", len(numbers))


def _cell(name: str, kind: str) -> str:
    if kind == "BLOB":
        return f"hex({_quoted(name)})"
    if kind == "BLOB[]":
        return f"array_to_string(list_transform({_quoted(name)}, lambda blob: hex(blob)), ' ')"
    return f"CAST({_quoted(name)} AS VARCHAR)"


def _bytes_of(value: str | None, kind: str) -> bytes | None:
    if value is None or kind not in ("BLOB", "BLOB[]"):
        return value.encode() if value is not None else None
    return b" ".join(bytes.fromhex(part) for part in value.split(" "))


def _conditions(needle: Needle) -> Iterator[str]:
    """How a needle stands in the text of a row: as it is, and in blobs as digits."""
    yield f"contains(whole, {literal(needle.content.hex().upper())})"
    if needle.is_text:
        text = needle.content.decode()
        held = f"contains(whole, {literal(text)})"
        yield f"({held} AND regexp_matches(whole, {literal(_as_word(text))}))" if needle.whole_word else held


def _as_word(text: str) -> str:
    """Words end at the separator of cells, too."""
    return f"(^|[^0-9A-Za-z_]){re.escape(text)}($|[^0-9A-Za-z_])"


def _in_sqlite(path: Path, needles: Sequence[Needle]) -> Iterator[Hit]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as con:
        con.text_factory = bytes
        names = [_name(name) for (name,) in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in names:
            found: dict[tuple[str, str], list[int]] = {}
            cursor = con.execute(f"SELECT * FROM {_quoted(table)}")  # noqa: S608 - quoted
            columns = [_name(column[0]) for column in cursor.description]
            for number, row in enumerate(cursor):
                for column, value in zip(columns, row, strict=True):
                    content = value if isinstance(value, bytes) else str(value).encode()
                    for needle in needles:
                        if value is not None and next(_places(content, needle), None) is not None:
                            found.setdefault((needle.what, column), []).append(number)
            for (what, column), numbers in found.items():
                yield Hit(what, f"{table}.{column}", f"row {numbers[0]}", len(numbers))


def _guarded(
    read: Callable[[], Iterator[Hit | Unreadable]] | Callable[[], Iterator[Hit]],
    within: str,
    broken: tuple[type[Exception], ...],
) -> Iterator[Hit | Unreadable]:
    try:
        yield from read()
    except broken as error:
        lines = str(error).strip().splitlines()
        yield Unreadable(within.rstrip("/"), lines[0] if lines else type(error).__name__)


def _name(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
