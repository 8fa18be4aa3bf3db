"""Erasure: the person is nowhere, everybody else as before, the receipt says where; a kill changes none of that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crossdomain.errors import InputError
from crossdomain.governance import erasing, holds, pending, requests
from crossdomain.governance.erasing import Order, Receipt, carry_out, orders_returned, orders_waiting, plan
from crossdomain.governance.verifying import verify
from crossdomain.jobs.erase import opened
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.storage import audit
from crossdomain.storage.home import LONGEST_TASK
from tests.unit.governance.conftest import ANN, BOB, DAY, EVE, NEXT, NOON, Platform


def order(who: tuple[str, str], asked_by: str = "dpo") -> Order:
    return Order(*who, requested_at=NOON, asked_by=asked_by, reason="asked by letter")


def erase(platform: Platform, *people: tuple[str, str], ds: date = DAY) -> list[Receipt]:
    with opened(platform.settings, ds) as ground:
        return carry_out(ground, [order(who) for who in people])


def traces(platform: Platform, who: tuple[str, str]) -> list[str]:
    with opened(platform.settings) as ground:
        proof = verify(ground, *who)
    assert proof.unreadable == ()
    return sorted({finding.path.split("/ds=")[0] for finding in proof.findings})


def everything(platform: Platform) -> dict[str, Any]:
    tables = ("raw.users", "raw.events", "raw.identity_links", "clean.users", "clean.events", "serving.recommendations")
    return {table: platform.rows(table) for table in (*tables, "derived.people")}


@dataclass(frozen=True)
class Case:
    """An erasure, and how things stood before it."""

    platform: Platform
    traces_before: list[str]
    rows_before: dict[str, Any]
    planned: Receipt
    receipt: Receipt


@pytest.fixture(scope="module")
def case(template: Platform, tmp_path_factory: pytest.TempPathFactory) -> Case:
    platform = template.copy(tmp_path_factory.mktemp("case") / "家 home")
    found, rows = traces(platform, ANN), everything(platform)
    with opened(platform.settings) as ground:
        planned = plan(ground, order(ANN))
    (receipt,) = erase(platform, ANN)
    return Case(platform, found, rows, planned, receipt)


def test_the_person_is_found_everywhere_before_and_nowhere_after(case: Case) -> None:
    for place in ("landing/knowledge_users", "lake/raw/events_v1", "lake/raw/identity_links_v1", "lake/clean/users_v1",
                  "lake/clean/events_v1", "lake/derived/people_v1", "serving/serving-"):  # fmt: skip
        assert any(place in found for found in case.traces_before), place
    assert traces(case.platform, ANN) == []


def test_everybody_elses_rows_stay(case: Case) -> None:
    before, after = case.rows_before, everything(case.platform)
    ann, bob = (case.platform.subject(who).account for who in (ANN, BOB))
    assert after["clean.events"] == [row for row in before["clean.events"] if row["account"] != ann]
    assert after["clean.users"] == [row for row in before["clean.users"] if row["account"] != ann]
    assert [row["_line"] for row in after["raw.events"]] == [4, 5], "lines keep their numbers"
    assert [row["session_id"] for row in after["raw.events"]] == ["s3", "invited-by [erased]"]
    assert after["raw.identity_links"] == []
    assert [row["person"] for row in after["serving.recommendations"]] == [bob], "what rests on her history goes"


def test_what_she_owned_leaves_every_day_and_does_not_come_back(filled: Platform) -> None:
    ann, bob = (filled.subject(who).account for who in (ANN, BOB))
    for day in (DAY, NEXT):
        rows = [{"account": account, "domain": "knowledge", "item_id": "i1", "day": day} for account in (ann, bob)]
        filled.put("derived.holdings", [{**row, "bought_at": NOON} for row in rows], day)
        bought = {"event_type": "purchase", "ts": NOON, "item_id": "i1", "consent_assumed": False}
        events = [{**bought, "event_id": f"{row['account'].hex()}", **row} for row in rows]
        filled.put("clean.events", events, day)
    (receipt,) = erase(filled, ANN)
    found = {(place, partition): rows for (place, partition, _), rows in receipt.found.items()}
    for day in (DAY, NEXT):
        assert found["derived.holdings", str(day)] == 1
        assert [row["account"] for row in filled.rows("derived.holdings", day)] == [bob]
        assert run_job(job("holdings"), day, filled.settings).status in ("done", "unchanged", "up_to_date")
        assert [row["account"] for row in filled.rows("derived.holdings", day)] == [bob]


def test_who_was_named_by_her_gets_the_smallest_name_that_is_left(case: Case) -> None:
    ann, eve, bob = (case.platform.subject(who).account for who in (ANN, EVE, BOB))
    assert {row["person"] for row in case.rows_before["derived.people"]} == {ann, bob}
    named = {row["account"]: row["person"] for row in case.platform.rows("derived.people")}
    assert named == {eve: eve, bob: bob}


def test_the_receipt_lists_what_was_there(case: Case) -> None:
    platform, receipt = case.platform, case.receipt
    assert receipt.found == case.planned.found, "a dry run says what will happen"
    assert receipt.found["raw.events", "knowledge_events/2026-01-05", "removed"] == 2
    assert receipt.found["raw.events", "knowledge_events/2026-01-05", "struck_out"] == 1
    assert receipt.found["landing", "knowledge_users/2026-01-05/knowledge_users.csv", "removed"] == 1
    rows = platform.rows("derived.erasure_receipts")
    assert {(row["place"], row["partition"], row["action"]): row["rows"] for row in rows} == receipt.found
    (path,) = platform.home.report("erasures").glob("*.json")
    said = path.read_text(encoding="utf-8")
    assert json.loads(said)["rows"] == receipt.rows
    assert "K10023" not in said
    (done,) = platform.rows("derived.erasures_done")
    assert (done["subject"], done["rows"], done["asked_by"]) == (receipt.subject, receipt.rows, "dpo")
    lines = audit.read(platform.home)
    assert [line["action"] for line in lines] == ["erasure.begin", "erasure.done"]
    assert {line["facts"]["subject"] for line in lines} == {platform.subject(ANN).name}


def test_the_id_is_written_down_only_sealed(case: Case) -> None:
    (sealed,) = case.platform.home.pending_erasures.glob("*.sealed")
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert ANN[1].encode() not in sealed.read_bytes()


def test_a_dry_run_changes_nothing(filled: Platform) -> None:
    def files() -> dict[str, int]:
        found = (path for path in filled.settings.home.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path): path.stat().st_mtime_ns for path in found}

    before = files()
    with opened(filled.settings) as ground:
        assert plan(ground, order(ANN)).rows > 0
    assert files() == before


def test_she_does_not_come_back_when_her_deliveries_are_read_again(filled: Platform) -> None:
    erase(filled, ANN)
    filled.ingest()
    assert traces(filled, ANN) == []
    assert len(filled.rows("raw.events")) == 2


def test_an_erased_request_stays_remembered_when_its_delivery_is_read_again(platform: Platform) -> None:
    platform.landed_day()
    asked = [{"user_id": ANN[1], "domain": ANN[0], "requested_at": "2026-01-05 08:00:00"}]
    platform.deliver("erasure_requests", DAY, asked)
    platform.ingest()
    run_job(job("govern"), DAY, platform.settings)
    assert traces(platform, ANN) == []
    platform.ingest()
    with opened(platform.settings) as ground:
        assert set(requests.remembered(ground.lake, ground.tables)) == {platform.subject(ANN).erased}
        assert orders_waiting(ground) == ([], 0)


def test_a_delivery_after_the_erasure_is_taken_out_the_same_night(platform: Platform) -> None:
    platform.landed_day()
    platform.ingest()
    erase(platform, ANN)
    platform.landed_day(NEXT)
    platform.ingest(NEXT)
    assert traces(platform, ANN) != []
    with opened(platform.settings, NEXT) as ground:
        assert [one.user_id for one in orders_returned(ground)] == [ANN[1]]
    result = run_job(job("govern"), NEXT, platform.settings)
    assert result.notes["returned"] == 1
    assert traces(platform, ANN) == []


def test_an_unknown_domain_is_refused(filled: Platform) -> None:
    with pytest.raises(InputError, match="no domain 'books'"):
        erase(filled, ("books", "K10023"))


# kills ---------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a process that ends between two steps; nothing may catch it."""


