"""Where things lie under ``CROSSDOMAIN_HOME``."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shutil import rmtree

from crossdomain.errors import CrossdomainError
from crossdomain.tables import TableSpec


@dataclass(frozen=True)
class Home:
    """Paths below the root; asking for one creates nothing."""

    root: Path

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
        raise CrossdomainError(f"cannot create folder {path}: {error.strerror}; check CROSSDOMAIN_HOME") from error


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
        aside.unlink(missing_ok=True)
        raise CrossdomainError(f"cannot write {path}: {error.strerror}; the old content is untouched") from error
