"""What ranks a list again or places rows in it, through the job, on a small world without a lake."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from crossdomain.jobs import score, train
from crossdomain.recommend.reasons import decode, describe
from crossdomain.settings import Settings
from tests.unit.recommend.world import DAY, blocks_world, connect, context, key

CATALOGUE = [
    *[("knowledge", f"k{i:02d}", "on", None, "course") for i in range(8)],
    *[("beauty", f"b{i:02d}", "on", "brand" if i < 3 else f"brand {i}", "care") for i in range(8)],
]
K = 4


@pytest.fixture(autouse=True)
def _small_models(monkeypatch):
    small = {"FACTORS": "4", "REGULARIZATION": "0.5", "POPULARITY_POWER": "0", "ITERATIONS": "10", "TOP_K": str(K)}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


@pytest.fixture
def rules(tmp_path):
    """Writes a rule file and gives the include folder that has it."""
    include = tmp_path / "include"
    shutil.copytree(Settings().include / "recommendations", include / "recommendations")

    def write(most_share=0.5, pins=(), boosts=(), blocks=()):
        lines = [f"most_share: {most_share}"]
        for kind, entries in (("pins", pins), ("boosts", boosts), ("blocks", blocks)):
            lines.append(f"{kind}: [{', '.join(entries)}]")
        (include / "recommendations" / "rules.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return include

    return write


def world(extra=(), people=(), catalogue=CATALOGUE):
    events, accounts = blocks_world()
    return connect([*events, *extra], [*accounts, *people], catalogue)


def lists(con, home, include=None, champion=None):
    """Rows and notes of the day; the model is trained once a connection."""
    ctx, written = context(con, home)
    if include:
        ctx.settings = replace(ctx.settings, include=include)
    train.build(ctx)
    for table in ("champions", "transfer"):
        con.register("now", written[f"serving.{table}"])
        con.execute(f"CREATE OR REPLACE TABLE serving.{table} AS FROM now")
    con.execute("UPDATE serving.transfer SET serves = 'als'")
    if champion:
        con.execute("UPDATE serving.champions SET model = $name, model_version = $name", {"name": champion})
    score.build(ctx)
    rows = written["serving.recommendations"].to_pylist()
    check(rows, con)
    return rows, ctx.notes, written


def check(rows, con):
    """What holds whatever ranks the lists: on sale, no rank missing, nothing twice, nothing owned but what is due."""
    bought = set(
        con.sql(
            "SELECT person, e.domain, item_id FROM clean.events e JOIN derived.people USING (account) "
            "WHERE event_type = 'purchase'"
        ).fetchall()
    )
    for row in rows:
        if row["source"] not in ("unpersonalised", "buy_again"):
            assert (row["person"], row["target_domain"], row["item_id"]) not in bought
    off = {item for (item,) in con.execute("SELECT item_id FROM derived.catalogue WHERE status = 'off'").fetchall()}
    found = {}
    for row in rows:
        found.setdefault((row["person"], row["target_domain"]), []).append(row)
    for listed in found.values():
        assert [row["rank"] for row in listed] == list(range(1, len(listed) + 1))
        assert len({row["item_id"] for row in listed}) == len(listed) <= K
        assert not off & {row["item_id"] for row in listed}


def of(rows, person, target="beauty"):
    return [row for row in rows if row["person"] == key(person) and row["target_domain"] == target]


def items(rows, person, target="beauty"):
    return [row["item_id"] for row in of(rows, person, target)]


def test_what_is_blocked_is_in_no_list_on_its_days_only(rules, tmp_path):
    con = world(people=[("coy", "knowledge", "coy", False, True), ("new", "knowledge", "new", True, True)])
    free, _, _ = lists(con, tmp_path / "a")
    assert {"b00", "b02"} <= {row["item_id"] for row in free}
    today = f"{{name: recall, domain: beauty, creator: brand, from: {DAY}, to: {DAY}}}"
    blocked, notes, written = lists(con, tmp_path / "b", rules(blocks=[today]))
    assert {f"b{n:02d}" for n in range(3)} & {row["item_id"] for row in blocked} == set()
    assert {f"b{n:02d}" for n in range(3)} & set(written["serving.popular_items"]["item_id"].to_pylist()) == set()
    assert notes["items_by_rule"] == {"recall": 3}
    assert {row["source"] for row in blocked} >= {"als", "fallback", "unpersonalised"}
    past = today.replace(str(DAY), str(DAY - timedelta(days=1)))
    assert lists(con, tmp_path / "c", rules(blocks=[past]))[0] == free


def test_a_pin_is_first_for_all_but_who_own_it_and_says_so(rules, tmp_path):
    extra = [("buyer", "knowledge", "k00", "view", 3), ("buyer_b", "beauty", "b07", "purchase", 2)]
    people = [
        ("buyer", "knowledge", "buyer", True, True), ("buyer_b", "beauty", "buyer", True, True),
        ("coy", "knowledge", "coy", False, True), ("new", "knowledge", "new", True, True),
    ]  # fmt: skip
    con = world(extra, people)
    free, _, _ = lists(con, tmp_path / "a")
    pinned, _, _ = lists(con, tmp_path / "b", rules(pins=["{name: spring, domain: beauty, item_id: b07}"]))
    for person in ("p000b", "p001b", "p004k", "new"):
        first, *rest = of(pinned, person)
        assert (first["item_id"], first["source"], first["score"]) == ("b07", "promoted", 0)
        assert first["model_version"] == "rules"
        reason = decode(first["reason"])
        assert (reason.code, reason.promoted) == ("promoted", "spring")
        assert describe(reason, {}) == ("推广", "promoted")
        assert [row["item_id"] for row in rest] == [one for one in items(free, person) if one != "b07"][: K - 1]
        assert {row["source"] for row in rest} <= {"als", "fallback"}
    assert "b07" not in items(pinned, "buyer")
    for person in ("buyer", "coy"):
        assert of(pinned, person) == of(free, person), "owned, or the list of everybody"
    assert [row for row in pinned if row["target_domain"] == "knowledge"] == [
        row for row in free if row["target_domain"] == "knowledge"
    ]


@pytest.mark.parametrize("champion", [None, "decayed_popularity"])
def test_what_is_raised_keeps_to_its_share_and_says_so(rules, tmp_path, champion):
    con = world()
    boost = "{{name: push, domain: beauty, creator: brand, factor: 50, most_share: {share}}}"
    for share, most in ((0.5, 2), (0.25, 1), (0.0, 0)):
        include = rules(boosts=[boost.format(share=share)])
        rows, _, _ = lists(con, tmp_path / str(share), include, champion)
        beauty = [row for row in rows if row["target_domain"] == "beauty"]
        raised = [row for row in beauty if row["item_id"] in ("b00", "b01", "b02")]
        assert all(decode(row["reason"]).promoted == "push" for row in raised)
        assert {decode(row["reason"]).promoted for row in beauty if row not in raised} == {None}
        counts = Counter(row["person"] for row in raised)
        assert max(counts.values(), default=0) == most
        assert {row["source"] for row in raised} <= {"als" if champion is None else "popular"}
    rows, _, _ = lists(con, tmp_path / "all", rules(most_share=0.25, boosts=[boost.format(share=0.5)]), champion)
    assert max(Counter(row["person"] for row in rows if decode(row["reason"]).promoted).values()) == 1


def test_a_boost_of_one_changes_nothing_and_one_below_sinks_without_a_mark(rules, tmp_path):
    con = world()
    free, _, _ = lists(con, tmp_path / "a")
    boost = "{{name: push, domain: beauty, creator: brand, factor: {factor}}}"
    assert lists(con, tmp_path / "b", rules(boosts=[boost.format(factor=1)]))[0] == free
    sunk, _, _ = lists(con, tmp_path / "c", rules(boosts=[boost.format(factor=0.01)]))
    assert {decode(row["reason"]).promoted for row in sunk} == {None}

    def first(rows):
        return sum(row["item_id"] in ("b00", "b01", "b02") for row in rows if row["rank"] == 1)

    assert first(sunk) < first(free)


def test_pins_and_raised_items_share_the_room(rules, tmp_path):
    include = rules(
        pins=["{name: spring, domain: beauty, item_id: b07}"],
        boosts=["{name: push, domain: beauty, creator: brand, factor: 50}"],
    )
    rows, _, _ = lists(world(), tmp_path, include)
    promoted = Counter(row["person"] for row in rows if decode(row["reason"]).promoted)
    assert set(promoted.values()) <= {1, 2}
    names = {decode(row["reason"]).promoted for row in of(rows, "p000b")}
    assert names == {None, "spring", "push"}


def test_new_items_rise(tmp_path, monkeypatch):
    con = world()
    con.execute(f"UPDATE derived.catalogue SET listed_at = TIMESTAMPTZ '{DAY - timedelta(days=300)} 00:00+00'")
    con.execute("UPDATE derived.catalogue SET listed_at = NULL WHERE item_id = 'b06'")  # first known on the day
    free, _, _ = lists(con, tmp_path / "a")
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_FRESH_BOOST", "5")
    risen, _, _ = lists(con, tmp_path / "b")

    def rank(rows, person):
        return [row["rank"] for row in of(rows, person) if row["item_id"] == "b06"]

    liking = [f"p{n:03d}b" for n in range(0, 60, 2) if n % 5 != 4 and rank(free, f"p{n:03d}b")]
    assert liking
    assert all(rank(risen, person) == [1] for person in liking)


def test_lists_are_diverse_where_asked(tmp_path, monkeypatch):
    con = world()
    con.execute("CREATE TABLE serving.item_topics (domain VARCHAR, item_id VARCHAR, topic INTEGER, weight DOUBLE)")
    topics = [
        ("beauty", f"b{n:02d}", n % 4 // 2, 1.0) for n in range(8)
    ]  # b00 and b04 are of topic 0, b02 and b06 of 1
    con.executemany("INSERT INTO serving.item_topics VALUES (?, ?, ?, ?)", topics)
    free, _, _ = lists(con, tmp_path / "a")
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_MMR_LAMBDA", "0.2")
    diverse, _, _ = lists(con, tmp_path / "b")
    of_topic = {item: topic for _, item, topic, _ in topics}

    def alike(rows):
        pairs = {}
        for row in rows:
            if row["target_domain"] == "beauty" and row["rank"] <= 2:
                pairs.setdefault(row["person"], []).append(of_topic[row["item_id"]])
        return np.mean([len(set(pair)) == 1 for pair in pairs.values()])

    assert alike(diverse) == 0 < alike(free)
    assert [row["item_id"] for row in diverse if row["rank"] == 1] == [
        row["item_id"] for row in free if row["rank"] == 1
    ]


def habits(item="b05", gap=10):
    """Twenty people who bought an item twice, a gap apart, the last time yesterday."""
    accounts = [(f"h{n:02d}", "beauty", f"h{n:02d}", True, True) for n in range(20)]
    return [(name, "beauty", item, "purchase", ago) for name, *_ in accounts for ago in (1, 1 + gap)], accounts


def test_what_is_due_is_shown_though_it_is_owned(tmp_path, monkeypatch):
    events, accounts = habits()
    for name, ago in (("due", 12), ("early", 5), ("back", 12)):
        events += [(name, "knowledge", "k00", "view", 3), (f"{name}_b", "beauty", "b05", "purchase", ago)]
        accounts += [(name, "knowledge", name, True, True), (f"{name}_b", "beauty", name, True, True)]
    events.append(("back_b", "beauty", "b05", "refund", 1))
    con = world(events, accounts)
    free, _, _ = lists(con, tmp_path / "a")
    assert "b05" not in {item for name in ("due", "early", "back") for item in items(free, name)}
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_BUY_AGAIN", "1")
    again, notes, _ = lists(con, tmp_path / "b")
    assert notes["due_again"] == {"people": 1, "items": 1}
    first, *rest = of(again, "due")
    assert (first["item_id"], first["source"], first["score"]) == ("b05", "buy_again", 1.2)
    assert first["model_version"] == "purchases"
    reason = decode(first["reason"])
    assert (reason.code, reason.items) == ("buy_again", (("beauty", "b05"),))
    assert describe(reason, {("beauty", "b05"): "面霜"})[1] == "time to buy “面霜” again"
    assert [row["item_id"] for row in rest] == items(free, "due")[: K - 1]
    for name in ("early", "back"):
        assert items(again, name) == items(free, name)
    con.execute("UPDATE derived.catalogue SET status = 'off' WHERE item_id = 'b05'")
    assert "b05" not in items(lists(con, tmp_path / "c")[0], "due")


def test_all_at_once_and_twice_the_same(rules, tmp_path, monkeypatch):
    events, accounts = habits()
    events += [("due", "knowledge", "k00", "view", 3), ("due_b", "beauty", "b05", "purchase", 12)]
    accounts += [("due", "knowledge", "due", True, True), ("due_b", "beauty", "due", True, True)]
    for name, value in {
        "MMR_LAMBDA": "0.5", "FRESH_BOOST": "0.5", "BUY_AGAIN": "1", "CREATOR_CAP": "1", "TOPIC_CAP": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)
    include = rules(
        most_share=0.5,
        pins=["{name: spring, domain: beauty, item_id: b07}"],
        boosts=["{name: push, domain: beauty, item_id: b04, factor: 3}"],
        blocks=["{name: recall, domain: beauty, item_id: b03}"],
    )
    found = []
    for place, block in (("a", 10_000), ("b", 7)):
        monkeypatch.setattr("crossdomain.recommend.score.PEOPLE_BLOCK", block)
        con = world(events, accounts)
        con.execute("CREATE TABLE serving.item_topics (domain VARCHAR, item_id VARCHAR, topic INTEGER, weight DOUBLE)")
        con.execute(
            "INSERT INTO serving.item_topics SELECT domain, item_id, hash(item_id) % 3, 1 FROM derived.catalogue"
        )
        found.append(lists(con, tmp_path / place, include)[0])
    assert found[0] == found[1]
    first, second = of(found[0], "due")[:2]
    assert [(row["item_id"], row["source"]) for row in (first, second)] == [("b07", "promoted"), ("b05", "buy_again")]


def fallen_back(rows):
    """Who is served by no model, and who is, by person and target domain; what is placed in a list says nothing."""
    placed = ("promoted", "buy_again")
    told = {(row["person"], row["target_domain"]): row["source"] for row in rows if row["source"] not in placed}
    fallen = {who for who, source in told.items() if source in ("popular", "fallback", "unpersonalised")}
    return fallen, set(told) - fallen


def test_what_is_placed_in_a_list_changes_nobody_who_falls_back(rules, tmp_path, monkeypatch):
    """Everybody sees a pin, one what is due again: who is served by the model still is, who is not still is not."""
    events, accounts = habits()
    events += [("due", "knowledge", "k00", "view", 3), ("due_b", "beauty", "b05", "purchase", 12)]
    accounts += [("due", "knowledge", "due", True, True), ("due_b", "beauty", "due", True, True)]
    accounts += [("new", "knowledge", "new", True, True), ("coy", "knowledge", "coy", False, True)]
    con, found = world(events, accounts), []
    for place, pins in (("a", []), ("b", ["{name: spring, domain: beauty, item_id: b07}"])):
        monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_BUY_AGAIN", str(len(pins)))
        rows, _, written = lists(con, tmp_path / place, rules(pins=pins) if pins else None)
        covered = written["serving.recommendation_coverage"].to_pylist()
        for falls_back, people in zip((True, False), fallen_back(rows), strict=True):
            for domain in ("knowledge", "beauty"):
                counted = [row for row in covered if row["target_domain"] == domain and row["falls_back"] is falls_back]
                assert sum(row["people"] for row in counted) == sum(target == domain for _, target in people)
        assert {row["source"] for row in covered if row["falls_back"] is None} == (
            {"promoted", "buy_again"} if pins else set()
        )
        found.append(fallen_back(rows))
    assert found[0] == found[1]
    fallen, served = found[1]
    assert {(key("new"), "beauty"), (key("coy"), "beauty")} <= fallen
    assert (key("due"), "beauty") in served


def test_exposure_of_creators_is_measured(tmp_path):
    _, _, written = lists(world(), tmp_path)
    rows = written["serving.recommendations"].to_pylist()
    creator = {item: name for domain, item, _, name, _ in CATALOGUE if domain == "beauty"}
    everybody = sorted(set(creator.values()))
    for found in written["serving.recommendation_coverage"].to_pylist():
        if found["target_domain"] == "knowledge":
            assert (found["creators"], found["creator_gini"], found["top_creator_share"]) == (None, None, None)
            continue
        warm = {key(f"p{n:03d}b") for n in range(60) if n % 5 != 4}
        shown = Counter(
            creator[row["item_id"]]
            for row in rows
            if (row["target_domain"], row["source"]) == ("beauty", found["source"])
            and (row["person"] in warm) == (found["segment"] == "warm")
        )
        x = np.array([shown[name] for name in everybody], dtype=float)
        gini = np.abs(x[:, None] - x[None, :]).sum() / (2 * len(x) ** 2 * x.mean())
        assert found["creator_gini"] == pytest.approx(gini, abs=1e-6)
        assert found["creators"] == (x > 0).sum()
        assert found["top_creator_share"] == pytest.approx(x.max() / x.sum(), abs=1e-6)
