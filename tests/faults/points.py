"""Fault points: every call with which a job changes the disk, counted and named; at any of them it can be killed.

``install`` wraps, inside a child process, the calls that storage is made of: those of the operating system that
change files below the home, DuckDB's statements that write files, what delta-rs commits, and the lake's own methods.
Each call is two points, before and after. A child told to die at point n does so there; told to die inside a call, it
does so after a share of the time which the undisturbed call took, at whatever instruction that is.
"""

from __future__ import annotations

import builtins
import io
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from crossdomain.storage.lake import Lake

_write = os.write  # the log is no fault point
_RANDOM = re.compile(r"[0-9a-f]{32}|[0-9a-f]{20}-[0-9a-f]{12}|(?<=-)[0-9a-f]{12}(?=\.)")
_FILES = re.compile(r"\s*(COPY|ATTACH|DETACH|CREATE TABLE publication)\b", re.IGNORECASE)
_LONG = ("duckdb ", "delta ")
"""Points around native code, which runs long enough to be killed inside."""


@dataclass(frozen=True)
class Kill:
    """Where to die.

    Attributes:
        point: At this point,
        seconds: or so long after it, and at the next point at the latest,
        anywhere: or wherever the job is then.
    """

    point: int = 0
    seconds: float = 0.0
    anywhere: bool = False


@dataclass(frozen=True)
class Refusal:
    """Which call is refused, and the system's number of the reason (``errno.ENOSPC``)."""

    point: int
    number: int


@dataclass(frozen=True)
class Point:
    """A fault point of an undisturbed run: its number, name and time since the start."""

    number: int
    name: str
    seconds: float

    @property
    def enters_native_code(self) -> bool:
        """Whether what follows can be killed inside."""
        return self.name.startswith(tuple(f"before {kind}" for kind in _LONG))

    @property
    def can_be_refused(self) -> bool:
        """Whether the disk can refuse what follows."""
        return self.name.startswith("before ") and not self.name.startswith("before lake ")

    @property
    def call(self) -> str:
        """Name of the call, such as ``fsync``."""
        return self.name.split()[1]

    @property
    def kind(self) -> str:
        """Kind of the call: its name, of native code also what it does."""
        return " ".join(self.name.split()[1:3]) if self.call in ("delta", "duckdb") else self.call

    @property
    def tidies(self) -> bool:
        """Whether what follows removes something, so that it stays where it is refused."""
        return self.call in ("unlink", "remove", "rmdir")

    @property
    def writes(self) -> bool:
        """Whether this is about more than a task's temporary folder."""
        return not self.name.endswith(" tmp/#") and " tmp/#/" not in self.name

    @property
    def commits(self) -> bool:
        """Whether this is about the act that makes something new current."""
        return self.name.endswith(("delta create_write_transaction", "replace serving/CURRENT"))


def read_points(log: Path) -> list[Point]:
    """The points that a child passed, in order."""
    lines = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
    return [Point(int(number), name, float(seconds)) for number, seconds, name in lines]


class _Counter:
    def __init__(self, home: Path, log: Path, fault: Kill | Refusal | None) -> None:
        self.home = str(home)
        self.kill = fault if isinstance(fault, Kill) else None
        self.refusal = fault if isinstance(fault, Refusal) else None
        self.passed = 0
        self.began = time.monotonic()
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

    def pass_point(self, name: str) -> None:
        number, self.passed = self.passed, self.passed + 1
        line = f"{number}\t{time.monotonic() - self.began:.6f}\t{_RANDOM.sub('#', name)}\n"
        _write(self.log, line.encode())
        if self.refusal is not None and number == self.refusal.point:
            raise _refused(name, self.refusal.number)
        if self.kill is None or number < self.kill.point or (self.kill.anywhere and number > self.kill.point):
            return
        if number == self.kill.point and self.kill.seconds:
            signal.setitimer(signal.ITIMER_REAL, self.kill.seconds)  # nobody handles SIGALRM: it ends the process
            return
        os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def around(self, name: str) -> Any:
        self.pass_point(f"before {name}")
        try:
            yield
        finally:
            self.pass_point(f"after {name}")

    def within(self, path: object) -> str | None:
        """The path below the home, if it lies there."""
        if isinstance(path, int):
            try:
                text = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return None
        else:
            text = os.fspath(path)  # type: ignore[call-overload]
        return text[len(self.home) + 1 :] if text.startswith(self.home + "/") else None


