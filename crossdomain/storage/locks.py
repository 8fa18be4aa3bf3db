"""One process at a time: a lock that a killed process gives back."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossdomain.errors import CrossdomainError
from crossdomain.storage.home import make_folder

_FILE = ".lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds a folder's lock, waiting for whoever has it; the folder is made private to its owner.

    Raises:
        CrossdomainError: The folder cannot be written.
    """
    make_folder(folder)
    try:
        folder.chmod(0o700)
        descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CrossdomainError(f"cannot write {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
