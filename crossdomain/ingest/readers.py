"""Files of a delivery read into text columns, one row a record, nothing lost: what is no record keeps its line."""

from __future__ import annotations

import csv
import json
import zipfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import pairwise
from pathlib import Path

import duckdb
import openpyxl
import pyarrow as pa
from openpyxl.utils.exceptions import InvalidFileException

from crossdomain.errors import InputError
from crossdomain.ingest.decoding import PreparedText, prepare_text
from crossdomain.ingest.feeds import Feed
from crossdomain.storage.engine import identifier, literal

_UNIT_SEPARATOR = "\x1f"  # never occurs in valid JSON, so that a line stays one value
_LONGEST_JSON_LINE = 16_000_000
_RAGGED = ("MISSING COLUMNS", "TOO MANY COLUMNS")


@dataclass(frozen=True)
class FileReport:
    """What reading one file found.

    Attributes:
        file: Its name.
        rows: Records, unreadable ones included.
        unmapped: Source columns that no canonical column takes; kept in ``extra``.
        missing: Optional source columns that the feed maps and the file lacks; read as null.
    """

    file: str
    rows: int
    unmapped: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Records:
    """Records of a file as a relation: an SQL expression for each source column, and one for the line."""

    relation: str
    columns: dict[str, str]
    line: str
    where: str = "true"


def create_landing(con: duckdb.DuckDBPyConnection, feed: Feed, name: str) -> None:
    """Creates the empty temporary table that files of a feed are read into.

    Columns: the canonical ones as text, ``extra`` (JSON of unmapped columns), ``_version``, ``_file``,
    ``_line`` (first physical line of the record; for sheets and Parquet the row), and for what is no record
    ``_reason`` and ``_column``.
    """
    texts = [*feed.table.column_names, "extra", "_version", "_file", "_reason", "_column"]
    columns = ", ".join(f"{identifier(text)} VARCHAR" for text in texts)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {identifier(name)} ({columns}, _line BIGINT)")


def read_file(con: duckdb.DuckDBPyConnection, feed: Feed, path: Path, into: str, scratch: Path) -> FileReport:
    """Appends the records of one file to a landing table.

    Args:
        con: A connection.
        feed: The feed; says format, encoding and mapping.
        path: The file.
        into: Table made by ``create_landing``.
        scratch: Folder for temporary copies.

    Raises:
        InputError: The file is truncated, unreadable, in another encoding, or lacks a required column.
    """
    if path.stat().st_size == 0 and feed.format != "jsonl":  # a JSON-lines file has no header
        raise InputError(f"{path}: holds not even a header; the export broke off, deliver it again")
    before = _count(con, into)
    if feed.format in ("csv", "tsv"):
        report = _read_delimited(con, feed, path, into, scratch)
    elif feed.format == "jsonl":
        report = _read_jsonl(con, feed, path, into, scratch)
    elif feed.format == "parquet":
        report = _insert(con, feed, path.name, _parquet_records(con, path), into, path)
    else:
        report = _read_sheet(con, feed, path, into)
    return FileReport(report.file, _count(con, into) - before, report.unmapped, report.missing)


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    ((rows,),) = con.execute(f"SELECT count(*) FROM {identifier(table)}").fetchall()  # noqa: S608 - quoted name
    return int(rows)


