"""Starts children that share the long imports: a process that imports everything, uses nothing, and forks.

delta-rs and DuckDB do not survive a fork once they were used; here each is used for the first time in the child.
"""

from __future__ import annotations

import base64
import os
import pickle
import pkgutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parents[2]
_LEFT_OUT = ("crossdomain.cli", "crossdomain.demo")


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, or the signal that killed it; and what it said on standard error."""

    code: int
    signal: int
    said: str


class Child:
    """A child that runs ``module.function(*arguments)``."""

    def __init__(self, server: ForkServer, number: int, said: Path) -> None:
        self._server = server
        self._number = number
        self._said = said

    def wait(self) -> Ended:
        """Waits until it ends."""
        code, signal = self._server.answer(self._number)
        return Ended(code, signal, self._said.read_text(encoding="utf-8", errors="replace"))


class ForkServer:
    """Starts children, any number at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._answers: dict[int, tuple[int, int]] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        )

    def start(self, function: str, *arguments: Any) -> Child:
        """Starts a child; ``function`` is ``module:name``."""
        self._count += 1
        said = self._folder / f"child-{self._count}.err"
        request = base64.b64encode(pickle.dumps((self._count, function, arguments, str(said))))
        assert self._process.stdin is not None
        self._process.stdin.write(request + b"\n")
        self._process.stdin.flush()
        return Child(self, self._count, said)

    def answer(self, number: int) -> tuple[int, int]:
        """Exit code and signal of a child, once it has ended."""
        assert self._process.stdout is not None
        while number not in self._answers:
            ended, code, signal = map(int, self._process.stdout.readline().split())
            self._answers[ended] = (code, signal)
        return self._answers.pop(number)

    def stop(self) -> None:
        """Ends the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def fork_server(folder: Path) -> Iterator[ForkServer]:
    """A server for the time of a test."""
    server = ForkServer(folder)
    try:
        yield server
    finally:
        server.stop()


def _serve(requests: int, answers: IO[bytes]) -> None:
    import crossdomain

    for module in pkgutil.walk_packages(crossdomain.__path__, "crossdomain."):
        if not module.name.startswith(_LEFT_OUT):
            import_module(module.name)
    for encoding in ("utf-8-sig", "gb18030"):  # what a child that became another user may not be able to import
        "".encode(encoding)
    waiting = DefaultSelector()
    waiting.register(requests, EVENT_READ)
    rest, open_for_more = b"", True
    while open_for_more or len(waiting.get_map()):
        for key, _ in waiting.select():
            if key.data is not None:
                waiting.unregister(key.fd)
                _tell_end(*key.data, key.fd, answers)
                continue
            received = os.read(requests, 1 << 16)
            if not received:
                waiting.unregister(requests)
                open_for_more = False
            *lines, rest = (rest + received).split(b"\n")
            for line in lines:
                number, function, arguments, said = pickle.loads(base64.b64decode(line))  # noqa: S301 - the test's own
                child = os.fork()
                if child == 0:
                    _run(function, arguments, said)
                waiting.register(os.pidfd_open(child), EVENT_READ, (number, child))


def _tell_end(number: int, child: int, descriptor: int, answers: IO[bytes]) -> None:
    _, status = os.waitpid(child, 0)
    os.close(descriptor)
    killed = os.WIFSIGNALED(status)
    code, signal = (0, os.WTERMSIG(status)) if killed else (os.WEXITSTATUS(status), 0)
    answers.write(f"{number} {code} {signal}\n".encode())
    answers.flush()


def _run(function: str, arguments: tuple[Any, ...], said: str) -> None:
    error = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(error, 1)
    os.dup2(error, 2)
    code = 1
    try:
        module, _, name = function.partition(":")
        getattr(import_module(module), name)(*arguments)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # the child must never come back to the server's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(0, answers)
