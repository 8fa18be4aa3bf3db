from __future__ import annotations

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Known, hide, met, taste
from crossdomain.recommend.settings import RecommendSettings
from tests.unit.recommend.world import connect, held, key, read

PLAIN = RecommendSettings(half_life_days=0, alpha=10)
ONE = [("a", "knowledge", "a", True, True)]


def cells(matrix, items):
    dense = matrix.toarray()
    return {(r, items.item_id[c].as_py()): round(float(dense[r, c]), 6) for r, c in zip(*dense.nonzero(), strict=True)}


def unwanted(con):
    pairs, people, items = read(con, PLAIN)
    everybody = slice(0, len(people.person))
    known = Known.of(pairs, held(con, people, items), people, items, RecommendSettings(), everybody)
    return cells(known.unwanted, items)


def test_events_become_confidence():
    events = [
        ("a", "knowledge", "k1", "view", 3),
        ("a", "knowledge", "k1", "purchase", 2),
        ("a", "knowledge", "k2", "impression", 1),
    ]
    pairs, people, items = read(connect(events, ONE), PLAIN)
    assert items.item_id.to_pylist() == ["k1"]  # an impression is no evidence
    assert cells(taste(pairs, people, items, PLAIN), items) == {(0, "k1"): 1 + 10 * 1.2}
    assert pairs.last_age.tolist() == [2]


def test_weights_halve_with_age():
    decayed = RecommendSettings(half_life_days=2, alpha=10)
    pairs, people, items = read(connect([("a", "knowledge", "k1", "purchase", 4)], ONE), decayed)
    assert cells(taste(pairs, people, items, decayed), items) == {(0, "k1"): 1 + 10 * 0.25}


def test_weights_of_events_are_a_setting():
    settings = RecommendSettings(half_life_days=0, alpha=10, event_weights="view=0,purchase=0.5")
    events = [("a", "knowledge", "k1", "view", 3), ("a", "knowledge", "k2", "purchase", 3)]
    pairs, people, items = read(connect(events, ONE), settings)
    assert cells(taste(pairs, people, items, settings), items) == {(0, "k2"): 6.0}


@pytest.mark.parametrize("kind", ["refund", "hide", "dislike", "complaint"])
def test_every_kind_of_rejection_takes_back_and_keeps_away(kind):
    events = [("a", "knowledge", "k1", "view", 5), ("a", "knowledge", "k1", kind, 3)]
    con = connect(events, ONE)
    assert taste(*read(con, PLAIN), PLAIN).nnz == 0
    assert unwanted(con) == {(0, "k1"): 1}


def test_evidence_however_old_stays_evidence():
    decayed = RecommendSettings(half_life_days=1, alpha=10)
    pairs, people, items = read(connect([("a", "knowledge", "k1", "purchase", 300)], ONE), decayed)
    assert pairs.weight.tolist() == [0]
    assert cells(taste(pairs, people, items, decayed), items) == {(0, "k1"): 1.0}


def test_rejections_take_back_what_was_before_them():
    events = [
        ("a", "knowledge", "k1", "purchase", 5), ("a", "knowledge", "k1", "refund", 3),
        ("a", "knowledge", "k2", "dislike", 5), ("a", "knowledge", "k2", "view", 3),
    ]  # fmt: skip
    con = connect(events, ONE)
    pairs, people, items = read(con, PLAIN)
    assert cells(taste(pairs, people, items, PLAIN), items) == {(0, "k2"): 3.0}
    assert unwanted(con) == {(0, "k1"): 1, (0, "k2"): 1}


def test_without_cross_domain_consent_no_row_crosses_the_domains():
    events = [("a", "knowledge", "k1", "view", 1), ("b", "beauty", "b1", "view", 1)]
    linked = [("a", "knowledge", "a", True, True), ("b", "beauty", "a", True, True)]
    unwilling = [("a", "knowledge", "a", True, True), ("b", "beauty", "a", True, False)]
    for people_rows, longest in ((linked, 2), (unwilling, 1)):
        pairs, people, items = read(connect(events, people_rows), PLAIN)
        matrix = taste(pairs, people, items, PLAIN)
        assert np.diff(matrix.indptr).max() == longest
        assert matrix.nnz == 2
    assert not people.may_personalise(0).any()


def test_without_personalisation_nothing_is_learned_but_owned_items_stay_away():
    events = [("a", "knowledge", "k1", "purchase", 1)]
    con = connect(events, [("a", "knowledge", "a", False, True)])
    pairs, people, items = read(con, PLAIN)
    assert taste(pairs, people, items, PLAIN).nnz == 0
    assert met(pairs, people, items, held=held(con, people, items)).nnz == 0
    assert unwanted(con) == {(0, "k1"): 1}


