"""Files of a delivery read into text columns, one row a record, nothing lost: what is no record keeps its line."""

from __future__ import annotations

import csv
import json
import zipfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from crossdomain.storage.engine import file_literal, identifier, literal

_UNIT_SEPARATOR = "\x1f"  # never occurs in valid JSON, so that a line stays one value
_LONGEST_JSON_LINE = 16_000_000
_NOTHING = "CAST(NULL AS ENUM (''))"
"""A column of texts without any value: as an enumeration it is written faster."""
_RAGGED = ("MISSING COLUMNS", "TOO MANY COLUMNS")
_UNREADABLE = pa.schema([("extra", pa.string()), ("_reason", pa.string()), ("_line", pa.int64())])


@dataclass(frozen=True)
class Records:
    """Records of one file, as SQL that reads them once and in their order.

    Attributes:
        file: Name of the file; of a workbook, file#sheet.
        rows: SQL with the canonical columns as text, ``extra`` (JSON of unmapped columns), ``_version``,
            ``_file``, ``_line`` (first physical line of the record; of sheets and Parquet the row; null where it
            is the record's place and the header), and for what is no record ``_reason`` and ``_column``.
        source_columns: Source columns of the file.
        unmapped: Those that no canonical column takes and that the feed does not check; kept in ``extra``.
        missing: Optional source columns that the feed maps and the file lacks; read as null.
        text: Of delimited text: what is needed to find unreadable lines after reading.
    """

    file: str
    rows: str
    source_columns: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    text: PreparedText | None = None


def read_file(con: duckdb.DuckDBPyConnection, feed: Feed, path: Path, scratch: Path) -> Records:
    """The records of one file.

    Args:
        con: A connection; of other files than delimited text and Parquet it holds a table that the SQL reads.
        feed: The feed; says format, encoding and mapping.
        path: The file.
        scratch: Folder for temporary copies, which must outlive the reading.

    Raises:
        InputError: The file is truncated, unreadable, in another encoding, or lacks a required column.
    """
    if path.stat().st_size == 0 and feed.format != "jsonl":  # a JSON-lines file has no header
        raise InputError(f"{path}: holds not even a header; the export broke off, deliver it again")
    if feed.format in ("csv", "tsv"):
        return _read_delimited(feed, path, scratch)
    if feed.format == "jsonl":
        return _read_jsonl(con, feed, path, scratch)
    if feed.format == "parquet":
        return _mapped(feed, path.name, _parquet_source(con, path), path)
    return _read_sheet(con, feed, path)


@dataclass(frozen=True)
class _Source:
    """Records as a relation: an SQL expression for each source column, one for the line, one for the reason."""

    relation: str
    columns: Mapping[str, str]
    line: str
    reason: str = "CAST(NULL AS VARCHAR)"
    text: PreparedText | None = None


def _mapped(feed: Feed, file: str, source: _Source, path: Path) -> Records:
    """Records with the source's columns put on the canonical ones."""
    have = source.columns
    missing = tuple(one.path for one in feed.columns if one.path not in have)
    for one in feed.columns:
        if one.path not in have and feed.requires(one.column):
            raise InputError(
                f"{path}: column {one.path!r} (for {feed.table.name}.{one.column}, required) is missing; "
                f"the file has {', '.join(have) or 'no column'}"
            )
    taken = {one.path for one in feed.columns} | ({feed.version} if feed.version else set())
    kept = tuple(name for name in have if name not in taken and name not in feed.ignore and "*" not in feed.ignore)
    checked = {one.source.path for one in feed.checked}
    by_column = {one.column: f"CAST({have[one.path]} AS VARCHAR)" for one in feed.columns if one.path in have}
    by_column |= {name: _constant(value) for name, value in feed.constants.items()}
    extra = ", ".join(f"{literal(name)}, {have[name]}" for name in kept)
    values = {
        **{name: by_column.get(name, _NOTHING) for name in feed.table.column_names},
        "extra": f"CAST(json_object({extra}) AS VARCHAR)" if extra else _NOTHING,
        "_version": f"CAST({have[feed.version]} AS VARCHAR)" if feed.version and feed.version in have else _NOTHING,
        "_file": _constant(file),
        "_line": f"CAST({source.line} AS BIGINT)",
        "_reason": source.reason,
        "_column": "CAST(NULL AS VARCHAR)",
    }
    listed = ", ".join(f"{value} AS {identifier(name)}" for name, value in values.items())
    rows = f"SELECT {listed} FROM {source.relation}"  # noqa: S608 - identifiers and literals quoted
    unmapped = tuple(name for name in kept if name not in checked)
    return Records(file, rows, tuple(have), unmapped, missing, source.text)


