"""The job on clean tables of a few weeks: the fold, late days, overridden days, and what is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossdomain.errors import NotReady
from crossdomain.jobs.ingest import TABLES
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.quality.data_docs import folder
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from tests.unit.jobs.lake_tables import put, read

START = date(2026, 1, 5)
HISTORY_DAYS = 20
ITEMS = [{"domain": "beauty", "item_id": f"i{number}", "snapshot": True} for number in range(5)]
USERS = [
    {
        "account": bytes([number]) * 16,
        "domain": "beauty",
        "registered_at": datetime(2026, 1, 1, tzinfo=UTC),
        "consent_assumed": False,
    }
    for number in range(8)
]
Row = dict[str, Any]


def on(step: int) -> date:
    return START + timedelta(days=step)


def events(day: date, *, rows: int, seed: int = 0, **changes: Any) -> list[Row]:
    """Views of known items by known accounts all day long, a tenth of them without a channel."""
    rng = np.random.default_rng([seed, day.toordinal()])
    midnight = datetime.combine(day, time.min, tzinfo=UTC) - timedelta(hours=8)
    return [
        {
            "event_id": f"{day}-{number}",
            "account": USERS[number % 8]["account"],
            "domain": "beauty",
            "item_id": f"i{number % 5}",
            "event_type": "view",
            "ts": midnight + timedelta(seconds=int(number * 86_400 / rows)),
            "channel": None if rng.random() < 0.1 else "app",
            "consent_assumed": False,
            **changes,
        }
        for number in range(rows)
    ]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose declared start brought twenty days of behaviour at once, and was watched."""
    settings = Settings(home=tmp_path_factory.mktemp("opened"), start=START, threads=1)
    history = [row for step in range(-HISTORY_DAYS + 1, 1) for row in events(on(step), rows=400)]
    filler(settings)(START, history)
    watch(settings, START)
    return settings.home


@pytest.fixture
def settings(opened: Path, tmp_path: Path) -> Settings:
    """A home of the test's own that goes on from there."""
    shutil.copytree(opened, tmp_path / "home")
    return Settings(home=tmp_path / "home", start=START, threads=1)


@pytest.fixture
def fill(settings: Settings) -> Callable[..., None]:
    """Writes a day of all clean tables, as job `clean` would have."""
    return filler(settings)


def filler(settings: Settings) -> Callable[..., None]:
    def filled(day: date, rows: list[Row], *, verdict: str = "passed", items: list[Row] | None = None) -> None:
        given = {"events": rows, "items": ITEMS if items is None else items, "users": USERS}
        for name in TABLES:
            put(settings, f"clean.{name}", day, given.get(name, []))
        rule = {"table_name": "clean.events", "rule_id": "events.x", "severity": "fail", "success": verdict == "passed",
                "observed": "", "unexpected_rows": 0, "rows": 1, "reason": "", "run_verdict": verdict}  # fmt: skip
        put(settings, "serving.quality_results", day, [rule])
        put(settings, "derived.row_counts", day, [])

    return filled


def watch(settings: Settings, day: date) -> Any:
    return run_job(job("watch"), day, settings)


def drift(settings: Settings, day: date, status: str | None = None) -> dict[tuple[str, ...], Row]:
    names = ("table_name", "measure", "column_name", "category")
    rows = read(settings, "serving.drift_results", day)
    return {tuple(row[name] for name in names): row for row in rows if status in (None, row["status"])}


def test_history_of_the_start_is_learned_from_and_a_lost_half_day_alarms(
    settings: Settings, fill: Callable[..., None]
) -> None:
    fill(on(1), events(on(1), rows=400))
    fill(on(2), events(on(2), rows=400)[:200])  # the export stopped at noon
    assert watch(settings, on(1)).keys == (on(1), on(2)), "the day after followed by itself"
    assert drift(settings, on(1), "alarm") == {}
    rows = drift(settings, on(1))["clean.events", "rows", "", ""]
    assert (rows["status"], rows["quiet_days"], rows["observed"]) == ("ok", HISTORY_DAYS, 400)
    alarms = drift(settings, on(2), "alarm")
    assert ("clean.events", "rows", "", "") in alarms
    assert alarms["clean.events", "silent_minutes", "ts", ""]["observed"] == pytest.approx(720, abs=4)
    assert {table for table, *_ in alarms} == {"clean.events"}
    told = watch(settings, on(2))
    assert told.status == "up_to_date"
    forced = run_job(job("watch"), on(2), settings, force=True)
    assert forced.status == "unchanged", "the same inputs give the same rows"
    assert forced.notes["alarms"][0].startswith("clean.events")


