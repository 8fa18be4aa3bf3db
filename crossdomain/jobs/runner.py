"""Runs a job for a key: resolves inputs, skips what is up to date, commits, carries on forward.

A sequential job that was asked for day d goes on with the following days while they are ready and not up
to date. So late days cascade, days that waited for their predecessor are made up, and the order in which
keys arrive does not matter.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import blake2b
from itertools import count
from typing import Any

from crossdomain.columns import DELIVERED_DS, DS
from crossdomain.errors import GateRefused, InputError, NotReady
from crossdomain.jobs.model import Input, Job, JobContext, JobResult, TableResult
from crossdomain.settings import Settings
from crossdomain.storage.engine import connection
from crossdomain.storage.home import Home
from crossdomain.storage.lake import JOINT, Lake, Partition, Staged
from crossdomain.tables import TableRegistry, registry


@contextmanager
def open_lake(settings: Settings) -> Iterator[Lake]:
    """The lake of a home with a DuckDB of its own, for one task or command."""
    home = Home(settings.home)
    with home.scratch() as scratch, connection(settings, scratch) as con:
        yield Lake(home, con)


def run_job(job: Job, ds: date, settings: Settings, *, force: bool = False) -> JobResult:
    """Runs a job for one key, and a sequential one for the days after it that now can run.

    Args:
        job: The job.
        ds: Business day (for ingest: the delivery day).
        settings: Deployment settings.
        force: Build again even if nothing changed.

    Raises:
        NotReady: An input or the day before is not there yet.
        GateRefused: The quality gate refused the day.
        InputError: The day lies before the declared start.
    """
    started = time.monotonic()
    tables = registry(settings.include)
    kind = job.kind(tables)
    first = _run_day(job, ds, settings, force=force)
    keys = list(first.keys)
    if kind == "sequential":
        for step in count(1):
            following = ds + timedelta(days=step)
            if not _has_inputs(job, following, settings):
                break
            result = _run_day(job, following, settings, force=False)
            if result.status == "up_to_date":
                break
            keys += result.keys
    return replace(first, keys=tuple(keys), seconds=time.monotonic() - started)


def _has_inputs(job: Job, ds: date, settings: Settings) -> bool:
    tables = registry(settings.include)
    with open_lake(settings) as lake:
        return all(
            any(partition.ds == ds for partition in lake.partitions(tables.get(wanted.table)))
            for wanted in job.inputs
            if not wanted.optional and wanted.when(settings)
        )


def _run_day(job: Job, ds: date, settings: Settings, *, force: bool) -> JobResult:
    tables = registry(settings.include)
    with open_lake(settings) as lake:
        if job.kind(tables) == "delivery":
            return _run_delivery(job, ds, settings, tables, lake)
        resolved = _Resolver(job, ds, settings, tables, lake).resolve()
        if not force and _is_current(job, ds, tables, lake, resolved.made_by):
            return JobResult(job.name, ds, "up_to_date")
        return _execute(_context(job, ds, settings, tables, lake, resolved))


@contextmanager
def looking_at(job: Job, ds: date, settings: Settings) -> Iterator[JobContext]:
    """What a job's function would be given for a day, for looking at what the job reads; nothing is written.

    Raises:
        NotReady: An input or the day before is not there yet.
        InputError: The day lies before the declared start.
    """
    tables = registry(settings.include)
    with open_lake(settings) as lake:
        yield _context(job, ds, settings, tables, lake, _Resolver(job, ds, settings, tables, lake).resolve())


def _context(
    job: Job, ds: date, settings: Settings, tables: TableRegistry, lake: Lake, resolved: _Resolved
) -> JobContext:
    for name, partitions, where in resolved.views:
        schema, _, _ = name.partition(".")
        lake.view(tables.get(name), partitions, schema=schema, where=where)
    for name, partitions in resolved.previous:
        lake.view(tables.get(name), partitions, schema="previous")
    lake.con.execute("SET VARIABLE ds = ?", [ds])  # SQL asks for it with getvariable('ds')
    return JobContext(job, ds, settings, tables, lake, resolved.made_by)


def _run_delivery(job: Job, ds: date, settings: Settings, tables: TableRegistry, lake: Lake) -> JobResult:
    context = JobContext(job, ds, settings, tables, lake, _made_by(job, settings, {}))
    job.run(context)
    keys = tuple(sorted(context.touched))
    return JobResult(job.name, ds, "done" if keys else "up_to_date", keys, notes=context.notes)


def _execute(context: JobContext) -> JobResult:
    job = context.job
    with context.held:
        results = _run_and_commit(context)
    changed = any(result.changed for result in results)
    return JobResult(
        job.name,
        context.ds,
        "done" if changed else "unchanged",
        (context.ds,) if changed or job.tells_unchanged else (),
        results,
        context.notes,
    )


def _run_and_commit(context: JobContext) -> list[TableResult]:
    job = context.job
    try:
        job.run(context)
    except GateRefused:
        kept = {name: staged for name, staged in context.staged.items() if name in job.on_refusal}
        context.lake.discard(_files({name: files for name, files in context.staged.items() if name not in kept}))
        _commit(context, kept)
        raise
    except BaseException:
        context.lake.discard(_files(context.staged))
        raise
    if missing := set(job.outputs) - set(context.staged):
        context.lake.discard(_files(context.staged))
        raise ValueError(f"job {job.name} did not write {sorted(missing)}")
    results = _commit(context, context.staged)
    for finished in context.blocks:
        finished.forget()
    return results


def _commit(context: JobContext, staged: Mapping[str, Sequence[Staged]]) -> list[TableResult]:
    results = []
    try:
        for name, files in staged.items():
            spec = context.tables.get(name)
            changed = context.lake.commit(spec, files, replace={"ds": [context.ds.isoformat()]})
            checksum = JOINT.join(sorted(file.checksum for file in files))
            results.append(TableResult(name, sum(file.rows for file in files), checksum, changed))
    except BaseException:
        context.lake.discard(_files(staged))  # what is committed stays
        raise
    return results


def _files(staged: Mapping[str, Sequence[Staged]]) -> Iterator[Staged]:
    for files in staged.values():
        yield from files


def _is_current(job: Job, ds: date, tables: TableRegistry, lake: Lake, made_by: Mapping[str, Any]) -> bool:
    for name in job.outputs:
        found = [partition for partition in lake.partitions(tables.get(name)) if partition.ds == ds]
        if not found:
            return False
        footers = lake.footers(file for partition in found for file in partition.files)
        if any(footer.made_by != made_by for footer in footers.values()):
            return False
    return True


def _made_by(job: Job, settings: Settings, inputs: Mapping[str, str]) -> dict[str, Any]:
    config = dict(job.config(settings))
    return {"job": job.name, "version": job.version, "inputs": dict(inputs), "config": _digest(config)}


def _digest(content: object) -> str:
    return blake2b(json.dumps(content, sort_keys=True, default=str).encode(), digest_size=10).hexdigest()


@dataclass(frozen=True)
class _Resolved:
    made_by: dict[str, Any]
    views: list[tuple[str, list[Partition], str]]
    previous: list[tuple[str, list[Partition]]]


@dataclass(frozen=True)
class _Resolver:
    """Finds the partitions that a job reads for a key, and their versions."""

    job: Job
    ds: date
    settings: Settings
    tables: TableRegistry
    lake: Lake

    def resolve(self) -> _Resolved:
        self._check_day()
        versions: dict[str, str] = {}
        views = []
        for wanted in self.job.inputs:
            if not wanted.when(self.settings):
                continue
            partitions = self._window(wanted)
            where, version = self._known(wanted, partitions)
            versions[wanted.table] = version
            views.append((wanted.table, partitions, where))
        previous = []
        if self.job.kind(self.tables) == "sequential":
            for name in self.job.outputs:
                partitions = self._day_before(name)
                versions[f"previous.{name}"] = _digest([partition.checksum for partition in partitions])
                previous.append((name, partitions))
        return _Resolved(_made_by(self.job, self.settings, versions), views, previous)

    def _check_day(self) -> None:
        if self.job.kind(self.tables) == "independent":
            return
        if self.settings.start is None:
            raise InputError(
                f"job {self.job.name} looks at other days and needs the first day of the data: set CROSSDOMAIN_START"
            )
        if self.ds < self.settings.start:
            raise InputError(f"{self.ds} lies before the declared start of the data, {self.settings.start}")

    def _window(self, wanted: Input) -> list[Partition]:
        first, last, spec = self._first(wanted), self._last(wanted), self.tables.get(wanted.table)
        if spec.part == DS:
            return self.lake.holding(spec, first, last)
        found = [partition for partition in self.lake.partitions(spec) if first <= partition.ds <= last]
        if not wanted.optional:
            self._refuse_gaps(wanted, first, {partition.ds for partition in found})
        return found

    def _first(self, wanted: Input) -> date:
        return date.min if wanted.days is None else self._last(wanted) - timedelta(days=wanted.days - 1)

    def _last(self, wanted: Input) -> date:
        return self.ds - timedelta(days=1) if wanted.before else self.ds

    def _refuse_gaps(self, wanted: Input, first: date, present: set[date]) -> None:
        # A job reads the key's own day always; other days only from the declared start on.
        start = self.settings.start
        days = {self.ds}
        if start is not None and wanted.days != 1:
            begin = max(first, start)
            days |= {begin + timedelta(days=step) for step in range((self.ds - begin).days + 1)}
        if gaps := sorted(days - present):
            listed = ", ".join(day.isoformat() for day in gaps[:5]) + (" …" if len(gaps) > 5 else "")
            raise NotReady(
                f"{self.job.name} {self.ds}: {wanted.table} is missing for {listed}; "
                f"run `crossdomain run {self.tables.get(wanted.table).job} --date {gaps[0]}` first"
            )

    def _known(self, wanted: Input, partitions: Sequence[Partition]) -> tuple[str, str]:
        """Which rows of the partitions the job sees, as a condition, and their version."""
        if self.tables.get(wanted.table).part == DS:
            return self._of_days(self._first(wanted), self._last(wanted), partitions)
        if wanted.delivered == "any":
            return "true", _digest([(partition.values["ds"], partition.checksum) for partition in partitions])
        footers = self.lake.footers(file for partition in partitions for file in partition.files)
        day = self.ds.isoformat()
        until = wanted.delivered == "until" or self.ds == self.settings.start
        parts = [
            (partition.values["ds"], delivered, checksum)
            for partition in partitions
            for file in partition.files
            for delivered, checksum in sorted(footers[file.path].parts.items())
            if (delivered <= day if until else delivered == day)
        ]
        return f"{DELIVERED_DS} {'<=' if until else '='} DATE '{day}'", _digest(parts)

    def _of_days(self, first: date, last: date, partitions: Sequence[Partition]) -> tuple[str, str]:
        """Of raw, whose files hold whole deliveries, only the rows of the days that are asked for count."""
        footers = self.lake.footers(file for partition in partitions for file in partition.files)
        days = (first.isoformat(), last.isoformat())
        parts = sorted(
            (tuple(partition.values.values()), day, checksum)
            for partition in partitions
            for file in partition.files
            for day, joined in footers[file.path].parts.items()
            for checksum in joined.split(JOINT)
            if days[0] <= day <= days[1]
        )
        return f"{DS} BETWEEN DATE '{days[0]}' AND DATE '{days[1]}'", _digest(parts)

    def _day_before(self, name: str) -> list[Partition]:
        if self.ds == self.settings.start:
            return []
        before = self.ds - timedelta(days=1)
        found = [partition for partition in self.lake.partitions(self.tables.get(name)) if partition.ds == before]
        if not found:
            raise NotReady(
                f"{self.job.name} {self.ds}: {name} of the day before, {before}, is missing; "
                f"run `crossdomain run {self.job.name} --date {before}` first"
            )
        return found
