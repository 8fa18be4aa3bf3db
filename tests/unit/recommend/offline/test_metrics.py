import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from crossdomain.recommend.offline.kernels import best_columns, expected_ranks, pair_cosines, unions
from crossdomain.recommend.offline.metrics import Bootstrap, gini, of_lists, per_person
from crossdomain.recommend.offline.protocols import Queries
from crossdomain.recommend.offline.ranking import Ranking
from tests.unit.recommend.offline.logs import log


def _ranking(ranks: list[list[float]], items: int = 30) -> Ranking:
    truth = sp.csr_matrix(
        (
            np.ones(sum(map(len, ranks))),
            np.concatenate([np.arange(len(row)) for row in ranks]),
            np.cumsum([0, *map(len, ranks)]),
        ),
        shape=(len(ranks), items),
    )
    people = np.arange(len(ranks))
    queries = Queries(0, people.astype(np.int32), np.zeros(len(ranks), np.int64), truth)
    return Ranking(queries, np.concatenate(ranks).astype(float), np.full((len(ranks), 50), -1, np.int32))


def test_a_hand_computed_list() -> None:
    found = per_person(_ranking([[1.0, 3.0, 40.0], [math.inf], [6.0]]))
    assert found["hr@5"].tolist() == [1, 0, 0]
    assert found["recall@5"].tolist() == pytest.approx([2 / 3, 0, 0])
    assert found["precision@10"].tolist() == pytest.approx([0.2, 0, 0.1])
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["ndcg@10"].tolist() == pytest.approx([(1 + 1 / 2) / ideal, 0, 1 / math.log2(7)])
    assert found["mrr@10"].tolist() == pytest.approx([1, 0, 1 / 6])
    assert found["recall@50"].tolist() == pytest.approx([1, 0, 1])


def test_ndcg_of_many_true_items_is_one_for_the_ideal_list() -> None:
    found = per_person(_ranking([[float(rank) for rank in range(1, 31)]]))
    assert found["ndcg@5"][0] == pytest.approx(1)
    assert found["ndcg@50"][0] == pytest.approx(1)


def test_ranks_against_the_mean_of_all_orders_of_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (20, 15)).astype(np.float32)
    columns = rng.integers(0, 15, 20)
    found = expected_ranks(scores, np.arange(21), columns.astype(np.int32))
    for row, column in enumerate(columns):
        shuffled = []
        for _ in range(4000):
            noise = rng.random(15) * 0.5
            shuffled.append(1 + int(np.sum(scores[row] + noise > scores[row, column] + noise[column])))
        assert found[row] == pytest.approx(np.mean(shuffled), abs=0.25)


def test_answers_of_some_people_are_theirs() -> None:
    whole = _ranking([[1.0, 3.0], [math.inf], [6.0, 2.0, 9.0], [4.0]])
    keep = np.array([False, True, True, False])
    part = whole.where(keep)
    assert part.rank.tolist() == [math.inf, 6, 2, 9]
    for name, values in per_person(whole).items():
        assert per_person(part)[name].tolist() == values[keep].tolist()


def test_what_cannot_be_shown_has_no_rank() -> None:
    scores = np.array([[1, -np.inf, 0]], dtype=np.float32)
    assert expected_ranks(scores, np.array([0, 2]), np.array([1, 2])).tolist() == [np.inf, 2]


def test_a_constant_score_is_as_good_as_chance() -> None:
    scores = np.zeros((1, 101), dtype=np.float32)
    assert expected_ranks(scores, np.array([0, 1]), np.array([7])).tolist() == [51]


def test_best_columns_are_those_of_a_stable_sort() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 6, (30, 40)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.7] = -np.inf
    found = best_columns(scores, 10)
    for row in range(len(scores)):
        order = np.argsort(-scores[row], kind="stable")[:10]
        wanted = np.where(np.isneginf(scores[row][order]), -1, order)
        assert found[row].tolist() == wanted.tolist()


def test_unions_hold_each_column_once() -> None:
    indptr, columns = unions(np.array([[3, 1, 3, -1], [-1, -1, -1, -1], [0, 2, 1, 0]], dtype=np.int32), 5)
    assert indptr.tolist() == [0, 2, 2, 5]
    assert columns.tolist() == [1, 3, 0, 1, 2]


