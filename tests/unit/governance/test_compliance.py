"""The daily account: every number can be counted by hand in the tables, and nobody is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crossdomain.errors import InputError
from crossdomain.governance import holds
from crossdomain.governance.compliance import SECTIONS, Fact, account_for
from crossdomain.governance.erasing import Order, carry_out
from crossdomain.governance.page import MEASURES, as_json, as_markdown
from crossdomain.governance.register import load_register
from crossdomain.jobs.erase import opened
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.tables import registry
from tests.unit.governance.conftest import ANN, BOB, DAY, EVE, NEXT, NOON, Platform

INCLUDE = Settings().include
TODAY = datetime.now(UTC).astimezone(Settings().zone).date()

Facts = Mapping[tuple[str, str, str], Fact]


def facts(platform: Platform, ds: Any = DAY) -> Facts:
    with opened(platform.settings, ds) as ground:
        found = account_for(ground)
    keys = [(fact.section, fact.measure, fact.item) for fact in found]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found, strict=True))


def values(found: Facts, section: str) -> dict[str, int | None]:
    return {f"{measure} {item}".strip(): fact.value for (part, measure, item), fact in found.items() if part == section}


@pytest.fixture(scope="module")
def day(template: Platform, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Consents, requests, a hold, reads of the vault and an erasure, all of known number."""
    filled = template.copy(tmp_path_factory.mktemp("day") / "home")
    said = {"domain": "knowledge", "purpose": "cross_domain", "ts": NOON}
    rows = [(ANN, True), (BOB, True), (EVE, False)]
    filled.put(
        "clean.consents",
        [{**said, "account": filled.subject(who).account, "domain": who[0], "granted": yes} for who, yes in rows],
    )
    counts = {"known": 3, "processed": 2, "minor": 1, "allowed_personalisation": 1, "withdrawn_since_profiling": 1}
    filled.put(
        "derived.people_counts",
        [{"domain": "knowledge", "measure": name, "accounts": count} for name, count in counts.items()],
    )
    filled.put(
        "derived.row_counts",
        [{"table_name": "events", "class": "clean", "rows": 3}, {"table_name": "users", "class": "clean", "rows": 4}],
    )
    with opened(filled.settings, DAY) as ground:
        carry_out(ground, [Order(*ANN, NOON, "dpo", "letter")])
        holds.place(ground.lake, ground.tables, filled.subject(EVE), ds=DAY, by="legal", reason="case 12")
        carry_out(ground, [Order(*EVE, NOON, "dpo", "letter"), Order(*BOB, NOON - timedelta(days=40), "dpo", "late")])
    for by in ("li.wei", "li.wei", "ops"):
        audit.record(filled.home, "vault.read", by=by, reason="delivery", subject="ab" * 16, fields=["phone"])
    return filled


def test_the_numbers_are_those_of_the_tables(day: Platform) -> None:
    found = facts(day)
    assert values(found, "volumes")["rows_of_the_day raw.events"] == 0, "both people of the delivery are erased"
    assert values(found, "volumes")["rows_clean"] == 7
    consent = values(found, "consent")
    assert consent["minors_excluded knowledge"] == 1
    assert consent["accounts_withdrawn_since knowledge/profiling"] == 1
    assert found["consent", "share_not_personalised", "knowledge"].share == 0.5
    erasure = values(found, "erasure")
    assert {name: erasure[name] for name in ("asked_on_the_day", "asked_so_far", "done_on_the_day", "done_so_far")} == {
        "asked_on_the_day": 3,
        "asked_so_far": 3,
        "done_on_the_day": 2,
        "done_so_far": 2,
    }
    assert erasure["done_late_on_the_day"] == 2, "the clock is months past the day of the request"
    assert (erasure["open"], erasure["open_held"], erasure["open_overdue"]) == (1, 1, 0), "a hold stops the clock"
    rows = sum(row["rows"] for row in day.rows("derived.erasure_receipts"))
    assert sum(value or 0 for name, value in erasure.items() if name.startswith("rows_removed")) == rows
    assert values(found, "holds") == {"in_force knowledge": 0, "in_force beauty": 1, "placed_on_the_day": 1}


