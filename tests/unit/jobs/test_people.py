"""Who is a person, and what they allow, day by day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from crossdomain.jobs.people import JOB
from crossdomain.jobs.runner import run_job
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
    return {"account": account, "domain": "any", "purpose": purpose, "granted": granted, "ts": when}


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
    assert len(files[0]) == 3
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
