"""Consent from the delivered word to what is served: people, training, recommendations, publication."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.serving import open_current
from tests.unit.jobs.lake_tables import put, read

DAYS = (date(2026, 1, 5), date(2026, 1, 6))
D1, D2 = DAYS
PEOPLE = 24
CHAIN = ("people", "holdings", "train", "score")
TABLES = ("clean.users", "clean.events", "clean.consents", "clean.identity_links", "clean.erasure_requests")


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"FACTORS": "4", "ITERATIONS": "5", "POPULARITY_POWER": "0", "TOP_K": "3", "MIN_TEST_PEOPLE": "1000"}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


def account(person: int, side: str) -> bytes:
    return f"{side[0]}{person:02}".encode().ljust(16, b".")


def key(person: int) -> bytes:
    """The beauty account's key is the smaller one."""
    return account(person, "beauty")


def moment(day: date, second: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second)


def word(person: int, side: str, purpose: str, granted: bool, day: date = D1) -> dict[str, Any]:
    said = {"account": account(person, side), "domain": side, "purpose": purpose, "granted": granted}
    return {**said, "ts": moment(day, 60)}


def world(refused: Iterable[tuple[int, str]] = ()) -> dict[str, list[dict[str, Any]]]:
    """Clean rows of the first day: people of two tastes, each known and linked on both sides.

    ``refused`` are (person, purpose) that are refused from the beginning, on both sides.
    """
    refused = set(refused)
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    for person in range(PEOPLE):
        for side in ("knowledge", "beauty"):
            who = {"account": account(person, side), "domain": side}
            rows["clean.users"].append({**who, "registered_at": moment(D1), "consent_assumed": False})
            for purpose in ("personalisation", "cross_domain"):
                rows["clean.consents"].append(word(person, side, purpose, (person, purpose) not in refused))
            for item in range(person % 2, 8, 2):
                if (item + person) % 8:
                    event = {**who, "event_id": f"{person}-{item}", "item_id": f"{side[0]}{item}", "event_type": "view"}
                    when = moment(D1 - timedelta(days=(item + person) % 20), person)
                    rows["clean.events"].append({**event, "ts": when, "consent_assumed": False})
        pair = {"knowledge_account": account(person, "knowledge"), "beauty_account": account(person, "beauty")}
        rows["clean.identity_links"].append({**pair, "linked_at": moment(D1)})
    return rows


def lay(settings: Settings, first: dict[str, list[dict[str, Any]]], said: list[dict[str, Any]]) -> None:
    """Deliveries of two days; ``said`` are words of the second."""
    for day in DAYS:
        rows = first if day == D1 else {"clean.consents": said}
        for table in TABLES:
            put(settings, table, day, rows.get(table, []))
        items = [{"domain": side, "item_id": f"{side[0]}{n}"} for side in ("knowledge", "beauty") for n in range(8)]
        known = {"status": "on", "content_hash": "-", "first_ds": D1, "changed_ds": D1, "as_of": D1}
        put(settings, "derived.duplicate_items", day, [])
        put(settings, "derived.catalogue", day, [{**item, **known} for item in items])


def run(settings: Settings, *days: date, jobs: Iterable[str] = CHAIN) -> None:
    for day in days:
        for name in jobs:
            run_job(job(name), day, settings)


def recommended(settings: Settings, day: date) -> dict[bytes, set[str]]:
    """Sources by person."""
    found: dict[bytes, set[str]] = {}
    for row in read(settings, "serving.recommendations", day):
        found.setdefault(row["person"], set()).add(row["source"])
    return found


def published(settings: Settings) -> set[bytes]:
    with open_current(Home(settings.home)) as con:
        return {person for (person,) in con.execute("SELECT DISTINCT person FROM recommendations").fetchall()}


def test_a_withdrawal_reaches_every_later_run_and_every_day_that_is_built_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", start=D1)
    withdrawn = [word(3, side, "cross_domain", False, D2) for side in ("knowledge", "beauty")]
    lay(settings, world(), [])
    run(settings, D1, jobs=(*CHAIN, "publish"))
    assert recommended(settings, D1)[key(3)] == {"als"}
    assert key(3) in published(settings)

    put(settings, "clean.consents", D2, withdrawn)
    run(settings, D2, jobs=(*CHAIN, "publish"))
    for person in (account(3, "knowledge"), account(3, "beauty")):
        assert person not in recommended(settings, D2)
        assert person not in published(settings), "what is served is the newest day's"
    assert recommended(settings, D1)[key(3)] == {"als"}, "a decision of the past, which nobody is served"

    # scoring an old day by itself does not wait for its people to be built again
    assert run_job(job("score"), D1, settings).status == "done"
    assert key(3) not in recommended(settings, D1)
    assert key(4) in recommended(settings, D1)

    run(settings, D1)
    never = Settings(home=tmp_path / "never", start=D1)
    lay(never, world(refused=[(3, "cross_domain")]), withdrawn)
    run(never, D1)
    for table in ("derived.people", "serving.model_metrics", "serving.champions", "serving.recommendations"):
        assert read(settings, table, D1) == read(never, table, D1), f"{table}: as if they had never agreed"


def test_a_consent_that_was_given_later_changes_no_day_before(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, start=D1)
    given = [word(3, side, "cross_domain", True, D2) for side in ("knowledge", "beauty")]
    lay(settings, world(refused=[(3, "cross_domain")]), given)
    run(settings, *DAYS)
    assert key(3) not in recommended(settings, D1)
    assert recommended(settings, D2)[key(3)] == {"als"}
    for name in CHAIN:
        assert run_job(job(name), D1, settings).status == "up_to_date"
    run_job(job("people"), D1, settings, force=True)
    assert {
        row["person"] for row in read(settings, "derived.people", D1) if row["account"] == account(3, "knowledge")
    } == {account(3, "knowledge")}


def test_who_withdraws_personalisation_is_shown_what_everybody_is_shown(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, start=D1)
    lay(settings, world(), [word(3, "knowledge", "personalisation", False, D2)])
    run(settings, *DAYS)
    for day in DAYS:
        rows = [row for row in read(settings, "serving.recommendations", day) if row["person"] == key(3)]
        popular = read(settings, "serving.popular_items", day)
        assert {row["source"] for row in rows} == {"unpersonalised"}
        shown = [(row["target_domain"], row["rank"], row["item_id"], row["score"]) for row in rows]
        assert shown == [(row["target_domain"], row["rank"], row["item_id"], row["score"]) for row in popular]
