"""The lake: Delta tables whose Parquet files DuckDB writes and reads.

A partition is replaced by one Delta commit, which readers see whole or not at all. A file is written once,
read back, and only then given its name, which begins with the checksum of the rows that were found in it;
until a commit names it nobody reads it, and what a kill leaves behind is found and removed by
``crossdomain.storage.collection``. Each file's footer says which job and which input versions made it, and
the checksum of its rows by part: in raw by business day, elsewhere by delivery day, so that a reader of one
day, or "as known on day d", can tell whether anything it may see has changed.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from crossdomain.columns import DELIVERED_DS, DS, PARTITION_TYPES
from crossdomain.errors import CommitConflict, CrossdomainError
from crossdomain.storage.engine import exactly, file_literal, identifier, literal
from crossdomain.storage.home import Home, drop, explained, make_folder
from crossdomain.tables import Column, TableSpec

JOINT = "-"
"""Joins versions of parts, and checksums of files, that are taken together."""
_FOOTER = "crossdomain"
_WHOLE = "-"
_ATTEMPTS = 200
_RESERVED = 4096
_TRAILER = 8
_WRITTEN = {"raw": "COMPRESSION lz4, DICTIONARY_SIZE_LIMIT 1000"}
"""How the files of a layer are written; raw is read a few times and expires: speed before size."""
_WRITTEN_ELSEWHERE = "COMPRESSION zstd, COMPRESSION_LEVEL 1"
_ENCODINGS = "PARQUET_VERSION v2"
"""Deltas of numbers and of lengths of texts: smaller and faster than the plain encodings of version 1."""


@dataclass(frozen=True)
class DataFile:
    """One live Parquet file of a table; of raw with the first and last business day of its rows."""

    path: Path
    values: Mapping[str, str]
    rows: int
    size: int
    checksum: str
    written_at: datetime
    first: date | None = None
    last: date | None = None

    @property
    def day(self) -> date:
        """The business day of the file's partition; of raw, its delivery day."""
        return date.fromisoformat(self.values.get(DS) or self.values[DELIVERED_DS])

    def may_hold(self, first: date, last: date) -> bool:
        """Whether a file of raw can have rows of the days from first to last."""
        return self.first is not None and self.last is not None and self.first <= last and first <= self.last


@dataclass(frozen=True)
class Partition:
    """All live files with the same partition values, and their joint checksum."""

    values: Mapping[str, str]
    files: tuple[DataFile, ...]

    @property
    def ds(self) -> date:
        """The business day; of raw, the delivery day."""
        return self.files[0].day

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(file.rows for file in self.files)

    @property
    def checksum(self) -> str:
        """Checksum of the rows, whatever the files' names."""
        return "-".join(sorted(file.checksum for file in self.files))

    @property
    def written_at(self) -> datetime:
        """When the newest file was written (UTC)."""
        return max(file.written_at for file in self.files)


@dataclass(frozen=True)
class Footer:
    """What a file says of itself.

    Attributes:
        made_by: Job, job version, input versions and settings that made it.
        parts: Checksum of its rows by part: in raw by business day, elsewhere by delivery day (``-`` where
            rows carry none). A file that was put together of several goes on saying theirs, joined by ``JOINT``.
    """

    made_by: Mapping[str, Any]
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Staged:
    """A file that is written and not committed."""

    spec: TableSpec
    path: Path
    values: Mapping[str, str]
    rows: int
    checksum: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class _Act:
    """A commit: its actions, the files that it adds and those that it takes out."""

    actions: list[AddAction | RemoveAction]
    added: Sequence[Staged]
    removed: Sequence[DataFile]

    def happened(self, live: Iterable[Partition]) -> bool:
        """Whether it was done, though delta-rs says that something failed."""
        paths = {file.path for partition in live for file in partition.files}
        gone = not any(file.path in paths for file in self.removed)
        return gone and all(file.path in paths for file in self.added) and bool(self.added or self.removed)


