"""What a task does with the result of its job: emit, skip or fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from crossdomain.errors import CrossdomainError, GateRefused, InputError, MissingInput, NotReady
from crossdomain.jobs.model import Job, JobResult
from crossdomain.settings import Settings

DAY = date(2026, 1, 5)
CONNECTION = "AIRFLOW_CONN_CROSSDOMAIN_KEYS"
GIVEN = '{"pseudonym-1": "AA+/=="}'


@dataclass
class Events:
    keys: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def add_partitions(self, keys: list[str]) -> None:
        self.keys += keys


@dataclass
class Task:
    """A task of a DAG that runs jobs, each of which ends as it is told to; ``state`` is what its tries share.

    Attributes:
        outcomes: How each job ends, by its name, in the order in which they run.
        ran: Jobs that have run.
        state: What the task has kept.
    """

    outcomes: dict[str, JobResult | Exception]
    ran: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    def run(self, *, try_number: int = 1, key: str | None = "2026-01-05") -> dict[str, Events]:
        """Runs the task once; gives the events that Airflow would register, by job."""
        from _common import assets
        from _common.running import run_and_emit

        jobs = {name: getattr(assets, name.upper()) for name in self.outcomes}
        events = {asset: Events() for asset in jobs.values()}
        task = SimpleNamespace(outlets=list(jobs.values()))
        context = {
            "dag_run": SimpleNamespace(partition_key=key),
            "ti": SimpleNamespace(try_number=try_number, task=task),
            "outlet_events": events,
            "task_state_store": SimpleNamespace(get=self.state.get, set=self.keep),
        }
        told = run_and_emit(jobs, context=context)
        assert told == {name: events[asset].keys for name, asset in jobs.items() if asset in task.outlets}
        assert all(told.values()), "for an outlet without days Airflow emits the run's key"
        return {name: events[jobs[name]] for name in told}

    def keep(self, name: str, value: Any) -> None:
        """Keeps an entry of the task's state, as it is now."""
        self.state[name] = deepcopy(value)

    def do(self, job: Job, ds: date, settings: Settings) -> JobResult:
        """What runs in place of a job."""
        assert ds == DAY
        self.ran.append(job.name)
        outcome = self.outcomes[job.name]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    def make(**outcomes: JobResult | Exception) -> Task:
        made = Task(outcomes)
        monkeypatch.setattr("crossdomain.jobs.runner.run_job", made.do)
        return made

    return make


@pytest.fixture
def run(task: Callable[..., Task]) -> Callable[..., Events]:
    """Runs a task of one job; gives what it emits."""
    return lambda outcome, **how: task(clean=outcome).run(**how)["clean"]


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


def test_each_job_emits_its_own_asset_and_one_without_news_none(task: Any) -> None:
    emitted = task(
        topics=JobResult("topics", DAY, "done", (DAY,)),
        together=JobResult("together", DAY, "up_to_date"),
        similar=JobResult("similar", DAY, "unchanged", (DAY, date(2026, 1, 6))),
    ).run()
    assert {name: events.keys for name, events in emitted.items()} == {
        "topics": ["2026-01-05"],
        "similar": ["2026-01-05", "2026-01-06"],
    }
    assert emitted["similar"].extra == {"job": "similar", "status": "unchanged", "notes": {}}


def test_a_job_that_waits_does_not_keep_the_others_from_running(task: Any, capsys: Any) -> None:
    made = task(topics=JobResult("topics", DAY, "done", (DAY,)), together=NotReady("people is not there"))
    assert set(made.run()) == {"topics"}
    assert made.ran == ["topics", "together"]
    said = capsys.readouterr().out
    assert "topics 2026-01-05: done in" in said
    assert "together 2026-01-05: waiting: people is not there" in said


def test_a_skip_says_why_of_each_job(task: Any) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="topics up_to_date; together waiting: people is not there"):
        task(topics=JobResult("topics", DAY, "up_to_date"), together=NotReady("people is not there")).run()


@pytest.mark.parametrize("error", [CrossdomainError("disk full"), MemoryError("no memory")])
def test_a_retry_goes_on_at_the_failed_job_and_tells_what_the_first_try_could_not(task: Any, error: Exception) -> None:
    made = task(
        catalogue=JobResult("catalogue", DAY, "done", (DAY, date(2026, 1, 6))),
        people=error,
        topics=JobResult("topics", DAY, "done", (DAY,)),
    )
    with pytest.raises(type(error), match=str(error)):
        made.run()
    assert made.ran == ["catalogue", "people"], "what comes after the failed job does not run"
    made.outcomes |= {
        "catalogue": JobResult("catalogue", DAY, "up_to_date"),
        "people": JobResult("people", DAY, "done", (DAY,)),
    }
    assert {name: events.keys for name, events in made.run(try_number=2).items()} == {
        "catalogue": ["2026-01-05", "2026-01-06"],
        "people": ["2026-01-05"],
        "topics": ["2026-01-05"],
    }


def test_bad_input_of_a_later_job_fails_at_once_and_its_repair_tells_everything(task: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    made = task(
        catalogue=JobResult("catalogue", DAY, "done", (date(2026, 1, 6),)),
        people=InputError("no key file"),
    )
    with pytest.raises(AirflowFailException, match="no key file"):
        made.run()
    made.outcomes |= {
        "catalogue": JobResult("catalogue", DAY, "up_to_date"),
        "people": JobResult("people", DAY, "done", (DAY,)),
    }
    assert made.run(try_number=2)["catalogue"].keys == ["2026-01-05", "2026-01-06"]


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
