"""The guard leaves no process behind, whoever dies first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from crossdomain.demo import airflow_guard

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)",
]
WITH_OWN_GROUP = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0)\n"
    "time.sleep(600)",
]


def start(logs: Path, *, first=None, then=None, grace=2.0) -> subprocess.Popen[str]:
    plan = {"first": first, "then": then or {}, "logs": str(logs), "grace": grace}
    return subprocess.Popen(
        [sys.executable, airflow_guard.__file__, json.dumps(plan)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def members(session: int) -> list[int]:
    return [process.pid for process in airflow_guard.session_members(session) if process.pid != session]


def test_it_ends_everything_when_its_owner_lets_go(tmp_path):
    guard = start(tmp_path, then={"one": SLEEP, "two": SLEEP})
    wait_for(lambda: len(members(guard.pid)) == 2)
    guard.stdin.close()
    assert guard.wait(timeout=20) == 0
    assert members(guard.pid) == []
    assert guard.stdout.read() == ""


def test_it_says_which_process_ended_and_ends_the_rest(tmp_path):
    quits = [sys.executable, "-c", "print('no space left'); raise SystemExit(7)"]
    guard = start(tmp_path, then={"lasting": SLEEP, "failing": quits})
    assert guard.wait(timeout=20) == 1
    assert json.loads(guard.stdout.read()) == {"process": "failing", "code": 7}
    assert (tmp_path / "failing.log").read_text() == "no space left\n"
    assert members(guard.pid) == []


def test_nothing_starts_when_the_first_command_fails(tmp_path):
    guard = start(tmp_path, first=[sys.executable, "-c", "raise SystemExit(3)"], then={"later": SLEEP})
    assert guard.wait(timeout=20) == 1
    assert json.loads(guard.stdout.read()) == {"process": "database", "code": 3}
    assert not (tmp_path / "later.log").exists()


def test_a_process_that_will_not_end_is_killed(tmp_path):
    guard = start(tmp_path, then={"stubborn": STUBBORN}, grace=0.3)
    wait_for(lambda: (tmp_path / "stubborn.log").exists() and "ready" in (tmp_path / "stubborn.log").read_text())
    guard.stdin.close()
    assert guard.wait(timeout=20) == 0
    assert members(guard.pid) == []


def test_a_process_that_left_the_group_ends_too(tmp_path):
    guard = start(tmp_path, then={"task": WITH_OWN_GROUP}, grace=0.3)
    wait_for(lambda: len({os.getpgid(pid) for pid in members(guard.pid)}) == 2)
    guard.stdin.close()
    guard.wait(timeout=20)
    assert members(guard.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_only_its_owner_ends_it(tmp_path, number):
    guard = start(tmp_path, then={"one": SLEEP})
    wait_for(lambda: len(members(guard.pid)) == 1)
    os.kill(guard.pid, number)
    time.sleep(0.3)
    assert guard.poll() is None
    guard.stdin.close()
    guard.wait(timeout=20)


def test_a_killed_owner_leaves_nothing_behind(tmp_path):
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import json, subprocess, sys, time\n"
            "plan = {'first': None, 'then': {'one': [sys.executable, '-c', 'import time; time.sleep(600)']},\n"
            "        'logs': sys.argv[2], 'grace': 1}\n"
            "guard = subprocess.Popen([sys.executable, sys.argv[1], json.dumps(plan)],\n"
            "                         stdin=subprocess.PIPE, start_new_session=True)\n"
            "print(guard.pid, flush=True)\n"
            "time.sleep(600)",
            airflow_guard.__file__,
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    session = int(owner.stdout.readline())
    wait_for(lambda: len(members(session)) == 1)
    owner.kill()
    owner.wait()
    wait_for(lambda: not psutil.pid_exists(session) and not members(session))
