"""Job ``bundles`` behind ``topics`` and ``similar``: what was planted in the demo world (synthetic) is found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crossdomain.content.bundle_measures import Agreement, agreement
from crossdomain.content.bundles import Bundle
from crossdomain.content.report import PLOTS, plot_days, read_plot
from crossdomain.content.settings import BundleSettings
from crossdomain.demo.catalogue import build_catalogues
from crossdomain.demo.clock import Calendar
from crossdomain.demo.planted import bundle_truth, item_truth
from crossdomain.jobs.bundles import JOB as BUNDLES
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.jobs.similar import JOB as SIMILAR
from crossdomain.jobs.together import JOB as TOGETHER
from crossdomain.jobs.topics import JOB as TOPICS
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.models import ModelStore
from crossdomain.tables import registry
from crossdomain.text.advertising import read_forbidden_words
from crossdomain.text.tokens import make_tokenizer, read_stop_words, read_user_words
from tests.unit.jobs.lake_tables import put

DAY = date(2026, 1, 5)
CALENDAR = Calendar(DAY, 5, 60)


def write_catalogue(settings: Settings, rows: list[dict[str, Any]]) -> None:
    """Commits the given items as the day's catalogue: the stand-in for everything before."""
    spec, values = registry(settings.include).get("derived.catalogue"), {"ds": DAY.isoformat()}
    known = set(rows[0])
    chosen = ", ".join(
        f"{column.name if column.name in known else 'NULL'}::{column.type} AS {column.name}" for column in spec.columns
    )
    twins = registry(settings.include).get("derived.duplicate_items")
    none = ", ".join(f"NULL::{column.type} AS {column.name}" for column in twins.columns)
    with open_lake(settings) as lake:
        lake.con.register("given", pa.Table.from_pylist(rows))
        for table, query in ((spec, f"SELECT {chosen} FROM given"), (twins, f"SELECT {none} WHERE false")):
            staged = lake.stage(table, query, values, made_by={})
            lake.commit(table, [staged], replace={"ds": [values["ds"]]})