def _constant(text: str) -> str:
    """A text as an enumeration of itself, which is written faster than a text."""
    return f"CAST({literal(text)} AS ENUM ({literal(text)}))"


def no_records(feed: Feed, file: str) -> Records:
    """A file without any record."""
    columns = (*feed.table.column_names, "extra", "_version", "_file", "_reason", "_column")
    nulls = ", ".join(f"CAST(NULL AS VARCHAR) AS {identifier(name)}" for name in columns)
    return Records(file, f"SELECT {nulls}, CAST(NULL AS BIGINT) AS _line WHERE false")


# delimited text ------------------------------------------------------------------------------------


def _read_delimited(feed: Feed, path: Path, scratch: Path) -> Records:
    prepared = prepare_text(path, feed.encoding, scratch / f"{path.name}.utf8")
    delimiter = "," if feed.format == "csv" else "\t"
    names = _header(prepared.path, delimiter, path)
    if names is None:
        return no_records(feed, path.name)
    types = ", ".join(f"c{position}: 'VARCHAR'" for position in range(len(names)))
    relation = (
        f"read_csv({file_literal(prepared.path)}, auto_detect = false, header = true, delim = {literal(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{types}}}, store_rejects = true, rejects_table = 'rejected', "
        "rejects_scan = 'rejected_scan')"
    )
    columns = {name: f"c{position}" for position, name in enumerate(names)}
    reason = "CAST(NULL AS VARCHAR)"
    if prepared.has_nul:  # a sign of a torn or binary file
        reason = f"CASE WHEN contains(concat_ws('', {', '.join(columns.values())}), chr(0)) THEN 'embedded_nul' END"
    return _mapped(feed, path.name, _Source(relation, columns, "NULL", reason, prepared), path)


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


@dataclass(frozen=True)
class Lines:
    """What reading a text file in parallel leaves open, as SQL.

    Attributes:
        numbered: The records that were read, each with its line.
        unreadable: Lines that are no record, with the columns of ``Records.rows``.
    """

    numbered: str
    unreadable: str


def find_lines(con: duckdb.DuckDBPyConnection, feed: Feed, records: Records, read: str, rows: int) -> Lines | None:
    """Lines of the records of a text file that was just read, and what could not be read of it.

    Reading in parallel counts no lines. In a file of one line a record the record's place tells its line; where
    a record has several, lines are blank or some could not be read, they are looked up here.

    Args:
        con: The connection that read the file.
        feed: Its feed.
        records: The file, read to its end.
        read: SQL of what was read, with ``file_row_number``, its place from 0.
        rows: Number of records that were read.

    Returns:
        None where nothing is to be done.
    """
    prepared = records.text
    if prepared is None:
        return None
    ragged = ", ".join(literal(kind) for kind in _RAGGED)
    rejected = con.execute(
        "SELECT any_value(line_byte_position), any_value(csv_line), "  # noqa: S608 - constants
        f"if(arg_min(error_type, column_idx) IN ({ragged}), 'ragged_line', 'malformed_line') "
        "FROM rejected GROUP BY line ORDER BY line"
    ).fetchall()
    con.execute("DROP TABLE rejected; DROP TABLE rejected_scan")
    if not rejected and prepared.lines == rows + 1:
        return None
    starts, lines = _record_starts(prepared.path)
    places = [_place(starts, position, content) for position, content, _ in rejected]
    bad = {0, *places}  # the header is no row
    found = [line for place, line in enumerate(lines) if place not in bad]
    if len(found) != rows:  # quotes are so broken that only the record's place is known
        found = list(range(2, rows + 2))
    _keep(con, "physical_lines", pa.table({"place": pa.array(range(rows), pa.int64()), "line": found}))
    unreadable = {
        "extra": [json.dumps({"_line": (text or "").strip("\r\n")}, ensure_ascii=False) for _, text, _ in rejected],
        "_reason": [reason for _, _, reason in rejected],
        "_line": [lines[place] for place in places],
    }
    _keep(con, "unreadable_lines", pa.table(unreadable, schema=_UNREADABLE))
    none = no_records(feed, records.file).rows
    return Lines(
        f"SELECT records.* EXCLUDE (file_row_number) REPLACE (physical_lines.line AS _line) FROM ({read}) AS records "  # noqa: S608
        "JOIN physical_lines ON physical_lines.place = records.file_row_number",
        f"{none} UNION ALL BY NAME SELECT *, {literal(records.file)} AS _file FROM unreadable_lines",  # noqa: S608
    )