def test_gini_of_one_item_and_of_all() -> None:
    assert gini(np.array([2, 2, 2, 2])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    assert gini(np.zeros(3, dtype=np.int64)) == 0


def test_the_bootstrap_pairs_people_and_repeats() -> None:
    rng = np.random.default_rng(2)
    base = rng.random(300)
    values = {"a": base, "b": base + 0.01, "same": np.full(300, 0.5)}
    means = [Bootstrap(300, samples=400).means({"x": values, "y": {**values, "a": base + 0.1}}) for _ in range(2)]
    found = means[0]["x"].intervals()
    assert found == means[1]["x"].intervals()
    assert found["b"].low - found["a"].low == pytest.approx(0.01, abs=1e-5)
    assert (found["same"].low, found["same"].high) == (0.5, 0.5)
    half = 1.96 * base.std() / math.sqrt(300)
    assert found["a"].high - found["a"].value == pytest.approx(half, rel=0.2)
    paired = means[0]["y"].minus(means[0]["x"]).intervals()["a"]
    assert (paired.low, paired.value, paired.high) == pytest.approx((0.1, 0.1, 0.1))


def test_a_segment_is_resampled_within_everybody() -> None:
    values = {"x": {"a": np.r_[np.zeros(100), np.ones(100)]}}
    found = Bootstrap(200, samples=200).means(values, np.arange(200) >= 100)["x"].intervals()["a"]
    assert (found.value, found.low, found.high, found.n) == (1, 1, 1, 100)


def test_lists_as_a_whole() -> None:
    train = log([("a", "d", "1"), ("a", "d", "2"), ("b", "d", "1"), ("b", "d", "2"), ("c", "d", "3"), ("c", "d", "4")])
    truth = sp.csr_matrix(([1.0, 1.0], ([0, 1], [2, 2])), shape=(2, 4))
    queries = Queries(0, np.array([0, 1], np.int32), np.zeros(2, np.int64), truth)
    lists = np.full((2, 50), -1, np.int32)
    lists[:, :2] = [[0, 1], [0, 2]]
    shown = of_lists(Ranking(queries, np.ones(2), lists), train)
    means = Bootstrap(2, samples=20).of_lists({"x": shown})["x"]
    found = dict(zip(means.names, means.value.tolist(), strict=True))
    assert found["coverage@5"] == 0.75
    # items 1 and 2 were met by the same people, 1 and 3 by none in common
    assert found["diversity@5"] == pytest.approx((0 + 1) / 2)
    assert found["novelty@5"] == pytest.approx(np.mean([math.log2(3 / 2)] * 3 + [math.log2(3)]))
    assert found["gini@5"] == pytest.approx(gini(np.array([2, 1, 1, 0])))
    own = means.minus(means).intervals()["coverage@5"]
    assert (own.low, own.value, own.high) == (0, 0, 0)


def test_intervals_of_lists_are_as_wide_as_other_people_would_differ() -> None:
    """The spread over resampled people against that over new people: items are drawn by a fixed popularity."""
    rng = np.random.default_rng(5)
    people, items, draws = 150, 200, 120
    share = 1 / np.arange(1, items + 1)
    share /= share.sum()

    def lists_of(generator: np.random.Generator) -> Ranking:
        lists = np.full((people, 50), -1, np.int32)
        for row in range(people):
            lists[row, :5] = generator.choice(items, size=5, replace=False, p=share)
        return replace(_ranking([[1.0]] * people, items=items), lists=lists)

    train = log([(f"u{n}", "d", f"{n % items:03d}") for n in range(400)])
    worlds = [of_lists(lists_of(rng), train, cutoffs=(5,)) for _ in range(draws)]
    plain = Bootstrap(people, samples=1)
    values = np.stack([plain.of_lists({"x": world})["x"].value for world in worlds])
    means = Bootstrap(people, samples=200).of_lists({"x": worlds[0]})["x"]
    for at, name in enumerate(means.names):
        assert means.draws[:, at].mean() == pytest.approx(means.value[at], rel=0.05)
        if name.startswith(("coverage", "gini", "novelty")):
            assert means.draws[:, at].std() == pytest.approx(values[:, at].std(), rel=0.35), name


def test_pair_cosines_are_those_of_dense_columns() -> None:
    rng = np.random.default_rng(2)
    met = (rng.random((30, 8)) < 0.4).astype(float)
    met[:, 7] = 0  # nobody met it
    people = sp.csc_matrix(met)
    lists = np.array([[3, 1, 7, 5], [2, 2, -1, -1], [-1, -1, -1, -1]], dtype=np.int32)
    found = pair_cosines(lists, people.indptr, people.indices, 30)
    unit = met / np.maximum(np.sqrt(met.sum(axis=0)), 1)
    for row, items in enumerate(lists):
        for place in range(4):
            shown = [item for item in items[: place + 1] if item >= 0]
            wanted = sum(unit[:, a] @ unit[:, b] for at, a in enumerate(shown) for b in shown[:at])
            assert found[row, place] == pytest.approx(wanted)
