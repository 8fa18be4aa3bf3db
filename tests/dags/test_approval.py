"""What a person is shown of a refused day, and what becomes of their answer."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crossdomain.jobs.runner import open_lake
from crossdomain.quality.results import GateResult, RuleResult, to_quality_rows
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.home import Home
from crossdomain.tables import registry

DAY = date(2026, 1, 5)
WHY = "known and harmless"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The context of a task of a day that the gate refused for three rows."""
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path))
    refuse(rows=3)
    return {"dag_run": SimpleNamespace(partition_key=DAY.isoformat())}


def refuse(rows: int) -> None:
    settings = Settings.from_env()
    spec, values = registry(settings.include).get("serving.quality_results"), {"ds": DAY.isoformat()}
    rule = RuleResult("events.x", "fail", rows == 0, f"{rows} of 9 rows", rows, 9, "Because.")
    with open_lake(settings) as lake:
        staged = lake.stage(spec, to_quality_rows([GateResult("clean.events", DAY, 9, (rule,))]), values, made_by={})
        lake.commit(spec, [staged], replace={"ds": [values["ds"]]})


def answer(option: str, reason: str | None = WHY, user: dict[str, str] | None = None) -> dict[str, Any]:
    by = {"id": "7", "name": "li.na"} if user is None else user
    return {"chosen_options": [option], "params_input": {"reason": reason}, "responded_by_user": by}


def logged() -> list[tuple[str, str]]:
    return [(line["action"], line["by"]) for line in audit.read(Home(Settings.from_env().home))]


def test_the_rules_are_shown_with_their_rows(context: dict[str, Any]) -> None:
    from _common.approval import shown_refusal

    shown = shown_refusal(context)
    assert shown["rules"] == {"events.x": 3}
    assert "`events.x`: 3 of 9 rows. Because." in shown["text"]


def test_an_approval_is_recorded_under_the_users_name(context: dict[str, Any]) -> None:
    from _common.approval import settle, shown_refusal

    shown = shown_refusal(context)
    assert settle(context, shown, answer("Approve"), approve="Approve") == ["events.x"]
    assert logged() == [("gate.override", "li.na")]


def test_a_rejection_is_recorded_and_skips_what_follows(context: dict[str, Any]) -> None:
    from _common.approval import settle, shown_refusal
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match=r"li\.na did not let 2026-01-05 through"):
        settle(context, shown_refusal(context), answer("Reject", None), approve="Approve")
    assert logged() == [("gate.override_declined", "li.na")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (answer("Approve", None), "at least 10 characters"),
        (answer("Approve", WHY, {"id": "", "name": ""}), "say who"),
    ],
)
def test_an_approval_without_person_or_reason_fails(
    context: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    from _common.approval import settle, shown_refusal
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=message):
        settle(context, shown_refusal(context), given, approve="Approve")
    assert logged() == []


def test_what_changed_since_it_was_shown_is_not_let_through(context: dict[str, Any]) -> None:
    from _common.approval import settle, shown_refusal
    from airflow.sdk.exceptions import AirflowFailException

    shown = shown_refusal(context)
    refuse(rows=4)
    with pytest.raises(AirflowFailException, match="look again"):
        settle(context, shown, answer("Approve"), approve="Approve")
    assert logged() == []


@pytest.mark.parametrize(
    ("key", "message"), [(None, "partition key"), ("2026-01-04", "nothing to decide"), ("yesterday", "YYYY-MM-DD")]
)
def test_there_must_be_a_refused_day(context: dict[str, Any], key: str | None, message: str) -> None:
    from _common.approval import shown_refusal
    from airflow.sdk.exceptions import AirflowFailException

    context["dag_run"].partition_key = key
    with pytest.raises(AirflowFailException, match=message):
        shown_refusal(context)
