"""What is owned or rejected, through the lake: late days, days in any order, products found later, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crossdomain.errors import NotReady
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.tables import registry
from tests.unit.jobs.lake_tables import put, read
from tests.unit.jobs.test_consent_chain import TABLES, account, key, moment, world

DAYS = tuple(date(2026, 1, 5) + timedelta(days=step) for step in range(4))
D1, D2, D3, D4 = DAYS
HOLDINGS = "derived.holdings"
LONG_AGO = 100
ITEMS = 8


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists as long as the catalogue, which leave out what is held and nothing else."""
    small = {"FACTORS": "4", "ITERATIONS": "5", "POPULARITY_POWER": "0", "TOP_K": str(ITEMS), "MIN_TEST_PEOPLE": "1000"}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", start=D1, tz="UTC")


def event(kind: str, number: int, day: date, *, person: int = 0, delivered: date | None = None) -> dict[str, Any]:
    who = {"account": account(person, "beauty"), "domain": "beauty", "item_id": f"b{number}"}
    ts = moment(day, 3600)
    return {
        **who, "event_id": f"{kind}-{number}-{person}-{day}", "event_type": kind, "ts": ts, "consent_assumed": False,
        "delivered_ds": delivered or day,
    }  # fmt: skip


def lay(settings: Settings, day: date, events: Sequence[dict[str, Any]], twins: Sequence[tuple[str, str]] = ()) -> None:
    """A day of deliveries on a small world of two tastes; ``twins`` are (item_id, group_id) of beauty."""
    first = world() if day == D1 else {}
    for table in TABLES:
        rows = [*first.get(table, []), *(events if table == "clean.events" else [])]
        put(settings, table, day, rows)
    known = {"status": "on", "content_hash": "-", "first_ds": D1, "changed_ds": D1, "as_of": D1}
    items = [{"domain": side, "item_id": f"{side[0]}{n}"} for side in ("knowledge", "beauty") for n in range(ITEMS)]
    put(settings, "derived.catalogue", day, [{**item, **known} for item in items])
    canonical = {"canonical_domain": "beauty", "canonical_item_id": "b0"}
    groups = [{"domain": "beauty", "item_id": item, "group_id": group, **canonical} for item, group in twins]
    put(settings, "derived.duplicate_items", day, groups)


def run(settings: Settings, day: date, *names: str) -> list[str]:
    return [run_job(job(name), day, settings).status for name in names or ("people", "holdings", "train", "score")]


def left_out(settings: Settings, day: date, person: int = 0) -> set[str]:
    """Items of beauty that a person's list of the day has not."""
    rows = read(settings, "serving.recommendations", day)
    listed = {row["item_id"] for row in rows if (row["person"], row["target_domain"]) == (key(person), "beauty")}
    assert listed
    return {f"b{n}" for n in range(ITEMS)} - listed


def files(settings: Settings) -> dict[str, bytes]:
    spec = registry(settings.include).get(HOLDINGS)
    with open_lake(settings) as lake:
        return {one.values["ds"]: file.path.read_bytes() for one in lake.partitions(spec) for file in one.files}


def test_what_happened_long_before_the_window_is_kept_away_for_ever(settings: Settings) -> None:
    past = D1 - timedelta(days=LONG_AGO)
    told = [event("purchase", 0, past), event("hide", 1, past), event("refund", 2, past), event("view", 3, past)]
    told.append(event("purchase", 2, past - timedelta(days=1)))
    lay(settings, D1, [{**one, "delivered_ds": D1} for one in told])
    run(settings, D1)
    assert left_out(settings, D1) == {"b0", "b1", "b2"}
    assert left_out(settings, D1, person=2) == set()
    kept = [(row["item_id"], row["day"]) for row in read(settings, HOLDINGS, D1)]
    assert kept == [("b0", past), ("b1", past), ("b2", past - timedelta(days=1)), ("b2", past)], (
        "not the partition's day"
    )
    lay(settings, D2, [])
    run(settings, D2)
    assert left_out(settings, D2) == {"b0", "b1", "b2"}