class Lake:
    """Tables of one home, seen through one DuckDB connection."""

    def __init__(self, home: Home, con: duckdb.DuckDBPyConnection) -> None:
        self.home = home
        self.con = con

    # reading -----------------------------------------------------------------------------------

    def partitions(self, spec: TableSpec) -> list[Partition]:
        """Live partitions of a table, ordered by their values; none if it was never written."""
        table = self._open(spec)
        return [] if table is None else _live(spec, self.home.table(spec), table)

    def holding(self, spec: TableSpec, first: date, last: date) -> list[Partition]:
        """Partitions of raw, each with those of its files that may hold rows of the days from first to last."""
        chosen = []
        for partition in self.partitions(spec):
            files = tuple(
                file
                for file in partition.files
                if file.first and file.last and file.first <= last and file.last >= first
            )
            if files:
                chosen.append(Partition(partition.values, files))
        return chosen

    def footers(self, files: Iterable[DataFile]) -> dict[Path, Footer]:
        """Footers of files, by path; one pass over all of them."""
        paths = [exactly(file.path) for file in files]
        if not paths:
            return {}
        rows = self.con.execute(
            "SELECT file_name, decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = ?", [paths, _FOOTER]
        ).fetchall()
        return {Path(name): Footer(**json.loads(value)) for name, value in rows}

    def relation(self, spec: TableSpec, partitions: Sequence[Partition], *, where: str = "true") -> str:
        """SQL that reads partitions: the partition columns first, then the schema's.

        An empty list gives the same columns and no rows.
        """
        columns = ", ".join([identifier(name) for name in spec.partition] + [_read(column) for column in spec.columns])
        files = [file.path for partition in partitions for file in partition.files]
        if not files:
            typed = [(name, PARTITION_TYPES[name]) for name in spec.partition]
            typed += [(column.name, column.type) for column in spec.columns]
            nulls = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in typed)
            return f"SELECT {nulls} WHERE false"
        listed = "[" + ", ".join(file_literal(file) for file in files) + "]"
        types = ", ".join(f"{literal(name)}: {PARTITION_TYPES[name]}" for name in spec.partition)
        options = f"hive_partitioning = true, hive_types = {{{types}}}{_numbered(spec)}"
        return f"SELECT {columns} FROM read_parquet({listed}, {options}) WHERE {where}"  # noqa: S608 - quoted above

    def view(self, spec: TableSpec, partitions: Sequence[Partition], *, schema: str, where: str = "true") -> None:
        """Makes a view ``schema.table`` over partitions."""
        self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}")
        self.con.execute(
            f"CREATE OR REPLACE VIEW {identifier(schema)}.{identifier(spec.name)} AS "
            + self.relation(spec, partitions, where=where)
        )

    def view_staged(self, spec: TableSpec, staged: Sequence[Staged], *, schema: str) -> None:
        """Makes a view ``schema.table`` over the schema's columns of files that are not committed yet."""
        columns = ", ".join(_read(column) for column in spec.columns)
        listed = "[" + ", ".join(file_literal(file.path) for file in staged) + "]"
        self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}")
        options = f"hive_partitioning = false{_numbered(spec)}"
        rows = f"SELECT {columns} FROM read_parquet({listed}, {options})"  # noqa: S608 - quoted above
        self.con.execute(f"CREATE OR REPLACE VIEW {identifier(schema)}.{identifier(spec.name)} AS {rows}")

    # writing -----------------------------------------------------------------------------------

    def stage(
        self,
        spec: TableSpec,
        source: str | pa.Table,
        values: Mapping[str, str],
        *,
        made_by: Mapping[str, Any],
        order: str | None = None,
        unique: bool = False,
        parts: Mapping[str, str] | None = None,
    ) -> Staged:
        """Writes one partition file aside: cast to the schema, ordered, read back, checked.

        Args:
            spec: The table.
            source: SQL text (run once) or an Arrow table that gives at least the schema's columns.
            values: Value of each partition column.
            made_by: Goes into the footer.
            order: ``ORDER BY`` terms over the source that order as the table's own order does and cost less;
                "" for a source that gives its rows in order.
            unique: Whether the caller has made sure that no key stands twice; then it is not counted again.
            parts: For who only puts files together: the versions by part that the footer goes on saying.

        Raises:
            CrossdomainError: A required column holds null, a key stands twice, a value does not fit its
                type, or the disk refuses; nothing is left behind.
        """
        folder = self._folder(spec, values)
        path = folder / f"staging-{uuid.uuid4().hex}.parquet"
        try:
            reserved = _RESERVED + len(json.dumps(made_by)) + len(json.dumps(dict(parts or {})))
            self._write(spec, source, path, order, reserved)
            found = self._read_back(spec, path, unique=unique)
            checksums = {part: checksum for part, (_, checksum) in found.items()}
            said = checksums if parts is None else dict(parts)
            self._seal(spec, path, {"made_by": made_by, "parts": said}, reserved)
            checksum = _digest(sorted(checksums.items()))
            final = path.rename(folder / f"{checksum}-{uuid.uuid4().hex[:12]}.parquet")
        except OSError as error:
            drop(path)
            raise CrossdomainError(f"cannot write {path}, nothing was committed: {explained(error)}") from error
        except BaseException:
            drop(path)
            raise
        return Staged(spec, final, dict(values), sum(count for count, _ in found.values()), checksum, said)

    def commit(
        self,
        spec: TableSpec,
        staged: Sequence[Staged],
        *,
        replace: Mapping[str, Sequence[str]],
        expect: Collection[Path] | None = None,
    ) -> bool:
        """Puts staged files in place of everything that ``replace`` selects, in one atomic act.

        Args:
            spec: The table.
            staged: Files of that table.
            replace: Values of partition columns; all files that match every one are replaced.
            expect: For who rewrites what they have read: the files that must be the ones replaced.

        Returns:
            Whether the rows changed. The same rows made from other inputs are committed and count as
            unchanged.

        Raises:
            CommitConflict: Other writers won the race for too long, or replaced what ``expect`` names.
        """
        filters = [(name, "in", list(values)) for name, values in replace.items()]
        for attempt in range(_ATTEMPTS):
            table = self._open(spec) or self._create(spec)
            live = _live(spec, self.home.table(spec), table)
            before = [partition for partition in live if _matches(partition.values, replace)]
            if expect is not None and {file.path for one in before for file in one.files} != set(expect):
                raise CommitConflict(
                    f"{spec.full_name}: {dict(replace)} was written by another task meanwhile; run again"
                )
            changed = _content(before) != _staged_content(spec, staged)
            adds: list[AddAction | RemoveAction] = [_add(self.home.table(spec), file) for file in staged]
            act = _Act(adds, staged, [file for partition in before for file in partition.files])
            if self._committed(spec, table, act, attempt, mode="overwrite", partition_filters=filters):
                return changed
        raise CommitConflict(f"{spec.full_name}: {_ATTEMPTS} commits lost the race to other writers; run again")

    def swap(self, spec: TableSpec, staged: Sequence[Staged], files: Sequence[DataFile]) -> None:
        """Puts staged files in place of files with the same rows, in one atomic act; other files stay.

        Raises:
            CommitConflict: One of the files is not live any more, or other writers won the race for too long.
        """
        root = self.home.table(spec)
        paths = {file.path for file in files}
        for attempt in range(_ATTEMPTS):
            table = self._open(spec)
            live = [] if table is None else _live(spec, root, table)
            if table is None or not paths <= {file.path for partition in live for file in partition.files}:
                raise CommitConflict(f"{spec.full_name}: its files were replaced by another task meanwhile; run again")
            adds = [_add(root, file, changes=False) for file in staged]
            removes = [_remove(root, file) for file in files]
            if self._committed(spec, table, _Act([*adds, *removes], staged, files), attempt, mode="append"):
                return
        raise CommitConflict(f"{spec.full_name}: {_ATTEMPTS} commits lost the race to other writers; run again")

    def discard(self, staged: Iterable[Staged]) -> None:
        """Removes files that will not be committed; those that were, before something else failed, stay."""
        files = list(staged)
        live: set[Path] = set()
        for spec in {file.spec.full_name: file.spec for file in files}.values():
            live |= {file.path for partition in self.partitions(spec) for file in partition.files}
        for file in files:
            if file.path not in live:
                drop(file.path)

    # keeping house -----------------------------------------------------------------------------

    def checksum(self, spec: TableSpec, path: Path) -> str:
        """Checksum of the rows that a file holds now; its name begins with the one that it was committed with."""
        parts, _ = _contents(self.con, spec, f"read_parquet({file_literal(path)}, hive_partitioning = false)")
        return _digest(sorted((part, checksum) for part, (_, checksum) in parts.items()))

    def written_by_this_duckdb(self, path: Path) -> bool:
        """Whether the DuckDB that wrote a file has the version of this one; others may hash rows otherwise."""
        ((writer,),) = self.con.execute("SELECT created_by FROM parquet_file_metadata(?)", [exactly(path)]).fetchall()
        return f"v{duckdb.__version__} " in f"{writer} "

    # within ------------------------------------------------------------------------------------

    def _open(self, spec: TableSpec) -> DeltaTable | None:
        root = self.home.table(spec)
        if not DeltaTable.is_deltatable(str(root)):
            return None
        table = DeltaTable(str(root))
        if tuple(table.metadata().partition_columns) != spec.partition:
            raise CrossdomainError(
                f"{root} is partitioned by {table.metadata().partition_columns}, {spec.full_name} by "
                f"{list(spec.partition)}: an older version wrote it; remove the folder and run job {spec.job} again"
            )
        return table

    def _create(self, spec: TableSpec) -> DeltaTable:
        make_folder(self.home.table(spec))
        typed = [(name, PARTITION_TYPES[name]) for name in spec.partition]
        typed += [(column.name, column.type) for column in spec.columns]
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in typed)
        schema = self.con.sql(f"SELECT {empty} WHERE false").to_arrow_table().schema
        try:
            return DeltaTable.create(
                str(self.home.table(spec)),
                schema=schema,
                mode="ignore",  # another task may have created it since
                partition_by=list(spec.partition),
                name=spec.full_name,
                description=spec.description,
            )
        except (DeltaError, OSError) as error:
            raise CrossdomainError(f"cannot create table {self.home.table(spec)}: {explained(error)}") from error

    def _committed(self, spec: TableSpec, table: DeltaTable, act: _Act, attempt: int, **how: Any) -> bool:
        """Commits on top of the version that was opened; False, after a while, if another writer was faster."""
        try:
            table.create_write_transaction(
                act.actions,
                schema=table.schema(),
                partition_by=list(spec.partition),
                commit_properties=CommitProperties(max_commit_retries=0),
                **how,
            )
        except CommitFailedError:
            time.sleep(random.uniform(0.005, 0.05) * min(attempt + 1, 10))  # noqa: S311 - jitter
            return False
        except (DeltaError, OSError) as error:
            if act.happened(self.partitions(spec)):
                return True  # what failed is the checkpoint that delta-rs makes after every hundredth commit
            raise CrossdomainError(
                f"cannot commit to {self.home.table(spec)}, the old partition is untouched: {explained(error)}"
            ) from error
        return True

    def _folder(self, spec: TableSpec, values: Mapping[str, str]) -> Path:
        folder = self.home.table(spec)
        for name in spec.partition:
            folder /= f"{name}={values[name]}"
        make_folder(folder)
        return folder

    def _write(self, spec: TableSpec, source: str | pa.Table, path: Path, order: str | None, reserved: int) -> None:
        """Writes the rows with a footer that leaves room for what is known only afterwards."""
        own_order = ", ".join(f"{identifier(name)} NULLS FIRST" for name in spec.order)
        terms = own_order if order is None else order
        given = f"source_{uuid.uuid4().hex}"
        if isinstance(source, pa.Table):
            self.con.register(given, source)
        rows = given if isinstance(source, pa.Table) else f"({source})"
        try:
            columns = ", ".join(self._typed(spec, rows))
            self.con.execute(
                f"COPY (SELECT {columns} FROM {rows}{f' ORDER BY {terms}' if terms else ''}) "  # noqa: S608 - quoted
                f"TO {literal(str(path))} (FORMAT parquet, {_ENCODINGS}, "
                f"{_WRITTEN.get(spec.layer, _WRITTEN_ELSEWHERE)}, "
                f"KV_METADATA {{{_FOOTER}: {literal(_room(reserved))}}})"
            )
        except duckdb.ConversionException as error:
            raise CrossdomainError(f"{spec.full_name}: a value does not fit its column: {error}") from error
        except duckdb.IOException as error:
            raise CrossdomainError(f"cannot write {path}, nothing was committed: {explained(error)}") from error
        finally:
            if isinstance(source, pa.Table):
                self.con.unregister(given)

    def _typed(self, spec: TableSpec, rows: str) -> Iterator[str]:
        """SQL of each column in its type; an enumeration is written as the text that it is, which is faster."""
        described = self.con.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()  # noqa: S608 - the caller's own
        enumerations = {name for name, kind, *_ in described if kind.startswith("ENUM")}
        for column in spec.columns:
            name = identifier(column.name)
            as_is = column.type == "VARCHAR" and column.name in enumerations
            yield name if as_is else f"CAST({name} AS {column.type}) AS {name}"

    def _read_back(self, spec: TableSpec, path: Path, *, unique: bool) -> dict[str, tuple[int, str]]:
        """(rows, checksum) by part of a written file, whose rows are checked."""
        file = f"read_parquet({file_literal(path)}, hive_partitioning = false)"
        if spec.key and not unique:
            _check_key(self.con, spec, file)
        parts, nulls = _contents(self.con, spec, file)
        if nulls:
            raise CrossdomainError(f"{spec.full_name}: required columns hold nulls: {nulls}")
        return parts

    def _seal(self, spec: TableSpec, path: Path, footer: Mapping[str, Any], reserved: int) -> None:
        """Puts the footer's text where room was left for it, and makes the file last."""
        text = json.dumps(footer, sort_keys=True)
        if len(text) > reserved:  # a file of hundreds of deliveries: written again, with room enough
            wider = path.with_name(f"staging-{uuid.uuid4().hex}.parquet")
            stored = f"SELECT * FROM read_parquet({file_literal(path)}, hive_partitioning = false)"  # noqa: S608
            self._write(spec, stored, wider, "", len(text))
            wider.replace(path)
            reserved = len(text)
        with path.open("r+b") as file:
            size = file.seek(-_TRAILER, os.SEEK_END) + _TRAILER
            length = int.from_bytes(file.read(4), "little")  # a Parquet file ends with its footer, its length, PAR1
            begin = size - _TRAILER - length
            file.seek(begin)
            place = file.read(length).index(_room(reserved).encode())
            file.seek(begin + place)
            file.write(text.ljust(reserved).encode())
            file.flush()
            os.fsync(file.fileno())


