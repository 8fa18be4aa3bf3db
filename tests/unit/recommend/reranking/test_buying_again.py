from __future__ import annotations

from datetime import timedelta

import pytest

from crossdomain.recommend.interactions import PRODUCTS
from crossdomain.recommend.reranking.buying_again import LEAST_PEOPLE, due_sql
from tests.unit.recommend.world import DAY, connect

CATALOGUE = [
    ("beauty", "cream", "on", None, "care"), ("beauty", "balm", "on", None, "care"),
    ("beauty", "lamp", "on", None, "device"), ("knowledge", "course", "on", None, "course"),
]  # fmt: skip


def due(events, days=200, catalogue=CATALOGUE, duplicates=()):
    people = [(name, domain, name, True, True) for name, domain in sorted({(event[0], event[1]) for event in events})]
    con = connect(events, people, catalogue, duplicates)
    values = {"first": DAY - timedelta(days=days), "last": DAY, "tz": "UTC"}
    rows = con.sql(due_sql(PRODUCTS), params=values).fetchall()
    return {(account.rstrip(b"\0").decode(), item): wait for account, _, item, wait in rows}


def habit(item, gap, people=LEAST_PEOPLE, domain="beauty"):
    """People who bought an item twice, ``gap`` days apart, the last time yesterday."""
    return [(f"h{n:02d}", domain, item, "purchase", ago) for n in range(people) for ago in (1, 1 + gap)]


def bought(name, item, *ago, domain="beauty"):
    return [(name, domain, item, "purchase", one) for one in ago]


def test_what_was_bought_a_gap_ago_is_due_until_two_gaps_have_passed():
    events = habit("cream", 30)
    for ago in (29, 30, 45, 59, 60):
        events += bought(f"a{ago}", "cream", ago)
    late = pytest.approx(59 / 30, abs=1e-6)
    assert due(events) == {("a30", "cream"): 1.0, ("a45", "cream"): 1.5, ("a59", "cream"): late}


def test_what_is_not_bought_again_is_never_due():
    one = bought("a", "lamp", 40) + bought("b", "course", 40, domain="knowledge")
    assert due(habit("cream", 30) + one) == {}
    few = habit("lamp", 30, people=LEAST_PEOPLE - 1)
    assert due(few + bought("a", "lamp", 40)) == {}
    rare = habit("lamp", 30) + [event for n in range(181) for event in bought(f"o{n:03d}", "lamp", 5)]
    assert due(rare + bought("a", "lamp", 40)) == {}, "one in ten of the buyers must come back"


def test_an_item_without_a_rhythm_has_that_of_its_type():
    assert due(habit("cream", 30) + bought("a", "balm", 45)) == {("a", "balm"): 1.5}


def test_a_shop_that_buys_daily_is_one_account():
    daily = [("shop", "beauty", "cream", "purchase", ago) for ago in range(0, 150)]
    events = habit("cream", 30) + daily + bought("a", "cream", 30)
    assert due(events) == {("a", "cream"): 1.0}


def test_two_purchases_of_a_day_are_one_and_ids_of_a_product_are_one_item():
    twins = [("beauty", "cream", "g"), ("beauty", "twin", "g")]
    catalogue = [*CATALOGUE, ("beauty", "twin", "off", None, "care")]
    events = habit("cream", 30) + bought("a", "cream", 50, 50) + bought("a", "twin", 31)
    assert due(events, catalogue=catalogue, duplicates=twins) == {("a", "cream"): pytest.approx(31 / 30, abs=1e-6)}
    events = habit("cream", 30) + bought("a", "cream", 80) + bought("a", "twin", 10)
    assert due(events, catalogue=catalogue, duplicates=twins) == {}, "the twin was bought ten days ago"


def test_only_purchases_of_the_window_count():
    events = habit("cream", 30) + bought("a", "cream", 45)
    assert due(events, days=20) == {}
