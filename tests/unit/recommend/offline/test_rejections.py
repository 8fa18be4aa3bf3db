"""What was taken back: before a cut it counts, after it nothing of it is known."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.offline.evaluation import Request, evaluate
from crossdomain.recommend.offline.features import fit_sources
from crossdomain.recommend.offline.leaks import find_leaks
from crossdomain.recommend.offline.log import make_logs
from crossdomain.recommend.offline.protocols import Choices, Stage, make_plan
from crossdomain.recommend.offline.ranker import RankerSettings
from crossdomain.recommend.offline.ranking import asked_block, rank_source
from crossdomain.recommend.offline.sources import SOURCES
from crossdomain.recommend.offline.training import Recipe
from tests.unit.recommend.offline.logs import DAY, blocks, events, log, random_log, rejecting

NAMES = ("popularity", "decayed_popularity", "item_knn", "person_knn", "transitions", "next_item", "als", "ease")
TEMPORAL = Choices(test_days=60, label_stages=1)


def _met(stage: Stage) -> list[tuple[str, str]]:
    names = stage.train.names
    return [
        (names.users[int(user)].as_py(), names.item_ids[int(item)].as_py())
        for user, item in zip(stage.train.user, stage.train.item, strict=True)
    ]


def _truth(stage: Stage) -> set[tuple[str, str]]:
    names, found = stage.train.names, set()
    for queries in stage.queries:
        rows = queries.truth.tocoo()
        for row, column in zip(rows.row, rows.col, strict=True):
            found.add((names.users[int(queries.user[row])].as_py(), names.item_ids[int(column)].as_py()))
    return found


def _scores(stage: Stage) -> list[bytes]:
    """The scores of every source for everybody who is asked about."""
    found = []
    for one in fit_sources(stage, {name: SOURCES[name]() for name in NAMES}, seed=7, threads=1):
        for queries in stage.queries:
            asked = asked_block(stage, queries, slice(0, len(queries)))
            found.append(one.source.score(one.state, asked).tobytes())
    return found


def _some_before(table: pa.Table, moment: int, count: int) -> list[tuple[str, str, str]]:
    rows = [row for row in table.to_pylist() if row["ts"] < moment]
    return [(row["user_id"], row["domain"], row["item_id"]) for row in rows[:: len(rows) // count]][:count]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return blocks(people=60, items=8, days=400)


@pytest.fixture(scope="module")
def cut(table) -> int:
    return max(table["ts"].to_pylist()) + 1 - 60 * DAY


def test_a_refund_after_the_cut_leaves_the_training_as_it_was(table, cut) -> None:
    plain = make_plan("temporal", make_logs([table])[0], TEMPORAL)
    bought = _some_before(table, cut, 25)
    late = rejecting(table, [(*pair, cut + n * DAY) for n, pair in enumerate(bought)])
    plan = make_plan("temporal", make_logs([late])[0], TEMPORAL)
    stages = [(one.test, one.validation, *one.labels) for one in (plan, plain)]
    for mine, other in zip(*stages, strict=True):
        assert _met(mine[0]) == _met(other[0])
        assert np.array_equal(mine[0].catalogue, other[0].catalogue)
        assert _truth(mine[0]) == _truth(other[0])
        assert _scores(mine[0]) == _scores(other[0])


def test_a_refund_before_the_cut_takes_effect(table, cut) -> None:
    bought = _some_before(table, cut - 60 * DAY, 25)
    early = rejecting(table, [(*pair, cut - 1) for pair in bought])
    plan = make_plan("temporal", make_logs([early])[0], TEMPORAL)
    test, validation = plan.test[0], plan.validation[0]
    gone = {(user, item) for user, _, item in bought}
    assert not gone & set(_met(test))
    assert gone <= set(_met(validation))  # there it lies behind the cut
    assert not gone & _truth(test)
    (fitted,) = fit_sources(test, {"popularity": SOURCES["popularity"]()}, seed=7, threads=1)
    names = test.train.names
    for queries in test.queries:
        shown = rank_source(fitted.source, fitted.state, test, queries).lists
        for user, items in zip(queries.user, shown, strict=True):
            mine = {(names.users[int(user)].as_py(), names.item_ids[int(item)].as_py()) for item in items if item >= 0}
            assert not mine & gone


def test_what_is_taken_back_in_the_outcome_is_not_true() -> None:
    met = {"a": [(0, "1"), (50, "5"), (100, "2"), (101, "3"), (102, "4"), (103, "5")]}
    met["b"] = [(0, "2"), (10, "1"), (90, "6"), (99, "3"), (104, "5")]
    rows = [((user, "x", item), day * DAY) for user, own in met.items() for day, item in own]
    back = [("a", "x", "3", 150), ("a", "x", "4", 101), ("a", "x", "5", 60), ("b", "x", "5", 999)]
    table = rejecting(events(*map(list, zip(*rows, strict=True))), [(*pair, day * DAY) for *pair, day in back])
    plan = make_plan("temporal", make_logs([table])[0], Choices(test_days=10, label_stages=0))
    # 3 was given back after it was bought, 4 before; 5 was rejected before the test; b gave back 5 long after its end
    assert _truth(plan.test[0]) == {("a", "2"), ("a", "4"), ("b", "3")}


def test_the_document_of_a_log_with_later_refunds_is_that_of_the_log(table, cut) -> None:
    """Refunds in the test's days of what was met before: not even the choice of the trees may see them."""
    sources = {name: SOURCES[name]() for name in ("popularity", "item_knn")}
    recipe = Recipe(sources, RankerSettings(rounds=10, threads=1))
    request = Request("temporal", TEMPORAL, recipe=recipe, samples=20)
    late = rejecting(table, [(*pair, cut + 3) for pair in _some_before(table, cut, 25)])
    found = [evaluate(one, None, None, request) for one in (table, late)]
    for document in found:
        del document["seconds"]
    assert json.dumps(found[0]) == json.dumps(found[1])


