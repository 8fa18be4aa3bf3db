"""What a task does with the result of its job: emit, skip or fail."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from crossdomain.errors import CrossdomainError, GateRefused, InputError, MissingInput, NotReady
from crossdomain.jobs.model import JobResult

DAY = date(2026, 1, 5)
CONNECTION = "AIRFLOW_CONN_CROSSDOMAIN_KEYS"
GIVEN = '{"pseudonym-1": "AA+/=="}'


@dataclass
class Events:
    keys: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def add_partitions(self, keys: list[str]) -> None:
        self.keys += keys


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    from _common.assets import CLEAN
    from _common.running import run_and_emit

    def call(outcome: JobResult | Exception, *, try_number: int = 1, key: str | None = "2026-01-05") -> Events:
        def job_ran(job: object, ds: date, settings: object) -> JobResult:
            assert ds == DAY
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr("crossdomain.jobs.runner.run_job", job_ran)
        events = Events()
        context = {
            "dag_run": SimpleNamespace(partition_key=key),
            "ti": SimpleNamespace(try_number=try_number),
            "outlet_events": {CLEAN: events},
        }
        assert run_and_emit("clean", emits=CLEAN, context=context) == events.keys
        return events

    return call


def test_changed_days_are_emitted(run: Any) -> None:
    events = run(JobResult("clean", DAY, "done", (DAY, date(2026, 1, 6))))
    assert events.keys == ["2026-01-05", "2026-01-06"]
    assert events.extra["status"] == "done"


def test_nothing_new_is_a_skip_and_emits_nothing(run: Any) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="up_to_date"):
        run(JobResult("clean", DAY, "up_to_date"))


def test_a_second_try_emits_its_key_since_the_first_may_have_died_before(run: Any) -> None:
    assert run(JobResult("clean", DAY, "up_to_date"), try_number=2).keys == ["2026-01-05"]


def test_an_input_that_is_not_built_yet_is_waited_for(run: Any) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="waiting: people"):
        run(NotReady("people is not there"))


@pytest.mark.parametrize("error", [GateRefused("no"), InputError("bad"), MissingInput("no key file")])
def test_what_a_retry_cannot_mend_fails_at_once(run: Any, error: Exception) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=str(error)):
        run(error)


def test_anything_else_is_left_to_retries(run: Any) -> None:
    with pytest.raises(CrossdomainError, match="disk"):
        run(CrossdomainError("disk full"))


def test_keys_of_the_connection_reach_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from _common.running import task_settings

    monkeypatch.setenv("CROSSDOMAIN_KEYS", "other keys")
    monkeypatch.setenv(CONNECTION, json.dumps({"conn_type": "generic", "password": GIVEN}))
    assert task_settings().keys == GIVEN
    monkeypatch.delenv(CONNECTION)
    assert task_settings().keys == "other keys"


def test_a_connection_without_keys_fails_at_once(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv(CONNECTION, json.dumps({"conn_type": "generic"}))
    with pytest.raises(AirflowFailException, match="no password"):
        run(JobResult("clean", DAY, "done", (DAY,)))


def test_a_run_without_a_key_is_told_what_to_do(run: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="partition key"):
        run(JobResult("clean", DAY, "done", (DAY,)), key=None)
