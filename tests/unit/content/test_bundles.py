"""Bundles: who is in them."""

from __future__ import annotations

import random
from dataclasses import replace

import pyarrow as pa
import pytest

from crossdomain.content.bundle_measures import agreement
from crossdomain.content.bundles import (
    Bundle,
    BundleRules,
    find_bundles,
    joined_topics,
    joined_weights,
    joined_words,
    shared_words,
)

RULES = BundleRules(theta=0.3, most_items=5, most_bundles=1, least_topic=0.2, least_words=1)
WORDS = {1: ["面霜", "屏障"], 2: ["口红"]}


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


def find(table: pa.Table, rules: BundleRules = RULES, **known: object) -> list[Bundle]:
    """Bundles of items that are all about topic 1 and hold its words, unless given otherwise."""
    ids = tuple(set(table[name].to_pylist()) for name in ("first", "second"))
    topics = tuple({item: {1: 0.9} for item in side} for side in ids)
    tokens = tuple({item: ["面霜", "屏障"] for item in side} for side in ids)
    return find_bundles(table, rules, **{"topics": topics, "tokens": tokens, "words": WORDS, **known})  # type: ignore[arg-type]


def test_two_themes_give_two_bundles() -> None:
    rows = [
        ("k1", "b1", 0.9),
        ("k1", "b2", 0.8),
        ("k2", "b1", 0.7),
        ("k2", "b2", 0.6),
        ("k9", "b9", 0.5),
        ("k9", "b1", 0.2),
    ]
    found = find(pairs(*rows))
    assert [(bundle.first, bundle.second, bundle.strength) for bundle in found] == [
        (("k1", "k2"), ("b1", "b2"), 0.75),
        (("k9",), ("b9",), 0.5),
    ]
    assert [(bundle.strongest, bundle.similarity, bundle.topic) for bundle in found] == [
        (("k1", "b1"), 0.9, 1),
        (("k9", "b9"), 0.5, 1),
    ]


def test_pairs_at_theta_or_without_a_common_word_do_not_count() -> None:
    assert find(pairs(("k", "b", 0.3))) == []
    assert find(pairs(("k", "b", 0.9), cosine=0.0)) == []
    assert find(pairs()) == []


def test_a_bundle_is_no_longer_than_allowed_and_no_item_is_in_two() -> None:
    rows = [(f"k{a}", f"b{b}", 0.5 + (a * 7 + b) % 5 / 100) for a in range(6) for b in range(6)]
    found = find(pairs(*rows), replace(RULES, most_items=2))
    assert len(found) == 3
    assert all(len(bundle.first) == len(bundle.second) == 2 for bundle in found)
    members = [item for bundle in found for item in bundle.first + bundle.second]
    assert len(members) == len(set(members))


def test_an_item_may_be_in_as_many_bundles_as_the_setting_says_but_never_twice_beside_the_same() -> None:
    rows = [("k", f"b{b}", 0.9 - b / 100) for b in range(6)]
    found = find(pairs(*rows), replace(RULES, most_items=2, most_bundles=2))
    assert [bundle.second for bundle in found] == [("b0", "b1"), ("b2", "b3")]
    beside = [pair for bundle in found for pair in bundle.pairs]
    assert len(beside) == len(set(beside))


def test_both_items_must_be_about_the_topic_and_hold_its_words() -> None:
    table = pairs(("k", "b", 0.9))
    assert find(table) != []
    assert find(table, topics=({"k": {1: 0.9}}, {"b": {1: 0.1, 2: 0.9}})) == []
    assert find(table, topics=({"k": {1: 0.9}}, {})) == []
    assert find(table, tokens=({"k": ["面霜"]}, {"b": ["屏障"]})) == []
    assert find(table, tokens=({"k": ["面霜", "口红"]}, {"b": ["屏障", "口红"]})) == []
    assert find(table, replace(RULES, least_words=3)) == []


