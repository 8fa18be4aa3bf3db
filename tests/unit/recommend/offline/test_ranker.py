import numpy as np
import pytest

from crossdomain.recommend.offline.blend import Blend, blended, fit_linear
from crossdomain.recommend.offline.log import make_logs
from crossdomain.recommend.offline.protocols import Choices, make_plan
from crossdomain.recommend.offline.ranker import Examples, RankerSettings, thinned, train
from crossdomain.recommend.offline.ranker_search import tune_ranker
from crossdomain.recommend.offline.search import SearchSettings, climb, useful_space
from crossdomain.recommend.offline.sources import SOURCES
from crossdomain.recommend.offline.sources.knn import PersonKnn
from tests.unit.recommend.offline.logs import blocks, events

NAMES = ("a_all_share", "b_all_share", "noise_place", "history")


def _choices(queries: int = 1500, size: int = 8, seed: int = 2) -> Examples:
    """One true candidate a query, drawn by a softmax with weights 2, -1 and 0."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((queries * size, 4)).astype(np.float32)
    values[:, 3] = np.repeat(rng.standard_normal(queries), size)
    score = (values[:, :2] @ np.array([2.0, -1.0])).reshape(queries, size)
    label = np.zeros((queries, size), dtype=np.int8)
    label[np.arange(queries), (score + rng.gumbel(size=score.shape)).argmax(axis=1)] = 1
    sizes = np.full(queries, size)
    return Examples(values, label.ravel(), sizes, np.arange(queries) % 2)


def test_the_blend_finds_the_weights_that_drew_the_choices() -> None:
    one = _choices(queries=4000)
    linear = fit_linear(one.values[:, :3], one.label, one.sizes, ridge=0.1)
    assert (linear.weight / linear.spread).tolist() == pytest.approx([2, -1, 0], abs=0.12)
    shrunk = fit_linear(one.values[:, :3], one.label, one.sizes, ridge=1e6)
    assert abs(shrunk.weight).max() < 0.01


def test_the_blend_is_a_maximum_of_the_likelihood() -> None:
    one = _choices(queries=300)

    def likelihood(weight: np.ndarray) -> float:
        score = (linear.scaled(one.values[:, :3]) @ weight).reshape(300, 8).astype(np.float64)
        true = score[np.arange(300), one.label.reshape(300, 8).argmax(axis=1)]
        return float((true - np.log(np.exp(score).sum(axis=1))).sum() - 0.5 * (weight**2).sum())

    linear = fit_linear(one.values[:, :3], one.label, one.sizes, ridge=1.0)
    best = likelihood(linear.weight)
    for at in range(3):
        for step in (-0.05, 0.05):
            moved = linear.weight.astype(np.float64)
            moved[at] += step
            assert likelihood(moved) < best


def test_unknown_and_constant_features_are_harmless() -> None:
    one = _choices(queries=200)
    values = one.values[:, :3].copy()
    values[:, 2] = np.nan
    values[::7, 1] = np.nan
    linear = fit_linear(values, one.label, one.sizes, ridge=1.0)
    assert np.isfinite(linear.weight).all()
    assert linear.weight[2] == 0
    blend = Blend(np.arange(3), {0: linear})
    assert np.isfinite(blend.score(values, 0)).all()
    assert not blend.score(values, 1).any()


def test_the_blend_uses_what_differs_between_candidates() -> None:
    names = ["als_all", "als_all_share", "als_place", "item_total", "item_knn_all", "item_age", "history", "domain"]
    assert blended(names).tolist() == [1, 2, 3, 5]


def test_trees_that_do_not_help_are_left_out_and_bags_average() -> None:
    learn, watch = _choices(seed=2), _choices(queries=600, seed=3)
    settings = RankerSettings(rounds=30, patience=5, least_rows=50, blend=1.0, threads=1)
    noise = Examples(watch.values, watch.label, watch.sizes, watch.domain)
    found = train(learn, noise, NAMES, settings)
    first = float(np.corrcoef(found.score(watch.values, 0), 2 * watch.values[:, 0] - watch.values[:, 1])[0, 1])
    assert first > 0.97
    three = train(learn, None, NAMES, RankerSettings(rounds=5, least_rows=50, blend=0, bags=3, threads=1))
    alone = [
        train(learn, None, NAMES, RankerSettings(rounds=5, least_rows=50, blend=0, seed=seed, threads=1))
        for seed in (7, 8, 9)
    ]
    mean = np.mean([one.score(watch.values, 0) for one in alone], axis=0)
    np.testing.assert_allclose(three.score(watch.values, 0), mean, atol=1e-6)
    bare = train(learn, None, NAMES, settings, 0)
    assert bare.boosters == ()
    assert bare.score(watch.values, 0) == pytest.approx(bare.blend.score(watch.values, 0))


def test_thinning_keeps_the_true_ones() -> None:
    one = _choices(queries=50)
    found = thinned(one, RankerSettings(negatives=3))
    assert found.sizes.max() == 3
    assert found.label.sum() == one.label.sum() == 50  # the true one counts
    assert len(found.values) == found.sizes.sum()
    assert thinned(one, RankerSettings(negatives=3)).values.tobytes() == found.values.tobytes()


def test_climbing_starts_at_the_start_and_gets_near_the_top() -> None:
    def height(one: RankerSettings) -> float:
        return -abs(one.leaves - 15) - 10 * abs(one.learning_rate - 0.02)

    space = {"leaves": (7, 15, 31), "learning_rate": (0.02, 0.06, 0.1)}
    found = climb(RankerSettings(), space, height, trials=8, rng=np.random.default_rng(1))
    assert found[0] == (RankerSettings(), height(RankerSettings()))
    assert len({one for one, _ in found}) == len(found) == 8
    assert max(value for _, value in found) > height(RankerSettings())
    few = climb(RankerSettings(), {"leaves": (31, 7)}, height, trials=8, rng=np.random.default_rng(1))
    assert len(few) == 2
    late = climb(RankerSettings(), space, height, trials=8, rng=np.random.default_rng(1), late=lambda: True)
    assert len(late) == 1


def test_settings_that_change_nothing_are_not_searched() -> None:
    untimed = make_logs([events([("a", "x", "1"), ("a", "x", "2"), ("a", "x", "3")])])[0]
    stages = make_plan("leave-one-out", untimed, Choices(label_stages=0)).validation
    assert set(useful_space(PersonKnn, stages)) == set(PersonKnn.space) - {"half_life_days", "across"}
    both = make_plan("leave-one-out", make_logs([blocks()])[0], Choices(label_stages=0)).validation
    assert useful_space(PersonKnn, both) == PersonKnn.space


@pytest.mark.parametrize("stages", [0, 1])
def test_the_search_of_the_ranker_repeats_and_is_no_worse_than_its_start(stages) -> None:
    plan = make_plan("leave-one-out", make_logs([blocks()])[0], Choices(label_stages=stages))
    sources = {name: SOURCES[name]() for name in ("popularity", "item_knn")}
    start = RankerSettings(rounds=15, patience=5, least_rows=5, threads=1)
    settings = SearchSettings(trials=4, threads=1)
    first, second = (tune_ranker(plan, sources, start, settings, (5,)) for _ in range(2))
    assert first == second
    alone = tune_ranker(plan, sources, start, SearchSettings(trials=1, threads=1), ())
    assert first[1] >= alone[1] > 0
