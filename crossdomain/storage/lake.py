"""The lake: Delta tables whose Parquet files DuckDB writes and reads.

A partition is replaced by one Delta commit, which readers see whole or not at all. Files are written
under their final name, which begins with the checksum of their rows; until the commit names them nobody
reads them, and what a kill leaves behind is found by ``verify`` and removed by ``collect``. Each file's
footer says which job and which input versions made it, and the checksum of its rows by delivery day, so
that a reader "as known on day d" can tell whether anything it may see has changed.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
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

from crossdomain.columns import DELIVERED_DS, PARTITION_TYPES
from crossdomain.errors import CommitConflict, CrossdomainError
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.home import Home, make_folder
from crossdomain.tables import TableSpec

_FOOTER = "crossdomain"
_NO_DELIVERY = "-"
_ATTEMPTS = 200
_COMPRESSION = "zstd"


@dataclass(frozen=True)
class DataFile:
    """One live Parquet file of a table."""

    path: Path
    values: Mapping[str, str]
    rows: int
    size: int
    checksum: str
    written_at: datetime


@dataclass(frozen=True)
class Partition:
    """All live files with the same partition values, and their joint checksum."""

    values: Mapping[str, str]
    files: tuple[DataFile, ...]

    @property
    def ds(self) -> date:
        """The business day."""
        return date.fromisoformat(self.values["ds"])

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
        parts: Checksum of its rows by delivery day (``-`` where rows carry none).
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


@dataclass(frozen=True)
class Orphan:
    """A file in a table's folder that no readable version names."""

    table: str
    path: Path
    size: int


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

    def footers(self, files: Iterable[DataFile]) -> dict[Path, Footer]:
        """Footers of files, by path; one pass over all of them."""
        paths = [str(file.path) for file in files]
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
        columns = ", ".join(
            [identifier(name) for name in spec.partition] + [identifier(name) for name in spec.column_names]
        )
        files = [str(file.path) for partition in partitions for file in partition.files]
        if not files:
            typed = [(name, PARTITION_TYPES[name]) for name in spec.partition]
            typed += [(column.name, column.type) for column in spec.columns]
            nulls = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in typed)
            return f"SELECT {nulls} WHERE false"
        listed = "[" + ", ".join(literal(file) for file in files) + "]"
        types = ", ".join(f"{literal(name)}: {PARTITION_TYPES[name]}" for name in spec.partition)
        return (
            f"SELECT {columns} "  # noqa: S608 - identifiers and literals are quoted above
            f"FROM read_parquet({listed}, hive_partitioning = true, hive_types = {{{types}}}) WHERE {where}"
        )

    def view(self, spec: TableSpec, partitions: Sequence[Partition], *, schema: str, where: str = "true") -> None:
        """Makes a view ``schema.table`` over partitions."""
        self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(schema)}")
        self.con.execute(
            f"CREATE OR REPLACE VIEW {identifier(schema)}.{identifier(spec.name)} AS "
            + self.relation(spec, partitions, where=where)
        )

    # writing -----------------------------------------------------------------------------------

    def stage(
        self, spec: TableSpec, source: str | pa.Table, values: Mapping[str, str], *, made_by: Mapping[str, Any]
    ) -> Staged:
        """Writes one partition file aside: cast to the schema, ordered, checked.

        Args:
            spec: The table.
            source: SQL text or an Arrow table that gives at least the schema's columns.
            values: Value of each partition column.
            made_by: Goes into the footer.

        Raises:
            CrossdomainError: A required column holds null, a key stands twice, a value does not fit its
                type, or the disk refuses; nothing is left behind.
        """
        rows_table = f"staging_{uuid.uuid4().hex}"
        try:
            self._materialise(spec, source, rows_table)
            _check_rows(self.con, spec, rows_table)
            parts = _checksums(self.con, spec, rows_table)
            rows = sum(count for count, _ in parts.values())
            footer = {"made_by": made_by, "parts": {part: checksum for part, (_, checksum) in parts.items()}}
            checksum = _digest(sorted(footer["parts"].items()))
            path = self._path(spec, values, checksum)
            self._copy(rows_table, path, footer)
        finally:
            self.con.execute(f"DROP TABLE IF EXISTS {rows_table}")
        return Staged(spec, path, dict(values), rows, checksum)

    def commit(self, spec: TableSpec, staged: Sequence[Staged], *, replace: Mapping[str, Sequence[str]]) -> bool:
        """Puts staged files in place of everything that ``replace`` selects, in one atomic act.

        Args:
            spec: The table.
            staged: Files of that table.
            replace: Values of partition columns; all files that match every one are replaced.

        Returns:
            Whether the rows changed. The same rows made from other inputs are committed and count as
            unchanged.

        Raises:
            CommitConflict: Other writers won the race for too long.
        """
        filters = [(name, "in", list(values)) for name, values in replace.items()]
        for attempt in range(_ATTEMPTS):
            table = self._open(spec) or self._create(spec)
            live = _live(spec, self.home.table(spec), table)
            before = [partition for partition in live if _matches(partition.values, replace)]
            changed = _content(before) != _staged_content(spec, staged)
            actions: list[AddAction | RemoveAction] = [_add(self.home.table(spec), file) for file in staged]
            try:
                table.create_write_transaction(
                    actions,
                    "overwrite",
                    table.schema(),
                    partition_by=list(spec.partition),
                    partition_filters=filters,
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
            except CommitFailedError:
                time.sleep(random.uniform(0.005, 0.05) * min(attempt + 1, 10))  # noqa: S311 - jitter
                continue
            except (DeltaError, OSError) as error:
                raise CrossdomainError(
                    f"cannot commit to {self.home.table(spec)}: {error}; the old partition is untouched"
                ) from error
            return changed
        raise CommitConflict(f"{spec.full_name}: {_ATTEMPTS} commits lost the race to other writers; run again")

    def discard(self, staged: Iterable[Staged]) -> None:
        """Removes files that will not be committed."""
        for file in staged:
            file.path.unlink(missing_ok=True)

    # keeping house -----------------------------------------------------------------------------

    def verify(self, spec: TableSpec) -> list[Orphan]:
        """Files in the table's folder that its current version does not name.

        Raises:
            CrossdomainError: The current version names a file that is not there or has another size.
        """
        root = self.home.table(spec)
        live = {file.path: file for partition in self.partitions(spec) for file in partition.files}
        for path, file in live.items():
            if not path.exists() or path.stat().st_size != file.size:
                raise CrossdomainError(f"{path} is named by {spec.full_name} and is missing or changed: rebuild it")
        found = sorted(root.glob("**/*.parquet"))
        return [
            Orphan(spec.full_name, path, path.stat().st_size)
            for path in found
            if path not in live and "_delta_log" not in path.parts
        ]

    def collect(self, spec: TableSpec, *, keep_hours: int) -> list[Path]:
        """Removes files that no version of the last ``keep_hours`` names, and returns them."""
        table = self._open(spec)
        if table is None:
            return []
        removed = table.vacuum(retention_hours=keep_hours, dry_run=False, enforce_retention_duration=False, full=True)
        return [self.home.table(spec) / unquote(name) for name in removed]

    # within ------------------------------------------------------------------------------------

    def _open(self, spec: TableSpec) -> DeltaTable | None:
        root = self.home.table(spec)
        return DeltaTable(str(root)) if DeltaTable.is_deltatable(str(root)) else None

    def _create(self, spec: TableSpec) -> DeltaTable:
        make_folder(self.home.table(spec))
        typed = [(name, PARTITION_TYPES[name]) for name in spec.partition]
        typed += [(column.name, column.type) for column in spec.columns]
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in typed)
        schema = self.con.sql(f"SELECT {empty} WHERE false").to_arrow_table().schema
        return DeltaTable.create(
            str(self.home.table(spec)),
            schema=schema,
            mode="ignore",  # another task may have created it since
            partition_by=list(spec.partition),
            name=spec.full_name,
            description=spec.description,
        )

    def _materialise(self, spec: TableSpec, source: str | pa.Table, into: str) -> None:
        columns = ", ".join(
            f"CAST({identifier(column.name)} AS {column.type}) AS {identifier(column.name)}" for column in spec.columns
        )
        order = ", ".join(f"{identifier(name)} NULLS FIRST" for name in spec.order)
        if isinstance(source, pa.Table):
            self.con.register(f"{into}_source", source)
            rows = f"{into}_source"
        else:
            rows = f"({source})"
        try:
            self.con.execute(f"CREATE TEMP TABLE {into} AS SELECT {columns} FROM {rows} ORDER BY {order}")  # noqa: S608
        except duckdb.ConversionException as error:
            raise CrossdomainError(f"{spec.full_name}: a value does not fit its column: {error}") from error
        finally:
            if isinstance(source, pa.Table):
                self.con.unregister(f"{into}_source")

    def _path(self, spec: TableSpec, values: Mapping[str, str], checksum: str) -> Path:
        folder = self.home.table(spec)
        for name in spec.partition:
            folder /= f"{name}={values[name]}"
        make_folder(folder)
        return folder / f"{checksum}-{uuid.uuid4().hex[:12]}.parquet"

    def _copy(self, rows_table: str, path: Path, footer: Mapping[str, Any]) -> None:
        said = literal(json.dumps(footer, sort_keys=True))
        try:
            self.con.execute(
                f"COPY {rows_table} TO {literal(str(path))} "
                f"(FORMAT parquet, COMPRESSION {_COMPRESSION}, KV_METADATA {{{_FOOTER}: {said}}})"
            )
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except (duckdb.IOException, OSError) as error:
            path.unlink(missing_ok=True)
            raise CrossdomainError(f"cannot write {path}: {error}; nothing was committed") from error


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


