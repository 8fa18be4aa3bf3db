"""Page recommendations: order, quota, pins, blocks, popularity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from crossdomain.content.pages import PAGE_SCHEMA, PageRules, page_recommendations, read_rules
from crossdomain.content.similarity import SIMILAR_SCHEMA, blend_weights
from crossdomain.errors import InputError
from crossdomain.settings import Settings

RULES = PageRules(slots=4, order="mixed", other_slots=2, popularity=0.0)
DOMAINS = ("knowledge", "beauty")
WEIGHTS = {(a, b): blend_weights(cosine=0.5, topic=0.5) for a in DOMAINS for b in DOMAINS}
PAGE = ("knowledge", "k")
ON_SALE = {("beauty", f"b{n}") for n in range(9)} | {("knowledge", f"k{n}") for n in range(9)}


def similar(*rows: tuple[str, str, float], topic: float = 0.0) -> pa.Table:
    content = [
        {
            **dict(zip(SIMILAR_SCHEMA.names, [None] * len(SIMILAR_SCHEMA), strict=True)),
            "domain": PAGE[0], "item_id": PAGE[1], "other_domain": domain, "rank": 1, "other_item_id": item,
            "similarity": value, "cosine": value, "ngram": 0.0, "jaccard": 0.0, "topic": topic, "behaviour": 0.0,
        }
        for domain, item, value in rows
    ]  # fmt: skip
    return pa.Table.from_pylist(content, schema=SIMILAR_SCHEMA)


def shown(
    rules: PageRules, *rows: tuple[str, str, float], people: dict[str, int] | None = None, theta: float = 0.1
) -> list[str]:
    popularity = pa.Table.from_pylist(
        [{"domain": "beauty", "item_id": item, "people": count} for item, count in (people or {}).items()],
        schema=pa.schema([("domain", pa.string()), ("item_id", pa.string()), ("people", pa.int64())]),
    )
    thetas = {(a, b): theta for a in ("knowledge", "beauty") for b in ("knowledge", "beauty")}
    found = page_recommendations(
        similar(*rows), weights=WEIGHTS, thetas=thetas, popularity=popularity, on_sale=ON_SALE, rules=rules
    ).to_pylist()
    assert [row["rank"] for row in found] == list(range(1, len(found) + 1))
    return [row["other_item_id"] for row in found]


ROWS = [
    ("knowledge", "k1", 0.9), ("knowledge", "k2", 0.8), ("knowledge", "k3", 0.7), ("knowledge", "k4", 0.6),
    ("beauty", "b1", 0.5), ("beauty", "b2", 0.4), ("beauty", "b3", 0.3), ("beauty", "b4", 0.05),
]  # fmt: skip


def test_the_order_of_the_domains_is_a_rule() -> None:
    assert shown(RULES, *ROWS) == ["b1", "k1", "b2", "k2"]
    assert shown(replace(RULES, order="other_first"), *ROWS) == ["b1", "b2", "k1", "k2"]
    assert shown(replace(RULES, order="by_score"), *ROWS) == ["k1", "k2", "k3", "k4"]
    assert shown(replace(RULES, slots=8, other_slots=0), *ROWS) == ["k1", "k2", "k3", "k4"]
    assert shown(replace(RULES, slots=8), *ROWS) == ["b1", "k1", "b2", "k2", "k3", "k4"]


def test_what_does_not_reach_theta_is_not_shown() -> None:
    assert shown(replace(RULES, slots=9, other_slots=9), *ROWS, theta=0.35) == ["b1", "k1", "b2", "k2", "k3", "k4"]
    thetas = {("knowledge", "beauty"): None, ("knowledge", "knowledge"): 0.1}
    popularity = pa.table(
        {"domain": pa.array([], pa.string()), "item_id": pa.array([], pa.string()), "people": pa.array([], pa.int64())}
    )
    found = page_recommendations(
        similar(*ROWS), weights=WEIGHTS, thetas=thetas, popularity=popularity, on_sale=ON_SALE, rules=RULES
    )
    assert set(found["other_domain"].to_pylist()) == {"knowledge"}


def test_popularity_moves_what_is_nearly_as_similar() -> None:
    rows = [("beauty", "b1", 0.5), ("beauty", "b2", 0.45)]
    assert shown(RULES, *rows, people={"b1": 1, "b2": 90}) == ["b1", "b2"]
    assert shown(replace(RULES, popularity=0.3), *rows, people={"b1": 1, "b2": 90}) == ["b2", "b1"]


def test_pins_come_first_and_blocked_items_never() -> None:
    pins = ((*PAGE, "beauty", "b7"), (*PAGE, "beauty", "b2"), (*PAGE, "beauty", "gone"))
    assert shown(replace(RULES, pins=pins), *ROWS) == ["b7", "b2", "k1", "k2"]
    assert shown(replace(RULES, blocks=((None, None, "beauty", "b1"),)), *ROWS) == ["b2", "k1", "b3", "k2"]
    assert shown(replace(RULES, blocks=((*PAGE, "beauty", "b1"),)), *ROWS) == ["b2", "k1", "b3", "k2"]
    assert shown(replace(RULES, blocks=(("knowledge", "other", "beauty", "b1"),)), *ROWS) == ["b1", "k1", "b2", "k2"]


def test_the_reason_is_what_most_of_the_similarity_is() -> None:
    thetas = {("knowledge", "beauty"): 0.0}
    none = pa.table(
        {"domain": pa.array([], pa.string()), "item_id": pa.array([], pa.string()), "people": pa.array([], pa.int64())}
    )
    for topic, reason in ((0.9, "same_topic"), (0.1, "same_words")):
        found = page_recommendations(
            similar(("beauty", "b1", 0.5), topic=topic),
            weights=WEIGHTS,
            thetas=thetas,
            popularity=none,
            on_sale=ON_SALE,
            rules=RULES,
        )
        assert found["reason"].to_pylist() == [reason]


def test_no_similar_items_give_no_rows() -> None:
    assert shown(RULES) == []


def test_the_shipped_rules_are_valid_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    folder = Settings().include / "pages"
    rules = read_rules(folder / "rules.yaml")
    assert rules.slots >= rules.other_slots > 0
    (tmp_path / "rules.schema.json").write_bytes((folder / "rules.schema.json").read_bytes())
    text = (folder / "rules.yaml").read_text(encoding="utf-8")
    path = tmp_path / "rules.yaml"
    for good, bad, place in (
        ("order: mixed", "order: shuffled", "line 5: order"),
        ("slots: 8 ", "slots: 0 ", "slots"),
        ("blocks: []", "blocks: [{other_domain: beauty, other_item_id: b, domain: beauty}]", "line 17: blocks.0"),
        ("pins: []", "pins: [{other_domain: beauty, other_item_id: b}]", "pins.0"),
        ("blocks: []", "blocks: []\nextra: 1", "extra"),
    ):
        assert good in text
        path.write_text(text.replace(good, bad, 1), encoding="utf-8")
        with pytest.raises(InputError, match=place):
            read_rules(path)
    with pytest.raises(InputError, match="there is no such rule file"):
        read_rules(tmp_path / "other.yaml")
    assert PAGE_SCHEMA.names[0] == "item_id"
