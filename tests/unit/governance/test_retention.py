"""Retention: what has outlived its term goes, from disk too; what is held or still needed stays and is named."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from crossdomain.errors import InputError
from crossdomain.governance import holds
from crossdomain.governance.retention import Decision, check_terms, enforce
from crossdomain.governance.settings import GovernanceSettings
from crossdomain.jobs.erase import opened
from crossdomain.jobs.govern import needed_days
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.models import ModelStore
from crossdomain.tables import TableRegistry, registry
from tests.unit.governance.conftest import ANN, BOB, DAY, NEXT, NOON, Platform

INCLUDE = Settings().include


def after(days: int) -> date:
    return DAY + timedelta(days=days)


def run(platform: Platform, ds: date, *, dry_run: bool = False, **changes: int) -> list[Decision]:
    with opened(platform.settings, ds) as ground:
        changed = replace(ground, terms=replace(ground.terms, **changes))
        return enforce(changed, {"landing": 4}, dry_run=dry_run)


def said(decisions: list[Decision], action: str = "expired") -> set[str]:
    return {f"{one.place} {one.partition}" for one in decisions if one.action == action}


def parquet(platform: Platform, table: str) -> list[Path]:
    spec = registry(INCLUDE).get(table)
    return [path for path in platform.home.table(spec).rglob("*.parquet") if "_delta_log" not in path.parts]


def test_nothing_goes_a_day_too_early_and_everything_on_its_day(filled: Platform) -> None:
    assert said(run(filled, after(29))) == set()
    expired = said(run(filled, after(30)))
    assert {place.split()[0] for place in expired} == {"landing"}
    assert not (filled.home.landing("knowledge_events", DAY)).exists()
    assert len(filled.rows("raw.events")) == 4, "raw has another term"
    assert said(run(filled, after(89))) == set()
    expired = said(run(filled, after(90)))
    assert "raw.events knowledge_events/2026-01-05" in expired
    assert filled.rows("raw.events") == []
    assert "serving.recommendations 2026-01-05" in expired
    assert len(filled.rows("clean.events")) == 3
    assert said(run(filled, after(90))) == set(), "a second run finds nothing"


def test_expired_rows_leave_the_disk_a_day_later(filled: Platform) -> None:
    run(filled, after(90))
    assert len(parquet(filled, "raw.events")) == 1, "tasks may still be reading"
    for log in (filled.home.table(registry(INCLUDE).get("raw.events")) / "_delta_log").iterdir():
        content = log.read_text(encoding="utf-8")  # as if the commit were of the day before
        removed = content.replace(f'"deletionTimestamp":{str(int(time.time()))[:6]}', '"deletionTimestamp":170000')
        log.write_text(removed, encoding="utf-8")
    run(filled, after(91))
    assert parquet(filled, "raw.events") == []


def test_a_dry_run_says_the_same_and_removes_nothing(filled: Platform) -> None:
    planned = run(filled, after(2000), dry_run=True)
    assert len(filled.rows("raw.events")) == 4
    assert filled.home.landing("knowledge_events", DAY).exists()
    assert filled.rows("derived.retention_runs", after(2000)) == []
    assert run(filled, after(2000)) == planned


def test_what_people_own_stays_when_its_events_are_gone(filled: Platform) -> None:
    bought = {"account": filled.subject(ANN).account, "domain": "knowledge", "item_id": "i1", "day": DAY}
    filled.put("derived.holdings", [{**bought, "bought_at": NOON}])
    expired = said(run(filled, after(20_000)))
    assert "clean.events 2026-01-05" in expired
    assert [row["item_id"] for row in filled.rows("derived.holdings")] == ["i1"]


def test_what_was_removed_is_on_record(filled: Platform) -> None:
    decisions = run(filled, after(90))
    rows = filled.rows("derived.retention_runs", after(90))
    assert {(row["place"], row["partition"], row["action"], row["rows"], row["kept_days"]) for row in rows} == {
        (one.place, one.partition, one.action, one.rows, one.kept_days) for one in decisions
    }
    (line,) = audit.read(filled.home)
    assert line["action"] == "retention.expired"
    assert line["facts"]["expired"]["raw.events"] == 1


def test_deliveries_of_a_held_person_stay_until_the_hold_ends(filled: Platform) -> None:
    ann = filled.subject(ANN)
    with opened(filled.settings) as ground:
        holds.place(ground.lake, ground.tables, ann, ds=DAY, by="legal", reason="case 12")
        holds.place(ground.lake, ground.tables, filled.subject(BOB), ds=DAY, by="legal", reason="case 13")
        holds.release(ground.lake, ground.tables, filled.subject(BOB), ds=DAY, by="legal", reason="case 13 closed")
    held = said(run(filled, after(90)), "held")
    assert held == {
        "raw.events knowledge_events/2026-01-05",
        "raw.users knowledge_users/2026-01-05",
        "raw.identity_links identity_links/2026-01-05",
    }
    assert len(filled.rows("raw.events")) == 4
    with opened(filled.settings) as ground:
        holds.release(ground.lake, ground.tables, ann, ds=DAY, by="legal", reason="closed")
    assert held <= said(run(filled, after(90)))


def test_the_newest_state_of_a_fold_stays_however_old(filled: Platform) -> None:
    filled.people([ANN], [BOB], day=NEXT)
    assert "derived.people 2026-01-05" in said(run(filled, after(2000)))
    assert len(filled.rows("derived.people", NEXT)) == 2, "the next day goes on from it"


def test_a_delivery_that_was_never_taken_stays_and_is_named(filled: Platform) -> None:
    filled.deliver("knowledge_events", NEXT, [{"event_id": "x"}])
    decisions = run(filled, after(60))
    assert said(decisions, "not_ingested") == {"landing knowledge_events/2026-01-06"}
    assert filled.home.landing("knowledge_events", NEXT).exists()


def test_reports_audit_and_models_that_nobody_names(platform: Platform) -> None:
    for name in ("quality/2026-01-05.json", "quality/2026-01-06.json", "erasures/abc.json"):
        path = platform.home.report(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    long_ago = time.time() - 3000 * 86400
    os.utime(platform.home.report("erasures/abc.json"), (long_ago, long_ago))
    platform.home.audit.mkdir()
    for day in ("2020-01-01", "2026-01-01"):
        (platform.home.audit / f"{day}.jsonl").write_text("", encoding="utf-8")
    store = ModelStore(platform.home)
    named, forgotten = store.save("als", {"a": b"1"}, {}), store.save("als", {"a": b"2"}, {})
    row = {"target_domain": "beauty", "model": "als", "model_version": named, "metric": "m", "n": 1}
    platform.put("serving.champions", [{**row, "decision": "first", "reason": "r"}])
    for version in (named, forgotten):
        os.utime(platform.home.models("als") / version, (long_ago, long_ago))
    decisions = run(platform, after(730), report_days=730, audit_days=1826)
    assert said(decisions) == {
        "reports quality/2026-01-05.json",
        "reports erasures/abc.json",
        "audit 2020-01-01.jsonl",
        f"models als/{forgotten}",
    }
    assert store.versions("als") == [named]


# terms ---------------------------------------------------------------------------------------------


def with_terms(tmp_path: Path, text: str) -> TableRegistry:
    shutil.copytree(INCLUDE / "sql", tmp_path / "sql")
    (tmp_path / "governance").mkdir()
    (tmp_path / "governance" / "retention.yaml").write_text(text, encoding="utf-8")
    return TableRegistry(tmp_path)


def test_a_term_may_be_set_by_the_deployment(tmp_path: Path) -> None:
    tables = with_terms(tmp_path, "tables: {raw.users: 30}")
    assert (tables.get("raw.users").retention_days, tables.get("raw.events").retention_days) == (30, 90)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tables: {raw.nothing: 30}", "no table 'raw.nothing'"),
        ("tables: {raw.users: soon}", "not a number of days"),
        ("tables: {raw.users: 0}", "not a number of days"),
        ("tables: {derived.erasures: 400}", "must not be shortened"),
        ("tables: {derived.holdings: 1095}", "must not be shortened"),
    ],
)
def test_silly_terms_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_terms(tmp_path, text)


def test_a_term_that_a_job_cannot_live_with_is_refused(tmp_path: Path) -> None:
    tables = with_terms(tmp_path, "tables: {raw.users: 3}")
    with pytest.raises(InputError, match=r"raw\.users: kept for 3 days, but 4 are needed"):
        check_terms(tables, {"raw.users": 4})
    check_terms(tables, {"raw.users": 3})


def test_landing_must_outlive_late_deliveries(filled: Platform) -> None:
    with pytest.raises(InputError, match="CROSSDOMAIN_LANDING_DAYS=3"):
        run(filled, after(2000), landing_days=3)
    assert len(filled.rows("raw.events")) == 4, "nothing was removed"


def test_the_projects_own_terms_are_long_enough_for_its_jobs() -> None:
    settings = Settings()
    needed = needed_days(settings, registry(INCLUDE))
    assert needed["clean.events"] >= 93, "the recommender's window, and days that late data builds again"
    assert needed["landing"] == 4
    check_terms(registry(INCLUDE), needed)
    assert GovernanceSettings().landing_days >= needed["landing"]


@pytest.mark.parametrize(
    ("requested", "due"),
    [
        (date(2026, 1, 5), date(2026, 1, 26)),  # a Monday; three weeks
        (date(2026, 1, 9), date(2026, 1, 30)),  # a Friday
        (date(2026, 1, 10), date(2026, 2, 2)),  # a Saturday: the weekend does not shorten the term
    ],
)
def test_fifteen_working_days(requested: date, due: date) -> None:
    assert GovernanceSettings().due(requested) == due


def test_a_term_of_a_few_working_days() -> None:
    assert GovernanceSettings(erasure_working_days=3).due(date(2026, 1, 8)) == date(2026, 1, 13)


@pytest.mark.parametrize("value", ["0", "-3", "soon"])
def test_settings_that_are_no_days_are_refused(value: str) -> None:
    with pytest.raises(InputError, match="CROSSDOMAIN_LANDING_DAYS"):
        GovernanceSettings.from_env({"CROSSDOMAIN_LANDING_DAYS": value})
    assert GovernanceSettings.from_env({"CROSSDOMAIN_LANDING_DAYS": "40"}).landing_days == 40