def test_people_who_may_not_be_processed_leave_no_pair():
    events = [("a", "knowledge", "k1", "view", 1), ("gone", "knowledge", "k2", "view", 1)]
    pairs, _, items = read(connect(events, ONE), PLAIN)
    assert len(pairs) == 1
    assert items.item_id.to_pylist() == ["k1"]


def test_bulk_buyers_are_capped():
    events = [("a", "knowledge", f"k{i}", "purchase" if i >= 7 else "view", 1) for i in range(10)]
    capped = RecommendSettings(half_life_days=0, max_items=3)
    pairs, people, items = read(connect(events, ONE), capped)
    assert {item for _, item in cells(taste(pairs, people, items, capped), items)} == {"k7", "k8", "k9"}


@pytest.mark.parametrize("domain_apart", [False, True])
def test_a_pair_is_capped_however_often_it_comes(domain_apart):
    """Of one account, and of the accounts of one person that met the same item."""
    names = ("a", "a") if not domain_apart else ("a", "b")
    events = [(names[n % 2], "knowledge", "k1", "purchase", 1) for n in range(6)]
    events += [("a", "knowledge", "k2", "purchase", 1), ("a", "knowledge", "k2", "view", 1)]
    people_rows = [("a", "knowledge", "a", True, True), ("b", "knowledge", "a", True, True)]
    for cap, heaviest in ((2.5, 2.5), (100.0, 6.0)):
        capped = RecommendSettings(half_life_days=0, alpha=10, pair_cap=cap)
        matrix = taste(*(found := read(connect(events, people_rows), capped)), capped)
        assert cells(matrix, found[2]) == {(0, "k1"): 1 + 10 * heaviest, (0, "k2"): 1 + 10 * 1.2}


def test_what_is_on_sale_comes_from_the_catalogue_where_there_is_one():
    events = [
        ("a", "knowledge", "k1", "view", 1),
        ("a", "knowledge", "k2", "view", 1),
        ("b", "beauty", "b1", "view", 1),
    ]
    people = [*ONE, ("b", "beauty", "b", True, True)]
    catalogue = [("knowledge", "k0", "on"), ("knowledge", "k1", "off"), ("knowledge", "k3", None)]
    _, _, items = read(connect(events, people, catalogue), PLAIN)
    selling = dict(zip(items.item_id.to_pylist(), items.on_sale.tolist(), strict=True))
    assert selling == {"k0": True, "k1": False, "k2": False, "k3": True, "b1": True}


def test_keys_that_end_in_zero_bytes_stay_apart():
    people = [("a", "knowledge", "a", True, True), ("a\0b", "beauty", "a\0b", True, True)]
    _, read_people, _ = read(connect([("a", "knowledge", "k1", "view", 1)], people), PLAIN)
    assert read_people.person.to_pylist() == [key("a"), key("a\0b")]


def test_hide_takes_one_domain_of_some_rows():
    events = [("a", "knowledge", "k1", "view", 1), ("b", "beauty", "b1", "view", 1)]
    linked = [("a", "knowledge", "a", True, True), ("b", "beauty", "a", True, True)]
    pairs, people, items = read(connect(events, linked), PLAIN)
    matrix = taste(pairs, people, items, PLAIN)
    assert cells(hide(matrix, items, np.array([0]), 1), items) == {(0, "k1"): 3.0}
    assert hide(matrix, items, np.array([1]), 1).nnz == matrix.nnz


def test_an_unknown_domain_is_named():
    with pytest.raises(InputError, match="'music' is none of knowledge, beauty"):
        read(connect([], [("a", "music", "a", True, True)]), PLAIN)


def test_nobody_and_nothing():
    pairs, people, items = read(connect([], []), PLAIN)
    assert (len(pairs), len(people.person), len(items)) == (0, 0, 0)
    assert taste(pairs, people, items, PLAIN).shape == (0, 0)


def test_ids_of_one_product_count_as_one_item():
    events = [("a", "knowledge", "k2", "purchase", 3), ("a", "knowledge", "k1", "view", 1)]
    catalogue = [("knowledge", "k1", "off"), ("knowledge", "k2", "on"), ("knowledge", "k3", "on")]
    twins = [("knowledge", "k1", "g"), ("knowledge", "k2", "g")]
    con = connect(events, ONE, catalogue, twins)
    pairs, _, items = read(con, PLAIN)
    # The one on sale stands for both: it is owned, and a view of the other is no news.
    assert items.item_id.to_pylist() == ["k2", "k3"]
    assert len(pairs) == 1
    assert unwanted(con) == {(0, "k2"): 1}


def test_a_product_of_both_domains_keeps_an_item_in_each():
    events = [("a", "knowledge", "k1", "view", 1)]
    catalogue = [("beauty", "b1", "on"), ("knowledge", "k1", "on")]
    twins = [("beauty", "b1", "g"), ("knowledge", "k1", "g")]
    _, _, items = read(connect(events, ONE, catalogue, twins), PLAIN)
    assert items.item_id.to_pylist() == ["k1", "b1"]
