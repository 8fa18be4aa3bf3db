"""The published serving database: built aside, then ``CURRENT`` flips to it.

A DuckDB file shuts readers out while it is written and shows old data when replaced under an open
connection, so every publication is a new file; readers open the one that ``CURRENT`` names, read-only.
"""

from __future__ import annotations

import fcntl
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from pathlib import Path

import duckdb

from crossdomain.errors import CrossdomainError, MissingInput
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.home import Home, drop, explained, make_folder, write_whole
from crossdomain.storage.lake import Lake, Partition
from crossdomain.tables import TableRegistry, TableSpec

_KEPT = 3


@dataclass(frozen=True)
class Publication:
    """What ``CURRENT`` names: the business day, the file, and rows by table."""

    ds: date
    path: Path
    rows: dict[str, int]


def current(home: Home) -> Publication | None:
    """The publication that readers should open; None before the first one."""
    pointer = home.serving / "CURRENT"
    if not pointer.exists():
        return None
    said = json.loads(pointer.read_text(encoding="utf-8"))
    return Publication(date.fromisoformat(said["ds"]), home.serving / said["file"], said["rows"])


@contextmanager
def open_current(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    """The current serving database, read-only.

    Raises:
        MissingInput: Nothing was published yet.
    """
    publication = current(home)
    if publication is None:
        raise MissingInput(f"nothing is published under {home.serving} yet: run the job `publish`")
    con = duckdb.connect(str(publication.path), read_only=True)
    try:
        yield con
    finally:
        con.close()


@contextmanager
def one_publisher(home: Home) -> Iterator[None]:
    """Waits until nobody else publishes; what is found, built, forgotten and copied inside is of one moment."""
    make_folder(home.serving)
    path = home.serving / ".lock"
    try:
        file = path.open("w")
    except OSError as error:
        raise CrossdomainError(f"cannot write {path}, CURRENT is untouched: {explained(error)}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def to_publish(lake: Lake, tables: TableRegistry, ds: date) -> list[tuple[TableSpec, Partition]]:
    """The newest partition, up to the day, of every serving table that has one."""
    found = []
    for spec in tables:
        if spec.layer == "serving":
            until = [partition for partition in lake.partitions(spec) if partition.ds <= ds]
            if until:
                found.append((spec, until[-1]))
    return found


def forget_others(home: Home, *, keep_hours: int = 0) -> list[Path]:
    """Deletes every publication but the current one, and what a kill left of one; readers of an older one keep theirs.

    The caller is the ``one_publisher``.

    Args:
        home: The home.
        keep_hours: Those of the last hours stay.

    Returns:
        The deleted files.
    """
    deleted = []
    publication = current(home)
    for path in sorted(home.serving.glob("*.duckdb*")):
        young = time.time() - path.stat().st_mtime < keep_hours * 3600
        if not young and (publication is None or path != publication.path):
            path.unlink(missing_ok=True)
            deleted.append(path)
    return deleted


def publish(lake: Lake, tables: Sequence[tuple[TableSpec, Partition]], ds: date) -> tuple[Publication, bool]:
    """Builds a serving database of the given partitions and flips ``CURRENT`` to it.

    The caller is the ``one_publisher``, and became it before it looked for the partitions.

    Args:
        lake: The lake to read from.
        tables: One partition per table, each the newest of a day not after ``ds``.
        ds: Business day of the publication.

    Returns:
        The current publication, and whether it is a new one. ``CURRENT`` never moves to an older day, and
        the same partitions are not published twice.
    """
    folder = lake.home.serving
    versions = [(spec.full_name, partition.values["ds"], partition.checksum) for spec, partition in tables]
    digest = blake2b(json.dumps(versions).encode(), digest_size=6).hexdigest()
    name = f"serving-{ds}-{digest}.duckdb"
    before = current(lake.home)
    if before is not None and (before.ds > ds or before.path.name == name):
        return before, False
    aside = folder / f".{uuid.uuid4().hex}.duckdb"
    try:
        rows = _build(lake, tables, aside)
        aside.replace(folder / name)
    except (duckdb.OperationalError, OSError) as error:
        raise CrossdomainError(f"cannot write {folder / name}, CURRENT is untouched: {explained(error)}") from error
    finally:
        drop(aside)
        drop(aside.with_name(f"{aside.name}.wal"))
    said = {"ds": ds.isoformat(), "file": name, "rows": rows}
    write_whole(folder / "CURRENT", json.dumps(said, indent=1).encode())
    _forget_old(folder, keep=name)
    return Publication(ds, folder / name, rows), True


def _build(lake: Lake, tables: Sequence[tuple[TableSpec, Partition]], path: Path) -> dict[str, int]:
    rows = {}
    lake.con.execute(f"ATTACH {literal(str(path))} AS publication")
    try:
        for spec, partition in tables:
            lake.con.execute(f"CREATE TABLE publication.{identifier(spec.name)} AS {lake.relation(spec, [partition])}")
            rows[spec.name] = partition.rows
    finally:
        lake.con.execute("DETACH publication")
    return rows


def _forget_old(folder: Path, *, keep: str) -> None:
    old = sorted(folder.glob("serving-*.duckdb"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in old[_KEPT:]:
        if path.name != keep:
            path.unlink(missing_ok=True)