def _keep(con: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    con.register("kept_rows", rows)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS FROM kept_rows")
    con.unregister("kept_rows")


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


# JSON lines ----------------------------------------------------------------------------------------


def _read_jsonl(con: duckdb.DuckDBPyConnection, feed: Feed, path: Path, scratch: Path) -> Records:
    prepared = prepare_text(path, feed.encoding, scratch / f"{path.name}.utf8", unix_lines=True)
    if prepared.lines == 0:
        return no_records(feed, path.name)
    try:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE json_lines AS "  # noqa: S608 - quoted path
            "SELECT line, row_number() OVER () AS number, coalesce(json_valid(line) AND "
            "CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' END, false) AS valid "
            f"FROM read_csv({file_literal(prepared.path)}, auto_detect = false, header = false, "
            f"delim = {literal(_UNIT_SEPARATOR)}, quote = '', escape = '', new_line = '\\n', strict_mode = false, "
            f"columns = {{line: 'VARCHAR'}}, max_line_size = {_LONGEST_JSON_LINE})"
        )
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be read as lines of JSON: {_first_line(error)}") from error
    paths = _json_paths(con, feed)
    listed = ", ".join(literal(_json_path(name)) for name in paths)
    found = f"json_extract_string(line, [{listed}])" if paths else "CAST([] AS VARCHAR[])"
    relation = f"(SELECT number, {found} AS found FROM json_lines WHERE valid)"  # noqa: S608
    columns = {name: f"found[{position}]" for position, name in enumerate(paths, 1)}
    records = (
        _mapped(feed, path.name, _Source(relation, columns, "number"), path) if paths else no_records(feed, path.name)
    )
    unreadable = (
        "SELECT CAST(json_object('_line', line) AS VARCHAR) AS extra, "  # noqa: S608
        f"{literal(path.name)} AS _file, 'malformed_line' AS _reason, number AS _line "
        "FROM json_lines WHERE NOT valid AND line IS NOT NULL AND trim(line) <> ''"
    )
    return replace(records, rows=f"{records.rows} UNION ALL BY NAME {unreadable}")


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


def _parquet_source(con: duckdb.DuckDBPyConnection, path: Path) -> _Source:
    relation = f"read_parquet({file_literal(path)}, file_row_number = true)"
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
    return _Source(relation, columns, "file_row_number + 1")


def _nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP"))


def _read_sheet(con: duckdb.DuckDBPyConnection, feed: Feed, path: Path) -> Records:
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
            return no_records(feed, path.name)
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
    _keep(con, "sheet_rows", pa.table([*arrays, numbers], names=[*(f"c{i}" for i in range(width)), "number"]))
    columns = {name: f"c{i}" for i, name in enumerate(names)}
    return _mapped(feed, f"{path.name}#{sheet.title}", _Source("sheet_rows", columns, "number"), path)


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