def world_rows(items: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    for domain, found in build_catalogues(items=items, calendar=CALENDAR, seed=seed).items():
        for place, item in enumerate(found.ids.to_pylist()):
            rows.append(
                {
                    "domain": domain,
                    "item_id": item,
                    "feed": "demo",
                    "title": found.title[place],
                    "tags": found.tags[place].split("、"),
                    "description": found.description[place],
                    "text": found.text[place],
                    "creator": found.creator[place],
                    "price": str(Decimal(int(found.price[place])) / 100),
                    "status": "on",
                    "content_hash": f"{domain}/{item}",
                    "first_ds": DAY,
                    "changed_ds": DAY,
                    "as_of": DAY,
                }
            )
    return rows


def planted_groups(items: int, seed: int) -> tuple[dict[str, str], dict[str, str]]:
    truth = bundle_truth(item_truth(build_catalogues(items=items, calendar=CALENDAR, seed=seed).values()))
    sides: dict[str, dict[str, str]] = {"knowledge": {}, "beauty": {}}
    for row in truth.to_pylist():
        sides[row["domain"]][row["item_id"]] = row["topic"]
    return sides["knowledge"], sides["beauty"]


def build_bundles(home: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    settings = Settings(home=home, start=DAY)
    write_catalogue(settings, rows)
    for table in ("clean.events", "derived.people"):
        put(settings, table, DAY, [])
    for job in (TOPICS, TOGETHER, SIMILAR, BUNDLES):
        run_job(job, DAY, settings)
    return read_bundles(settings)


def read_bundles(settings: Settings) -> list[dict[str, Any]]:
    spec = registry(settings.include).get("serving.bundles")
    with open_lake(settings) as lake:
        lake.view(spec, lake.partitions(spec), schema="read")
        found: list[dict[str, Any]] = lake.con.sql("FROM read.bundles ORDER BY bundle_id").to_arrow_table().to_pylist()
    return found


def measured(home: Path, items: int, seed: int) -> tuple[Agreement, list[dict[str, Any]]]:
    choices = BundleSettings()
    rows = build_bundles(home, world_rows(items, seed))
    bundles = [
        Bundle(tuple(row["knowledge_items"]), tuple(row["beauty_items"]), row["topic"], row["strength"], ("", ""), 0.0)
        for row in rows
    ]
    groups = planted_groups(items, seed)
    return agreement(bundles, groups, most_items=choices.bundle_items, most_bundles=choices.bundles_per_item), rows


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def found(home: Path) -> tuple[Agreement, list[dict[str, Any]]]:
    return measured(home, 800, 1)


def test_planted_bundles_are_found(found: tuple[Agreement, list[dict[str, Any]]]) -> None:
    agreed, _ = found
    assert agreed.precision >= 0.8
    assert agreed.recall >= 0.8
    assert agreed.item_precision >= 0.8
    assert agreed.item_recall >= 0.8


def test_every_bundle_has_both_sides_a_reason_and_its_facts(found: tuple[Agreement, list[dict[str, Any]]]) -> None:
    items = {(row["domain"], row["item_id"]): row for row in world_rows(800, 1)}
    for row in found[1]:
        first = [items["knowledge", item] for item in row["knowledge_items"]]
        second = [items["beauty", item] for item in row["beauty_items"]]
        assert first
        assert second
        assert row["shared_words"]
        assert row["strongest_knowledge_item"] in row["knowledge_items"]
        assert row["strongest_beauty_item"] in row["beauty_items"]
        prices = [Decimal(item["price"]) for item in (*first, *second)]
        assert (row["price_min"], row["price_max"], row["price_sum"]) == (min(prices), max(prices), sum(prices))
        assert set(row["lecturers"]) == {item["creator"] for item in first}
        assert set(row["brands"]) == {item["creator"] for item in second}


def test_the_day_is_drawn_and_built_again_gives_the_same(
    home: Path, found: tuple[Agreement, list[dict[str, Any]]]
) -> None:
    settings, lake_home = Settings(home=home, start=DAY), Home(home)
    assert plot_days(lake_home) == [DAY]
    pictures = {name: read_plot(lake_home, DAY.isoformat(), name) for name in PLOTS}
    assert all(picture and picture.startswith(b"<svg") for picture in pictures.values())
    assert "θ = " in (pictures["similarity"] or b"").decode()
    assert run_job(BUNDLES, DAY, settings).status == "up_to_date"
    assert run_job(BUNDLES, DAY, settings, force=True).status == "unchanged"
    assert pictures == {name: read_plot(lake_home, DAY.isoformat(), name) for name in PLOTS}


def test_the_pictures_of_the_training_are_kept_with_the_models(
    home: Path, found: tuple[Agreement, list[dict[str, Any]]]
) -> None:
    store = ModelStore(Home(home))
    for kind, names in (("topics", ["topic_map", "topic_shares"]), ("similarity", ["similarity"])):
        (version,) = store.versions(kind)
        assert store.pictures(kind, version) == names
        for name in names:
            assert store.picture(kind, version, name) == read_plot(Home(home), DAY.isoformat(), name)
        assert not set(names) & {file.split(".")[0] for file in store.load(kind, version)}
        assert store.picture(kind, version, "../metadata") is None
        assert store.picture("..", version, names[0]) is None


def test_a_threshold_that_is_set_counts_instead_of_the_calibrated_one(
    home: Path, found: tuple[Agreement, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=home, start=DAY)
    monkeypatch.setenv("CROSSDOMAIN_CONTENT_THETA", "0.97")
    result = run_job(BUNDLES, DAY, settings)
    assert (result.notes["theta"], result.notes["bundles"]) == (0.97, 0)
    monkeypatch.undo()
    assert run_job(BUNDLES, DAY, settings).notes["bundles"] == len(found[1])


def test_sides_that_have_nothing_in_common_have_no_bundle(tmp_path: Path) -> None:
    rows = [row for row in world_rows(400, 3) if row["item_id"] not in set().union(*planted_groups(400, 3))]
    assert len({row["domain"] for row in rows}) == 2
    assert build_bundles(tmp_path, rows) == []


def said_words(row: Mapping[str, Any], template: set[str], tokens: Any) -> set[str]:
    """Content words of a bundle's texts that its templates do not have."""
    text = "\n".join((row["title"], row["blurb"], row["reason"]))
    return set(tokens(text)) - template


def test_texts_claim_only_what_the_members_texts_hold(found: tuple[Agreement, list[dict[str, Any]]]) -> None:
    """Every content word of title, blurb and reason is a template's, or stands in a member's text or name."""
    text = Settings().include / "text"
    tokenizer = make_tokenizer(
        user_words=read_user_words(text / "user_dictionary.txt"), stop_words=read_stop_words(text / "stop_words.txt")
    )
    template = set(tokenizer.tokens((text / "bundles.yaml").read_text(encoding="utf-8")))
    items = {(row["domain"], row["item_id"]): row for row in world_rows(800, 1)}
    columns = ("title", "tags", "description", "text", "creator")
    checked = 0
    for row in found[1]:
        members = [("knowledge", item) for item in row["knowledge_items"]]
        members += [("beauty", item) for item in row["beauty_items"]]
        held = "\n".join(str(items[member][column]) for member in members for column in columns).lower()
        for word in said_words(row, template, tokenizer.tokens):
            assert word in held, (row["title"], word)
            checked += 1
        for word in row["shared_words"]:
            for domain in ("knowledge", "beauty"):
                mine = [items[member] for member in members if member[0] == domain]
                assert any(word in str(item[column]).lower() for item in mine for column in columns), word
    assert checked > len(found[1])


def test_no_text_holds_a_forbidden_word_whatever_the_items_say(tmp_path: Path) -> None:
    hostile = ("全网最好的", "第 一 品牌 ", "国家级配方，", "疗·效保证", "包学会", "最近上新 ")
    rows = [
        {
            **row,
            "title": hostile[place % len(hostile)] + row["title"].replace(" ", ""),
            "text": row["text"] + "根治 第一",
        }
        for place, row in enumerate(world_rows(400, 2))
    ]
    found = build_bundles(tmp_path, rows)
    forbidden = read_forbidden_words(Settings().include / "text" / "forbidden_words.txt")
    assert found
    for row in found:
        assert forbidden.allow("\n".join((row["title"], row["blurb"], row["reason"]))), row["title"]
        assert all(forbidden.allow(word) for word in row["shared_words"])
    titles = " ".join(row["title"] for row in found)
    assert "一件单品" in titles or "一份内容" in titles
    assert "最近上新" in titles


@pytest.mark.long
@pytest.mark.parametrize(("items", "seed"), [(800, 2), (800, 12), (1200, 13), (1200, 14), (2000, 2), (2000, 16)])
def test_planted_bundles_are_found_in_many_worlds(tmp_path: Path, items: int, seed: int) -> None:
    agreed, _ = measured(tmp_path, items, seed)
    assert agreed.precision >= 0.8, agreed
    assert agreed.recall >= 0.8, agreed