def _add(root: Path, file: Staged) -> AddAction:
    status = file.path.stat()
    return AddAction(
        path=file.path.relative_to(root).as_posix(),
        size=status.st_size,
        partition_values=dict(file.values),
        modification_time=status.st_mtime_ns // 1_000_000,
        data_change=True,
        stats=json.dumps({"numRecords": file.rows}),
    )


def _check_rows(con: duckdb.DuckDBPyConnection, spec: TableSpec, rows_table: str) -> None:
    required = [column.name for column in spec.columns if column.required]
    if required:
        counts = ", ".join(f"count(*) FILTER ({identifier(name)} IS NULL)" for name in required)
        nulls = con.execute(f"SELECT {counts} FROM {rows_table}").fetchone()  # noqa: S608 - quoted names
        assert nulls is not None
        if bad := {name: count for name, count in zip(required, nulls, strict=True) if count}:
            raise CrossdomainError(f"{spec.full_name}: required columns hold nulls: {bad}")
    if spec.key:
        key = ", ".join(identifier(name) for name in spec.key)
        twice = con.execute(
            f"SELECT {key}, count(*) FROM {rows_table} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"  # noqa: S608
        ).fetchone()
        if twice:
            raise CrossdomainError(f"{spec.full_name}: key {spec.key} = {twice[:-1]} stands {twice[-1]} times")


def _checksums(con: duckdb.DuckDBPyConnection, spec: TableSpec, rows_table: str) -> dict[str, tuple[int, str]]:
    """(rows, checksum) by delivery day; the rows' order is given by the table, so a set's hash suffices."""
    columns = ", ".join(identifier(name) for name in spec.column_names)
    delivered = DELIVERED_DS in spec.column_names
    part = f"CAST({DELIVERED_DS} AS VARCHAR)" if delivered else literal(_NO_DELIVERY)
    rows = con.execute(
        f"SELECT {part}, count(*), sum(hash({columns})::HUGEINT), bit_xor(hash('x', {columns})) "  # noqa: S608
        f"FROM {rows_table} GROUP BY 1"
    ).fetchall()
    return {name: (count, _digest([count, total, mixed])) for name, count, total, mixed in rows}


def _digest(content: object) -> str:
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=10).hexdigest()