def _room(length: int) -> str:
    return "~" * length


def _read(column: Column) -> str:
    """A column as readers get it."""
    name = identifier(column.name)
    return name if column.otherwise is None else f"coalesce({name}, {column.otherwise}) AS {name}"


def _numbered(spec: TableSpec) -> str:
    return ", file_row_number = true" if any(column.otherwise is not None for column in spec.columns) else ""


def _live(spec: TableSpec, root: Path, table: DeltaTable) -> list[Partition]:
    found: dict[tuple[str, ...], list[DataFile]] = {}
    for action in pa.table(table.get_add_actions(flatten=True)).to_pylist():
        values = {name: str(action[f"partition.{name}"]) for name in spec.partition}
        relative = unquote(action["path"])
        file = DataFile(
            path=root / relative,
            values=values,
            rows=action["num_records"],
            size=action["size_bytes"],
            checksum=Path(relative).name.split("-")[0],
            written_at=datetime.fromtimestamp(action["modification_time"] / 1000, tz=UTC),
            first=action.get(f"min.{DS}"),
            last=action.get(f"max.{DS}"),
        )
        found.setdefault(tuple(values.values()), []).append(file)
    return [
        Partition(files[0].values, tuple(sorted(files, key=lambda file: file.path.as_posix())))
        for _, files in sorted(found.items())
    ]