@pytest.mark.parametrize("timed", [True, False])
def test_what_stands_is_what_a_loop_finds(timed) -> None:
    rng = np.random.default_rng(6)
    rows = [(f"u{rng.integers(5)}", "x", f"i{rng.integers(6)}") for _ in range(300)]
    times = [int(x) for x in rng.integers(0, 40, 300)]
    rejects = (rng.random(300) < 0.2).tolist()
    found = log(rows, times if timed else None, rejects)
    place = times if timed else list(range(300))
    standing = [
        (rows[at][0], rows[at][2])
        for at in range(300)
        if not rejects[at] and not any(rejects[n] and rows[n] == rows[at] and place[n] >= place[at] for n in range(300))
    ]
    names = found.names
    kept = found.standing()
    assert sorted(standing) == sorted(
        (names.users[int(user)].as_py(), names.item_ids[int(item)].as_py())
        for user, item in zip(kept.user, kept.item, strict=True)
    )
    assert 0 < len(standing) < rejects.count(False)
    assert kept.standing() is kept
    assert found.seen.nnz == len(set(rows))


@pytest.mark.parametrize("ts", [None, list(range(9)), [0, 0, 0, 0, 0, 1, 1, 2, 2]])
def test_the_last_one_that_stands_is_left_out_with_all_that_came_later(ts) -> None:
    """5 goes back before 4 is bought, and once more at the end; then 2 does."""
    rejects = [False] * 4 + [True, False, False, True, True]
    known = log([("a", "x", item) for item in "123554552"], ts, rejects)
    plan = make_plan("leave-one-out", known, Choices(label_stages=0))
    test, validation = plan.test[0], plan.validation[0]
    assert _truth(test) == {("a", "4")}
    assert _met(test) == [("a", "1"), ("a", "2"), ("a", "3")]  # 2 went back later; the first 5 before
    assert _truth(validation) == {("a", "3")}
    assert _met(validation) == [("a", "1"), ("a", "2")]
    hidden = test.history.seen[0].indices
    assert [known.names.item_ids[int(item)].as_py() for item in hidden] == ["1", "2", "3", "5"]
    assert find_leaks(plan.test) == []


def test_refunds_of_what_is_asked_for_change_whom_but_not_what_is_learned() -> None:
    """A refund of a person's last item moves the question to the one before, and leaves the others' plans alone."""
    table = random_log(people=30)
    first = make_logs([table])[0]
    last = first.where((first.user == 0) & (first.from_end == 0))
    item = int(last.item[0])
    domain = first.names.domains[first.names.item_domain[item]]
    back = rejecting(table, [("u000", domain, first.names.item_ids[item].as_py(), int(last.ts[0]) + DAY)])
    one, two = (make_plan("leave-one-out", make_logs([each])[0], Choices(label_stages=0)) for each in (table, back))
    assert {pair for pair in _truth(one.test[0]) if pair[0] != "u000"} == {
        pair for pair in _truth(two.test[0]) if pair[0] != "u000"
    }
    mine = [[item for user, item in _met(plan.test[0]) if user == "u000"] for plan in (one, two)]
    assert mine[1] == mine[0][:-1]
    assert ("u000", mine[0][-1]) in _truth(two.test[0])