STEPS = (
    "requests.remember", "pending.keep", "vault.shred", "rewrite_partition", "collect", "serving.publish",
    "serving.forget_others", "Searcher.take_out", "retraining.schedule", "add_rows", "audit.record",
)  # fmt: skip


def calls(monkeypatch: pytest.MonkeyPatch, on_call: Callable[[int], None]) -> Iterator[int]:
    """Counts every call of a step and tells of it before it happens."""
    count = 0

    def wrap(function: Any) -> Any:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            on_call(count)
            return function(*args, **kwargs)

        return stepped

    for step in STEPS:
        owner, _, name = step.rpartition(".")
        target = getattr(erasing, owner) if owner else erasing
        monkeypatch.setattr(target, name, wrap(getattr(target, name)))
    yield count


def count_steps(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> int:
    seen: list[int] = []
    with monkeypatch.context() as patched:
        next(calls(patched, seen.append))
        erase(platform, ANN)
    return len(seen)


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_killed_before_any_step_and_run_again_ends_as_if_undisturbed(
    case: Case, template: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    undisturbed = case.platform
    steps = count_steps(template.copy(tmp_path / "counted"), monkeypatch)
    assert steps > 30
    (wanted,) = undisturbed.rows("derived.erasures_done")
    for kill in range(1, steps + 1, every):
        disturbed = template.copy(tmp_path / f"killed {kill}")

        def die(step: int, kill: int = kill) -> None:
            if step == kill:
                raise Killed

        with monkeypatch.context() as patched:
            next(calls(patched, die))
            with pytest.raises(Killed):
                erase(disturbed, ANN)
        # the nightly run finishes what is written down; before that the command was not confirmed and is given again
        again = [] if any(True for _ in disturbed.home.pending_erasures.glob("*.sealed")) else [ANN]
        erase(disturbed, *again)
        assert traces(disturbed, ANN) == [], kill
        (done,) = disturbed.rows("derived.erasures_done")
        assert done["rows"] == wanted["rows"], kill
        assert everything(disturbed) == everything(undisturbed), kill
        with opened(disturbed.settings) as ground:
            assert [one.done_at is None for one in pending.load(ground.lake.home, ground.keys)] == [False]


def test_what_a_task_that_began_before_commits_afterwards_goes_with_the_next_run(filled: Platform) -> None:
    erase(filled, ANN)
    filled.people([ANN, EVE], [BOB])  # the task had read its inputs before
    assert traces(filled, ANN) != []
    erase(filled)
    assert traces(filled, ANN) == []
    with opened(filled.settings) as ground:
        (watched,) = pending.load(ground.lake.home, ground.keys)
        later = datetime.now(UTC) - LONGEST_TASK - timedelta(minutes=1)
        pending.keep(ground.lake.home, ground.keys, replace(watched, done_at=later))
        assert carry_out(ground, []) == []
        assert pending.load(ground.lake.home, ground.keys) == [], "a day later nobody can write her any more"


def test_of_several_erased_at_once_only_who_was_written_since_is_erased_again(filled: Platform) -> None:
    erase(filled, ANN, BOB)
    filled.people([ANN, EVE])
    with opened(filled.settings) as ground:
        (again,) = carry_out(ground, [])
    assert again.subject == filled.subject(ANN).name
    assert traces(filled, ANN) == []


# holds ---------------------------------------------------------------------------------------------


def test_a_held_person_is_blocked_and_erased_when_the_hold_is_released(filled: Platform) -> None:
    ann = filled.subject(ANN)
    with opened(filled.settings) as ground:
        holds.place(ground.lake, ground.tables, ann, ds=DAY, by="legal", reason="case 12")
    (receipt,) = erase(filled, ANN)
    assert receipt.status == "held"
    left = {place.split("/")[0] + "/" + place.split("/")[1] for place in traces(filled, ANN)}
    assert left <= {"landing/knowledge_users", "landing/knowledge_events", "landing/identity_links", "lake/raw"}
    assert len(filled.rows("raw.events")) == 4
    assert erase(filled)[0].rows == 0, "blocked once, nothing more to block"
    with opened(filled.settings) as ground:
        holds.release(ground.lake, ground.tables, ann, ds=DAY, by="legal", reason="case 12 closed")
    (receipt,) = erase(filled)
    assert receipt.status == "done"
    assert ("clean.events", "2026-01-05", "removed") in receipt.found, "the receipt knows what blocking removed"
    assert traces(filled, ANN) == []
    actions = [line["action"] for line in audit.read(filled.home)]
    assert actions == ["hold.place", "erasure.begin", "erasure.blocked", "hold.release", "erasure.done"]


def test_holds_want_a_name_and_a_reason_and_end_once(filled: Platform) -> None:
    ann = filled.subject(ANN)
    with opened(filled.settings) as ground:
        with pytest.raises(InputError, match="name"):
            holds.place(ground.lake, ground.tables, ann, ds=DAY, by=" ", reason="case")
        with pytest.raises(InputError, match="not under legal hold"):
            holds.release(ground.lake, ground.tables, ann, ds=DAY, by="legal", reason="x")
        holds.place(ground.lake, ground.tables, ann, ds=DAY, by="legal", reason="case 12")
        holds.place(ground.lake, ground.tables, ann, ds=DAY, by="legal", reason="case 12 again")
        (hold,) = holds.in_force(ground.lake, ground.tables)
        assert (hold.reason, hold.domain) == ("case 12", "knowledge")
        assert holds.in_force(ground.lake, ground.tables, until=DAY - timedelta(days=1)) == []
