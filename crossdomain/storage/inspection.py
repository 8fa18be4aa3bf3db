"""Whether what a table names is there and is what it says."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from crossdomain.storage.collection import Unnamed, unnamed
from crossdomain.storage.lake import DataFile, Lake
from crossdomain.tables import TableSpec


@dataclass(frozen=True)
class Damage:
    """A live file that is not what its table says.

    Attributes:
        table: The table.
        file: The file, with its partition's values.
        why: What is wrong with it.
    """

    table: str
    file: DataFile
    why: str


@dataclass(frozen=True)
class Inspection:
    """What was found of a table.

    Attributes:
        table: Its name.
        files: Live files that were looked at.
        compared: Those whose rows were read and compared with their checksum.
        damage: What is wrong with live files.
        unnamed: Files that the current version does not name: older versions' ones, what kills left, and what running
            tasks are writing.
    """

    table: str
    files: int
    compared: int
    damage: tuple[Damage, ...]
    unnamed: tuple[Unnamed, ...]


def inspect(lake: Lake, spec: TableSpec, *, deep: bool = False) -> Inspection:
    """Looks at every live file of a table: is it there, as long as it was, and (deep) does it hold its rows?

    Args:
        lake: The lake.
        spec: The table.
        deep: Read each file whole and compare the checksum of its rows with the one in its name. Files of another
            DuckDB version are not compared, since its checksums may be others.
    """
    files = _live(lake, spec)
    damage, compared = [], 0
    for file in files:
        why = _missing(file)
        if why is None and deep:
            why, same_version = _content(lake, spec, file)
            compared += same_version
        if why is not None:
            damage.append(Damage(spec.full_name, file, why))
    still_live = _live(lake, spec) if damage else files  # a job may have replaced one, and collected it, meanwhile
    confirmed = tuple(one for one in damage if one.file in still_live)
    return Inspection(spec.full_name, len(files), compared, confirmed, tuple(unnamed(lake, spec)))


def _live(lake: Lake, spec: TableSpec) -> list[DataFile]:
    return [file for partition in lake.partitions(spec) for file in partition.files]


def _missing(file: DataFile) -> str | None:
    try:
        size = file.path.stat().st_size
    except FileNotFoundError:
        return "is missing"
    return None if size == file.size else f"has {size:,} bytes; {file.size:,} were committed"


def _content(lake: Lake, spec: TableSpec, file: DataFile) -> tuple[str | None, bool]:
    """What is wrong with a file's rows, and whether they were compared."""
    try:
        if not lake.written_by_this_duckdb(file.path):
            return None, False
        checksum = lake.checksum(spec, file.path)
    except duckdb.Error as error:
        return f"cannot be read: {str(error).splitlines()[0]}", True
    return (None if checksum == file.checksum else f"holds other rows (checksum {checksum})"), True
