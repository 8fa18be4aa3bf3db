"""The report of a demo, over a world that was trained, scored and published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from crossdomain.cli.report import print_report
from crossdomain.settings import Settings
from tests.unit.jobs.lake_tables import put
from tests.unit.jobs.test_consent_chain import CHAIN, D1, DAYS, account, lay, run, world

SIDES = ("knowledge", "beauty")
ITEMS = [(side, f"{side[0]}{number}") for side in SIDES for number in range(8)]
TOPICS = {0: "瑜伽", 1: "理财"}


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"FACTORS": "4", "ITERATIONS": "5", "POPULARITY_POWER": "0", "TOP_K": "3", "MIN_TEST_PEOPLE": "1000"}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


def one_sided() -> dict[str, list[dict[str, Any]]]:
    """The first two people, whom the report shows, are known on one side each: what explains their lists is of it."""
    rows = world()
    gone = {account(0, "beauty"), account(1, "knowledge")}
    return {**rows, "clean.events": [row for row in rows["clean.events"] if row["account"] not in gone]}


def reported(
    home: Path, capsys: pytest.CaptureFixture[str], *, creators: Mapping[str, str], topics: Mapping[int, str]
) -> str:
    """The report of a day; people take to even or to odd items, which are mostly of topic 0 or 1."""
    settings = Settings(home=home, start=D1)
    lay(settings, one_sided(), [])
    known = {"status": "on", "content_hash": "-", "first_ds": D1, "changed_ds": D1, "as_of": D1}
    items = [
        {"domain": side, "item_id": item, "title": f"T{item}", "creator": creators.get(side)} for side, item in ITEMS
    ]
    for day in DAYS:
        put(settings, "derived.catalogue", day, [{**item, **known} for item in items])
    mixed = [
        {"domain": side, "item_id": item, "topic": topic, "weight": 0.6 if int(item[1:]) % 2 == topic else 0.4}
        for side, item in ITEMS
        for topic in topics
    ]
    told = {
        "words": ["w"], "coherence": 0.1, "items": 8, "share": 0.5, "knowledge_share": 0.5, "shared": True,
        "shared_p": 0.0, "trained_ds": D1, "model_version": "m",
    }  # fmt: skip
    put(settings, "serving.item_topics", D1, mixed)
    put(settings, "serving.topics", D1, [{"topic": topic, "label": label, **told} for topic, label in topics.items()])
    for table in ("serving.experiment_metrics", "serving.experiment_checks", "derived.row_counts"):
        put(settings, table, D1, [])
    run(settings, D1, jobs=(*CHAIN, "publish"))
    print_report(settings, [D1])
    return capsys.readouterr().out


def test_a_reason_names_the_lecturer_or_brand_of_its_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = reported(tmp_path, capsys, creators={"knowledge": "李娜", "beauty": "花间"}, topics=TOPICS)
    for words in ("因为你看过李娜的《Tk", "” by 李娜", "因为你看过花间的《Tb", "” by 花间"):
        assert words in out
    assert "因为你看过《" not in out, "said wherever they share one"
    assert "关注" not in out, "who made them says more than what they are about"


def test_a_reason_names_the_topic_of_its_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = reported(tmp_path, capsys, creators={}, topics=TOPICS)
    for topic in TOPICS.values():
        assert f"因为你关注“{topic}”，看过《T" in out
        assert f"because of your interest in “{topic}”: “T" in out
    assert "因为你看过《" not in out


def test_where_nothing_has_a_name_only_the_items_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = reported(tmp_path, capsys, creators={}, topics={})
    assert "因为你看过《T" in out
    assert "关注" not in out
