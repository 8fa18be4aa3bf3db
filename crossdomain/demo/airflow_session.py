"""A local Airflow for as long as a ``with`` block lasts: started, driven by business day, and surely ended.

It runs the processes of ``airflow standalone`` (API server, scheduler, DAG processor; the triggerer on request)
on SQLite with the LocalExecutor. They are started one by one rather than by that command because it opens two
log servers on every network interface; here everything listens on the loopback interface only. Airflow itself is
never imported: its command line and its REST API are all that is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from crossdomain.demo import airflow_guard
from crossdomain.demo.airflow_api import AirflowApi, AirflowUnreachable, PartitionRun, parse_time
from crossdomain.demo.airflow_environment import (
    HOST,
    USER,
    airflow_environment,
    free_port,
    local_secrets,
    write_private,
)
from crossdomain.demo.airflow_progress import OnProgress
from crossdomain.errors import CrossdomainError

POLL_SECONDS = 0.5
WATCH_SECONDS = 1.0
"""Between two looks at the runs, which the API server answers from all of them."""
LOG_TAIL_LINES = 30
COMMANDS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}

DagDay = tuple[str, str]
"""A DAG id and a business day ``YYYY-MM-DD``."""


class AirflowNotReady(CrossdomainError):
    """Airflow did not start, or one of its processes ended; the message has the process and the end of its log."""


class PartitionFailed(CrossdomainError):
    """A DAG failed for a day; the message has the end of the failed task's log."""


class WaitTimedOut(CrossdomainError):
    """What was waited for did not happen in time; the message says what is missing and what is still running."""