def _insert(
    con: duckdb.DuckDBPyConnection, feed: Feed, file: str, records: _Records, into: str, path: Path
) -> FileReport:
    """Appends records, mapped to the canonical columns."""
    have = records.columns
    missing = tuple(source.path for source in feed.columns if source.path not in have)
    for source in feed.columns:
        if source.path not in have and feed.requires(source.column):
            raise InputError(
                f"{path}: column {source.path!r} (for {feed.table.name}.{source.column}, required) is missing; "
                f"the file has {', '.join(have) or 'no column'}"
            )
    taken = {source.path for source in feed.columns} | ({feed.version} if feed.version else set())
    unmapped = tuple(name for name in have if name not in taken and name not in feed.ignore and "*" not in feed.ignore)
    by_column = {source.column: have.get(source.path, "NULL") for source in feed.columns}
    by_column |= {name: literal(value) for name, value in feed.constants.items()}
    values = [f"CAST({by_column.get(name, 'NULL')} AS VARCHAR)" for name in feed.table.column_names]
    extra = ", ".join(f"{literal(name)}, {have[name]}" for name in unmapped)
    values += [
        f"CAST(json_object({extra}) AS VARCHAR)" if extra else "NULL",
        f"CAST({have.get(feed.version or '', 'NULL')} AS VARCHAR)",
        literal(file),
        "NULL",
        "NULL",
        records.line,
    ]
    con.execute(
        f"INSERT INTO {identifier(into)} SELECT {', '.join(values)} FROM {records.relation} WHERE {records.where}"  # noqa: S608
    )
    return FileReport(file, 0, unmapped, missing)


# delimited text ------------------------------------------------------------------------------------


def _read_delimited(con: duckdb.DuckDBPyConnection, feed: Feed, path: Path, into: str, scratch: Path) -> FileReport:
    prepared = prepare_text(path, feed.encoding, scratch / f"{path.name}.utf8")
    delimiter = "," if feed.format == "csv" else "\t"
    names = _header(prepared.path, delimiter, path)
    if names is None:
        return FileReport(path.name, 0, (), ())
    types = ", ".join(f"c{position}: 'VARCHAR'" for position in range(len(names)))
    relation = (
        f"read_csv({literal(str(prepared.path))}, auto_detect = false, header = true, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{types}}}, store_rejects = true, rejects_table = 'rejected', "
        "rejects_scan = 'rejected_scan')"
    )
    records = _Records(relation, {name: f"c{i}" for i, name in enumerate(names)}, "row_number() OVER () + 1")
    try:
        report = _insert(con, feed, path.name, records, into, path)
        _keep_rejected(con, path.name, into, prepared)
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be read as {feed.format}: {_first_line(error)}") from error
    finally:
        con.execute("DROP TABLE IF EXISTS rejected; DROP TABLE IF EXISTS rejected_scan")
    if prepared.has_nul:
        _mark_nul(con, feed, path.name, into)
    return report


def _header(prepared: Path, delimiter: str, path: Path) -> list[str] | None:
    """Column names of the first record; None for a file without any."""
    with prepared.open(encoding="utf-8-sig", newline="") as file:
        first = next(csv.reader(file, delimiter=delimiter), None)
    if first is None:
        return None
    names = [name.strip() for name in first]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path}: line 1: column {twice[0]!r} stands twice in the header")
    return names


def _keep_rejected(con: duckdb.DuckDBPyConnection, file: str, into: str, prepared: PreparedText) -> None:
    """Adds what DuckDB could not read as rows of their own, and turns record numbers into physical lines."""
    ragged = ", ".join(literal(kind) for kind in _RAGGED)
    rejected = con.execute(
        "SELECT any_value(line_byte_position), any_value(csv_line), "  # noqa: S608 - constants
        f"if(arg_min(error_type, column_idx) IN ({ragged}), 'ragged_line', 'malformed_line') "
        "FROM rejected GROUP BY line ORDER BY line"
    ).fetchall()
    mine = f"_file = {literal(file)}"
    ((good,),) = con.execute(f"SELECT count(*) FROM {identifier(into)} WHERE {mine}").fetchall()  # noqa: S608
    if not rejected and prepared.lines == good + 1:
        return
    starts, lines = _record_starts(prepared.path)
    places = [_place(starts, position, content) for position, content, _ in rejected]
    bad = {0, *places}  # the header is no row
    read = [line for place, line in enumerate(lines) if place not in bad]
    if len(read) == good:  # else quotes are so broken that only the record's number is known
        con.register("physical", pa.table({"record": range(2, good + 2), "line": read}))
        con.execute(
            f"UPDATE {identifier(into)} AS row SET _line = physical.line FROM physical "  # noqa: S608 - quoted
            f"WHERE row.{mine} AND row._line = physical.record AND physical.line <> physical.record"
        )
        con.unregister("physical")
    if rejected:
        unreadable = {
            "extra": [
                json.dumps({"_line": (content or "").strip("\r\n")}, ensure_ascii=False) for _, content, _ in rejected
            ],
            "_reason": [reason for _, _, reason in rejected],
            "_line": [lines[place] for place in places],
        }
        con.register("unreadable", pa.table(unreadable))
        con.execute(
            f"INSERT INTO {identifier(into)} BY NAME SELECT *, {literal(file)} AS _file FROM unreadable"  # noqa: S608
        )
        con.unregister("unreadable")


