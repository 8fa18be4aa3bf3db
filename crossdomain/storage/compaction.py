"""Small files of a partition put together, and long logs closed, so that reading stays cheap.

Only raw has partitions of many files (one a delivered file). Daily partitions of one small file are left as they are:
docs/adr/0006-days-are-not-merged.md has the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import duckdb
from deltalake import DeltaTable

from crossdomain.errors import CommitConflict, CrossdomainError
from crossdomain.storage.lake import JOINT, DataFile, Footer, Lake, Partition, Staged
from crossdomain.tables import Compact, TableSpec

_OPEN_COMMITS = 50
"""Commits since the last checkpoint from which on a new one is made; delta-rs makes one every hundred by itself."""
_LOG_FILE = re.compile(r"^(?P<version>\d{20})\.(?P<kind>json|checkpoint)\b")


def compact(lake: Lake, spec: TableSpec, *, dry_run: bool = False) -> tuple[int, int]:
    """Puts together the small files of partitions that hold more files than the table's metadata allows.

    The rows stay the same and keep their versions by part (``Footer.parts``), so that who has read them need not read
    them again. Each group of files is one commit, refused where a job has replaced one of them meanwhile: then they
    are left for the next time.

    Returns:
        Files that were put together, and files that they became.

    Raises:
        CrossdomainError: A file cannot be read or written; what is not done yet is as it was.
    """
    merged = into = 0
    for partition in lake.partitions(spec) if spec.compact else ():
        for files in _groups(partition, spec.compact):
            if dry_run or _merge(lake, spec, files):
                merged, into = merged + len(files), into + 1
    return merged, into


def checkpoint(lake: Lake, spec: TableSpec, *, dry_run: bool = False) -> bool:
    """Closes a table's log by a checkpoint where many commits lie behind the last one; True where it did."""
    root = lake.home.table(spec)
    found: dict[str, list[int]] = {"json": [], "checkpoint": []}
    for path in (root / "_delta_log").glob("*"):
        if match := _LOG_FILE.match(path.name):
            found[match["kind"]].append(int(match["version"]))
    closed = max(found["checkpoint"], default=-1)
    if sum(version > closed for version in found["json"]) < _OPEN_COMMITS:
        return False
    if not dry_run:
        DeltaTable(str(root)).create_checkpoint()
    return True


def _groups(partition: Partition, wanted: Compact | None) -> list[tuple[DataFile, ...]]:
    """Files to put together, in the order of their names, up to the size that a file should have."""
    if wanted is None or len(partition.files) <= wanted.files:
        return []
    groups: list[list[DataFile]] = [[]]
    size = 0
    for file in partition.files:
        if groups[-1] and size + file.size > wanted.target_mb * 1_000_000:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.size
    return [tuple(files) for files in groups if len(files) > 1]


def _merge(lake: Lake, spec: TableSpec, files: Sequence[DataFile]) -> bool:
    try:
        footers = lake.footers(files)
        made_by = footers[files[0].path].made_by
        if any(footer.made_by != made_by for footer in footers.values()):
            return False  # of different runs: which of them made a row must stay known
        rows = lake.relation(spec, [Partition(files[0].values, tuple(files))])
        staged = lake.stage(spec, rows, files[0].values, made_by=made_by, parts=_carried(footers.values()))
    except duckdb.IOException:
        if all(file.path.exists() for file in files):
            raise
        return False  # replaced since it was listed, and the old file collected
    try:
        _refuse_loss(spec, files, staged)
        lake.swap(spec, [staged], files)
    except CommitConflict:
        lake.discard([staged])
        return False
    except BaseException:
        lake.discard([staged])
        raise
    return True


def _carried(footers: Iterable[Footer]) -> dict[str, str]:
    """The versions by part of several files, joined as a reader of all of them would take them."""
    found: dict[str, list[str]] = {}
    for footer in footers:
        for part, version in footer.parts.items():
            found.setdefault(part, []).extend(version.split(JOINT))
    return {part: JOINT.join(sorted(versions)) for part, versions in found.items()}


def _refuse_loss(spec: TableSpec, files: Sequence[DataFile], staged: Staged) -> None:
    rows = sum(file.rows for file in files)
    if staged.rows != rows:
        raise CrossdomainError(f"{spec.full_name}: {len(files)} files of {rows} rows became {staged.rows} rows: kept")