def _matches(values: Mapping[str, str], replace: Mapping[str, Sequence[str]]) -> bool:
    return all(values[name] in wanted for name, wanted in replace.items())


def _content(partitions: Iterable[Partition]) -> set[tuple[tuple[str, ...], str]]:
    return {(tuple(partition.values.values()), partition.checksum) for partition in partitions}


def _staged_content(spec: TableSpec, staged: Iterable[Staged]) -> set[tuple[tuple[str, ...], str]]:
    checksums: dict[tuple[str, ...], list[str]] = {}
    for file in staged:
        checksums.setdefault(tuple(file.values[name] for name in spec.partition), []).append(file.checksum)
    return {(values, "-".join(sorted(found))) for values, found in checksums.items()}


def _add(root: Path, file: Staged, *, changes: bool = True) -> AddAction:
    try:
        status = file.path.stat()
    except FileNotFoundError as error:
        raise CrossdomainError(f"{file.path} was removed before it was committed; run the job again") from error
    return AddAction(
        path=file.path.relative_to(root).as_posix(),
        size=status.st_size,
        partition_values=dict(file.values),
        modification_time=status.st_mtime_ns // 1_000_000,
        data_change=changes,
        stats=json.dumps({"numRecords": file.rows, **_days(file)}),
    )


def _remove(root: Path, file: DataFile) -> RemoveAction:
    return RemoveAction(
        path=file.path.relative_to(root).as_posix(),
        data_change=False,
        deletion_timestamp=time.time_ns() // 1_000_000,
        size=file.size,
        partition_values=dict(file.values),
    )