def _record_starts(path: Path) -> tuple[array[int], array[int]]:
    """First byte and first physical line of every record, the header included; blank lines are none."""
    starts, lines = array("q"), array("q")
    offset, quoted = 0, False
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not quoted and line.strip(b"\r\n"):
                starts.append(offset)
                lines.append(number)
            if line.count(b'"') % 2:
                quoted = not quoted
            offset += len(line)
    return starts, lines


def _place(starts: array[int], position: int, content: str | None) -> int:
    """Which record begins at a position, past the blank lines that DuckDB counts to it."""
    text = content or ""
    return bisect_right(starts, position + len(text) - len(text.lstrip("\r\n"))) - 1


def _mark_nul(con: duckdb.DuckDBPyConnection, feed: Feed, file: str, into: str) -> None:
    """Marks rows that hold a NUL character: a sign of a torn or binary file."""
    whole = "concat_ws('', " + ", ".join(identifier(name) for name in (*feed.table.column_names, "extra")) + ")"
    con.execute(
        f"UPDATE {identifier(into)} SET _reason = 'embedded_nul' "  # noqa: S608 - quoted names
        f"WHERE _file = {literal(file)} AND _reason IS NULL AND contains({whole}, chr(0))"
    )


# JSON lines ----------------------------------------------------------------------------------------


def _read_jsonl(con: duckdb.DuckDBPyConnection, feed: Feed, path: Path, into: str, scratch: Path) -> FileReport:
    prepared = prepare_text(path, feed.encoding, scratch / f"{path.name}.utf8", unix_lines=True)
    if prepared.lines == 0:
        return FileReport(path.name, 0, (), ())
    try:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE json_lines AS "  # noqa: S608 - quoted path
            "SELECT line, row_number() OVER () AS number, coalesce(json_valid(line) AND "
            "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' END, false) AS valid "
            f"FROM read_csv({literal(str(prepared.path))}, auto_detect = false, header = false, "
            f"delim = {literal(_UNIT_SEPARATOR)}, quote = '', escape = '', new_line = '\\n', strict_mode = false, "
            f"columns = {{line: 'VARCHAR'}}, max_line_size = {_LONGEST_JSON_LINE})"
        )
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be read as lines of JSON: {_first_line(error)}") from error
    paths = _json_paths(con, feed)
    listed = ", ".join(literal(_json_path(name)) for name in paths)
    relation = f"(SELECT number, json_extract_string(line, [{listed}]) AS found FROM json_lines WHERE valid)"  # noqa: S608
    columns = {name: f"found[{position}]" for position, name in enumerate(paths, 1)}
    if paths:
        report = _insert(con, feed, path.name, _Records(relation, columns, "number"), into, path)
    else:
        report = FileReport(path.name, 0, (), ())
    con.execute(
        f"INSERT INTO {identifier(into)} BY NAME SELECT CAST(json_object('_line', line) AS VARCHAR) AS extra, "  # noqa: S608
        f"{literal(path.name)} AS _file, 'malformed_line' AS _reason, number AS _line "
        "FROM json_lines WHERE NOT valid AND line IS NOT NULL AND trim(line) <> ''"
    )
    con.execute("DROP TABLE json_lines")
    return report


