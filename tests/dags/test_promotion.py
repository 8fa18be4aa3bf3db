"""What a person is shown of variants that may be shipped, and what becomes of their answer."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from crossdomain.experiments.promoting import promotions
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.home import Home
from crossdomain.tables import registry

DAY = date(2026, 1, 5)
WHY = "clear in every week"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The context of a task of a day on which the rules would ship one variant."""
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path))
    decide(("exp", "treatment", "ship"), ("other", "treatment", "continue"))
    return {"dag_run": SimpleNamespace(partition_key=DAY.isoformat())}


def decide(*rows: tuple[str, str, str | None]) -> None:
    settings = Settings.from_env()
    spec, values = registry(settings.include).get("serving.experiment_decisions"), {"ds": DAY.isoformat()}
    names = ("experiment_id", "variant", "decision", "rule", "detail")
    table = pa.Table.from_pylist(
        [dict(zip(names, (*row, "primary_better", "revenue +2"), strict=True)) for row in rows],
        schema=pa.schema([(name, pa.string()) for name in names]),
    )
    with open_lake(settings) as lake:
        staged = lake.stage(spec, table, values, made_by={})
        lake.commit(spec, [staged], replace={"ds": [values["ds"]]})


def answer(option: str, reason: str | None = WHY, user: dict[str, str] | None = None) -> dict[str, Any]:
    by = {"id": "7", "name": "li.na"} if user is None else user
    return {"chosen_options": [option], "params_input": {"reason": reason}, "responded_by_user": by}


def logged() -> list[tuple[str, str]]:
    return [(line["action"], line["by"]) for line in audit.read(Home(Settings.from_env().home))]


def promoted() -> list[tuple[str, str, str]]:
    settings = Settings.from_env()
    with open_lake(settings) as lake:
        return [(one.experiment_id, one.variant, one.by) for one in promotions(lake, registry(settings.include))]


def test_variants_are_shown_with_their_numbers(context: dict[str, Any]) -> None:
    from _common.promotion import shown_candidates

    shown = shown_candidates(context)
    assert shown["chosen"] == {"exp": "treatment"}
    assert "- **exp**: `treatment` (primary_better): revenue +2" in shown["text"]


def test_an_approval_is_recorded_under_the_users_name_and_not_asked_again(context: dict[str, Any]) -> None:
    from _common.promotion import settle_promotion, shown_candidates
    from airflow.sdk.exceptions import AirflowFailException

    shown = shown_candidates(context)
    assert settle_promotion(context, shown, answer("Promote"), approve="Promote") == ["exp"]
    assert logged() == [("experiment.promote", "li.na")]
    assert promoted() == [("exp", "treatment", "li.na")]
    with pytest.raises(AirflowFailException, match="no variant that is not promoted already"):
        shown_candidates(context)


def test_a_rejection_is_recorded_and_promotes_nothing(context: dict[str, Any]) -> None:
    from _common.promotion import settle_promotion, shown_candidates
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match=r"li\.na promoted nothing of 2026-01-05"):
        settle_promotion(context, shown_candidates(context), answer("Reject", None), approve="Promote")
    assert logged() == [("experiment.promotion_declined", "li.na")]
    assert promoted() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (answer("Promote", None), "at least 10 characters"),
        (answer("Promote", WHY, {"id": "", "name": ""}), "say who"),
    ],
)
def test_an_approval_without_person_or_reason_fails(
    context: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    from _common.promotion import settle_promotion, shown_candidates
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match=message):
        settle_promotion(context, shown_candidates(context), given, approve="Promote")
    assert (logged(), promoted()) == ([], [])


def test_what_changed_since_it_was_shown_is_not_promoted(context: dict[str, Any]) -> None:
    from _common.promotion import settle_promotion, shown_candidates
    from airflow.sdk.exceptions import AirflowFailException

    shown = shown_candidates(context)
    decide(("exp", "treatment", None))
    with pytest.raises(AirflowFailException, match="exp: treatment may not be promoted as of 2026-01-05"):
        settle_promotion(context, shown, answer("Promote"), approve="Promote")
    assert (logged(), promoted()) == ([], [])


def test_of_several_variants_a_person_names_one(context: dict[str, Any]) -> None:
    from _common.promotion import shown_candidates
    from airflow.sdk.exceptions import AirflowFailException

    decide(("exp", "red", "ship"), ("exp", "blue", "ship"))
    with pytest.raises(AirflowFailException, match="several variants that may be shipped: name one"):
        shown_candidates(context)


@pytest.mark.parametrize(
    ("key", "message"), [(None, "partition key"), ("2026-01-04", "would ship no variant"), ("yesterday", "YYYY-MM-DD")]
)
def test_there_must_be_something_to_promote(context: dict[str, Any], key: str | None, message: str) -> None:
    from _common.promotion import shown_candidates
    from airflow.sdk.exceptions import AirflowFailException

    context["dag_run"].partition_key = key
    with pytest.raises(AirflowFailException, match=message):
        shown_candidates(context)