def test_domains_are_cut_apart_where_the_test_is_given() -> None:
    rows = [("a", domain, item) for domain, item in ("x1", "x2", "y7", "y8", "x1", "y7", "x3")]
    asked = [("a", "x", "1"), ("a", "x", "9"), ("a", "y", "9")]
    train, test = make_logs([events(rows, None, [False] * 4 + [True, True, False]), events(asked)])
    plan = make_plan("given", train, Choices(label_stages=0), test)
    assert _met(plan.test[0]) == [("a", "2"), ("a", "8"), ("a", "3")]
    assert _truth(plan.test[0]) == {("a", "9")}  # 1 was rejected before
    assert _truth(plan.validation[0]) == {("a", "3"), ("a", "8")}
    assert _met(plan.validation[0]) == [("a", "2"), ("a", "7")]  # 7 went back after 8


def test_what_is_hidden_is_hidden_with_its_rejections() -> None:
    table = blocks(people=60, items=8)
    plain = make_plan("domain-cold", make_logs([table])[0], Choices(label_stages=0))
    stage = plain.test[0]
    names, queries = stage.train.names, stage.queries[0]
    user = names.users[int(queries.user[0])].as_py()
    there = names.item_ids[int(queries.truth[0].indices[0])].as_py()
    rejected = [(user, names.domains[queries.domain], there, 900 * DAY)]
    again = make_plan("domain-cold", make_logs([rejecting(table, rejected)])[0], Choices(label_stages=0)).test[0]
    assert _met(again) == _met(stage)
    assert again.history.seen[queries.user[0]].nnz == stage.history.seen[queries.user[0]].nnz
    assert _truth(stage) - _truth(again) == {(user, there)}


def test_negatives_were_not_rejected() -> None:
    table = random_log(people=40)
    plain = make_logs([table])[0]
    span = plain.names.span(0)
    unmet = [item for item in range(span.start, span.stop) if item not in plain.item[plain.user == 1]][:6]
    back = [("u001", "art", plain.names.item_ids[item].as_py(), 0) for item in unmet]
    known = make_logs([rejecting(table, back)])[0]
    plan = make_plan("leave-one-out", known, Choices(label_stages=0, negatives=5))
    for stages in (plan.test, plan.validation):
        for queries in stages[0].queries:
            rows = queries.candidates[queries.user == 1]
            assert not set(rows.ravel().tolist()) & set(unmet)


def test_groups_of_moments_do_not_know_later_refunds() -> None:
    """Who is asked last gives back, just before, what the first group's models learn from."""
    table = random_log(people=60)
    choices = Choices(label_stages=0, strict=4)
    plain = make_plan("leave-one-out", make_logs([table])[0], choices)
    domain_of = {row["item_id"]: row["domain"] for row in table.to_pylist()}
    late = {
        plain.test[-1].train.names.users[int(user)].as_py(): int(moment) - 1
        for queries in plain.test[-1].queries
        for user, moment in zip(queries.user, queries.moment, strict=True)
    }
    back = [(user, domain_of[item], item, late[user]) for user, item in _met(plain.test[0]) if user in late]
    assert len(back) > 20
    plan = make_plan("leave-one-out", make_logs([rejecting(table, back)])[0], choices)
    assert set(_met(plain.test[0])) == set(_met(plan.test[0]))
    known = plan.test[-1].history
    assert not {(user, item) for user, _, item, _ in back} & set(_met(replace(plan.test[-1], train=known)))


def test_a_rejection_of_the_future_in_the_training_is_an_error(table, cut) -> None:
    late = make_logs([rejecting(table, [(*pair, cut + DAY) for pair in _some_before(table, cut, 5)])])[0]
    stage = make_plan("temporal", late, TEMPORAL).test[0]
    assert not [leak for leak in find_leaks([stage], cut_in_time=True) if leak.error]
    knowing = late.between(None, cut, rejected_until=None).standing()
    (leak,) = (leak for leak in find_leaks([replace(stage, train=knowing)], cut_in_time=True) if leak.error)
    assert (leak.kind, leak.count) == ("future", 5)


def test_rejections_alone_are_no_log() -> None:
    with pytest.raises(InputError, match="no interaction"):
        log([("a", "x", "1")], [1], [True])
