"""Files that nothing needs any more: replaced ones that grew old, and what killed tasks left.

A file that a version of a table has named is told apart from one that none ever named. The first may go as soon as
the table's history allows; the second may be a running task's, which has written it and not committed it yet: it goes
only when no task can be that slow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from crossdomain.errors import CrossdomainError
from crossdomain.storage.home import LONGEST_TASK, Home
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableSpec

_LOG = "_delta_log"
_LOG_FILE = re.compile(r"^(\d{20}\.(json|crc|checkpoint(\.[0-9.]+)?\.parquet)|_last_checkpoint)$")
_ASIDE = re.compile(r"^\.(.+\.)?[0-9a-f]{32}(\.duckdb(\.wal)?)?$")
_OTHERS = ("landing", "lake", "tmp")
"""Folders of the home that hold no files built aside."""


@dataclass(frozen=True)
class Unnamed:
    """A file or folder that nothing current names.

    Attributes:
        path: Where it lies.
        size: Its bytes.
        written_at: When it, or the newest file in it, was last written (UTC).
        replaced: Whether a version of a table has named it; else a kill left it, or a running task is writing it.
    """

    path: Path
    size: int
    written_at: datetime
    replaced: bool = False


def unnamed(lake: Lake, spec: TableSpec, *, history: timedelta = timedelta()) -> list[Unnamed]:
    """Files in a table's folder that neither its current version nor one of the last ``history`` names."""
    root = lake.home.table(spec)
    found = sorted(_files(root))  # listed before the log is read: what is committed meanwhile is named by then
    if not DeltaTable.is_deltatable(str(root)):
        return _described(found, set())
    table = DeltaTable(str(root))
    live = {root / unquote(path) for path in pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()}
    ever, old = _replaced(table, root, timedelta()), _replaced(table, root, history)
    return _described([path for path in found if path not in live and (path in old or path not in ever)], ever)


def left_over(home: Home) -> list[Unnamed]:
    """Temporary folders and files built aside, outside the lake: of killed tasks and of running ones."""
    found = sorted((home.root / "tmp").glob("*"))
    for folder in sorted(home.root.glob("*")):
        if folder.name not in _OTHERS:
            found += [path for path in sorted(folder.rglob(".*")) if _ASIDE.match(path.name)]
    return _described(found, set())


def collect(
    lake: Lake,
    spec: TableSpec,
    *,
    history: timedelta,
    grace: timedelta = LONGEST_TASK,
    now: datetime | None = None,
    dry_run: bool = False,
) -> list[Unnamed]:
    """Deletes files of a table that no version of the last ``history`` names.

    A task that reads an older version fails and is run again.

    Args:
        lake: The lake.
        spec: The table.
        history: How long replaced files stay; at most the seven days for which Delta remembers them.
        grace: How old a file that no version ever named must be.
        now: The time; by default the clock's.
        dry_run: Delete nothing.

    Returns:
        What was deleted, or would be.

    Raises:
        CrossdomainError: A file cannot be deleted.
    """
    return _delete(unnamed(lake, spec, history=history), grace, now, dry_run)


def sweep(
    home: Home, *, grace: timedelta = LONGEST_TASK, now: datetime | None = None, dry_run: bool = False
) -> list[Unnamed]:
    """Deletes what killed tasks left outside the lake, once it is older than ``grace``.

    Returns:
        What was deleted, or would be.

    Raises:
        CrossdomainError: A file cannot be deleted.
    """
    return _delete(left_over(home), grace, now, dry_run)


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        in_log = _LOG in Path(folder).parts
        yield from (Path(folder) / name for name in names if not (in_log and _LOG_FILE.match(name)))


def _replaced(table: DeltaTable, root: Path, history: timedelta) -> set[Path]:
    """Files that a version named and none of the last ``history`` does."""
    hours = int(history.total_seconds() // 3600)
    names = table.vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=False)
    return {root / unquote(name) for name in names}


def _described(paths: Sequence[Path], replaced: set[Path]) -> list[Unnamed]:
    described = []
    for path in paths:
        try:
            files = [one.stat() for one in path.rglob("*")] if path.is_dir() else []
            sizes = [one.st_size for one in (files or [path.stat()])]
            newest = max(one.st_mtime for one in (*files, path.stat()))
        except FileNotFoundError:  # its task has ended since
            continue
        written_at = datetime.fromtimestamp(newest, tz=UTC)
        described.append(Unnamed(path, sum(sizes), written_at, path in replaced))
    return described


def _delete(found: Sequence[Unnamed], grace: timedelta, now: datetime | None, dry_run: bool) -> list[Unnamed]:
    oldest = (now or datetime.now(UTC)) - grace
    gone = [one for one in found if one.replaced or one.written_at < oldest]
    for one in [] if dry_run else gone:
        try:
            if one.path.is_dir():
                rmtree(one.path)
            else:
                one.path.unlink(missing_ok=True)
        except OSError as error:
            raise CrossdomainError(f"cannot remove {one.path}: {error.strerror}; mend that and run again") from error
    return gone
