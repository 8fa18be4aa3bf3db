"""Who is a person, and what they allow, day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crossdomain.jobs.people import JOB
from crossdomain.jobs.runner import run_job
from crossdomain.people.consent import PURPOSES
from crossdomain.settings import Settings
from tests.unit.jobs.lake_tables import put, read

D1, D2, D3 = date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)
K, B, B2 = b"k" * 16, b"b" * 16, b"c" * 16
TABLES = ("clean.users", "clean.events", "clean.consents", "clean.identity_links", "clean.erasure_requests")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, start=D1)


def user(account: bytes, domain: str, **more: Any) -> dict[str, Any]:
    registered = datetime(2025, 12, 1, tzinfo=UTC)
    return {"account": account, "domain": domain, "registered_at": registered, "consent_assumed": False, **more}


def consent(account: bytes, purpose: str, granted: bool, hour: int = 0, day: date = D1) -> dict[str, Any]:
    when = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    domain = "knowledge" if account == K else "beauty"
    return {"account": account, "domain": domain, "purpose": purpose, "granted": granted, "ts": when}


def both(granted: bool, **when: Any) -> list[dict[str, Any]]:
    return [consent(account, "cross_domain", granted, **when) for account in (K, B)]


def link(left: bytes = K, right: bytes = B) -> dict[str, Any]:
    linked = datetime(2026, 1, 5, tzinfo=UTC)
    return {"knowledge_account": left, "beauty_account": right, "linked_at": linked, "method": "login"}


def day(settings: Settings, ds: date, **rows: list[dict[str, Any]]) -> dict[bytes, dict[str, Any]]:
    for table in TABLES:
        put(settings, table, ds, rows.get(table.removeprefix("clean."), []))
    run_job(JOB, ds, settings)
    return {row["account"]: row for row in read(settings, "derived.people", ds)}


USERS = [user(K, "knowledge"), user(B, "beauty")]


def test_linked_accounts_that_agree_are_one_person_named_by_the_smallest_key(settings: Settings) -> None:
    people = day(settings, D1, users=USERS, identity_links=[link()], consents=both(True))
    assert {row["person"] for row in people.values()} == {B}


def test_without_cross_domain_consent_of_both_a_link_does_not_count(settings: Settings) -> None:
    people = day(settings, D1, users=USERS, identity_links=[link()], consents=[consent(K, "cross_domain", True)])
    assert people[K]["person"] == K
    assert people[B]["person"] == B
    assert people[K]["cross_domain"] is True
    assert people[B]["cross_domain"] is False


def test_a_withdrawal_unlinks_from_its_day_on_and_a_new_grant_links_again(settings: Settings) -> None:
    assert day(settings, D1, users=USERS, identity_links=[link()], consents=both(True))[K]["person"] == B
    withdrawn = day(settings, D2, consents=[consent(B, "cross_domain", False, day=D2)])
    assert withdrawn[K]["person"] == K
    assert day(settings, D3, consents=[consent(B, "cross_domain", True, day=D3)])[K]["person"] == B
    assert {row["person"] for row in read(settings, "derived.people", D1)} == {B}, "as known: the past stays"


def test_the_latest_word_counts_whatever_the_order_of_the_rows(settings: Settings) -> None:
    words = [consent(K, "personalisation", False, 9), consent(K, "personalisation", True, 8)]
    words += [consent(B, "personalisation", False, 8), consent(B, "personalisation", True, 9)]
    people = day(settings, D1, users=USERS, consents=words)
    assert (people[K]["personalisation"], people[B]["personalisation"]) == (False, True)


def test_a_link_given_before_its_account_is_known_counts_later(settings: Settings) -> None:
    day(settings, D1, users=USERS[:1], identity_links=[link()], consents=[consent(K, "cross_domain", True)])
    later = [consent(B, "cross_domain", True, day=D2)]
    assert day(settings, D2, users=USERS[1:], consents=later)[K]["person"] == B


def test_the_same_contact_links_unless_it_is_not_unique(settings: Settings) -> None:
    phone = b"p" * 16
    users = [user(K, "knowledge", phone_hash=phone), user(B, "beauty", phone_hash=phone)]
    agreed = [*both(True), consent(B2, "cross_domain", True)]
    assert day(settings, D1, users=users, consents=agreed)[K]["person"] == B
    other = Settings(home=settings.home / "other", start=D1)
    twice = [*users, user(B2, "beauty", phone_hash=phone)]
    assert day(other, D1, users=twice, consents=agreed)[K]["person"] == K, "reported elsewhere, never guessed"


def test_an_erased_account_is_gone_and_stays_gone(settings: Settings) -> None:
    day(settings, D1, users=USERS, identity_links=[link()], consents=both(True))
    request = {"account": B, "domain": "beauty", "requested_at": datetime(2026, 1, 6, tzinfo=UTC)}
    assert set(day(settings, D2, erasure_requests=[request])) == {K}
    people = day(settings, D3)
    assert set(people) == {K}
    assert people[K]["person"] == K
    assert read(settings, "derived.account_links", D3) == []


def test_assumed_consent_is_only_for_feeds_that_say_so(settings: Settings) -> None:
    when = datetime(2026, 1, 5, tzinfo=UTC)
    events = [
        {
            "event_id": "1",
            "account": K,
            "domain": "knowledge",
            "event_type": "view",
            "ts": when,
            "consent_assumed": True,
        },
        {"event_id": "2", "account": B, "domain": "beauty", "event_type": "view", "ts": when, "consent_assumed": False},
    ]
    people = day(settings, D1, events=events)
    assert (people[K]["personalisation"], people[B]["personalisation"]) == (True, False)


def test_run_twice_gives_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    other = Settings(home=tmp_path / "again", start=D1)
    for one in (settings, other):
        day(one, D1, users=USERS, identity_links=[link()], consents=both(True))
    files = [sorted((one.home / "lake/derived").rglob("*.parquet")) for one in (settings, other)]
    assert len(files[0]) == len(JOB.outputs)
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def purposes(people: dict[bytes, dict[str, Any]], account: bytes) -> set[str]:
    return {purpose for purpose in PURPOSES if people[account][purpose]}


def test_purposes_are_those_that_a_feed_may_deliver() -> None:
    from crossdomain.ingest.cleaning import VOCABULARY

    assert VOCABULARY["purposes"] == PURPOSES


def test_each_purpose_is_its_own(settings: Settings) -> None:
    people = day(settings, D1, users=USERS, consents=[consent(K, one, True) for one in PURPOSES[1::2]])
    assert purposes(people, K) == set(PURPOSES[1::2])
    assert purposes(people, B) == set()


def test_a_word_that_comes_late_does_not_undo_a_newer_one(settings: Settings) -> None:
    day(settings, D1, users=USERS, consents=[consent(K, "profiling", True)])
    day(settings, D2, consents=[consent(K, "profiling", False, 9, D2), consent(B, "profiling", True, 9, D2)])
    late = [{**consent(K, "profiling", True, 8, D2), "ts": datetime(2026, 1, 6, 8, tzinfo=UTC)}]
    late += [consent(B, "profiling", False, 9, D2)]
    people = day(settings, D3, consents=late)
    assert people[K]["profiling"] is False, "withdrawn at nine, whatever was said at eight"
    assert people[B]["profiling"] is False, "yes and no at the same instant are a no"


def test_a_withdrawal_counts_against_assumed_consent(settings: Settings) -> None:
    assumed = {**user(K, "knowledge"), "consent_assumed": True}
    assert purposes(day(settings, D1, users=[assumed]), K) == set(PURPOSES)
    assert purposes(day(settings, D2, consents=[consent(K, "cross_domain", False, day=D2)]), K) == set(PURPOSES) - {
        "cross_domain"
    }


def test_a_day_built_again_heeds_what_was_withdrawn_since_and_nothing_that_was_given_since(settings: Settings) -> None:
    linked = {"users": [*USERS, user(B2, "beauty")], "identity_links": [link()]}
    first = day(settings, D1, **linked, consents=[*both(True), consent(K, "personalisation", True)])
    assert first[K]["person"] == B
    day(settings, D2)
    later = [consent(B, "cross_domain", False, 1, D3), consent(K, "personalisation", False, 1, D3)]
    later += [consent(K, "personalisation", True, 2, D3), consent(B2, "cross_domain", True, 1, D3)]
    day(settings, D3, consents=later)
    assert read(settings, "derived.people", D1) == list(first.values()), "nobody asked for the day yet"
    result = run_job(JOB, D1, settings)
    assert result.status == "done"
    assert result.keys == (D1, D2, D3), "the days after it follow, and whoever reads them hears of it"
    for ds in (D1, D2):
        people = {row["account"]: row for row in read(settings, "derived.people", ds)}
        assert (people[K]["person"], people[B]["person"]) == (K, B)
        assert people[B]["cross_domain"] is False, "withdrawn since"
        assert people[K]["personalisation"] is True, "withdrawn and given again: as of the day and now"
        assert people[B2]["cross_domain"] is False, "given only later"
        assert {row["status"] for row in read(settings, "derived.account_links", ds)} == {"no_consent"}
    counted = {(row["domain"], row["measure"]): row["accounts"] for row in read(settings, "derived.people_counts", D1)}
    assert counted["beauty", "withdrawn_since_cross_domain"] == 1
    assert counted["knowledge", "withdrawn_since_cross_domain"] == 0
    granted = {(row["account"], row["purpose"]) for row in read(settings, "derived.consents", D1) if row["granted"]}
    assert (B, "cross_domain") in granted, "the record of what was said by then stays"


def test_only_withdrawals_make_built_days_stale(settings: Settings) -> None:
    day(settings, D1, users=USERS, consents=both(True))
    fresh = [consent(B2, "cross_domain", False, day=D2), consent(B2, "profiling", True, day=D2)]
    day(settings, D2, users=[user(B2, "beauty")], consents=[*fresh, consent(K, "profiling", True, day=D2)])
    assert run_job(JOB, D1, settings).status == "up_to_date", "new accounts, first refusals and grants change nothing"
    day(settings, D3, consents=[consent(K, "cross_domain", False, day=D3)])
    assert run_job(JOB, D1, settings).status == "done"
    assert run_job(JOB, D1, settings).status == "up_to_date"
    assert run_job(JOB, D3, settings).status == "up_to_date"


def test_who_asked_to_be_forgotten_since_is_not_in_a_day_built_again(settings: Settings) -> None:
    day(settings, D1, users=USERS, identity_links=[link()], consents=both(True))
    request = {"account": B, "domain": "beauty", "requested_at": datetime(2026, 1, 6, tzinfo=UTC)}
    day(settings, D2, erasure_requests=[request])
    run_job(JOB, D1, settings, force=True)
    for table in ("accounts", "consents", "people"):
        assert {row["account"] for row in read(settings, f"derived.{table}", D1)} == {K}
    assert read(settings, "derived.account_links", D1) == []


@pytest.mark.parametrize(("birth_year", "processed"), [(None, True), (2013, False), (2012, False), (2011, True)])
def test_children_are_counted_and_not_processed(settings: Settings, birth_year: int | None, processed: bool) -> None:
    people = day(settings, D1, users=[user(K, "knowledge", birth_year=birth_year), USERS[1]], consents=both(True))
    assert (K in people) is processed, "2026 - 2012 = 14: the birthday may be still to come"
    counted = {(row["domain"], row["measure"]): row["accounts"] for row in read(settings, "derived.people_counts", D1)}
    assert counted["knowledge", "minor"] == (not processed)
    assert counted["knowledge", "known"] == 1
    assert counted["knowledge", "processed"] == processed
    assert counted["knowledge", "allowed_cross_domain"] == processed
    assert (counted["knowledge", "granted_cross_domain"], counted["beauty", "minor"]) == (1, 0)


def test_the_other_account_of_a_child_is_a_childs_too(settings: Settings) -> None:
    users = [user(K, "knowledge", birth_year=2014), user(B, "beauty")]
    assert set(day(settings, D1, users=users, identity_links=[link()], consents=both(True))) == set()
    assert set(day(settings, D2, consents=[consent(B, "cross_domain", False, day=D2)])) == set(), "spared all the same"
    assert {row["status"] for row in read(settings, "derived.account_links", D2)} == {"minor"}


def test_a_child_grows_up(settings: Settings) -> None:
    eve, new_year = date(2025, 12, 31), date(2026, 1, 1)
    settings = Settings(home=settings.home, start=eve)
    child = user(K, "knowledge", birth_year=2011)
    assert set(day(settings, eve, users=[child])) == set()
    assert set(day(settings, new_year)) == {K}
