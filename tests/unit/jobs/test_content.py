"""Jobs of content, from ``catalogue`` to ``pages``, through the runner, on small worlds of their own."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crossdomain.jobs.bundles import JOB as BUNDLES
from crossdomain.jobs.catalogue import JOB as CATALOGUE
from crossdomain.jobs.model import Job, JobContext
from crossdomain.jobs.pages import JOB as PAGES
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.jobs.similar import JOB as SIMILAR
from crossdomain.jobs.together import JOB as TOGETHER
from crossdomain.jobs.topics import JOB as TOPICS
from crossdomain.settings import Settings
from crossdomain.tables import registry
from tests.unit.jobs.lake_tables import put

START = date(2026, 1, 5)
DAYS = [START + timedelta(days=step) for step in range(4)]
COLUMNS = (
    "domain",
    "item_id",
    "title",
    "text",
    "tags",
    "creator",
    "price",
    "status",
    "snapshot",
    "delivered_ds",
    "feed",
)

THEMES = {
    "skin": (["护肤", "敏感肌", "面霜", "保湿", "屏障", "烟酰胺", "精华", "修护", "角质", "泛红"], True),
    "hair": (["头皮", "洗发水", "脱发", "护发素", "发膜", "毛囊", "蓬松", "染发", "发质", "控油"], True),
    "money": (["基金", "股票", "理财", "定投", "债券", "利率", "收益", "资产", "保险", "复利"], False),
}


@dataclass(frozen=True)
class Item:
    """One row of clean.items."""

    domain: str
    item_id: str
    title: str
    text: str | None = None
    tags: tuple[str, ...] = ()
    creator: str | None = "牌子"
    price: str | None = "99.00"
    status: str | None = None
    snapshot: bool = True
    delivered: date | None = None
    feed: str | None = None


def clean(days: Mapping[date, list[Item]], *, shuffle: int = 0) -> Job:
    """Writes the given items of a day: the stand-in for ingest and clean."""

    def build(ctx: JobContext) -> None:
        rows = [
            {
                "domain": item.domain,
                "item_id": item.item_id,
                "title": item.title,
                "text": item.text,
                "tags": list(item.tags),
                "creator": item.creator,
                "price": item.price,
                "status": item.status,
                "snapshot": item.snapshot,
                "delivered_ds": item.delivered or ctx.ds,
                "feed": item.feed or f"{item.domain}_items",
            }
            for item in days.get(ctx.ds, [])
        ]
        random.Random(shuffle).shuffle(rows)  # noqa: S311
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        for name, kind in (("tags", pa.list_(pa.string())), ("snapshot", pa.bool_()), ("delivered_ds", pa.date32())):
            schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
        ctx.con.register("given", pa.Table.from_pylist(rows, schema=schema))
        spec = ctx.tables.get("clean.items")
        chosen = ", ".join(
            f"{name}::{column.type} AS {name}" if (name := column.name) in COLUMNS else f"NULL::{column.type} AS {name}"
            for column in spec.columns
        )
        ctx.write("clean.items", f"SELECT {chosen} FROM given")

    return Job(name="clean", version=1, outputs=("clean.items",), run=build, config=lambda _: {"days": repr(days)})


def themed(number: int = 60, *, seed: int = 1) -> list[Item]:
    """Items about three themes, two of them on both sides."""
    rng = random.Random(seed)  # noqa: S311
    items = []
    for place in range(number):
        name = list(THEMES)[place % 3]
        words, shared = THEMES[name]
        domain = "beauty" if shared and place % 2 else "knowledge"
        text = "，".join(rng.choices(words, k=14))
        title = f"{rng.choice(words)}与{rng.choice(words)}"
        items.append(Item(domain, f"{name}{place:03}", title, text, price=f"{50 + place}.00"))
    return items


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", start=START)


@pytest.fixture(autouse=True)
def _small_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOMAIN_CONTENT_TOPICS", "3")
    monkeypatch.setenv("CROSSDOMAIN_CONTENT_ITEMS_PER_TOPIC", "5")


def rows(settings: Settings, table: str, day: date) -> list[dict[str, Any]]:
    with open_lake(settings) as lake:
        spec = registry(settings.include).get(table)
        lake.view(spec, [p for p in lake.partitions(spec) if p.ds == day], schema="read")
        found: list[dict[str, Any]] = (
            lake.con.sql(f"SELECT * EXCLUDE (ds) FROM read.{spec.name}").to_arrow_table().to_pylist()
        )
    return found


def catalogue(settings: Settings, day: date) -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in rows(settings, "derived.catalogue", day)}


def nobody(settings: Settings, day: date) -> None:
    """A day on which nobody did anything."""
    for table in ("clean.events", "derived.people"):
        put(settings, table, day, [])


def run_days(settings: Settings, days: Mapping[date, list[Item]], *jobs: Job, shuffle: int = 0) -> None:
    for day in days:
        run_job(clean(days, shuffle=shuffle), day, settings)
        if TOGETHER in jobs:
            nobody(settings, day)
        for job in jobs:
            run_job(job, day, settings)


def test_item_gone_from_the_snapshot_goes_off_sale_and_comes_back(settings: Settings) -> None:
    a, b = Item("beauty", "a", "面霜"), Item("beauty", "b", "洗发水")
    days = {DAYS[0]: [a, b], DAYS[1]: [a], DAYS[2]: [a, b]}
    run_days(settings, days, CATALOGUE)
    states = [catalogue(settings, day)["b"] for day in days]
    assert [row["status"] for row in states] == ["on", "off", "on"]
    assert [row["changed_ds"] for row in states] == [DAYS[0], DAYS[1], DAYS[2]]
    assert {row["first_ds"] for row in states} == {DAYS[0]}
    assert {catalogue(settings, day)["a"]["changed_ds"] for day in days} == {DAYS[0]}


def test_upsert_changes_rows_and_leaves_the_others(settings: Settings) -> None:
    a = Item("knowledge", "a", "基金课", snapshot=False)
    b = Item("knowledge", "b", "写作课", snapshot=False)
    days = {DAYS[0]: [a, b], DAYS[1]: [], DAYS[2]: [replace(b, title="写作训练营", price=None)]}
    run_days(settings, days, CATALOGUE)
    before, after = catalogue(settings, DAYS[1]), catalogue(settings, DAYS[2])
    assert before["a"] == after["a"]
    assert after["b"]["title"] == "写作训练营"
    assert after["b"]["price"] is None
    assert after["b"]["content_hash"] != before["b"]["content_hash"]
    assert after["b"]["changed_ds"] == DAYS[2]


def test_a_snapshot_touches_its_own_feed_only(settings: Settings) -> None:
    column, listing = Item("knowledge", "same", "基金课"), Item("beauty", "same", "面霜")
    days = {DAYS[0]: [column, listing], DAYS[1]: [replace(listing, item_id="other")]}
    run_days(settings, days, CATALOGUE)
    found = {(row["domain"], row["item_id"]): row["status"] for row in rows(settings, "derived.catalogue", DAYS[1])}
    assert found == {("knowledge", "same"): "on", ("beauty", "same"): "off", ("beauty", "other"): "on"}


def test_an_old_snapshot_that_comes_late_does_not_undo_a_newer_one(settings: Settings) -> None:
    a, b = Item("beauty", "a", "面霜"), Item("beauty", "b", "洗发水")
    days = {DAYS[0]: [a], DAYS[1]: [a, b], DAYS[2]: []}
    run_days(settings, days, CATALOGUE)
    late = {**days, DAYS[0]: [a, replace(a, item_id="late", delivered=DAYS[2])]}
    run_job(clean(late), DAYS[0], settings)
    result = run_job(CATALOGUE, DAYS[2], settings)
    assert result.status in ("done", "unchanged")
    assert {key: row["status"] for key, row in catalogue(settings, DAYS[2]).items()} == {
        "a": "on",
        "b": "on",
        "late": "on",
    }


def test_white_space_does_not_change_the_content_hash(settings: Settings) -> None:
    days = {
        DAYS[0]: [Item("beauty", "a", "面霜  50ml ", "保湿\n修护")],
        DAYS[1]: [Item("beauty", "a", "面霜 50ml", "保湿 修护")],
    }
    run_days(settings, days, CATALOGUE)
    hashes = {catalogue(settings, day)["a"]["content_hash"] for day in days}
    assert len(hashes) == 1


def test_topics_read_only_what_changed_and_keep_the_model(settings: Settings) -> None:
    items = themed()
    changed = [
        replace(items[0], text="面霜，保湿，精华，屏障"),
        *items[1:],
        Item("beauty", "new", "修护面霜", "保湿，精华"),
    ]
    days = {DAYS[0]: items, DAYS[1]: changed}
    notes = []
    for day in days:
        run_job(clean(days), day, settings)
        run_job(CATALOGUE, day, settings)
        notes.append(run_job(TOPICS, day, settings).notes)
    assert [note["tokenised"] for note in notes] == [60, 2]
    assert [note["topics_trained"] for note in notes] == [True, False]
    first, second = (rows(settings, "serving.topics", day) for day in days)
    assert [(t["topic"], t["words"], t["model_version"]) for t in first] == [
        (t["topic"], t["words"], t["model_version"]) for t in second
    ]
    assert {row["item_id"] for row in rows(settings, "serving.item_topics", DAYS[1])} >= {"new"}


def test_topics_are_trained_again_when_most_is_new(settings: Settings) -> None:
    more = [replace(i, item_id="x" + i.item_id) for i in themed(70, seed=2)]
    days = {DAYS[0]: themed(), DAYS[1]: themed() + more}
    run_days(settings, days, CATALOGUE, TOPICS)
    before, after = (rows(settings, "serving.topics", day) for day in days)
    assert before[0]["model_version"] != after[0]["model_version"]
    assert {t["trained_ds"] for t in after} == {DAYS[1]}
    kept = {t["topic"]: set(t["words"][:5]) for t in before}
    assert any(len(kept.get(t["topic"], set()) & set(t["words"][:5])) >= 3 for t in after)


def test_topics_are_trained_again_when_a_new_theme_does_not_fit(settings: Settings) -> None:
    rng = random.Random(3)  # noqa: S311
    garden = ["月季", "多肉", "盆栽", "园艺", "播种", "修剪", "施肥", "花期", "扦插", "土壤"]
    same = [replace(item, item_id="x" + item.item_id) for item in themed(24, seed=2)]
    theme = [Item("knowledge", f"garden{n:02}", "园艺课", "，".join(rng.choices(garden, k=14))) for n in range(24)]
    days = {DAYS[0]: themed(), DAYS[1]: themed() + same, DAYS[2]: themed() + same + theme}
    run_days(settings, days, CATALOGUE, TOPICS)
    trained = [{topic["trained_ds"] for topic in rows(settings, "serving.topics", day)} for day in days]
    assert trained == [{DAYS[0]}, {DAYS[0]}, {DAYS[2]}]
    assert rows(settings, "serving.topic_drift", DAYS[0]) == []
    quiet, shifted = ({r["domain"]: r for r in rows(settings, "serving.topic_drift", d)} for d in (DAYS[1], DAYS[2]))
    assert sum(row["texts"] for row in quiet.values()) == 24
    assert not any(row["drifted"] for row in quiet.values())
    assert shifted["knowledge"]["drifted"]
    assert shifted["knowledge"]["misfits"] >= 24
    assert not shifted["beauty"]["drifted"]


def test_bundles_join_both_sides_around_the_shared_themes(settings: Settings) -> None:
    items = themed()
    off = {item.item_id for item in items[:6]}
    days = {DAYS[0]: [replace(item, status="off") if item.item_id in off else item for item in items]}
    run_days(settings, days, CATALOGUE, TOPICS, TOGETHER, SIMILAR, BUNDLES)
    bundles = rows(settings, "serving.bundles", DAYS[0])
    assert bundles
    members = [item for row in bundles for item in row["knowledge_items"] + row["beauty_items"]]
    assert len(members) == len(set(members))
    assert not off & set(members)
    assert all(row["knowledge_items"] and row["beauty_items"] for row in bundles)
    pure = [len({item[:4] for item in row["knowledge_items"] + row["beauty_items"]}) == 1 for row in bundles]
    assert sum(pure) >= 0.9 * len(pure)
    similar = rows(settings, "serving.similar_items", DAYS[0])
    assert not off & {row["other_item_id"] for row in similar}
    assert off <= {row["item_id"] for row in similar}


def test_a_day_compares_what_changed_and_leaves_the_rest(settings: Settings) -> None:
    items = themed(150)
    changed = [
        replace(items[0], text="面霜，保湿，精华，屏障"),
        *items[2:],
        Item("beauty", "new", "修护面霜", "保湿，精华"),
    ]
    days = {DAYS[0]: items, DAYS[1]: changed}
    notes = []
    for day in days:
        run_days(settings, {day: days[day]}, CATALOGUE, TOPICS, TOGETHER)
        notes.append(run_job(SIMILAR, day, settings).notes)
    assert [note["learned"] for note in notes] == [True, False]
    assert notes[0]["compared_with_all"] == 2 * len(items)
    assert notes[1]["compared_with_all"] < len(items)
    first, second = (rows(settings, "serving.similarity_thresholds", day) for day in days)
    assert first == second
    assert len(first) == 4
    served = rows(settings, "serving.similar_items", DAYS[1])
    assert run_job(SIMILAR, DAYS[1], settings, force=True).status == "unchanged"
    ranks: dict[tuple[str, str, str], list[int]] = {}
    for row in served:
        ranks.setdefault((row["domain"], row["item_id"], row["other_domain"]), []).append(row["rank"])
    assert all(rank == list(range(1, len(rank) + 1)) for rank in ranks.values())


def test_twins_are_one_product_everywhere(settings: Settings) -> None:
    title = "雅姿烟酰胺亮肤精华液补水保湿修护"
    twins = [Item("beauty", name, title, "精华，保湿，修护") for name in ("skin900", "skin901")]
    other_size = Item("beauty", "skin902", title + "50ml", "精华，保湿，修护")
    days = {DAYS[0]: [*themed(), *twins, other_size]}
    run_days(settings, days, CATALOGUE, TOPICS, TOGETHER, SIMILAR, PAGES)
    found = rows(settings, "derived.duplicate_items", DAYS[0])
    groups = {row["item_id"]: row["canonical_item_id"] for row in found}
    assert (groups["skin900"], groups["skin901"]) == ("skin900", "skin900")
    assert groups.get("skin902") is None
    similar = rows(settings, "serving.similar_items", DAYS[0])
    pages = rows(settings, "serving.page_recommendations", DAYS[0])
    for table in (similar, pages):
        assert "skin901" not in {row["other_item_id"] for row in table}
        assert "skin900" not in {row["other_item_id"] for row in table if row["item_id"] == "skin901"}
        assert {row["item_id"] for row in table} >= {"skin900", "skin901"}
        assert {row["other_item_id"] for row in table if row["item_id"] == "skin902"} >= {"skin900"}
    assert pages[0].keys() >= {"score", "reason"}


def test_same_rows_in_another_order_give_the_same_bytes(settings: Settings, tmp_path: Path) -> None:
    days = {DAYS[0]: themed(), DAYS[1]: [*themed(), Item("beauty", "new", "修护面霜", "保湿，精华")]}
    checksums = []
    for run in range(2):
        here = replace(settings, home=tmp_path / f"home{run}")
        run_days(here, days, CATALOGUE, TOPICS, TOGETHER, SIMILAR, BUNDLES, PAGES, shuffle=run)
        with open_lake(here) as lake:
            tables = registry(here.include)
            checksums.append(
                {
                    (name, partition.ds): partition.checksum
                    for job in (CATALOGUE, TOPICS, TOGETHER, SIMILAR, BUNDLES, PAGES)
                    for name in job.outputs
                    for partition in lake.partitions(tables.get(name))
                }
            )
    assert checksums[0] == checksums[1]
    assert len(checksums[0]) == 32


def test_items_without_text_and_empty_days_give_empty_tables(settings: Settings) -> None:
    days = {DAYS[0]: [], DAYS[1]: [Item("beauty", "a", ""), Item("knowledge", "b", "")]}
    run_days(settings, days, CATALOGUE, TOPICS, TOGETHER, SIMILAR, BUNDLES, PAGES)
    assert len(rows(settings, "derived.item_tokens", DAYS[1])) == 2
    for table in ("topics", "item_topics", "similar_items", "bundles", "page_recommendations"):
        assert rows(settings, f"serving.{table}", DAYS[1]) == []
