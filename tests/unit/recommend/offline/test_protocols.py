import numpy as np
import pyarrow as pa
import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.offline.leaks import find_leaks
from crossdomain.recommend.offline.log import make_logs
from crossdomain.recommend.offline.protocols import Choices, make_plan
from tests.unit.recommend.offline.logs import DAY, blocks, events, log, random_log

ROWS = [
    ("a", "x", "1"),
    ("a", "y", "2"),
    ("a", "x", "3"),
    ("a", "x", "4"),
    ("b", "y", "2"),
    ("b", "y", "5"),
    ("b", "x", "1"),
]


def _truth(queries, names) -> list[tuple[str, str]]:
    rows = queries.truth.tocoo()
    return [
        (str(names.users[int(queries.user[r])]), str(names.item_ids[int(c)]))
        for r, c in zip(rows.row, rows.col, strict=True)
    ]


def test_file_order_is_the_order_without_times() -> None:
    plan = make_plan("leave-one-out", log(ROWS), Choices())
    names = plan.test[0].train.names
    assert sorted(pair for queries in plan.test[0].queries for pair in _truth(queries, names)) == [
        ("a", "4"),
        ("b", "1"),
    ]
    found = [pair for queries in plan.validation[0].queries for pair in _truth(queries, names)]
    assert sorted(found) == [("a", "3"), ("b", "5")]
    assert len(plan.validation[0].train) == len(ROWS) - 4


def test_equal_times_keep_file_order_and_later_ones_come_last() -> None:
    plan = make_plan("leave-one-out", log(ROWS[:4], [9, 5, 5, 5]), Choices(label_stages=0))
    names = plan.test[0].train.names
    assert _truth(plan.test[0].queries[0], names) == [("a", "1")]
    assert _truth(plan.validation[0].queries[0], names) == [("a", "4")]


@pytest.mark.parametrize("negatives", [0, 5])
def test_leave_one_out_never_sees_the_test_item(negatives: int) -> None:
    """Another test item leaves everything but the test's truth as it was."""
    table = random_log()
    first = make_logs([table])[0]
    row = int(np.flatnonzero((first.user == 0) & (first.from_end == 0))[0])
    item = first.item.copy()
    span = first.names.span(int(first.domain[row]))
    item[row] = next(i for i in range(span.start, span.stop) if i not in item[first.user == 0])
    second = type(first)(first.names, first.user, item, first.ts, first.weight, first.timed)
    choices = Choices(negatives=negatives)
    one, two = (make_plan("leave-one-out", each, choices) for each in (first, second))
    for mine, other in zip(
        (one.test, one.validation, *one.labels), (two.test, two.validation, *two.labels), strict=True
    ):
        assert np.array_equal(mine[0].train.item, other[0].train.item)
        assert np.array_equal(mine[0].train.user, other[0].train.user)
    for mine, other in zip(one.validation[0].queries, two.validation[0].queries, strict=True):
        assert (mine.truth != other.truth).nnz == 0
        assert np.array_equal(mine.moment, other.moment)
        assert negatives == 0 or np.array_equal(mine.candidates, other.candidates)


def test_negatives_are_unseen_items_of_the_domain_and_repeat() -> None:
    table = random_log(people=60)
    everything = make_logs([table])[0]
    plans = [make_plan("leave-one-out", everything, Choices(negatives=8)) for _ in range(2)]
    for queries, again in zip(plans[0].test[0].queries, plans[1].test[0].queries, strict=True):
        assert np.array_equal(queries.candidates, again.candidates)
        span = everything.names.span(queries.domain)
        for row, user in enumerate(queries.user):
            items = queries.candidates[row]
            truth = queries.truth[row].indices
            met = set(everything.item[everything.user == user])
            assert len(set(items)) == 9
            assert set(items) & met == set(truth)
            assert all(span.start <= i < span.stop for i in items)