def _refused(name: str, number: int) -> Exception:
    """What the caller gets when the disk refuses a call."""
    said = os.strerror(number)
    if name.startswith("before duckdb "):
        return duckdb.IOException(f"IO Error: Could not write file: {said}")
    if name.startswith("before delta "):
        return OSError(f"Generic LocalFileSystem error\n \x1b[31m↳\x1b[0m {said} (os error {number})\n")
    return OSError(number, said, name.split(" ", 2)[2])


Patch = Callable[[Any, str, Any], None]


def install(home: Path, log: Path, fault: Kill | Refusal | None, *, patch: Patch = setattr) -> None:
    """Wraps every storage call of this process.

    A kill is for a child that does nothing else; where a call is only refused, ``patch`` may undo itself.
    """
    if isinstance(fault, Kill):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    counter = _Counter(home, log, fault)
    wrap = partial(_wrap_call, counter, patch)
    for name in ("mkdir", "rmdir", "unlink", "remove", "truncate", "ftruncate", "fsync", "chmod", "rename", "replace"):
        wrap(os, name, _named(counter, name))
    wrap(os, "open", _opened(counter))
    wrap(os, "write", _named(counter, "write"))
    wrap(io, "open", _opened_for_writing(counter))
    patch(builtins, "open", io.open)
    for name in ("execute", "sql"):
        wrap(duckdb.DuckDBPyConnection, name, _statement)
    for name in ("create", "create_write_transaction", "vacuum", "create_checkpoint", "cleanup_metadata"):
        wrap(DeltaTable, name, _always(f"delta {name}"))
    for name in ("stage", "commit", "swap", "discard"):
        wrap(Lake, name, _of_table(name))


def _wrap_call(counter: _Counter, patch: Patch, owner: Any, name: str, describe: Callable[..., str | None]) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def counted(*args: Any, **kwargs: Any) -> Any:
        said = describe(*args, **kwargs)
        if said is None:
            return original(*args, **kwargs)
        with counter.around(said):
            return original(*args, **kwargs)

    bound_to_class = isinstance(owner, type) and getattr(original, "__self__", None) is owner
    patch(owner, name, staticmethod(counted) if bound_to_class else counted)


def _named(counter: _Counter, call: str) -> Callable[..., str | None]:
    def describe(path: object, *rest: object, dir_fd: int | None = None, **_: object) -> str | None:
        if dir_fd is not None:  # shutil.rmtree walks by descriptors
            folder = counter.within(dir_fd)
            return None if folder is None else f"{call} {folder}/{path}"
        target = counter.within(rest[0] if call in ("rename", "replace") else path)
        return None if target is None else f"{call} {target}"

    return describe


def _opened(counter: _Counter) -> Callable[..., str | None]:
    def describe(path: object, flags: int, *_: object, **__: object) -> str | None:
        found = counter.within(path) if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else None
        return None if found is None else f"open {found}"

    return describe


def _opened_for_writing(counter: _Counter) -> Callable[..., str | None]:
    def describe(path: object, mode: str = "r", *_: object, **__: object) -> str | None:
        found = counter.within(path) if set(mode) & set("wax+") and not isinstance(path, int) else None
        return None if found is None else f"open {found}"

    return describe


def _statement(_: object, text: object, *__: object, **___: object) -> str | None:
    found = _FILES.match(text) if isinstance(text, str) else None
    return None if found is None else f"duckdb {found[1].upper()}"


def _always(said: str) -> Callable[..., str | None]:
    return lambda *_, **__: said


def _of_table(call: str) -> Callable[..., str | None]:
    def describe(_: object, what: Any, *__: object, **___: object) -> str:
        return f"lake {call} {getattr(what, 'full_name', '')}".strip()

    return describe
