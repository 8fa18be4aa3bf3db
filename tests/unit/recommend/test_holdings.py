"""What is owned or was rejected stays known however long ago it was, and is recommended to nobody who holds it."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from crossdomain.jobs import train
from crossdomain.jobs.behaviour import read_behaviour, read_held, recommend_settings
from crossdomain.recommend.champion import POPULAR
from crossdomain.recommend.holdings import held_sql
from crossdomain.recommend.interactions import PRODUCTS
from crossdomain.recommend.settings import RecommendSettings
from tests.unit.recommend.test_list_rules import CATALOGUE, K, items, lists, of, rules, world  # noqa: F401 - a fixture
from tests.unit.recommend.world import DAY, blocks_world, connect, context, key

LONG_AGO = RecommendSettings().window_days + 10
ONE = [("a", "knowledge", "a", True, True)]
SHELF = [("knowledge", f"k{n}", "on") for n in range(3)]


@pytest.fixture(autouse=True)
def _small_models(monkeypatch):
    small = {"FACTORS": "4", "REGULARIZATION": "0.5", "POPULARITY_POWER": "0", "ITERATIONS": "10", "TOP_K": str(K)}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


def held_by(con, last=DAY):
    rows = con.sql(f"FROM ({held_sql(PRODUCTS)}) ORDER BY ALL", params={"last": last}).fetchall()
    return [(account.rstrip(b"\0").decode(), item, owned, rejected) for account, _, item, owned, rejected in rows]


def test_what_is_held_is_what_counting_by_hand_finds():
    random = Random(5)  # noqa: S311 - a world
    kinds = ["purchase", "refund", "hide", "dislike", "complaint", "view", "rating", "cart"]
    events = [
        (random.choice("ab"), "knowledge", f"k{random.randrange(6)}", random.choice(kinds), random.randrange(400))
        for _ in range(90)
    ]
    accounts = [*ONE, ("b", "knowledge", "b", True, True)]
    twins = [("knowledge", "k0", "g"), ("knowledge", "k1", "g")]
    con = connect(events, accounts, [("knowledge", f"k{n}", "on") for n in range(6)], twins)
    con.execute("UPDATE clean.events SET value = 1 + hash(ts) % 5 WHERE event_type = 'rating'")
    told = con.execute("SELECT account, item_id, event_type, ts, value FROM clean.events").fetchall()
    for ago in (0, 150, 399):
        last = DAY - timedelta(days=ago)
        bought, rejected = {}, {}
        for account, item, kind, ts, value in told:
            place = (account.rstrip(b"\0").decode(), "k0" if item == "k1" else item)
            if ts.date() > last:
                continue
            if kind == "purchase":
                bought[place] = max(ts, bought.get(place, ts))
            elif kind in ("refund", "hide", "dislike", "complaint") or (kind == "rating" and value < 2.5):
                rejected[place] = max(ts, rejected.get(place, ts))
        expected = [
            (*place, place in bought and (place not in rejected or bought[place] > rejected[place]), place in rejected)
            for place in sorted({*bought, *rejected})
        ]
        assert held_by(con, last) == expected
        assert len(expected) > (4 if ago < 399 else -1)


def test_a_rejection_of_the_same_instant_takes_a_purchase_back_and_a_later_purchase_counts_again():
    events = [("a", "knowledge", "k1", kind, 200) for kind in ("purchase", "refund")]
    con = connect(events, ONE, SHELF)
    con.execute("UPDATE clean.events SET ts = (SELECT min(ts) FROM clean.events)")
    assert held_by(con) == [("a", "k1", False, True)]
    con.execute(
        "INSERT INTO clean.events BY NAME SELECT * REPLACE (ts + INTERVAL 1 SECOND AS ts) FROM clean.events "
        "WHERE event_type = 'purchase'"
    )
    assert held_by(con) == [("a", "k1", True, True)]


def test_products_are_put_together_when_they_are_read():
    events = [("a", "knowledge", "k1", "purchase", 200), ("a", "knowledge", "k2", "refund", 100)]
    assert held_by(connect(events, ONE, SHELF)) == [("a", "k1", True, False), ("a", "k2", False, True)]
    twins = [("knowledge", "k1", "g"), ("knowledge", "k2", "g")]
    assert held_by(connect(events, ONE, SHELF, twins)) == [("a", "k1", False, True)]
    stays = [("knowledge", "k1", "off"), ("knowledge", "k2", "on")]
    assert held_by(connect(events[:1], ONE, stays, twins)) == [("a", "k2", True, False)]


def test_whoever_may_not_be_processed_holds_nothing():
    assert held_by(connect([("gone", "knowledge", "k1", "purchase", 200)], ONE, SHELF)) == []


def test_what_was_held_long_ago_is_in_no_personal_list(rules, tmp_path, monkeypatch):  # noqa: F811 - the fixture
    """By the model, by popularity as fallback and as champion, and pinned; only everybody's list has it."""
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_TOP_K", "8")
    monkeypatch.setattr("tests.unit.recommend.test_list_rules.K", 8)
    kinds = ("purchase", "hide", "refund")
    held = [(f"{kind}_{name}_b", "beauty", "b05", kind, LONG_AGO) for kind in kinds for name in ("known", "new")]
    told = [(f"{kind}_known", "knowledge", "k01", "view", 3) for kind in kinds]
    told.append(("coy_b", "beauty", "b05", "purchase", LONG_AGO))
    names = [(f"{kind}_{name}", True) for kind in kinds for name in ("known", "new")] + [("coy", False)]
    people = [
        (f"{name}{side}", domain, name, personal, True)
        for name, personal in names
        for side, domain in (("", "knowledge"), ("_b", "beauty"))
    ]
    pinned = rules(pins=["{name: spring, domain: beauty, item_id: b05}"])
    for place, champion, include, sources in (
        ("a", None, None, {"known": "als", "new": "fallback"}),
        ("b", POPULAR, None, {"known": "popular", "new": "popular"}),
        ("c", None, pinned, {"known": "als", "new": "fallback"}),
    ):
        without, _, _ = lists(world(told, people), tmp_path / place / "without", include, champion)
        rows, _, _ = lists(world([*told, *held], people), tmp_path / place / "with", include, champion)
        for name, _ in names[:-1]:
            assert "b05" in items(without, name), "the case shows something"
            assert items(rows, name) == [item for item in items(without, name) if item != "b05"]
            assert {row["source"] for row in of(rows, name)} == {sources[name.split("_")[1]]}
        assert "b05" in items(rows, "coy"), "owned or not"


