"""Job ``together`` through the runner: whose behaviour counts, and what ``similar`` makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crossdomain.jobs.runner import run_job
from crossdomain.jobs.similar import JOB as SIMILAR
from crossdomain.jobs.together import JOB as TOGETHER
from crossdomain.settings import Settings
from tests.unit.jobs.lake_tables import put, read

START = date(2026, 1, 5)
SIDES = ("knowledge", "beauty")
ITEMS = [(domain, f"{domain[0]}{number}") for domain in SIDES for number in range(6)]
GRANTED = {"personalisation": True, "cross_domain": True}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CROSSDOMAIN_CONTENT_TOGETHER_SHRINK", "0")
    return Settings(home=tmp_path / "home", start=START)


def account(person: int, domain: str) -> bytes:
    return f"{domain[0]}{person:015}".encode()


def event(person: int, domain: str, item: str, kind: str = "purchase", day: date = START) -> dict[str, Any]:
    return {
        "account": account(person, domain),
        "domain": domain,
        "item_id": item,
        "event_type": kind,
        "consent_assumed": False,
        "ts": datetime(day.year, day.month, day.day, 4, tzinfo=UTC),
    }


def lay(settings: Settings, events: list[dict[str, Any]], refused: dict[int, dict[str, bool]] | None = None) -> None:
    """Items whose words are their number, and people with an account on either side."""
    people = [
        {
            "account": account(person, domain), "domain": domain, "person": account(person, SIDES[0]),
            **dict.fromkeys(("profiling", "marketing_email", "marketing_sms", "marketing_push"), False),
            **GRANTED, **(refused or {}).get(person, {}),
        }
        for person in range(40)
        for domain in SIDES
    ]  # fmt: skip
    known = {"first_ds": START, "changed_ds": START, "as_of": START}
    texts = [
        {"domain": d, "item_id": i, "title": f"题{i[1:]}", "status": "on", "content_hash": i, **known} for d, i in ITEMS
    ]
    tokens = [
        {"domain": d, "item_id": i, "content_hash": i, "tokenizer": "t", "tokens": [f"词{i[1:]}", "共"]}
        for d, i in ITEMS
    ]
    put(settings, "clean.events", START, [{"event_id": f"e{number}", **one} for number, one in enumerate(events)])
    put(settings, "derived.people", START, people)
    put(settings, "derived.catalogue", START, texts)
    put(settings, "derived.item_tokens", START, tokens)
    put(settings, "derived.duplicate_items", START, [])
    put(settings, "serving.item_topics", START, [])


def pairs(settings: Settings) -> dict[tuple[str, str], dict[str, Any]]:
    rows = read(settings, "derived.taken_together", START)
    return {(row["item_id"], row["other_item_id"]): row for row in rows if not row["by_chance"]}


def half_and_half(kind: str = "purchase") -> list[dict[str, Any]]:
    """Twenty people take k0 and b0, twenty others k1 and b1."""
    return [event(person, side, f"{side[0]}{person // 20}", kind) for person in range(40) for side in SIDES]


def test_pairs_across_the_domains_and_none_of_few_people(settings: Settings) -> None:
    lay(settings, half_and_half() + [event(0, side, f"{side[0]}5") for side in SIDES])
    run_job(TOGETHER, START, settings)
    found = pairs(settings)
    assert set(found) == {("k0", "b0"), ("b0", "k0"), ("k1", "b1"), ("b1", "k1")}
    assert (found["k0", "b0"]["people"], found["k0", "b0"]["behaviour"]) == (20, 0.5)
    assert run_job(TOGETHER, START, settings).status == "up_to_date"
    assert run_job(TOGETHER, START, settings, force=True).status == "unchanged"


@pytest.mark.parametrize("purpose", ["cross_domain", "personalisation"])
def test_who_does_not_agree_does_not_count(settings: Settings, purpose: str) -> None:
    lay(settings, half_and_half(), {person: {purpose: False} for person in range(15)})
    run_job(TOGETHER, START, settings)
    found = pairs(settings)
    assert found["k0", "b0"]["people"] == 5
    assert found["k1", "b1"]["people"] == 20


def test_a_withdrawal_that_came_later_counts_when_the_day_is_built_again(settings: Settings) -> None:
    lay(settings, half_and_half())
    run_job(TOGETHER, START, settings)
    word = {"purpose": "personalisation", "granted": True, "ts": datetime(2026, 1, 4, tzinfo=UTC)}
    later = {**word, "granted": False, "ts": datetime(2026, 1, 6, tzinfo=UTC)}
    for day, said in ((START, word), (START + timedelta(days=1), later)):
        put(settings, "clean.consents", day, [{"account": account(0, "beauty"), "domain": "beauty", **said}])
    assert run_job(TOGETHER, START, settings).status == "done"
    assert pairs(settings)["k0", "b0"]["people"] == 19


def test_views_count_and_what_was_given_back_does_not(settings: Settings) -> None:
    back = [event(person, "beauty", "b0", "refund") for person in range(8)]
    shown = [event(person, "beauty", "b4", "impression") for person in range(40)]
    lay(settings, half_and_half("view") + back + shown)
    run_job(TOGETHER, START, settings)
    found = pairs(settings)
    assert found["k0", "b0"]["people"] == 12
    assert not {item for pair in found for item in pair} & {"b4"}


def test_what_is_learned_is_in_the_tables_and_stays_until_it_is_learned_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSDOMAIN_CONTENT_LEARN_LEAST", "50")
    lay(settings, half_and_half())
    run_job(TOGETHER, START, settings)
    rows = [
        {
            "fold": fold, "choice": number, "domain": "knowledge", "item_id": f"k{number % 2}",
            "other_domain": "beauty", "taken_item_id": f"b{number % 2}", "passed_item_id": f"b{2 + number % 3}",
            "taken_behaviour": 0.5, "passed_behaviour": 0.0,
        }
        for fold in ("learn", "check")
        for number in range(60)
    ]  # fmt: skip
    put(settings, "derived.later_choices", START, rows)
    run_job(SIMILAR, START, settings)
    weights = read(settings, "serving.similarity_weights", START)
    assert len(weights) == 4 * 5
    why = {(row["domain"], row["other_domain"]): row["why"] for row in weights}
    assert why["knowledge", "knowledge"] == why["beauty", "beauty"] == "too_few"
    assert all(row["weight"] == row["stated_weight"] for row in weights if row["why"] == "too_few")
    # The words already tell the taken item from the other one: nothing is better than that.
    assert why["knowledge", "beauty"] == why["beauty", "knowledge"] == "no_better"
    rows = [{**row, "taken_item_id": row["passed_item_id"], "passed_item_id": f"b{row['choice'] % 2}"} for row in rows]
    put(settings, "derived.later_choices", START, rows)
    run_job(SIMILAR, START, settings)
    weights = read(settings, "serving.similarity_weights", START)
    assert {row["why"] for row in weights if row["domain"] != row["other_domain"]} == {"learned"}
    across = {row["part"]: row for row in weights if (row["domain"], row["other_domain"]) == ("knowledge", "beauty")}
    assert across["behaviour"]["weight"] > 0.3
    assert (across["cosine"]["learned_from"], across["cosine"]["checked_on"]) == (60, 60)
    similar = read(settings, "serving.similar_items", START)
    (row,) = (row for row in similar if (row["item_id"], row["other_item_id"]) == ("k0", "b0"))
    assert row["behaviour"] == 0.5
    assert row["similarity"] == pytest.approx(sum(row[part] * one["weight"] for part, one in across.items()), abs=2e-6)
    following = START + timedelta(days=1)
    for table in ("derived.catalogue", "derived.item_tokens", "derived.duplicate_items", "serving.item_topics",
                  "derived.taken_together", "derived.later_choices"):  # fmt: skip
        put(
            settings,
            table,
            following,
            [] if "choices" in table or "together" in table else read(settings, table, START),
        )
    assert run_job(SIMILAR, following, settings).notes["learned"] is False
    assert read(settings, "serving.similar_items", following) == [{**one, "ds": following} for one in similar]
    assert run_job(SIMILAR, following, replace(settings, seed=8)).notes["learned"] is True
    assert {row["why"] for row in read(settings, "serving.similarity_weights", following)} == {"too_few"}