class AirflowSession:
    """Airflow on this machine, on loopback, with an environment of its own.

    Args:
        dags_folder: Folder with the DAG files.
        plugins_folder: Folder with the plugins.
        airflow_home: Where database, secrets and logs go; a second session on the same home goes on with them.
        env: Variables for every process and task (``CROSSDOMAIN_*``); ``AIRFLOW__*`` given here override the
            session's own, those of the calling shell are not inherited.
        parallelism: Tasks that may run at once.
        port: Port of the UI and API on 127.0.0.1; a free one if None.
        dag_ids: DAGs that must be parsed before the session counts as ready.
        triggerer: Whether to run a triggerer too (deferred tasks, deadlines, human approval).
        boot_seconds: How long Airflow may take to get ready.
        grace_seconds: How long processes may take to end before they are killed.

    Attributes:
        environment: Variables that every process of the session gets; the ``airflow`` command needs them too.
        api: The REST API, logged in.
        home: ``airflow_home``, absolute.
        logs: Folder with one log a process.
        guard_pid: Process (and session) id of the guard that owns all processes; 0 before the start.
    """

    def __init__(
        self,
        dags_folder: Path,
        plugins_folder: Path,
        airflow_home: Path,
        env: Mapping[str, str] | None = None,
        *,
        parallelism: int = 4,
        port: int | None = None,
        dag_ids: Collection[str] = (),
        triggerer: bool = False,
        boot_seconds: float = 300.0,
        grace_seconds: float = 3.0,
    ) -> None:
        self.home = airflow_home.resolve()
        self.logs = self.home / "logs" / "processes"
        self.port = port or free_port()
        self._dag_ids = frozenset(dag_ids)
        self._boot_seconds = boot_seconds
        self._grace_seconds = grace_seconds
        self._marker = self.home / "migrated-for-airflow.txt"
        self._names = [name for name in COMMANDS if triggerer or name != "triggerer"]
        self._keys = local_secrets(self.home)
        self.environment = airflow_environment(
            dags_folder=dags_folder.resolve(),
            plugins_folder=plugins_folder.resolve(),
            airflow_home=self.home,
            port=self.port,
            parallelism=parallelism,
            keys=self._keys,
            inherited=os.environ,
            extra=env or {},
        )
        self.api = AirflowApi(f"http://{HOST}:{self.port}", user=USER, password=self._keys.password)
        self._airflow = str(Path(sys.executable).parent / "airflow")
        self._guard: subprocess.Popen[str] | None = None
        self.guard_pid = 0
        self._since = datetime.now(UTC)
        self._seen_ends: set[tuple[str, str, datetime | None]] = set()

    @property
    def address(self) -> str:
        """Where the UI and the API answer."""
        return self.api.address

    @property
    def login(self) -> tuple[str, str]:
        """User and password of the UI; show it only to the person who asked for the UI."""
        return USER, self._keys.password

    def __enter__(self) -> AirflowSession:
        self._since = datetime.now(UTC)
        self._start()
        try:
            self._wait_ready()
            self._seen_ends = {_end(run) for run in self.api.dag_runs() if run.finished}
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process of the session, running tasks too; safe to call twice."""
        if self._guard is None:
            return
        guard, self._guard = self._guard, None
        if guard.stdin:
            with suppress(BrokenPipeError):
                guard.stdin.close()
        while True:
            try:
                guard.wait()
                break
            except KeyboardInterrupt:  # impatience must not leave processes behind; the guard ends by itself
                continue
        if guard.stdout:
            guard.stdout.close()

    # Driving it.

    def unpause(self, dag_ids: Collection[str]) -> None:
        """Let these DAGs run. Unpause consumers before producers: what is sent to a paused DAG is lost for it."""
        for dag_id in sorted(dag_ids):
            self.api.patch(f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def trigger_partition(self, dag_id: str, key: str) -> str:
        """Start one run of one DAG for one business day; gives the run's id."""
        answer = self.api.post(f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "partition_key": key})
        return str(answer["dag_run_id"])

    def rerun(self, dag_id: str, key: str) -> str:
        """Clear the newest run of a DAG for a day, so that it runs again; gives the run's id."""
        runs = [run for run in self.runs(dag_id) if run.partition_key == key]
        if not runs:
            raise WaitTimedOut(f"{dag_id} has no run for {key} that could be run again")
        newest = runs[-1]
        path = f"/api/v2/dags/{dag_id}/dagRuns/{urllib.parse.quote(newest.run_id)}/clear"
        self.api.post(path, {"dry_run": False})
        return newest.run_id

    def backfill(
        self, dag_id: str, first: date, last: date, *, max_active_runs: int = 1, reprocess: str = "none"
    ) -> list[str]:
        """Run a producer for a range of days with ``airflow backfill create``; gives the command that was run.

        Args:
            dag_id: The producer; its consumers follow by asset and day.
            first: First business day.
            last: Last business day, included.
            max_active_runs: Days at once. It replaces the DAG's own limit, so leave it at 1 for deliveries.
            reprocess: ``none``, ``failed`` or ``completed``: which days that ran before run again.

        Raises:
            AirflowNotReady: The command failed; the message has what it said.
        """
        options = {
            "--dag-id": dag_id,
            "--from-date": first.isoformat(),
            "--to-date": last.isoformat(),
            "--max-active-runs": str(max_active_runs),
            "--reprocess-behavior": reprocess,
        }
        command = ["airflow", "backfill", "create", *(part for option in options.items() for part in option)]
        done = subprocess.run(  # noqa: S603 - our own command with our own arguments
            [self._airflow, *command[1:]], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AirflowNotReady(f"{' '.join(command)} failed:\n{_tail(done.stdout + done.stderr)}")
        return command

    def runs(self, dag_id: str = "~") -> list[PartitionRun]:
        """Runs of one DAG, or of all, in the order in which they were created."""
        return self.api.dag_runs(dag_id)

    def failure(self, run: PartitionRun) -> str:
        """What the failed tasks of a run said at their end."""
        parts = []
        for task_id, try_number in self.api.failed_tasks(run):
            lines = self.api.task_log(run, task_id, try_number)
            parts.append(f"task {task_id}, try {try_number}:\n{_tail(lines)}")
        return "\n".join(parts) or "no task failed by itself; look at the run in the UI"

    # Waiting.

    def wait_until(
        self,
        expected: Collection[DagDay],
        *,
        timeout: float,
        on_progress: OnProgress | None = None,
        may_fail: Collection[DagDay] = (),
    ) -> None:
        """Wait until every expected (DAG, day) has a run that succeeded since this session began.

        Args:
            expected: What to wait for.
            timeout: Seconds.
            on_progress: Called for each run that ended, expected or not.
            may_fail: Pairs whose failure is an expected end (a day that the gate must refuse).

        Raises:
            PartitionFailed: A run failed that may not.
            WaitTimedOut: Not all came in time.
        """
        wanted = set(expected)
        deadline = time.monotonic() + timeout
        while True:
            runs = self.runs()
            done = wanted & self._ended_well(runs, may_fail)
            self._report(runs, done=len(done), total=len(wanted), on_progress=on_progress)
            self._refuse_failures(runs, may_fail)
            if done == wanted:
                return
            self._check_time(deadline, runs, missing=wanted - done)

    def wait_quiet(
        self,
        *,
        timeout: float,
        quiet_seconds: float = 2.0,
        on_progress: OnProgress | None = None,
        may_fail: Collection[DagDay] = (),
    ) -> None:
        """Wait until nothing is queued or running and no asset event waits for its run, for ``quiet_seconds``.

        Raises:
            PartitionFailed: A run failed that may not.
            WaitTimedOut: It did not get quiet in time.
        """
        deadline = time.monotonic() + timeout
        quiet_since: float | None = None
        while True:
            waiting = self.api.waiting_partitions()
            runs = self.runs()
            self._report(runs, done=0, total=0, on_progress=on_progress)
            self._refuse_failures(runs, may_fail)
            if waiting or any(not run.finished for run in runs):
                quiet_since = None
            elif quiet_since is None:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= quiet_seconds:
                return
            self._check_time(deadline, runs, missing=set(waiting))

    def watch(self) -> None:
        """Keep Airflow up until it ends by itself or Ctrl-C.

        Raises:
            AirflowNotReady: One of its processes ended.
        """
        while True:
            self._check_guard()
            time.sleep(POLL_SECONDS)

    # Starting.

    def _start(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        for old in self.logs.glob("*.log"):
            old.unlink()
        write_private(self.home / "passwords.json", json.dumps({USER: self._keys.password}))
        migrated = self._marker.exists() and self._marker.read_text(encoding="utf-8") == _airflow_version()
        plan = {
            "first": None if migrated else [self._airflow, "db", "migrate"],
            "then": {name: [self._airflow, *COMMANDS[name]] for name in self._names},
            "logs": str(self.logs),
            "grace": self._grace_seconds,
        }
        self._guard = subprocess.Popen(  # noqa: S603 - our own script with our own plan
            [sys.executable, airflow_guard.__file__, json.dumps(plan)],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.guard_pid = self._guard.pid

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self._boot_seconds
        missing = "the API does not answer yet"
        warm = False
        while time.monotonic() < deadline:
            self._check_guard()
            with suppress(AirflowUnreachable):
                if not warm:
                    self.api.warm_up()
                    warm = True
                missing = self._what_is_missing()
            if not missing:
                self._marker.write_text(_airflow_version(), encoding="utf-8")
                return
            time.sleep(POLL_SECONDS)
        raise AirflowNotReady(f"Airflow was not ready after {self._boot_seconds:.0f} s: {missing}\n{self._all_tails()}")

    def _what_is_missing(self) -> str:
        health = self.api.health()
        components = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
        for name in self._names:
            if name in components:
                heartbeat = parse_time(health[components[name]][f"latest_{components[name]}_heartbeat"])
                if heartbeat is None or heartbeat < self._since:
                    return f"no heartbeat of the {name} yet"
        self._refuse_import_errors()
        parsed = {
            dag["dag_id"]
            for dag in self.api.pages("/api/v2/dags", "dags", exclude_stale="true")
            if (moment := parse_time(dag["last_parsed_time"])) and moment >= self._since
        }
        unparsed = self._dag_ids - parsed
        return f"DAGs not parsed yet: {', '.join(sorted(unparsed))}" if unparsed else ""

    def _refuse_import_errors(self) -> None:
        errors = [
            error
            for error in self.api.pages("/api/v2/importErrors", "import_errors")
            if (moment := parse_time(error["timestamp"])) and moment >= self._since
        ]
        if errors:
            traces = "\n".join(f"{error['filename']}:\n{_tail(error['stack_trace'])}" for error in errors)
            raise AirflowNotReady(f"{len(errors)} DAG file(s) cannot be imported:\n{traces}")

    def _check_guard(self) -> None:
        if self._guard is None or self._guard.poll() is None:
            return
        said = self._guard.stdout.read() if self._guard.stdout else ""
        ended = json.loads(said) if said else {}
        name = str(ended.get("process", "guard"))
        code = ended.get("code", self._guard.returncode)
        raise AirflowNotReady(
            f"Airflow's {name} ended with code {code}; the end of {self.logs / (name + '.log')}:\n"
            f"{self._log_tail(name)}"
        )

    def _log_tail(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        return _tail(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else "  (no log)"

    def _all_tails(self) -> str:
        return "\n".join(f"end of {path}:\n{self._log_tail(path.stem)}" for path in sorted(self.logs.glob("*.log")))

    # What a poll looks at.

    def _ended_well(self, runs: list[PartitionRun], may_fail: Collection[DagDay]) -> set[DagDay]:
        allowed = set(may_fail)
        return {
            _pair(run)
            for run in runs
            if run.ended_at is not None
            and run.ended_at >= self._since
            and (run.state == "success" or (run.finished and _pair(run) in allowed))
        }

    def _report(self, runs: list[PartitionRun], *, done: int, total: int, on_progress: OnProgress | None) -> None:
        for run in runs:
            if run.finished and _end(run) not in self._seen_ends:
                if run.state == "success":
                    self._seen_ends.add(_end(run))
                if on_progress:
                    on_progress(run, done, total)

    def _refuse_failures(self, runs: list[PartitionRun], may_fail: Collection[DagDay]) -> None:
        failed = [run for run in runs if run.state == "failed" and _end(run) not in self._seen_ends]
        self._seen_ends.update(_end(run) for run in failed)
        fatal = [run for run in failed if _pair(run) not in set(may_fail)]
        if fatal:
            raise PartitionFailed(
                "\n".join(f"{run.dag_id} failed for {run.partition_key}, {self.failure(run)}" for run in fatal)
            )

    def _check_time(self, deadline: float, runs: list[PartitionRun], *, missing: set[DagDay]) -> None:
        self._check_guard()
        if time.monotonic() > deadline:
            active = [f"{run.dag_id} {run.partition_key} ({run.state})" for run in runs if not run.finished]
            lacking = [f"{dag_id} {key}" for dag_id, key in sorted(missing)]
            raise WaitTimedOut(
                f"gave up waiting; missing: {', '.join(lacking) or 'nothing'}; "
                f"still active: {', '.join(active) or 'nothing'}; logs: {self.logs}"
            )
        time.sleep(WATCH_SECONDS)


def _airflow_version() -> str:
    return version("apache-airflow-core")


def _pair(run: PartitionRun) -> DagDay:
    return run.dag_id, run.partition_key or ""


def _end(run: PartitionRun) -> tuple[str, str, datetime | None]:
    return run.dag_id, run.run_id, run.ended_at


def _tail(text: str | list[str], lines: int = LOG_TAIL_LINES) -> str:
    parts = text.splitlines() if isinstance(text, str) else text
    return "\n".join(f"  {line}" for line in parts[-lines:])