def test_evidence_and_age_stay_within_the_window(tmp_path):
    events, accounts = blocks_world()
    con = connect([*events, ("p000b", "beauty", "b05", "purchase", LONG_AGO)], accounts, CATALOGUE)
    bare = connect(events, accounts, CATALOGUE)
    (rows, _, written), (before, _, without) = (lists(one, tmp_path / str(n)) for n, one in enumerate((con, bare)))
    assert written["serving.popular_items"] == without["serving.popular_items"]
    others = [[row for row in found if row["person"] != key("p000b")] for found in (rows, before)]
    assert others[0] == others[1]


def test_it_is_owned_whatever_a_purchase_weighs(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_EVENT_WEIGHTS", "purchase=0")
    extra = [("buyer", "knowledge", "k01", "view", 3), ("buyer_b", "beauty", "b05", "purchase", 2)]
    people = [("buyer", "knowledge", "buyer", True, True), ("buyer_b", "beauty", "buyer", True, True)]
    rows, _, _ = lists(world(extra, people), tmp_path)
    assert items(rows, "buyer")
    assert "b05" not in items(rows, "buyer")


def test_what_was_ever_rejected_is_not_due_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_BUY_AGAIN", "1")
    habit = [(f"h{n:02d}", "beauty", "b05", "purchase", ago) for n in range(20) for ago in (1, 11)]
    extra = [(f"{name}_b", "beauty", "b05", "purchase", 12) for name in ("due", "back")]
    extra += [(name, "knowledge", "k00", "view", 3) for name in ("due", "back")]
    extra.append(("back_b", "beauty", "b05", "complaint", LONG_AGO))
    people = [(f"h{n:02d}", "beauty", f"h{n:02d}", True, True) for n in range(20)]
    people += [(f"{name}{side}", domain, name, True, True) for name in ("due", "back")
               for side, domain in (("", "knowledge"), ("_b", "beauty"))]  # fmt: skip
    rows, notes, _ = lists(world([*habit, *extra], people), tmp_path)
    assert notes["due_again"] == {"people": 1, "items": 1}
    assert of(rows, "due")[0]["source"] == "buy_again"
    assert "b05" not in items(rows, "back")


def test_models_are_measured_without_what_their_test_people_held_before(tmp_path):
    """Of people who did nothing in the test days nothing is read; of the test days themselves nothing either."""
    events = [
        ("a", "knowledge", "k0", "purchase", LONG_AGO), ("a", "knowledge", "k1", "hide", 3),
        ("a", "knowledge", "k2", "view", 2), ("a", "knowledge", "k2", "view", 30),
        ("idle", "knowledge", "k0", "purchase", LONG_AGO),
        ("shy", "knowledge", "k0", "purchase", LONG_AGO), ("shy", "knowledge", "k2", "view", 2),
    ]  # fmt: skip
    people = [(name, "knowledge", name, name != "shy", True) for name in ("a", "idle", "shy")]
    ctx, _ = context(connect(events, people, SHELF), tmp_path)
    settings = recommend_settings(ctx)
    test_from = DAY - timedelta(days=settings.test_days - 1)
    first = DAY - timedelta(days=settings.window_days - 1)
    before = (first, test_from - timedelta(days=1))
    behaviour = read_behaviour(ctx, settings, [before, before, (test_from, DAY)])
    held = read_held(ctx, behaviour, test_from, DAY)
    names = [behaviour.people.account[int(place)].as_py().rstrip(b"\0").decode() for place in held.account]
    assert sorted(zip(names, behaviour.items.item_id.take(held.item).to_pylist(), strict=True)) == [
        ("a", "k0"), ("shy", "k0"),
    ]  # fmt: skip
    seen = train.split_of(behaviour, behaviour.pairs, held, settings).seen
    assert {(row, behaviour.items.item_id[int(place)].as_py()) for row, place in zip(*seen.nonzero(), strict=True)} == {
        (0, "k0"), (0, "k2"),
    }, "consented people only"  # fmt: skip
