"""Blocks of a partition that are finished while others are not, so that a killed job goes on where it was.

Each finished block is a staged file; a note beside it, in ``tmp``, says which. Notes are kept by a fingerprint of all
that the rows depend on: another day, other inputs or settings never meet them. What is not taken up again is removed
by ``crossdomain.storage.collection``, notes and files alike, once no task can be that slow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from crossdomain.storage.home import Home, write_whole
from crossdomain.storage.lake import Lake, Staged
from crossdomain.storage.locks import exclusive
from crossdomain.tables import TableSpec


@dataclass(frozen=True)
class FinishedBlocks:
    """Notes of the finished blocks of one partition.

    Attributes:
        lake: The lake.
        spec: The table.
        folder: Where the notes lie.
    """

    lake: Lake
    spec: TableSpec
    folder: Path

    def find(self, name: str) -> Staged | None:
        """The file of a block that was finished before; None if there is none that can be committed."""
        try:
            note = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            path = Path(note["path"])
            whole = path.stat().st_size == note["size"]
        except FileNotFoundError:
            return None
        if not whole or path in self._live():
            return None
        return Staged(self.spec, path, note["values"], note["rows"], note["checksum"], note["parts"])

    def keep(self, name: str, staged: Staged) -> None:
        """Notes that a block is finished."""
        note = {
            "path": str(staged.path),
            "size": staged.path.stat().st_size,
            "values": dict(staged.values),
            "rows": staged.rows,
            "checksum": staged.checksum,
            "parts": dict(staged.parts),
        }
        write_whole(self.folder / f"{name}.json", json.dumps(note).encode())

    def forget(self) -> None:
        """Drops the notes: what they name is committed."""
        for path in self.folder.glob("*.json"):
            path.unlink(missing_ok=True)

    def _live(self) -> set[Path]:
        return {file.path for partition in self.lake.partitions(self.spec) for file in partition.files}


@contextmanager
def finished_blocks(
    lake: Lake, spec: TableSpec, values: Mapping[str, str], made_by: Mapping[str, Any]
) -> Iterator[FinishedBlocks]:
    """The finished blocks of a partition; one task at a time has them, a second one waits.

    Args:
        lake: The lake.
        spec: The table.
        values: Value of each partition column.
        made_by: Job, versions of inputs and settings that the rows depend on.
    """
    folder = notes_folder(lake.home, spec, values, made_by)
    with exclusive(folder):
        yield FinishedBlocks(lake, spec, folder)


def notes_folder(home: Home, spec: TableSpec, values: Mapping[str, str], made_by: Mapping[str, Any]) -> Path:
    """Where the notes of a partition lie, by its fingerprint."""
    content = json.dumps([spec.full_name, dict(values), made_by], sort_keys=True, default=str)
    return home.root / "tmp" / f"blocks-{blake2b(content.encode(), digest_size=10).hexdigest()}"
