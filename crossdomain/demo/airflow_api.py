"""The part of Airflow's REST API that a local session needs, over the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crossdomain.errors import CrossdomainError

PAGE = 100
REQUEST_SECONDS = 120.0

FINISHED = frozenset({"success", "failed"})


class AirflowApiError(CrossdomainError):
    """Airflow refused a request; the message has its status and its answer."""


class AirflowUnreachable(CrossdomainError):
    """Nobody answers at the API's address."""


@dataclass(frozen=True)
class PartitionRun:
    """One run of one DAG.

    Attributes:
        dag_id: The DAG.
        partition_key: The business day it ran for, ``YYYY-MM-DD``; None for a run without a key.
        state: ``queued``, ``running``, ``success`` or ``failed``.
        run_id: Airflow's name of the run.
        run_type: ``backfill``, ``manual``, ``scheduled`` or ``asset_triggered``.
        queued_at: When it was created (UTC).
        started_at: When its first task could start (UTC); None while queued.
        ended_at: When it ended (UTC); None before.
    """

    dag_id: str
    partition_key: str | None
    state: str
    run_id: str
    run_type: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether the run has ended, well or badly."""
        return self.state in FINISHED

    @property
    def seconds(self) -> float | None:
        """How long it ran; None before its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


class AirflowApi:
    """A client of one Airflow; it logs in at the first request."""

    def __init__(self, address: str, *, user: str, password: str) -> None:
        self.address = address
        self._login = {"username": user, "password": password}
        self._token: str | None = None

    def health(self) -> dict[str, Any]:
        """Status and last heartbeat of each component; needs no login."""
        return dict(self._send("GET", "/api/v2/monitor/health", token=None))

    def warm_up(self) -> None:
        """Make the API that tasks talk to build its routes now; the first request would wait for it (CPU seconds).

        On a busy machine that wait is longer than a task's patience, and the first tasks fail.
        """
        self._send("GET", "/execution/health", token=None)

    def get(self, path: str, **params: Any) -> Any:
        """Answer to a GET request; ``path`` starts with ``/``."""
        query = {name: value for name, value in params.items() if value is not None}
        return self._authorised("GET", f"{path}?{urllib.parse.urlencode(query, doseq=True)}" if query else path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Answer to a POST request with a JSON body."""
        return self._authorised("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Answer to a PATCH request with a JSON body."""
        return self._authorised("PATCH", path, body)

    def pages(self, path: str, member: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All entries of a list that Airflow gives in pages."""
        offset = 0
        while True:
            answer = self.get(path, limit=PAGE, offset=offset, **params)
            yield from answer[member]
            offset += len(answer[member])
            if not answer[member] or offset >= answer["total_entries"]:
                return

    def dag_runs(self, dag_id: str = "~") -> list[PartitionRun]:
        """Runs of one DAG, or of all (``~``), in the order in which they were created."""
        found = self.pages(f"/api/v2/dags/{dag_id}/dagRuns", "dag_runs", order_by="id")
        return [_partition_run(run) for run in found]

    def waiting_partitions(self) -> list[tuple[str, str]]:
        """(DAG, key) pairs for which an asset event has arrived and no run was created yet."""
        answer = self.get("/ui/partitioned_dag_runs", has_created_dag_run_id="false")
        return [(row["dag_id"], row["partition_key"]) for row in answer["partitioned_dag_runs"]]

    def failed_tasks(self, run: PartitionRun) -> list[tuple[str, int]]:
        """(task, try number) of the tasks that failed in a run."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{urllib.parse.quote(run.run_id)}/taskInstances"
        found = self.pages(path, "task_instances")
        return [(task["task_id"], task["try_number"]) for task in found if task["state"] == "failed"]

    def task_log(self, run: PartitionRun, task_id: str, try_number: int) -> list[str]:
        """What a task logged: a line a record, exceptions as ``type: message``, without Airflow's own fold marks."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{urllib.parse.quote(run.run_id)}"
        answer = self.get(f"{path}/taskInstances/{task_id}/logs/{try_number}", full_content="true")
        return list(_log_lines(answer["content"]))

    def _authorised(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if self._token is None:
            self._token = str(self._send("POST", "/auth/token", self._login, token=None)["access_token"])
        return self._send(method, path, body, token=self._token)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, token: str | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(  # noqa: S310 - the address is our own loopback address
            self.address + path, method=method, headers=headers, data=json.dumps(body).encode() if body else None
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            detail = error.read(2000).decode("utf-8", "replace")
            raise AirflowApiError(f"Airflow answered {error.code} to {method} {path}: {detail}") from error
        except (OSError, TimeoutError) as error:
            raise AirflowUnreachable(f"no answer from {self.address}: {error}") from error


def _partition_run(run: Mapping[str, Any]) -> PartitionRun:
    return PartitionRun(
        dag_id=run["dag_id"],
        partition_key=run["partition_key"],
        state=run["state"],
        run_id=run["dag_run_id"],
        run_type=run["run_type"],
        queued_at=parse_time(run["queued_at"]),
        started_at=parse_time(run["start_date"]),
        ended_at=parse_time(run["end_date"]),
    )


def parse_time(text: str | None) -> datetime | None:
    """A moment from Airflow's ISO 8601 text; None stays None."""
    return datetime.fromisoformat(text) if text else None


def _log_lines(records: list[dict[str, Any]]) -> Iterator[str]:
    for record in records:
        event = str(record.get("event", ""))
        if event.startswith("::"):
            continue
        yield f"{str(record.get('level') or 'info').upper():<8}{event}"
        for cause in record.get("error_detail") or ():
            yield f"        {cause['exc_type']}: {cause['exc_value']}"
            if cause.get("frames"):
                frame = cause["frames"][-1]
                yield f"        at {frame['filename']}:{frame['lineno']} in {frame['name']}"