def test_reads_of_the_vault_are_counted_on_the_day_of_the_clock(day: Platform) -> None:
    assert values(facts(day), "access")["vault_reads"] == 0
    access = values(facts(day, TODAY), "access")
    assert (access["vault_reads"], access["people_read"], access["audit_breaks"]) == (3, 1, 0)
    assert access["vault_reads_by li.wei: delivery"] == 2
    assert access["audit_lines vault.read"] == 3


def test_an_open_request_falls_due(platform: Platform) -> None:
    asked = [{"user_id": "K1", "domain": "knowledge", "requested_at": "2026-01-05 08:00:00"}]
    platform.deliver("erasure_requests", DAY, asked)
    platform.landed_day()
    platform.ingest()
    erasure = values(facts(platform), "erasure")
    assert (erasure["asked_on_the_day"], erasure["open"], erasure["open_due_soon"]) == (1, 1, 0)
    assert values(facts(platform, DAY + timedelta(days=18)), "erasure")["open_due_soon"] == 1
    late = facts(platform, DAY + timedelta(days=22))
    assert values(late, "erasure")["open_overdue"] == 1
    page = as_markdown(DAY, list(late.values())).decode()
    assert "- open and overdue · 未完成且逾期: 1" in page


def test_the_register_and_what_it_does_not_cover(platform: Platform) -> None:
    found = facts(platform)
    assert found["processing", "cross_border", "recommend"].value == 0
    assert found["processing", "impact_assessment", "recommend"].text == "PIA-EXAMPLE-03"
    assert values(found, "processing")["tables_without_activity"] == 0, "a new table of people needs an activity"


def test_the_page_speaks_two_languages_and_names_nobody(day: Platform) -> None:
    first = run_job(job("compliance"), DAY, day.settings)
    page = day.home.report("compliance/2026-01-05.md").read_text(encoding="utf-8")
    document = json.loads(day.home.report("compliance/2026-01-05.json").read_text(encoding="utf-8"))
    assert set(document["sections"]) == set(SECTIONS)
    assert "## Erasure · 删除" in page
    unnamed = {row["measure"] for row in day.rows("serving.compliance")} - set(MEASURES)
    assert unnamed == set(), "every measure has its words in both languages"
    for who in (ANN, BOB, EVE):
        for name in (who[1], day.subject(who).account.hex(), day.subject(who).name):
            assert name not in page
            assert name not in json.dumps(document)
    rows = day.rows("serving.compliance")
    assert run_job(job("compliance"), DAY, day.settings).notes["facts"] == first.notes["facts"]
    assert day.rows("serving.compliance") == rows, "the same day again gives the same account"


def test_a_day_without_anything_is_accounted_for_too(platform: Platform) -> None:
    found = facts(platform, NEXT)
    assert values(found, "erasure")["asked_so_far"] == 0
    assert json.loads(as_json(NEXT, list(found.values())))["ds"] == "2026-01-06"


REGISTER = (INCLUDE / "governance" / "processing.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cross_border: false", "cross_border: true", "'transfer_basis' is a required property"),
        ("    consent: cross_domain\n", "", "'consent' is a required property"),
        ("basis: contract", "basis: because", "is not one of"),
        ('tables: ["raw.*"]', 'tables: ["raw.gone"]', "activity take_in: there is no table raw.gone"),
        ("- id: keep_contacts", "- id: take_in", "'take_in' stands twice"),
        ("activities:", "activity:", "'activities' is a required property|Additional properties"),
    ],
)
def test_a_wrong_register_is_refused_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    folder = tmp_path / "governance"
    folder.mkdir()
    (folder / "processing.schema.json").write_bytes((INCLUDE / "governance" / "processing.schema.json").read_bytes())
    assert old in REGISTER
    (folder / "processing.yaml").write_text(REGISTER.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_register(tmp_path, registry(INCLUDE))
