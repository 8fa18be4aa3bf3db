"""A small process that owns Airflow's processes, so that none of them outlives whoever asked for them.

It is run as a script with one JSON argument: ``{"first": [command], "then": {name: command}, "logs": folder,
"grace": seconds}``. It runs ``first`` to its end, starts every command of ``then``, and waits. It ends them all
when its standard input closes (the owner asked, crashed or was killed) or when one of them ends by itself; in
that case it prints ``{"process": name, "code": code}``, the one thing it ever prints.

Airflow gives every task a process group of its own, so ending a group would leave running tasks behind. The
guard leads a session instead, which the tasks stay in, and ends every process of the session.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

POLL_SECONDS = 0.1
LAST_GRACE_SECONDS = 2.0


def run(*, first: Sequence[str] | None, then: Mapping[str, Sequence[str]], logs: Path, grace: float, owner: int) -> int:
    """Run ``first``, then keep ``then`` running until ``owner`` reaches its end or one process ends.

    Args:
        first: A command that must succeed before the others start; its name in messages is ``database``.
        then: Long-running commands by name.
        logs: Folder that gets one ``<name>.log`` a process.
        grace: Seconds that the processes get to end in good order.
        owner: Descriptor of a pipe whose other end the owner holds open for as long as the processes shall live.

    Returns:
        0 when the owner ended it, 1 when a process ended by itself.
    """
    try:
        if first:
            migration = _start("database", first, logs)
            while migration.poll() is None:
                if _has_let_go(owner, POLL_SECONDS):
                    return 0
            if migration.returncode:
                return _report("database", migration.returncode)
        started = {name: _start(name, command, logs) for name, command in then.items()}
        while not _has_let_go(owner, POLL_SECONDS):
            for name, process in started.items():
                code = process.poll()
                if code is not None:
                    return _report(name, code)
        return 0
    finally:
        end_session(os.getsid(0), grace=grace)


def end_session(session: int, *, grace: float) -> None:
    """End every process of a session but the caller.

    The caller's own children are asked first and get ``grace`` seconds to end theirs in good order; what is
    left then is asked too, and killed ``LAST_GRACE_SECONDS`` later.
    """
    for child in psutil.Process().children():
        _signal(child, signal.SIGTERM)
    if _is_gone(session, grace):
        return
    for member in session_members(session):
        _signal(member, signal.SIGTERM)
    while not _is_gone(session, LAST_GRACE_SECONDS):
        for member in session_members(session):
            _signal(member, signal.SIGKILL)


def session_members(session: int) -> list[psutil.Process]:
    """Live processes of a session without the caller itself; zombies do not count."""
    members = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and os.getsid(process.pid) == session
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue  # it ended while we looked, or belongs to somebody else
    return members


def _has_let_go(owner: int, seconds: float) -> bool:
    readable, _, _ = select.select([owner], [], [], seconds)
    return bool(readable) and not os.read(owner, 1)


def _start(name: str, command: Sequence[str], logs: Path) -> subprocess.Popen[bytes]:
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the command comes from the session that started this guard
            list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


def _is_gone(session: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while session_members(session):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _report(name: str, code: int) -> int:
    print(json.dumps({"process": name, "code": code}), flush=True)
    return 1


def main() -> int:
    """Run as the leader of a session of its own; only its owner may end it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    plan = json.loads(sys.argv[1])
    return run(
        first=plan["first"],
        then=plan["then"],
        logs=Path(plan["logs"]),
        grace=float(plan["grace"]),
        owner=sys.stdin.fileno(),
    )


if __name__ == "__main__":
    sys.exit(main())