def test_an_alarming_or_overridden_day_is_no_history(settings: Settings, fill: Callable[..., None]) -> None:
    fill(on(1), events(on(1), rows=150))
    fill(on(2), events(on(2), rows=410), verdict="overridden")
    fill(on(3), events(on(3), rows=400))
    watch(settings, on(1))
    assert ("clean.events", "rows", "", "") in drift(settings, on(1), "alarm")
    (kept,) = [row for row in read(settings, "derived.drift_history", on(3))
               if (row["table_name"], row["measure"]) == ("clean.events", "rows")]  # fmt: skip
    assert kept["days"] == [on(step) for step in [*range(-HISTORY_DAYS + 1, 1), 3]]


def test_a_mended_day_changes_the_days_after_it(settings: Settings, fill: Callable[..., None]) -> None:
    fill(on(1), events(on(1), rows=150))
    fill(on(2), events(on(2), rows=400))
    watch(settings, on(1))
    before = drift(settings, on(2))["clean.events", "rows", "", ""]
    fill(on(1), events(on(1), rows=400, seed=1))
    assert watch(settings, on(1)).keys == (on(1), on(2))
    after = drift(settings, on(2))["clean.events", "rows", "", ""]
    assert (before["quiet_days"], after["quiet_days"]) == (HISTORY_DAYS, HISTORY_DAYS + 1)


def test_late_rows_are_no_drift(settings: Settings, fill: Callable[..., None]) -> None:
    fill(on(1), events(on(1), rows=400))
    watch(settings, on(1))
    before = drift(settings, on(1))
    late = [{**row, "event_id": f"late-{row['event_id']}", "delivered_ds": on(2)} for row in events(on(1), rows=200)]
    fill(on(1), [*events(on(1), rows=400), *late])
    watch(settings, on(1))
    assert drift(settings, on(1)) == before


def test_what_refers_to_nothing_and_what_came_back_is_told(settings: Settings, fill: Callable[..., None]) -> None:
    strange = events(on(1), rows=50, item_id="unheard of")
    again = [{**row, "ts": row["ts"] + timedelta(days=1)} for row in events(START, rows=400)[:7]]
    fill(on(1), [*events(on(1), rows=350), *[{**row, "event_id": f"x{row['event_id']}"} for row in strange], *again])
    watch(settings, on(1))
    found = {row["rule_id"]: row for row in read(settings, "serving.consistency_results", on(1))}
    items = found["events.item_id.exists_in.items"]
    assert (items["success"], items["unexpected_rows"], items["rows"]) == (False, 50, 407)
    keys = found["events.event_id.unique_across_days"]
    assert (keys["success"], keys["unexpected_rows"]) == (False, 7)
    assert found["events.account.exists_in.users"]["success"]
    assert {row["severity"] for row in found.values()} == {"warn"}


def test_an_item_of_an_earlier_day_is_known(settings: Settings, fill: Callable[..., None]) -> None:
    fill(on(1), events(on(1), rows=40), items=[])
    watch(settings, on(1))
    found = {row["rule_id"]: row for row in read(settings, "serving.consistency_results", on(1))}
    assert found["events.item_id.exists_in.items"]["success"]


def test_a_day_waits_for_the_day_before(settings: Settings, fill: Callable[..., None]) -> None:
    fill(on(2), events(on(2), rows=40))
    with pytest.raises(NotReady, match="is missing for 2026-01-06"):
        watch(settings, on(2))
    fill(on(1), events(on(1), rows=40))
    with pytest.raises(NotReady, match="of the day before, 2026-01-06, is missing"):
        watch(settings, on(2))


def test_each_day_has_a_page(settings: Settings) -> None:
    page = (folder(Home(settings.home)) / "watch-2026-01-05.html").read_text(encoding="utf-8")
    assert "clean.events" in page
    assert "events.item_id.exists_in.items" in page
