"""Where things lie under ``CROSSDOMAIN_HOME``."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from shutil import rmtree

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.tables import TableSpec

LONGEST_TASK = timedelta(hours=24)
"""No task takes longer from the first file that it writes to its last commit: older files of no commit are dead."""

_DECORATION = re.compile(r"\x1b\[[0-9;]*m|↳")
_UNUSABLE = re.compile(r"%[0-9A-Fa-f]{2}|[\\\x00-\x1f\x7f]")
REMEDIES = {
    errno.ENOSPC: "free space, or move CROSSDOMAIN_HOME to a larger disk",
    errno.EDQUOT: "free space, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "the disk is mounted read-only: mount it for writing, or set CROSSDOMAIN_HOME elsewhere",
    errno.EACCES: "give this user the right to it, or set CROSSDOMAIN_HOME elsewhere",
    errno.EPERM: "give this user the right to it, or set CROSSDOMAIN_HOME elsewhere",
    errno.ENOTDIR: "a file stands where a folder should be: move it away",
    errno.EEXIST: "a file stands where a folder should be: move it away",
    errno.EIO: "the disk or network drive fails: see the system's log",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit on open files",
    errno.ENAMETOOLONG: "shorten the name",
}
"""What to do about what the operating system refuses."""


@dataclass(frozen=True)
class Home:
    """Paths below the root; asking for one creates nothing.

    Raises:
        InputError: delta-rs would read the root's path as another one.
    """

    root: Path

    def __post_init__(self) -> None:
        if match := _UNUSABLE.search(str(self.root)):
            raise InputError(
                f"CROSSDOMAIN_HOME={str(self.root)!r} cannot be used because of {match[0]!r}: give a path without "
                "backslashes, control characters and percent signs before two hexadecimal digits"
            )

    def landing(self, feed: str | None = None, day: date | None = None) -> Path:
        """Folder of all deliveries, of one feed's, or of one delivery."""
        path = self.root / "landing"
        if feed is not None:
            path /= feed
        return path if day is None else path / day.isoformat()

    def table(self, spec: TableSpec) -> Path:
        """Folder of a lake table."""
        return self.root / "lake" / spec.layer / spec.folder

    def models(self, kind: str) -> Path:
        """Folder of all versions of one kind of model."""
        return self.root / "models" / kind

    @property
    def serving(self) -> Path:
        """Folder of the published DuckDB files and ``CURRENT``."""
        return self.root / "serving"

    @property
    def keys(self) -> Path:
        """Folder of the key files."""
        return self.root / "keys"

    @property
    def audit(self) -> Path:
        """Folder of the audit log, one file a UTC day."""
        return self.root / "audit"

    @property
    def pending_erasures(self) -> Path:
        """Folder of erasures that have begun and are not done, sealed."""
        return self.root / "erasures"

    def report(self, name: str) -> Path:
        """Path of a report, such as ``quality/2026-01-05.json``."""
        return self.root / "reports" / name

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for one task's temporary files, on the disk of the lake; removed at the end."""
        path = self.root / "tmp" / uuid.uuid4().hex
        make_folder(path)
        try:
            yield path
        finally:
            rmtree(path, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Creates a folder with its parents.

    Raises:
        CrossdomainError: It cannot be created; the message names it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrossdomainError(f"cannot create folder {path}: {explained(error)}") from error


def write_whole(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Writes a file so that readers see the old content or the new, never a part.

    Raises:
        CrossdomainError: It cannot be written (disk full, read-only); the old content stays.
    """
    make_folder(path.parent)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        drop(aside)
        raise CrossdomainError(f"cannot write {path}, the old content is untouched: {explained(error)}") from error


def drop(path: Path) -> None:
    """Removes a file that was not finished, if the disk lets it; else it is left to the collection."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def explained(error: Exception) -> str:
    """What the operating system said, itself or through DuckDB or delta-rs, and what to do about it; on one line."""
    said = getattr(error, "strerror", None) or " ".join(_DECORATION.sub(" ", str(error)).split())
    remedies = [remedy for number, remedy in REMEDIES.items() if os.strerror(number) in said]
    return f"{said}; {remedies[0]}" if remedies else said
