"""Replacing a file by a changed copy of itself, however large: readers see the old content or the new."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossdomain.errors import CommitConflict, CrossdomainError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside the file; what is written there takes the file's place at the end, with its permissions.

    Nothing changes if the block fails or writes nothing.

    Raises:
        CommitConflict: The file was changed meanwhile; nothing was replaced.
        CrossdomainError: It cannot be written (disk full, read-only); the old content stays.
    """
    before = path.stat()
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}{''.join(path.suffixes[-2:])}")
    try:
        yield aside
        if not aside.exists():
            return
        descriptor = os.open(aside, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        aside.chmod(before.st_mode & 0o7777)
        now = path.stat()
        if (now.st_mtime_ns, now.st_size, now.st_ino) != (before.st_mtime_ns, before.st_size, before.st_ino):
            raise CommitConflict(f"{path} was written by somebody else meanwhile; run again")
        aside.replace(path)
    except OSError as error:
        raise CrossdomainError(f"cannot write {path}: {error.strerror}; the old content is untouched") from error
    finally:
        aside.unlink(missing_ok=True)
