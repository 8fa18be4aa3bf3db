"""What a job is, what its function is given, and what running it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import duckdb
import pyarrow as pa

from crossdomain.settings import Settings
from crossdomain.storage.blocks import FinishedBlocks, finished_blocks
from crossdomain.storage.keys import Keyring, load_keys
from crossdomain.storage.lake import Lake, Staged
from crossdomain.storage.models import ModelStore
from crossdomain.tables import Kind, TableRegistry

Delivered = Literal["any", "until", "on"]
Status = Literal["done", "unchanged", "up_to_date"]


@dataclass(frozen=True, kw_only=True)
class Input:
    """A table that a job reads, and which part of it.

    Attributes:
        table: Unversioned name, ``clean.events``.
        days: Number of business days up to and including the key; None for all of them.
        delivered: ``any`` row; rows known by the key's day (``until``); rows that were delivered on the
            key's day (``on``; on the declared start also those of before).
        optional: Whether days may be missing.
        before: Whether the days end on the day before the key: what is known when the key's day begins.
        when: Whether the job reads it at all under some settings; what is not read is no part of its fingerprint.
    """

    table: str
    days: int | None = 1
    delivered: Delivered = "any"
    optional: bool = False
    before: bool = False
    when: Callable[[Settings], bool] = lambda settings: True

    def __post_init__(self) -> None:
        """Of days before the key's those may be missing that lie before the start of the data."""
        if self.before and not self.optional:
            raise ValueError(f"{self.table}: what is read of the days before must be optional")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A function of a partition key from tables to tables.

    Attributes:
        name: Used on the command line, in ``metadata.yaml`` and by the DAGs.
        version: Grows when the same inputs would give other rows.
        inputs: What it reads.
        outputs: What it writes, one partition each.
        run: The function; it reads views and calls ``ctx.write``.
        config: Choices that its rows depend on, as JSON-able values; part of the partition's fingerprint.
        on_refusal: Outputs that are committed even when the gate refuses the day.
        tells_unchanged: Whether consumers hear of a day also when it was built again with the same rows: for a job
            whose consumers read what it reads, so that what changed for them is not kept from them.
    """

    name: str
    version: int
    outputs: tuple[str, ...]
    run: Callable[[JobContext], None]
    inputs: tuple[Input, ...] = ()
    config: Callable[[Settings], Mapping[str, Any]] = lambda settings: {}
    on_refusal: tuple[str, ...] = ()
    tells_unchanged: bool = False

    def kind(self, tables: TableRegistry) -> Kind:
        """How the job depends on other days, as the metadata of its outputs declares.

        A job without tables of its own (publish) works like a delivery: it commits by itself.
        """
        return tables.get(self.outputs[0]).kind if self.outputs else "delivery"


@dataclass
class JobContext:
    """What a job's function is given for one key.

    Inputs are DuckDB views named by their tables (``clean.events``); a sequential job finds its own
    outputs of the day before in schema ``previous``.
    """

    job: Job
    ds: date
    settings: Settings
    tables: TableRegistry
    lake: Lake
    made_by: Mapping[str, Any]
    staged: dict[str, tuple[Staged, ...]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    touched: set[date] = field(default_factory=set)
    blocks: list[FinishedBlocks] = field(default_factory=list)
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The task's DuckDB."""
        return self.lake.con

    @property
    def models(self) -> ModelStore:
        """Model files."""
        return ModelStore(self.lake.home)

    @property
    def keys(self) -> Keyring:
        """The home's keys."""
        return load_keys(self.lake.home, self.settings.keys)

    def write(self, table: str, rows: str | pa.Table, *, settled: bool = False) -> Staged:
        """Stages the key's partition of an output; it is committed when the function returns.

        Args:
            table: One of the job's outputs.
            rows: SQL text or an Arrow table with the schema's columns.
            settled: Whether the rows come in the table's order and without any key twice.
        """
        if table not in self.job.outputs:
            raise ValueError(f"job {self.job.name} does not declare output {table}")
        spec = self.tables.get(table)
        order = "" if settled else None
        values = {"ds": self.ds.isoformat()}
        staged = self.lake.stage(spec, rows, values, made_by=self.made_by, order=order, unique=settled)
        self.staged[table] = (staged,)
        return staged

    def write_blocks(self, table: str, blocks: Iterable[tuple[str, Callable[[], pa.Table]]]) -> int:
        """Stages the key's partition of an output a block at a time; what a killed run finished is taken up.

        All blocks are committed in one act, like what ``write`` stages.

        Args:
            table: One of the job's outputs.
            blocks: Name of each block, the same whenever the job runs for the same inputs, and what makes its rows,
                in the table's order, no key in two blocks.

        Returns:
            How many blocks were taken up.
        """
        if table not in self.job.outputs:
            raise ValueError(f"job {self.job.name} does not declare output {table}")
        spec = self.tables.get(table)
        values = {"ds": self.ds.isoformat()}
        finished = self.held.enter_context(finished_blocks(self.lake, spec, values, self.made_by))
        files, taken_up = [], 0
        for name, make in blocks:
            staged = finished.find(name)
            taken_up += staged is not None
            if staged is None:
                staged = self.lake.stage(spec, make(), values, made_by=self.made_by, order="", unique=True)
                finished.keep(name, staged)
            files.append(staged)
        self.staged[table] = tuple(files)
        self.blocks.append(finished)
        return taken_up

    def look_at(self, table: str) -> None:
        """Makes a view ``written.<name>`` over what was staged for an output."""
        self.lake.view_staged(self.tables.get(table), self.staged[table], schema="written")

    def note(self, **notes: Any) -> None:
        """Adds facts to the result that people see."""
        self.notes.update(notes)


@dataclass(frozen=True)
class TableResult:
    """Rows of one written partition, its checksum, and whether the rows changed."""

    table: str
    rows: int
    checksum: str
    changed: bool


@dataclass(frozen=True)
class JobResult:
    """What running a job for one key did.

    Attributes:
        job: Name of the job.
        ds: The key that was asked for.
        status: ``done`` (rows changed), ``unchanged`` (built again, same rows), ``up_to_date``
            (nothing to do).
        keys: Business days of which consumers must hear, in order: those whose outputs changed, and of a job that
            ``tells_unchanged`` all that were built.
        tables: What was written for ``ds``.
        notes: Facts for people.
        seconds: Wall time.
    """

    job: str
    ds: date
    status: Status
    keys: tuple[date, ...] = ()
    tables: Sequence[TableResult] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
