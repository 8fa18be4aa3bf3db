"""The audit log: who did what to whose data, and why; lines are only ever added.

One JSON line a record, one file a UTC day, readable by their owner only. Each line carries the hash of the line
before it, so that a changed, removed or inserted line shows. That tells of tampering by someone who edits lines;
someone who can write the whole folder can write a whole new chain: ship the files elsewhere to hold against that.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.storage.home import Home
from crossdomain.storage.locks import exclusive

_FIRST = ""
_MODE = 0o600
_SHORTEST_REASON = 10


def decision(what: str, *, by: str, reason: str) -> tuple[str, str]:
    """Who decides and why, trimmed.

    Args:
        what: The decision with its article, such as ``an override``.
        by: The person.
        reason: Why.

    Raises:
        InputError: There is no person, or the reason has fewer than ten characters.
    """
    by, reason = by.strip(), reason.strip()
    if not by:
        raise InputError(f"{what} needs a person: say who decides")
    if len(reason) < _SHORTEST_REASON:
        raise InputError(f"{what} needs a reason of at least {_SHORTEST_REASON} characters, for whoever asks later")
    return by, reason


def record(home: Home, action: str, *, by: str, reason: str = "", **facts: Any) -> None:
    """Adds a line to the log and returns when it is on disk.

    Args:
        home: The home.
        action: What is done, such as ``vault.read``.
        by: The person or the task that does it.
        reason: Why.
        **facts: JSON values; people only as ``subject`` (``Keyring.subject``).

    Raises:
        InputError: ``by`` is empty, or a fact is not a JSON value; raw bytes (keys, pseudonyms) never are.
        CrossdomainError: The line cannot be written; whatever it was to allow must not happen.
    """
    if not by.strip():
        raise InputError(f"{action}: say who does it, the audit log names them")
    moment = datetime.now(UTC)
    line = {"ts": moment.isoformat(timespec="milliseconds"), "action": action, "by": by, "reason": reason}
    try:
        json.dumps(facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{action}: facts of the audit log must be JSON values: {error}") from error
    try:
        with exclusive(home.audit):
            _drop_unfinished(_files(home))
            path = _file_of(home, moment.date())
            previous = _last_line(_files(home))
            chained = {**line, "facts": facts, "previous": _hash(previous) if previous is not None else _FIRST}
            _append(path, json.dumps(chained, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise CrossdomainError(f"cannot write the audit log in {home.audit}: {error.strerror}") from error


def read(home: Home) -> list[dict[str, Any]]:
    """All records, oldest first: ``ts`` (UTC, ISO 8601), ``action``, ``by``, ``reason``, ``facts``, ``previous``.

    Raises:
        CrossdomainError: A line is not a record; the message names file and line.
    """
    records = []
    for path in _files(home):
        for number, line in enumerate(_lines(path), start=1):
            try:
                content = json.loads(line)
            except ValueError as error:
                raise CrossdomainError(f"{path}:{number}: not a record of the audit log: {error}") from error
            records.append(content)
    return records


def breaks(home: Home) -> list[str]:
    """Places where the chain of lines is broken, as ``<file>:<line>``; none if nobody edited the log.

    The oldest kept line is taken as it is, since files older than the log's retention are removed.
    """
    found = []
    previous: bytes | None = None
    for path in _files(home):
        for number, line in enumerate(_lines(path), start=1):
            if previous is not None and _said_before(line) != _hash(previous):
                found.append(f"{path}:{number}")
            previous = line
    return found


def _files(home: Home) -> list[Path]:
    return sorted(home.audit.glob("*.jsonl"))


def _file_of(home: Home, day: date) -> Path:
    """The day's file; a clock that was set back goes on in the newest one, so that lines stay in their order."""
    names = [path.stem for path in _files(home)]
    return home.audit / f"{max([*names, day.isoformat()])}.jsonl"


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1]  # what no newline ends was never finished, or is being written


def _last_line(files: list[Path]) -> bytes | None:
    for path in reversed(files):
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            tail = b""
            while len(tail) < size and tail.count(b"\n") < 2:
                file.seek(-min(size, max(4096, 2 * len(tail))), os.SEEK_END)
                tail = file.read()
        if tail:
            return tail[:-1].rpartition(b"\n")[2]
    return None


def _drop_unfinished(files: list[Path]) -> None:
    """Takes back what a machine that went down left of a line: its record was never confirmed to anybody."""
    for path in files[-1:]:
        content = path.read_bytes() if _ends_torn(path) else b""
        if content:
            os.truncate(path, content.rfind(b"\n") + 1)


def _ends_torn(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return size > 0 and file.read() != b"\n"


def _append(path: Path, line: bytes) -> None:
    """One write and a flush to disk; what does not fit whole is taken back."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _MODE)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, line) != len(line):
            os.ftruncate(descriptor, size)
            raise CrossdomainError(f"cannot write {path}: the disk is full; nothing was added")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hash(line: bytes) -> str:
    return sha256(line).hexdigest()


def _said_before(line: bytes) -> str | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content.get("previous") if isinstance(content, dict) else None