def _days(file: Staged) -> dict[str, dict[str, str]]:
    """Statistics that let readers of one day pass over a file of raw without opening it."""
    if file.spec.part != DS or not file.parts:
        return {}
    return {"minValues": {DS: min(file.parts)}, "maxValues": {DS: max(file.parts)}}


def _check_key(con: duckdb.DuckDBPyConnection, spec: TableSpec, file: str) -> None:
    """Equal keys have equal hashes: only where hashes are equal the keys themselves are compared."""
    key = ", ".join(identifier(name) for name in spec.key)
    ((rows, hashes),) = con.execute(f"SELECT count(*), count(DISTINCT hash({key})) FROM {file}").fetchall()  # noqa: S608
    if rows == hashes:
        return
    twice = con.execute(
        f"SELECT {key}, count(*) FROM {file} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"  # noqa: S608
    ).fetchone()
    if twice:
        raise CrossdomainError(f"{spec.full_name}: key {spec.key} = {twice[:-1]} stands {twice[-1]} times")


def _contents(
    con: duckdb.DuckDBPyConnection, spec: TableSpec, file: str
) -> tuple[dict[str, tuple[int, str]], dict[str, int]]:
    """(rows, checksum) by part, and the nulls of required columns that have any; one pass.

    The rows' order is given by the table, so a set's hash suffices.
    """
    columns = ", ".join(identifier(name) for name in spec.column_names)
    part = literal(_WHOLE) if spec.part is None else f"CAST({identifier(spec.part)} AS VARCHAR)"
    required = [column.name for column in spec.columns if column.required]
    filled = "".join(f", count({identifier(name)})" for name in required)
    rows = con.execute(
        f"SELECT part, count(*), sum(h::HUGEINT), bit_xor(hash(h)){filled} "  # noqa: S608 - quoted names
        f"FROM (SELECT *, {part} AS part, hash({columns}) AS h FROM {file}) GROUP BY part"
    ).fetchall()
    nulls = {name: sum(row[1] - row[4 + place] for row in rows) for place, name in enumerate(required)}
    parts = {name: (count, _digest([count, total, mixed])) for name, count, total, mixed, *_ in rows}
    return parts, {name: count for name, count in nulls.items() if count}


def _digest(content: object) -> str:
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=10).hexdigest()