def test_temporal_learns_from_before_and_asks_for_what_is_new() -> None:
    table = blocks(days=500)
    plan = make_plan("temporal", make_logs([table])[0], Choices(test_days=60, gap_days=5, label_stages=1))
    end = max(table["ts"].to_pylist()) + 1
    for back, stages in enumerate((plan.test, plan.validation, *plan.labels)):
        start = end - (back + 1) * 60 * DAY
        assert stages[0].train.ts.max() < start - 5 * DAY
        for queries in stages[0].queries:
            assert (queries.moment == start).all()
            assert queries.truth.multiply(stages[0].history.matrix[queries.user]).nnz == 0
    assert find_leaks(plan.test, cut_in_time=True) == []


def test_domain_cold_hides_the_target_from_the_people_who_are_asked() -> None:
    everything = make_logs([blocks()])[0]
    plan = make_plan("domain-cold", everything, Choices(label_stages=1))
    asked = set()
    for stages in (plan.test, plan.validation, *plan.labels):
        assert len(stages) == 2
        for stage in stages:
            (queries,) = stage.queries
            span = everything.names.span(queries.domain)
            assert stage.history.matrix[queries.user][:, span].nnz == 0
            assert queries.truth.nnz == everything.matrix[queries.user][:, span].nnz
        people = set(stages[0].queries[0].user.tolist())
        assert not people & asked
        asked |= people
    share = len(plan.test[0].queries[0]) / 120
    assert 0.1 < share < 0.3


def test_given_asks_for_the_test_and_validates_on_each_domains_last() -> None:
    train, test = make_logs([events(ROWS), events([("a", "x", "9"), ("b", "y", "7"), ("new", "x", "1")])])
    plan = make_plan("given", train, Choices(label_stages=0), test)
    names = train.names
    found = [pair for queries in plan.test[0].queries for pair in _truth(queries, names)]
    assert sorted(found) == [("a", "9"), ("b", "7")]
    found = [pair for queries in plan.validation[0].queries for pair in _truth(queries, names)]
    assert sorted(found) == [("a", "2"), ("a", "4"), ("b", "1"), ("b", "5")] or sorted(found) == [
        ("a", "2"),
        ("a", "4"),
    ]
    assert len(plan.test[0].train) == len(ROWS)


def test_leaks_are_found() -> None:
    train, test = make_logs([events(ROWS), events([("a", "x", "3"), ("b", "y", "7")])])
    plan = make_plan("given", train, Choices(label_stages=0), test)
    assert find_leaks(plan.test) == []  # what was met before is not asked for
    crowd = [(f"p{n}", "x", item) for n in range(12) for item in ("one", "same")] + [
        ("q", "y", "one"),
        ("q", "x", "z"),
        ("q", "y", "w"),
        *[("r", "y", item) for item in "efg"],
    ]
    twin = make_plan(
        "leave-one-out", log([*crowd, *[(f"p{n}", "x", f"o{n}") for n in range(12)]]), Choices(label_stages=0)
    )
    kinds = {leak.kind: leak for leak in find_leaks(twin.test)}
    assert kinds["two_domains"].examples == ("one",)
    assert kinds["two_ids"].examples == ("x:one = x:same",)
    assert not any(leak.error for leak in kinds.values())
    items = pa.table({"item_id": ["1", "2", "3"], "domain": ["x", "x", "y"], "title": ["A Book ", "a book", "A book"]})
    assert find_leaks(plan.test, items)[0].count == 1


def test_a_broken_split_is_an_error() -> None:
    train = log(ROWS, [1, 2, 3, 4, 1, 2, 3])
    plan = make_plan("leave-one-out", train, Choices(label_stages=0))
    stage = plan.test[0]
    broken = type(stage)(train, train, stage.catalogue, stage.queries)
    assert {leak.kind for leak in find_leaks([broken]) if leak.error} == {"test_in_training"}
    early = [type(q)(q.domain, q.user, q.moment - 3, q.truth) for q in stage.queries]
    broken = type(stage)(stage.train, stage.history, stage.catalogue, tuple(early))
    assert {leak.kind for leak in find_leaks([broken]) if leak.error} == {"future"}