def test_items_of_another_topic_do_not_join() -> None:
    table = pairs(("k1", "b1", 0.9), ("k1", "b2", 0.8), ("k2", "b1", 0.7))
    topics = ({"k1": {1: 0.6, 2: 0.4}, "k2": {1: 0.9}}, {"b1": {1: 0.9}, "b2": {2: 0.9}})
    both = ["面霜", "口红"]
    tokens = ({"k1": both, "k2": both}, {"b1": both, "b2": both})
    (bundle,) = find(table, topics=topics, tokens=tokens)
    assert (bundle.first, bundle.second, bundle.topic) == (("k1", "k2"), ("b1",), 1)


def test_near_duplicates_are_never_together() -> None:
    table = pairs(("k", "b1", 0.9), ("k", "b2", 0.9), ("k", "b3", 0.8))
    (bundle,) = find(table, duplicates=({}, {"b1": "g", "b2": "g"}))
    assert bundle.second == ("b1", "b3")
    assert find(pairs(("k", "b", 0.9)), duplicates=({"k": "g"}, {"b": "g"})) == []


def test_the_order_of_the_pairs_does_not_matter() -> None:
    rows = [(f"k{a}", f"b{b}", round(0.3 + (a * b % 4) / 10, 6)) for a in range(8) for b in range(8)]
    expected = find(pairs(*rows), replace(RULES, most_items=3))
    assert expected
    random.Random(1).shuffle(rows)  # noqa: S311
    assert find(pairs(*rows), replace(RULES, most_items=3)) == expected


def test_the_id_is_that_of_the_members() -> None:
    def named(first: tuple[str, ...], second: tuple[str, ...]) -> str:
        return Bundle(first, second, 1, 0.5, (first[0], second[0]), 0.5).bundle_id

    assert named(("a", "b"), ("c",)) == named(("b", "a"), ("c",))
    assert named(("a", "b"), ("c",)) != named(("a",), ("b", "c"))


def test_shared_words_are_those_of_the_topic_that_both_sides_hold() -> None:
    bundle = Bundle(("k1", "k2"), ("b",), 1, 0.5, ("k1", "b"), 0.5)
    tokens = ({"k1": ["屏障", "口红"], "k2": ["面霜"]}, {"b": ["面霜", "口红", "屏障"]})
    assert shared_words(bundle, tokens, WORDS) == ["面霜", "屏障"]
    tokens = ({"k1": ["屏障", "面霜"], "k2": ["屏障"]}, {"b": ["面霜", "口红", "屏障"]})
    assert shared_words(bundle, tokens, WORDS) == ["屏障", "面霜"]


def test_topics_that_say_the_same_count_as_one() -> None:
    words = {1: ["面霜", "屏障"], 2: ["口红"], 4: ["屏障", "精华", "面霜"], 7: ["精华", "面霜"]}
    name = joined_topics(words, 0.6)
    assert name == {1: 1, 2: 2, 4: 1, 7: 1}
    assert joined_words(words, name) == {1: ["面霜", "屏障", "精华"], 2: ["口红"]}
    assert joined_topics(words, 1.1) == {topic: topic for topic in words}
    table = pairs(("k", "b", 0.9))
    apart = ({"k": {1: 0.9}}, {"b": {4: 0.9}})
    assert find(table, topics=apart, words=words) == []
    (found,) = find(table, topics=joined_weights(apart, name), words=joined_words(words, name))
    assert found.topic == 1


def bundle(first: str, second: str) -> Bundle:
    return Bundle(tuple(first), tuple(second), 1, 0.5, (first[0], second[0]), 0.5)


def test_agreement_counts_pairs_and_items() -> None:
    planted = ({"a": "x", "b": "x", "c": "y"}, {"A": "x", "B": "x", "C": "y", "D": "z"})
    perfect = agreement([bundle("ab", "AB"), bundle("c", "C")], planted, most_items=5)
    assert perfect[:4] == (5, 1.0, 1.0, 6)
    # a-A is right of the two pairs; 2*1 + 1*1 pairs can be reached by bundles of one item a side
    half = agreement([bundle("a", "AD")], planted, most_items=1)
    assert (half.precision, half.recall, half.items) == (0.5, pytest.approx(1 / 3), 3)
    assert (half.item_precision, half.item_recall) == (pytest.approx(2 / 3), pytest.approx(2 / 6))
    assert agreement([], planted, most_items=5) == (0, 0.0, 0.0, 0, 0.0, 0.0)
