"""Delivered files with some people taken out: lines of text become blank, rows of Parquet go, cells of sheets empty.

Lines keep their numbers, and bytes that are nobody's business stay what they are, so that the encoding is kept.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, cast

import duckdb
import openpyxl

from crossdomain.errors import CrossdomainError
from crossdomain.storage.engine import file_literal, literal
from crossdomain.storage.replacing import replacing

_CHUNK = 1 << 22
_OVERLAP = 1 << 12


Wanted = Callable[[bytes], bool]
"""Whether some bytes hold what is looked for, which is shorter than a thousand bytes."""


def holds(path: Path, wanted: Wanted) -> bool:
    """Whether a text file (``.gz`` is decompressed) holds what is looked for anywhere."""
    with closing(_open(path, "rb")) as file:
        before = b""
        while chunk := file.read(_CHUNK):
            if wanted(before + chunk):
                return True
            before = chunk[-_OVERLAP:]
    return False


def read_records(path: Path, wanted: Wanted, *, quoted: bool) -> Iterator[list[bytes]]:
    """Physical lines of each record of a text file, perhaps ``.gz``, line ends included.

    Args:
        path: A text file.
        wanted: Many records at a time may come as one, as long as none of them holds this and it is not the first.
        quoted: Whether line ends inside double quotes belong to the record.
    """
    with closing(_open(path, "rb")) as source:
        yield from _records(source, wanted, quoted=quoted)


def change_records(path: Path, wanted: Wanted, change: Callable[[list[bytes]], list[bytes]], *, quoted: bool) -> None:
    """Replaces a text file by what a function makes of the physical lines of each of its records.

    Args:
        path: A text file.
        wanted: As for ``read_records``.
        change: From lines to as many lines.
        quoted: As for ``read_records``.

    Raises:
        CrossdomainError: The file cannot be written, or was written by somebody else meanwhile.
    """
    with replacing(path) as aside, closing(_open(path, "rb")) as source, closing(_open(aside, "wb", path)) as target:
        for lines in _records(source, wanted, quoted=quoted):
            target.writelines(change(lines))


def blank(lines: Sequence[bytes]) -> list[bytes]:
    """As many lines with nothing in them but their ends."""
    return [line[len(line.rstrip(b"\r\n")) :] for line in lines]


def read_rows(
    con: duckdb.DuckDBPyConnection, path: Path, words: Sequence[str]
) -> tuple[list[str], list[tuple[int, list[str | None]]]]:
    """Column names of a Parquet file, and (row from 0, cells as text) of the rows that hold one of some words."""
    source, columns = _parquet(con, path)
    cells = ", ".join(f"CAST({_quoted(name)} AS VARCHAR)" for name, _ in columns)
    found = con.execute(
        f"SELECT file_row_number, [{cells}] FROM {source} "  # noqa: S608 - quoted
        f"WHERE len(list_filter($1::VARCHAR[], lambda word: contains(concat_ws(chr(31), {cells}), word))) > 0 "
        "ORDER BY 1",
        [list(words)],
    ).fetchall()
    return [name for name, _ in columns], found


def change_rows(
    con: duckdb.DuckDBPyConnection, path: Path, drop: Sequence[int], strike: Sequence[int], pattern: str, instead: str
) -> None:
    """Replaces a Parquet file by one without some rows (from 0), and with a pattern struck out of texts of others.

    Raises:
        CrossdomainError: The file cannot be written, or was written by somebody else meanwhile.
    """
    source, columns = _parquet(con, path)
    within = f"list_contains({list(strike)}::BIGINT[], file_row_number)"
    struck = ", ".join(
        f"if({within}, regexp_replace({_quoted(name)}, {literal(pattern)}, {literal(instead)}, 'g'), {_quoted(name)}) "
        f"AS {_quoted(name)}"
        for name, kind in columns
        if kind == "VARCHAR"
    )
    replaced = f" REPLACE ({struck})" if struck and strike else ""
    with replacing(path) as aside:
        try:
            con.execute(
                f"COPY (SELECT * EXCLUDE (file_row_number){replaced} FROM {source} "  # noqa: S608 - quoted
                f"WHERE NOT list_contains({list(drop)}::BIGINT[], file_row_number)) "
                f"TO {literal(str(aside))} (FORMAT parquet)"
            )
        except duckdb.IOException as error:
            raise CrossdomainError(f"cannot write {path}: {error}; the old content is untouched") from error


def read_sheet(path: Path, sheet: str | None) -> Iterator[list[str | None]]:
    """Rows of a workbook's sheet (the first if None) as text."""
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    with closing(book):
        for row in book[sheet or book.sheetnames[0]].iter_rows(values_only=True):
            yield [_text(value) for value in row]


def change_sheet(
    path: Path, sheet: str | None, change: Callable[[int, list[str | None]], list[str | None] | None]
) -> None:
    """Replaces a workbook by one in which a function changed rows of a sheet; formulas become their values.

    Args:
        path: An xlsx file.
        sheet: Name of the sheet; None for the first.
        change: From a row's number (from 0) and cells as text to the cells in their place; None leaves the row.
    """
    book = openpyxl.load_workbook(path, data_only=True)
    with closing(book), replacing(path) as aside:
        for number, row in enumerate(book[sheet or book.sheetnames[0]].iter_rows()):
            before = [_text(cell.value) for cell in row]
            after = change(number, before)
            for cell, old, new in zip(row, before, after or before, strict=True):
                if old != new:
                    cell.value = new
        book.save(aside)


def _records(source: IO[bytes], wanted: Wanted, *, quoted: bool) -> Iterator[list[bytes]]:
    rest, first = b"", True
    while block := source.read(_CHUNK):
        rest += block
        end = _end_of_record(rest, quoted=quoted)
        if not first and end and not wanted(rest[:end]):
            yield [rest[:end]]
        elif end:
            yield from _split(rest[:end], quoted=quoted)
            first = False
        rest = rest[end:]
    yield from _split(rest, quoted=quoted)


def _end_of_record(content: bytes, *, quoted: bool) -> int:
    """Where the last whole record ends: behind a line end that no quote embraces; 0 if there is none."""
    end = content.rfind(b"\n") + 1
    inside = quoted and content.count(b'"', 0, end) % 2 == 1
    while inside and end:
        before = content.rfind(b"\n", 0, end - 1) + 1
        inside ^= content.count(b'"', before, end) % 2 == 1
        end = before
    return end


def _split(content: bytes, *, quoted: bool) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    within = False
    for line in io.BytesIO(content):
        lines.append(line)
        within ^= quoted and line.count(b'"') % 2 == 1
        if not within:
            yield lines
            lines = []
    if lines:
        yield lines


def _parquet(con: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, list[tuple[str, str]]]:
    source = f"read_parquet({file_literal(path)}, file_row_number = true, hive_partitioning = false)"
    described = con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608 - quoted
    return source, [(name, kind) for name, kind, *_ in described if name != "file_row_number"]


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _open(path: Path, mode: str, like: Path | None = None) -> IO[bytes]:
    if (like or path).suffix == ".gz":
        return cast("IO[bytes]", gzip.GzipFile(path, mode, mtime=0))
    return cast("IO[bytes]", path.open(mode))


def _quoted(name: str) -> str:
    """A source's column name, whatever is in it; a dot is a part of it."""
    return '"' + name.replace('"', '""') + '"'
