"""Retention: what has outlived its term is removed, what is held or still needed is kept and named.

Terms count from the business day of the run, not from the clock, so that a day that is run again removes nothing that
its first run kept. Partitions are removed by a commit of nothing; their files go from disk a day later, when no task
reads them any more.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import rmtree

import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.governance import holds, requests
from crossdomain.governance.erasing import Ground
from crossdomain.storage import audit, serving
from crossdomain.storage.lake import Partition
from crossdomain.storage.maintenance import maintain
from crossdomain.storage.models import ModelStore
from crossdomain.storage.removal import add_rows, drop_partitions
from crossdomain.tables import FOREVER, TableRegistry, TableSpec

RUNS = "derived.retention_runs"
DELIVERIES = "derived.deliveries"
EXPIRED, HELD, NOT_INGESTED = "expired", "held", "not_ingested"

_HISTORY = timedelta(hours=24)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MODEL_VERSION = "model_version"


@dataclass(frozen=True)
class Decision:
    """What became of something that has outlived its term.

    Attributes:
        place: Table, or landing, reports, audit, models, serving, tmp.
        partition: Values of the partition columns, or the file or folder.
        action: ``expired``; ``held`` (somebody under legal hold is in it); ``not_ingested`` (a delivery that was
            never taken stays until somebody looks).
        rows: Rows, where they are known.
        kept_days: The term.
    """

    place: str
    partition: str
    action: str
    rows: int | None
    kept_days: int


def check_terms(tables: TableRegistry, least: Mapping[str, int]) -> None:
    """Refuses terms that are too short.

    Args:
        tables: The tables, with their terms.
        least: Days that jobs need to read or to build again, by table.

    Raises:
        InputError: A term is shorter than what is needed.
    """
    for spec in tables:
        if spec.retention_days < least.get(spec.full_name, 1):
            raise InputError(
                f"{spec.full_name}: kept for {spec.retention_days} days, but {least[spec.full_name]} are needed to "
                "read or to rebuild from it: raise its term in governance/retention.yaml or in its metadata.yaml"
            )


def enforce(ground: Ground, least: Mapping[str, int], *, dry_run: bool = False) -> list[Decision]:
    """Removes what has outlived its term as of the ground's business day.

    Args:
        ground: The platform.
        least: Days that jobs need of each table, and of ``landing``.
        dry_run: Only say what would be removed.

    Returns:
        What was, or would be, removed or kept against its term.

    Raises:
        InputError: A term is shorter than what is needed; nothing was removed.
    """
    check_terms(ground.tables, least)
    if ground.terms.landing_days < least.get("landing", 1):
        raise InputError(
            f"CROSSDOMAIN_LANDING_DAYS={ground.terms.landing_days} is less than the {least['landing']} days for which "
            "late deliveries must be possible"
        )
    held = {hold.held for hold in holds.in_force(ground.lake, ground.tables)}
    decisions = [
        *_landing(ground, dry_run),  # as long as the books of the deliveries are there
        *(one for spec in ground.tables for one in _table(ground, spec, held, dry_run)),
        *_files(ground, "reports", ground.lake.home.report(""), ground.terms.report_days, dry_run),
        *_files(ground, "audit", ground.lake.home.audit, ground.terms.audit_days, dry_run),
        *_models(ground, dry_run),
    ]
    if not dry_run:
        _keep_house(ground)
        _record(ground, decisions)
    return decisions


# tables --------------------------------------------------------------------------------------------


def _table(ground: Ground, spec: TableSpec, held: Collection[bytes], dry_run: bool) -> Iterator[Decision]:
    days = spec.retention_days
    if days >= FOREVER:
        return
    last = ground.ds - timedelta(days=days)
    partitions = ground.lake.partitions(spec)
    old = [one for one in partitions if one.ds <= last]
    if spec.kind == "sequential" and old and len(old) == len(partitions):
        old = old[:-1]  # the state from which the next day goes on
    kept = [one for one in old if held and _holds(ground, spec, one, held)]
    expired = [one for one in old if one not in kept]
    if expired and not dry_run:
        drop_partitions(ground.lake, spec, expired)
    for action, found in ((EXPIRED, expired), (HELD, kept)):
        for one in found:
            yield Decision(spec.full_name, "/".join(one.values.values()), action, one.rows, days)


def _holds(ground: Ground, spec: TableSpec, partition: Partition, held: Collection[bytes]) -> bool:
    """Raw is the evidence: what was delivered about a held account stays."""
    if spec.layer != "raw" or "delivered_ds" not in spec.partition:
        return False
    found = requests.people_in(
        ground.lake, spec, [partition], ground.keys, ground.settings.domains, ground.cleaned, held
    )
    return bool(found)


# files ---------------------------------------------------------------------------------------------


def _landing(ground: Ground, dry_run: bool) -> Iterator[Decision]:
    days = ground.terms.landing_days
    spec = ground.tables.get(DELIVERIES)
    taken = {(one.values["feed"], one.values["ds"]) for one in ground.lake.partitions(spec)}
    for folder in sorted(ground.lake.home.landing().glob("*/????-??-??")):
        if _day_of(folder.name) > ground.ds - timedelta(days=days):
            continue
        name = f"{folder.parent.name}/{folder.name}"
        if (folder.parent.name, folder.name) not in taken:
            yield Decision("landing", name, NOT_INGESTED, None, days)
            continue
        if not dry_run:
            rmtree(folder)
        yield Decision("landing", name, EXPIRED, None, days)


def _files(ground: Ground, place: str, root: Path, days: int, dry_run: bool) -> Iterator[Decision]:
    """Files by the day in their path, or else by the day on which they were written."""
    for path in sorted(root.rglob("*")) if root.is_dir() else []:
        name = path.relative_to(root).as_posix()
        if path.is_file() and path.name[0] != "." and _written(ground, path, name) <= ground.ds - timedelta(days=days):
            if not dry_run:
                path.unlink(missing_ok=True)
            yield Decision(place, name, EXPIRED, None, days)


def _models(ground: Ground, dry_run: bool) -> Iterator[Decision]:
    """Versions that no live table names."""
    store, days = ModelStore(ground.lake.home), ground.terms.model_days
    named = set(_named_models(ground))
    for kind in store.kinds():
        for version in store.versions(kind):
            saved = store.saved_at(kind, version).astimezone(ground.settings.zone).date()
            if version not in named and saved <= ground.ds - timedelta(days=days):
                if not dry_run:
                    store.remove(kind, version)
                yield Decision("models", f"{kind}/{version}", EXPIRED, None, days)


def _named_models(ground: Ground) -> Iterator[str]:
    for spec in ground.tables:
        if _MODEL_VERSION in spec.column_names and spec.layer == "serving":
            rows = ground.lake.relation(spec, ground.lake.partitions(spec))
            found = ground.lake.con.execute(f"SELECT DISTINCT {_MODEL_VERSION} FROM ({rows})").fetchall()  # noqa: S608
            yield from (version for (version,) in found if version is not None)


def _keep_house(ground: Ground) -> None:
    """Puts small files together, and takes from disk what is no longer named and what killed tasks left."""
    maintain(ground.lake, ground.tables, most_history=_HISTORY)
    with serving.one_publisher(ground.lake.home):
        serving.forget_others(ground.lake.home, keep_hours=int(_HISTORY.total_seconds() // 3600))


def _record(ground: Ground, decisions: Sequence[Decision]) -> None:
    if not decisions:
        return
    table = pa.table(
        {
            "place": [one.place for one in decisions],
            "partition": [one.partition for one in decisions],
            "action": [one.action for one in decisions],
            "rows": pa.array([one.rows for one in decisions], pa.int64()),
            "kept_days": pa.array([one.kept_days for one in decisions], pa.int32()),
        }
    )
    values = {"ds": ground.ds.isoformat()}
    add_rows(ground.lake, ground.tables.get(RUNS), values, table, made_by={"job": "govern"})
    expired: dict[str, int] = {}
    for one in decisions:
        if one.action == EXPIRED:
            expired[one.place] = expired.get(one.place, 0) + 1
    if expired:
        audit.record(ground.lake.home, "retention.expired", by="govern", ds=ground.ds.isoformat(), expired=expired)


def _written(ground: Ground, path: Path, name: str) -> date:
    found = _DAY.search(name)
    if found:
        return _day_of(found[0])
    return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC).astimezone(ground.settings.zone).date()


def _day_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:  # 2026-13-45: nobody's day, kept for somebody to look at
        return date.max