def _json_paths(con: duckdb.DuckDBPyConnection, feed: Feed) -> list[str]:
    """Dotted paths that occur: mapped ones, and keys beside them that no mapping takes."""
    wanted = [source.path for source in feed.columns] + ([feed.version] if feed.version else [])
    parents = sorted({path.rpartition(".")[0] for path in wanted})
    if "" not in parents:
        parents.insert(0, "")
    found: list[str] = []
    for parent in parents:
        keys = con.execute(
            f"SELECT DISTINCT unnest(json_keys(line, {literal(_json_path(parent))})) AS key "  # noqa: S608 - quoted
            "FROM json_lines WHERE valid ORDER BY key"
        ).fetchall()
        found += [f"{parent}.{key}" if parent else key for (key,) in keys]
    inner = {parent for parent in parents if parent}
    steps = {".".join(parent.split(".")[: depth + 1]) for parent in inner for depth in range(len(parent.split(".")))}
    return [path for path in found if path not in steps or path in wanted]


def _json_path(dotted: str) -> str:
    return "$" + "".join(f'."{step}"' for step in dotted.split(".") if step)


# Parquet and sheets --------------------------------------------------------------------------------


def _parquet_records(con: duckdb.DuckDBPyConnection, path: Path) -> _Records:
    relation = f"read_parquet({literal(str(path))}, file_row_number = true)"
    try:
        described = con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608 - quoted path
        con.execute(f"SELECT count(COLUMNS(*)) FROM {relation}").fetchall()  # noqa: S608 - every page is read once
    except duckdb.Error as error:
        raise InputError(f"{path}: truncated or not Parquet ({_first_line(error)}); have it delivered again") from error
    columns = {
        name: f"CAST(to_json({identifier(name)}) AS VARCHAR)" if _nested(kind) else identifier(name)
        for name, kind, *_ in described
        if name != "file_row_number"
    }
    return _Records(relation, columns, "file_row_number + 1")


def _nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP"))


def _read_sheet(con: duckdb.DuckDBPyConnection, feed: Feed, path: Path, into: str) -> FileReport:
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, EOFError, OSError) as error:
        raise InputError(f"{path}: truncated or not an xlsx file ({error}); have it delivered again") from error
    try:
        if feed.sheet is not None and feed.sheet not in book.sheetnames:
            raise InputError(f"{path}: no sheet {feed.sheet!r}; it has {', '.join(book.sheetnames)}")
        sheet = book[feed.sheet or book.sheetnames[0]]
        filled = _filled_rows(sheet.iter_rows(values_only=True))
        rows = ((number, [_cell(value) for value in row]) for number, row in filled)
        _, header = next(rows, (0, None))
        if header is None:
            return FileReport(path.name, 0, (), ())
        names = [(name or "").strip() or f"column_{position}" for position, name in enumerate(header, 1)]
        if twice := sorted({one for one, other in pairwise(sorted(names)) if one == other}):
            raise InputError(f"{path}: sheet {sheet.title}: column {twice[0]!r} stands twice in the header")
        numbered = list(rows)
    finally:
        book.close()
    width = len(names)
    padded = [[*cells, *[None] * (width - len(cells))] for _, cells in numbered]
    arrays = [pa.array([cells[i] for cells in padded], pa.string()) for i in range(width)]
    numbers = pa.array([number for number, _ in numbered], pa.int64())
    con.register("sheet_rows", pa.table([*arrays, numbers], names=[*(f"c{i}" for i in range(width)), "number"]))
    columns = {name: f"c{i}" for i, name in enumerate(names)}
    report = _insert(con, feed, f"{path.name}#{sheet.title}", _Records("sheet_rows", columns, "number"), into, path)
    con.unregister("sheet_rows")
    return report


def _filled_rows(rows: Iterator[Sequence[object]]) -> Iterator[tuple[int, Sequence[object]]]:
    for number, row in enumerate(rows, 1):
        if any(value is not None for value in row):
            yield number, row


def _cell(value: object) -> str | None:
    """A cell's value as text: ISO for times and days, no ``.0`` behind whole numbers."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
