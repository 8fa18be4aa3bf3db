"""Bundles: who is in them, and what they say."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from crossdomain.content.bundles import (
    BUNDLE_SCHEMA,
    Bundle,
    Wording,
    cross_pairs,
    describe_bundles,
    find_bundles,
    read_wording,
)
from crossdomain.content.similarity import SIMILAR_SCHEMA
from crossdomain.errors import InputError
from crossdomain.settings import Settings


def pairs(*rows: tuple[str, str, float], cosine: float = 0.5) -> pa.Table:
    first, second, similarity = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "first": pa.array(first, pa.string()),
            "second": pa.array(second, pa.string()),
            "similarity": pa.array(similarity, pa.float64()),
            "cosine": pa.array([cosine] * len(rows), pa.float64()),
        }
    )


def test_two_themes_give_two_bundles() -> None:
    rows = [
        ("k1", "b1", 0.9),
        ("k1", "b2", 0.8),
        ("k2", "b1", 0.7),
        ("k2", "b2", 0.6),
        ("k9", "b9", 0.5),
        ("k9", "b1", 0.2),
    ]
    found = find_bundles(pairs(*rows), theta=0.3, most=5)
    assert [(bundle.first, bundle.second, bundle.strength) for bundle in found] == [
        (("k1", "k2"), ("b1", "b2"), 0.75),
        (("k9",), ("b9",), 0.5),
    ]


def test_pairs_at_theta_or_without_a_common_word_do_not_count() -> None:
    assert find_bundles(pairs(("k", "b", 0.3)), theta=0.3, most=5) == []
    assert find_bundles(pairs(("k", "b", 0.9), cosine=0.0), theta=0.3, most=5) == []
    assert find_bundles(pairs(), theta=0.3, most=5) == []


def test_a_bundle_is_no_longer_than_allowed_and_no_item_is_in_two() -> None:
    rows = [(f"k{a}", f"b{b}", 0.5 + (a * 7 + b) % 5 / 100) for a in range(6) for b in range(6)]
    found = find_bundles(pairs(*rows), theta=0.3, most=2)
    assert len(found) == 3
    assert all(len(bundle.first) == len(bundle.second) == 2 for bundle in found)
    members = [item for bundle in found for item in bundle.first + bundle.second]
    assert len(members) == len(set(members))


def test_the_order_of_the_pairs_does_not_matter() -> None:
    rows = [(f"k{a}", f"b{b}", round(0.3 + (a * b % 4) / 10, 6)) for a in range(8) for b in range(8)]
    expected = find_bundles(pairs(*rows), theta=0.3, most=3)
    random.Random(1).shuffle(rows)  # noqa: S311
    assert find_bundles(pairs(*rows), theta=0.3, most=3) == expected


def test_the_id_is_that_of_the_members() -> None:
    assert Bundle(("a", "b"), ("c",), 0.5).bundle_id == Bundle(("b", "a"), ("c",), 0.9).bundle_id
    assert Bundle(("a", "b"), ("c",), 0.5).bundle_id != Bundle(("a",), ("b", "c"), 0.5).bundle_id


def test_pairs_come_from_both_directions_and_only_from_items_on_sale() -> None:
    row = {"rank": 1, "jaccard": 0.1, "topic": 0.1, "cosine": 0.1}
    similar = [
        {"domain": "x", "item_id": "1", "other_domain": "y", "other_item_id": "2", "similarity": 0.4},
        {"domain": "y", "item_id": "3", "other_domain": "x", "other_item_id": "1", "similarity": 0.5},
        {"domain": "x", "item_id": "off", "other_domain": "y", "other_item_id": "2", "similarity": 0.6},
        {"domain": "x", "item_id": "1", "other_domain": "x", "other_item_id": "4", "similarity": 0.7},
    ]
    table = pa.Table.from_pylist([{**row, **given} for given in similar], schema=SIMILAR_SCHEMA)
    found = cross_pairs(table, domains=("x", "y"), on_sale=({"1", "4"}, {"2", "3"}))
    assert found.select(["first", "second", "similarity"]).to_pylist() == [
        {"first": "1", "second": "2", "similarity": 0.4},
        {"first": "1", "second": "3", "similarity": 0.5},
    ]


ITEMS = (
    {
        "k": {
            "title": "敏感肌护肤课",
            "creator": "林老师",
            "price": Decimal("99.00"),
            "tokens": ["敏感肌", "护肤", "屏障"],
        }
    },
    {
        "b": {
            "title": "修护面霜 50ml",
            "creator": "某牌",
            "price": Decimal("129.50"),
            "tokens": ["敏感肌", "面霜", "屏障"],
        }
    },
)
WORDING = Wording("{topic_words}｜{first_title}+{second_title}", ("{lowest}-{highest} {creators}",), ("{first_count}",))


def test_texts_say_only_what_both_sides_hold() -> None:
    table = describe_bundles(
        [Bundle(("k",), ("b",), 0.5)],
        items=ITEMS,
        topics=({"k": {3: 0.6, 4: 0.4}}, {"b": {3: 0.5, 4: 0.5}}),
        words={3: ["面霜", "屏障", "敏感肌", "护肤"], 4: ["基金"]},
        wording=WORDING,
    )
    assert table.schema == BUNDLE_SCHEMA
    assert table.to_pylist() == [
        {
            "bundle_id": Bundle(("k",), ("b",), 0.5).bundle_id,
            "topic": 3,
            "title": "屏障、敏感肌｜敏感肌护肤课+修护面霜 50ml",
            "blurb": "99-129.50 林老师、某牌",
            "knowledge_items": ["k"],
            "beauty_items": ["b"],
            "strength": 0.5,
        }
    ]


def test_an_item_without_a_price_takes_the_other_wording() -> None:
    items = (ITEMS[0], {"b": {**ITEMS[1]["b"], "price": None}})
    table = describe_bundles([Bundle(("k",), ("b",), 0.5)], items=items, topics=({}, {}), words={}, wording=WORDING)
    assert table["blurb"].to_pylist() == ["1"]
    assert table["topic"].to_pylist() == [None]
    assert table["title"].to_pylist() == ["屏障、敏感肌｜敏感肌护肤课+修护面霜 50ml"]


def test_the_shipped_wording_is_good_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    assert len(read_wording(Settings().include / "text" / "bundles.yaml").blurbs) == 2
    file = tmp_path / "bundles.yaml"
    with pytest.raises(InputError, match="is missing"):
        read_wording(file)
    file.write_text("title: '{brand}'\nblurb: []\nblurb_without_price: []\n", encoding="utf-8")
    with pytest.raises(InputError, match="brand"):
        read_wording(file)