@pytest.mark.parametrize(
    ("protocol", "message"),
    [("temporal", "needs ts"), ("given", "--test"), ("other", "give one of"), ("leave-one-out", "three interactions")],
)
def test_what_lacks_is_said(protocol: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(protocol, log([("a", "x", "1"), ("a", "x", "2")]), Choices())


def test_strict_groups_learn_only_from_before_their_first_moment() -> None:
    everything = make_logs([random_log(people=60)])[0]
    plain = make_plan("leave-one-out", everything, Choices(label_stages=0))
    strict = make_plan("leave-one-out", everything, Choices(label_stages=0, strict=4))
    assert len(strict.test) >= 3
    for stage in strict.test:
        first = min(int(queries.moment.min()) for queries in stage.queries)
        assert stage.train.ts.max() < first
        assert np.array_equal(stage.history.item, plain.test[0].history.item)
    asked = sum(len(queries) for stage in strict.test for queries in stage.queries)
    assert 0.7 * len(plain.test[0].history.names.users) < asked <= len(plain.test[0].history.names.users)


def test_the_last_known_moment_is_that_of_the_history() -> None:
    plan = make_plan("leave-one-out", log(ROWS[:4], [1, 2, 3, 9]), Choices(label_stages=0, moment="last"))
    assert plan.test[0].queries[0].moment.tolist() == [3]


@pytest.mark.parametrize(
    ("protocol", "choices", "message"),
    [
        ("temporal", {"negatives": 9}, "goes with leave-one-out"),
        ("given", {"strict": 2}, "goes with leave-one-out"),
        ("leave-one-out", {"moment": "now"}, "event or last"),
        ("domain-cold", {"cold_share": 0.7}, "at most 0.5"),
        ("leave-one-out", {"negatives": 50}, "never met: give at most"),
        ("leave-one-out", {"test_days": 30}, "--test-days goes with temporal, not with leave-one-out"),
        ("given", {"gap_days": 3}, "--gap-days goes with temporal"),
        ("temporal", {"cold_share": 0.3}, "--cold-share goes with domain-cold"),
        ("domain-cold", {"moment": "last"}, "--moment goes with leave-one-out and given"),
        ("temporal", {"test_days": 500}, "events, from 1970-01-.* to 1971-.*, leave nobody .* 500 days"),
    ],
)
def test_choices_that_do_not_fit_are_refused(protocol: str, choices: dict, message: str) -> None:
    everything = make_logs([random_log(people=10)])[0]
    with pytest.raises(InputError, match=message):
        make_plan(protocol, everything, Choices(**choices))


def test_a_domain_that_nobody_validates_is_named() -> None:
    """All of the second domain happens in the last days: it can be tested, but nothing can be chosen for it."""
    day = 86_400
    rows = [(f"u{person}", "x", str(item)) for person in range(5) for item in range(4)]
    times = [item * 20 * day for _ in range(5) for item in range(4)]
    late = [(f"u{person}", "y", "1") for person in range(5)]
    with pytest.raises(InputError, match="temporal leaves nobody of y for the validation"):
        make_plan("temporal", log([*rows, *late], [*times, *[65 * day] * 5]), Choices(test_days=20))


def test_what_of_a_given_test_is_not_asked_for_is_counted() -> None:
    rows = [("a", "x", "9"), ("a", "x", "3"), ("new", "x", "1"), ("newer", "x", "9")]
    train, test = make_logs([events(ROWS), events(rows)])
    plan = make_plan("given", train, Choices(label_stages=0), test)
    assert plan.left_out == {"of people without events": 2, "met before": 1}
    train, test = make_logs([events(ROWS), events(rows[1:])])
    with pytest.raises(
        InputError, match=r"nothing of --test can be asked for .2 of people without events, 1 met before"
    ):
        make_plan("given", train, Choices(label_stages=0), test)
    timed, test = make_logs([events(ROWS, list(range(len(ROWS)))), events(rows)])
    with pytest.raises(InputError, match="have ts and those of --test have none"):
        make_plan("given", timed, Choices(label_stages=0), test)
    assert make_plan("given", timed, Choices(label_stages=0, moment="last"), test).left_out == plan.left_out