def test_what_was_given_back_long_ago_and_bought_again_is_owned(settings: Settings) -> None:
    past = D1 - timedelta(days=LONG_AGO)
    told = [event("purchase", 0, past), event("refund", 0, past + timedelta(days=1)), event("purchase", 0, D1)]
    lay(settings, D1, [{**one, "delivered_ds": D1} for one in told])
    run(settings, D1)
    assert left_out(settings, D1) == {"b0"}


def test_a_late_purchase_is_known_from_its_delivery_on_and_restates_its_own_day(settings: Settings) -> None:
    lay(settings, D1, [event("purchase", 0, D1)])
    lay(settings, D2, [event("purchase", 1, D2)])
    for day in (D1, D2):
        run(settings, day)
    assert (left_out(settings, D1), left_out(settings, D2)) == ({"b0"}, {"b0", "b1"})
    before = files(settings)

    lay(settings, D3, [])
    late = event("purchase", 5, D1, delivered=D3)
    put(settings, "clean.events", D1, [*world()["clean.events"], event("purchase", 0, D1), late])
    assert run(settings, D1, "holdings") == ["done"]
    assert run(settings, D2, "holdings") == ["up_to_date"]
    assert files(settings)[str(D2)] == before[str(D2)]
    run(settings, D3)
    assert left_out(settings, D3) == {"b0", "b1", "b5"}
    assert run(settings, D2, "train", "score") == ["up_to_date", "up_to_date"], "a decision, as it was known"


def test_days_in_any_order_and_twice_give_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    other = Settings(home=tmp_path / "other", start=D1, tz="UTC", threads=1)
    for home, order in ((settings, DAYS), (other, DAYS[::-1])):
        for day in DAYS:
            lay(home, day, [event("purchase", n, day, person=person) for n in range(6) for person in range(20)])
        for day in order:
            assert run(home, day, "holdings") == ["done"]
    found = files(settings)
    assert len(found) == len(DAYS)
    assert found == files(other)
    assert run(settings, D2, "holdings") == ["up_to_date"]
    assert run_job(job("holdings"), D2, settings, force=True).status == "unchanged"
    assert files(settings) == found


def test_items_that_are_found_to_be_one_product_later_are_held_together(settings: Settings) -> None:
    lay(settings, D1, [event("purchase", 4, D1 - timedelta(days=LONG_AGO), delivered=D1)])
    run(settings, D1)
    assert left_out(settings, D1) == {"b4"}
    lay(settings, D2, [], twins=[("b1", "g"), ("b4", "g")])
    run(settings, D2)
    assert left_out(settings, D2) == {"b1", "b4"}, "b1 stands for both; b4 is offered to nobody"
    assert left_out(settings, D2, person=2) == {"b4"}


def test_a_day_that_is_missing_is_not_taken_for_a_day_without_purchases(settings: Settings) -> None:
    for day in (D1, D2):
        lay(settings, day, [])
        run(settings, day, "people")
    run(settings, D2, "holdings")
    for table in ("serving.champions", "serving.transfer"):
        put(settings, table, D2, [])
    missing = r"derived.holdings is missing for 2026-01-05; run `crossdomain run holdings --date 2026-01-05` first"
    for name in ("train", "score"):
        with pytest.raises(NotReady, match=missing):
            run(settings, D2, name)


def test_a_low_rating_rejects_and_a_day_is_that_of_the_zone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", start=D1, tz="Asia/Shanghai")
    evening = datetime(D1.year, D1.month, D1.day, 20, tzinfo=UTC)
    ratings = [{**event("rating", n, D1), "value": value, "ts": evening} for n, value in enumerate((1, 2, 3, None))]
    put(
        settings,
        "clean.events",
        D2,
        [{**one, "value": None if one["value"] is None else round(one["value"], 2)} for one in ratings],
    )
    run(settings, D2, "holdings")
    assert [(row["item_id"], row["day"], row["bought_at"]) for row in read(settings, HOLDINGS, D2)] == [
        ("b0", D2, None), ("b1", D2, None),
    ]  # fmt: skip
