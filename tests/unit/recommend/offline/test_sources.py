import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from crossdomain.recommend.offline.log import make_logs
from crossdomain.recommend.offline.protocols import DAY, Choices, make_plan
from crossdomain.recommend.offline.search import SearchSettings, tune_source
from crossdomain.recommend.offline.sources import SOURCES, Asked
from crossdomain.recommend.offline.sources.als import Als
from crossdomain.recommend.offline.sources.content import Content
from crossdomain.recommend.offline.sources.ease import Ease, closed_form
from crossdomain.recommend.offline.sources.knn import ItemKnn, PersonKnn, compact, greatest, product
from crossdomain.recommend.offline.sources.person_ridge import PersonRidge
from crossdomain.recommend.offline.sources.popular import DecayedPopularity, LatestPopularity, SegmentPopularity
from crossdomain.recommend.offline.sources.sequence import NextItem, pairs
from crossdomain.recommend.offline.sources.transitions import Transitions
from crossdomain.recommend.offline.sources.wide_ease import WideEase
from tests.unit.recommend.offline.logs import blocks, events, log, random_log


def _asked(history, domain=0, people=None, moment=None) -> Asked:
    users = np.arange(len(history.names.users), dtype=np.int32) if people is None else np.array(people, np.int32)
    when = np.full(len(users), int(history.ts.max()) + 1 if moment is None else moment, dtype=np.int64)
    return Asked(history, domain, users, when)


@pytest.fixture(scope="module")
def noise():
    return make_logs([random_log()])[0]


@pytest.fixture(scope="module")
def structure():
    return make_logs([blocks()])[0]


@pytest.mark.parametrize("name", sorted(SOURCES.keys() - {"content"}))
def test_scores_have_a_shape_are_finite_and_repeat(name, noise) -> None:
    source = SOURCES[name]()
    if name == "vector_mapping":
        source = SOURCES[name](factors=4)
    if name == "segment_popularity":
        source = SegmentPopularity(segments=3, directions=4)
    if name == "latest_popularity":
        noise = make_logs([random_log(timed=False)])[0]
    assert source.applies(noise)
    blocks_of = [source.score(source.learn(noise, seed=7, threads=2), _asked(noise, 1)) for _ in range(2)]
    span = noise.names.span(1)
    assert blocks_of[0].shape == (len(noise.names.users), span.stop - span.start)
    assert blocks_of[0].dtype == np.float32
    assert np.isfinite(blocks_of[0]).all()
    assert blocks_of[0].tobytes() == blocks_of[1].tobytes()


@pytest.mark.parametrize(
    "name",
    [
        "als",
        "ease",
        "wide_ease",
        "item_knn",
        "next_item",
        "person_knn",
        "person_ridge",
        "segment_popularity",
        "transitions",
    ],
)
def test_people_get_the_items_of_their_block(name, structure) -> None:
    source = SOURCES[name]() if name != "segment_popularity" else SegmentPopularity(segments=4, directions=6)
    for domain in (0, 1):
        scores = source.score(source.learn(structure, seed=7, threads=1), _asked(structure, domain))
        ids = structure.names.item_ids.to_pylist()[structure.names.span(domain)]
        kind = np.array([int(one.split("-")[1]) for one in ids])
        people = np.array([int(one[1:]) % 4 for one in structure.names.users.to_pylist()])
        own = kind[None, :] == people[:, None]
        for row in range(len(scores)):
            assert scores[row][own[row]].mean() > 2 * abs(scores[row][~own[row]]).mean()


def test_the_mapping_finds_the_block_from_the_other_side(structure) -> None:
    lost = (structure.domain == 1) & (structure.user < 20)
    train = structure.where(~lost)
    source = SOURCES["vector_mapping"](factors=8)
    scores = source.score(source.learn(train, seed=7, threads=1), _asked(train, 1, range(20)))
    ids = structure.names.item_ids.to_pylist()[structure.names.span(1)]
    best = [int(ids[at].split("-")[1]) for at in scores.argmax(axis=1)]
    assert best == [int(one[1:]) % 4 for one in structure.names.users.to_pylist()[:20]]


def test_item_knn_is_the_dense_cosine(noise) -> None:
    source = ItemKnn()
    found = source.score(source.learn(noise, seed=7, threads=1), _asked(noise, 0))
    met = noise.matrix.toarray().astype(np.float64)
    together = met.T @ met
    size = np.maximum(np.diag(together), 1e-12)
    cosine = together / np.sqrt(np.outer(size, size))
    np.fill_diagonal(cosine, 0)
    np.testing.assert_allclose(found, (met @ cosine)[:, noise.names.span(0)], rtol=1e-5, atol=1e-6)


def test_item_knn_keeps_the_nearest_and_the_views_add_up(noise) -> None:
    source = ItemKnn(neighbours=5)
    state = source.learn(noise, seed=7, threads=1)
    assert np.diff(state.indptr).max() == 5
    asked = _asked(noise, 0)
    parts = [source.score(state, asked, view) for view in ("within", "across")]
    np.testing.assert_allclose(sum(parts), source.score(state, asked), rtol=1e-5, atol=1e-6)


def test_person_knn_leaves_the_person_out() -> None:
    alone = log([("a", "x", "1"), ("a", "x", "2"), ("b", "x", "1"), ("b", "x", "3"), ("c", "x", "4")])
    source = PersonKnn()
    found = source.score(source.learn(alone, seed=7, threads=1), _asked(alone))
    assert (found[0] > 0).tolist() == [True, False, True, False]
    assert not found[2].any()


def test_ease_is_its_closed_form(noise) -> None:
    source = Ease(ridge=3.0)
    items, parts = source.learn(noise, seed=7, threads=1)
    weights = np.hstack(parts)
    met = noise.matrix.toarray().astype(np.float64)[:, items]
    inverse = np.linalg.inv(met.T @ met + 3 * np.eye(met.shape[1]))
    wanted = np.eye(met.shape[1]) - inverse / np.diag(inverse)
    np.testing.assert_allclose(weights, wanted, atol=1e-4)
    assert not np.diag(weights).any()
    found = source.score((items, parts), _asked(noise, 1))
    full = np.zeros((len(met), len(noise.names.item_ids)))
    full[:, items] = met @ wanted
    np.testing.assert_allclose(found, full[:, noise.names.span(1)], atol=1e-3)


def test_ease_solves_the_ridge_regression_of_a_column() -> None:
    """Each column is the least squares of that item on the others, its own weight being 0 (the constraint)."""
    rng = np.random.default_rng(4)
    met = (rng.random((60, 8)) < 0.4).astype(np.float64)
    weights = closed_form((met.T @ met).astype(np.float32), 2.0)
    for item in range(8):
        others = np.delete(np.arange(8), item)
        x = met[:, others]
        solved = np.linalg.solve(x.T @ x + 2 * np.eye(7), x.T @ met[:, item])
        np.testing.assert_allclose(weights[others, item], solved, atol=1e-4)


def test_ease_over_people_is_ease(noise) -> None:
    """Woodbury: without the powers the weights are those of the closed form over items, for any people's weights."""
    for power in (0.0, 0.7):
        wide = WideEase(ridge=0.4, person_power=power)
        weight = np.power(np.maximum(np.diff(noise.matrix.indptr), 1), -power)
        met = noise.matrix.toarray().astype(np.float64)
        ridge = 0.4 * (weight * met.sum(axis=1)).mean()
        inverse = np.linalg.inv(met.T @ (weight[:, None] * met) + ridge * np.eye(met.shape[1]))
        weights = np.eye(met.shape[1]) - inverse / np.diag(inverse)
        for domain in (0, 1):
            span = noise.names.span(domain)
            found = wide.score(wide.learn(noise, seed=7, threads=1), _asked(noise, domain))
            fresh = met[:, span] == 0  # what was met is not shown; only there the diagonal counts
            np.testing.assert_allclose(found[fresh], (met @ weights)[:, span][fresh], atol=1e-4)


def test_ease_over_people_sums_its_views(noise) -> None:
    wide = WideEase(item_power=0.5, target_power=0.25)
    state, asked = wide.learn(noise, seed=7, threads=1), _asked(noise, 0)
    parts = [wide.score(state, asked, view) for view in ("within", "across")]
    np.testing.assert_allclose(sum(parts), wide.score(state, asked), rtol=1e-4, atol=1e-5)


CATALOGUE = pa.table(
    {
        "item_id": ["1", "2", "3", "4", "5", "6"],
        "domain": ["x", "x", "x", "y", "y", "y"],
        "text": ["敏感肌 修护 面霜", "修护 面霜 保湿", "编程 入门", "Python 编程 入门 课程", "护肤 课程 敏感肌", None],
    }
)


def test_content_finds_items_with_the_same_words_also_new_ones_and_across_domains() -> None:
    train = make_logs([events([("a", "x", "1"), ("b", "x", "3"), ("c", "y", "6")])], CATALOGUE)[0]
    assert train.names.texts.to_pylist() == [*CATALOGUE["text"].to_pylist()[:-1], ""]
    source = Content()
    assert source.applies(train)
    state = source.learn(train, seed=7, threads=1)
    here, there = (source.score(state, _asked(train, domain)) for domain in (0, 1))
    assert here[0].argmax() == 1  # nobody met item 2: its text is like that of item 1
    assert here[0][0] == 0  # not its own neighbour
    assert [there[0].argmax(), there[1].argmax()] == [1, 0]
    assert not here[2].any()


def test_content_similarity_is_the_cosine_of_tf_idf() -> None:
    texts = ["aa bb bb cc", "aa bb", "cc dd", "dd ee ee"]
    catalogue = pa.table({"item_id": list("1234"), "domain": ["x"] * 4, "text": texts})
    train = make_logs([events([("a", "x", "1")])], catalogue)[0]
    similar, _ = Content().learn(train, seed=7, threads=1)
    words = ("aa", "bb", "cc", "dd")  # ee is in one text only
    count = np.array([[text.split().count(word) for word in words] for text in texts], dtype=float)
    weight = np.where(count > 0, 1 + np.log(np.maximum(count, 1)), 0) * (1 + np.log(5 / (1 + (count > 0).sum(axis=0))))
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    wanted = unit @ unit.T
    np.fill_diagonal(wanted, 0)
    np.testing.assert_allclose(similar.toarray(), wanted, atol=1e-6)


def test_content_without_shared_words_or_texts() -> None:
    alone = make_logs([events([("a", "x", "1")])], CATALOGUE.slice(2, 1))[0]
    assert not Content().applies(alone)
    assert not Content().applies(log([("a", "x", "1")]))
    apart = CATALOGUE.slice(0, 2).set_column(2, "text", pa.array(["alpha", "beta"]))
    train = make_logs([events([("a", "x", "1")])], apart)[0]
    found = Content().score(Content().learn(train, seed=7, threads=1), _asked(train))
    assert not found.any()


def test_als_folds_in_the_exact_minimum(noise) -> None:
    source = Als(factors=6, regularization=2.0, alpha=7.0)
    (folds,), _ = source.learn(noise, seed=7, threads=1)
    found = source.vectors(folds, _asked(noise))
    met = noise.matrix.toarray()
    for row in range(len(found)):
        known = [d for d in (0, 1) if met[row, noise.names.span(d)].any()]
        columns = np.flatnonzero(np.isin(noise.names.item_domain, known))
        y = folds.factors[columns].astype(np.float64)
        weight = np.where(met[row, columns] > 0, 7.0, 1.0)
        left = y.T @ (weight[:, None] * y) + 2 * np.eye(6)
        np.testing.assert_allclose(found[row], np.linalg.solve(left, y.T @ (weight * met[row, columns])), atol=2e-3)


def test_als_averages_its_starts(noise) -> None:
    asked = _asked(noise, 1)
    alone = [Als(factors=6) for _ in range(3)]
    scores = [one.score(one.learn(noise, seed=7 + n, threads=1), asked) for n, one in enumerate(alone)]
    three = Als(factors=6, starts=3)
    found = three.score(three.learn(noise, seed=7, threads=1), asked)
    np.testing.assert_allclose(found, np.mean(scores, axis=0), atol=1e-5)
    assert abs(scores[0] - scores[1]).max() > 0.01


def test_decayed_popularity_counts_what_was_before_the_moment() -> None:
    one = log([("a", "x", "1"), ("b", "x", "1"), ("c", "x", "2")], [0, 10 * DAY, 30 * DAY])
    source = DecayedPopularity(half_life_days=10)
    state = source.learn(one, seed=7, threads=1)
    moments = np.array([0, 10 * DAY, 20 * DAY, 40 * DAY], dtype=np.int64)
    found = source.score(state, Asked(one, 0, np.zeros(4, np.int32), moments))
    wanted = [[0, 0], [0.5, 0], [0.75, 0], [0.5**4 + 0.5**3, 0.5]]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    for row, moment in enumerate(moments):
        same = source.score(state, _asked(one, people=[0], moment=int(moment)))
        np.testing.assert_allclose(same[0], found[row], rtol=1e-5)


def test_transitions_have_a_direction() -> None:
    chain = log([(f"u{n}", "x", item) for n in range(5) for item in ("1", "2", "3")] + [("new", "x", "2")])
    source = Transitions(window=2, step_decay=0.5, backward=0.0, source_power=0, target_power=0)
    state = source.learn(chain, seed=7, threads=1)
    np.testing.assert_allclose(state, [[0, 5, 2.5], [0, 0, 5], [0, 0, 0]])
    found = source.score(state, _asked(chain, people=[0]))
    assert found[0].argmax() == 2


def test_steps_do_not_cross_the_pause_between_sessions() -> None:
    minutes = [0, 20, 20 + 31, 20 + 31 + 1440, 20 + 31 + 2881]
    chain = log([("u", "x", item) for item in "12345"], [60 * minute for minute in minutes])
    pairs = {}
    for gap in (0, 30, 31, 1440):
        source = Transitions(
            window=4, step_decay=0.5, gap_minutes=gap, backward=0, source_power=0, target_power=0, place_decay=1
        )
        state = source.learn(chain, seed=7, threads=1)
        pairs[gap] = {(int(a), int(b)): float(state[a, b]) for a, b in zip(*state.nonzero(), strict=True)}
    assert pairs[0] == {(a, b): 0.5 ** (b - a - 1) for a in range(5) for b in range(a + 1, 5)}
    assert pairs[30] == {(0, 1): 1}
    assert pairs[31] == {(0, 1): 1, (1, 2): 1, (0, 2): 0.5}
    assert pairs[1440] == {**pairs[31], (2, 3): 1, (1, 3): 0.5, (0, 3): 0.25}
    untimed = log([("u", "x", item) for item in "12345"])
    found = [Transitions(gap_minutes=gap).learn(untimed, seed=7, threads=1) for gap in (0, 30)]
    assert np.array_equal(*found)


def test_the_search_finds_the_pause_where_sessions_have_a_subject() -> None:
    """Of three kinds out of five a comes alone, and x two days later; at the end b is asked for, minutes after a."""
    rng = np.random.default_rng(4)
    rows, times = [], []
    for person in range(120):
        minute = person
        for kind, steps in zip(rng.permutation(10), ("ax", "ax", "ax", "ab", "abc"), strict=False):
            for item in steps:
                minute += 2880 if item in "ax" else 10
                rows.append((f"u{person:03d}", "x", f"{kind}{item}"))
                times.append(60 * minute)
    plan = make_plan("leave-one-out", make_logs([events(rows, times)])[0], Choices(label_stages=0))
    found = tune_source("transitions", plan.validation, SearchSettings(trials=8, threads=1))
    assert found.source.gap_minutes in (30, 1440)
    assert found.trials == 10
    untimed = make_plan("leave-one-out", log(rows), Choices(label_stages=0))
    assert tune_source("transitions", untimed.validation, SearchSettings(trials=8, threads=1)).trials == 8


def _prefix_sums(sequences, columns: int, weight, back: float, ahead: float):
    """The Gram matrix and the outcomes, a row for every place of every sequence."""
    gram, follows = np.zeros((columns, columns)), np.zeros((columns, columns))
    for sequence, own in zip(sequences, weight, strict=True):
        for place in range(1, len(sequence)):
            before, after = np.zeros(columns), np.zeros(columns)
            for step, item in enumerate(reversed(sequence[:place])):
                before[item] += back**step if item >= 0 else 0
            for step, item in enumerate(sequence[place:]):
                after[item] += ahead**step if item >= 0 else 0
            gram += own * np.outer(before, before)
            follows += own * np.outer(before, after)
    return gram, follows


@pytest.mark.parametrize(("back", "ahead"), [(0.8, 0.5), (1.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_pairs_sum_over_all_places(back, ahead) -> None:
    rng = np.random.default_rng(5)
    sequences = [rng.permutation(9)[: rng.integers(1, 9)] - 1 for _ in range(20)]
    weight = rng.random(20)
    indptr = np.concatenate(([0], np.cumsum([len(one) for one in sequences])))
    found = pairs(indptr, np.concatenate(sequences).astype(np.int32), 8, weight, back, ahead)
    for part, wanted in zip(found, _prefix_sums(sequences, 8, weight, back, ahead), strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-5, atol=1e-5)


def test_next_item_is_the_ridge_regression_of_what_follows(noise) -> None:
    source = NextItem(ridge=2.0, place_decay=0.7, ahead_decay=0.4, person_power=0.5)
    items, parts, _ = source.learn(noise, seed=7, threads=1)
    columns = {item: at for at, item in enumerate(items)}
    sequences = [[columns[i] for i in noise.item[b:e]] for b, e in zip(noise.indptr, noise.indptr[1:], strict=False)]
    lengths = np.array([len(one) for one in sequences])
    weight = lengths**-0.5
    gram, follows = _prefix_sums(sequences, len(items), weight, 0.7, 0.4)
    ridge = 2 * (weight @ (lengths - 1)) / (lengths - 1).sum()
    wanted = np.linalg.solve(gram + ridge * np.eye(len(items)), follows)
    np.testing.assert_allclose(np.hstack(parts), wanted, atol=1e-4)
    rows = np.zeros((len(lengths), len(items)))
    for row, sequence in enumerate(sequences):
        rows[row, sequence] = 0.7 ** np.arange(len(sequence))[::-1]
    found = source.score((items, parts, noise.counts), _asked(noise, 1))
    span = noise.names.span(1)
    full = np.zeros((len(lengths), len(noise.names.item_ids)))
    full[:, items] = rows @ wanted
    np.testing.assert_allclose(found, full[:, span], atol=1e-3)


def test_next_item_knows_what_follows_what() -> None:
    """Half of the people go 1 2 3, the others 4 2 5: what follows 2 depends on what was before it."""
    rows = [(f"u{n}", "x", item) for n in range(40) for item in ("123" if n % 2 else "425")]
    known = log([*rows, ("v", "x", "1"), ("v", "x", "2"), ("w", "x", "4"), ("w", "x", "2")])
    source = NextItem(ridge=1.0)
    found = source.score(source.learn(known, seed=7, threads=1), _asked(known, people=[40, 41]))
    assert found.argmax(axis=1).tolist() == [2, 4]


@pytest.fixture(scope="module")
def half_known(noise):
    """The first ten people lost the second domain."""
    return noise.where((noise.domain == 0) | (noise.user >= 10))


def test_person_ridge_is_the_dual_of_a_ridge_regression(half_known) -> None:
    """The same scores from the primal form: weights of items on items, people's rows being unit vectors."""
    source = PersonRidge(ridge=0.7, item_power=0.5, person_power=0.5)
    state = source.learn(half_known, seed=7, threads=2)
    met = half_known.matrix.toarray().astype(np.float64)
    span, other = half_known.names.span(1), half_known.names.span(0)
    scale = np.maximum(half_known.counts, 1) ** -0.5
    found = source.score(state, _asked(half_known, 1))
    for cold in (False, True):
        seen = scale.copy()
        if cold:
            seen[span] = 0
        unit = met * seen
        unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
        taught = met[:, span].any(axis=1) & (met[:, other].any(axis=1) | (not cold))
        rows, outcome = unit[taught], met[taught][:, span]
        outcome = outcome * outcome.sum(axis=1, keepdims=True) ** -0.5
        weights = np.linalg.solve(rows.T @ rows + 0.7 * np.eye(rows.shape[1]), rows.T @ outcome)
        people = np.flatnonzero(met[:, span].any(axis=1) != cold)
        assert len(people) >= 9
        np.testing.assert_allclose(found[people], (unit @ weights)[people], atol=1e-4)


def test_nobodys_own_row_says_what_is_new_to_them(noise) -> None:
    source = PersonRidge(ridge=0.5)
    user, span = 3, noise.names.span(0)
    found = source.score(source.learn(noise, seed=7, threads=1), _asked(noise, 0, [user]))[0]
    met = noise.matrix.toarray().astype(np.float64)
    unit = met * np.maximum(noise.counts, 1) ** -0.5
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    others = np.flatnonzero(met[:, span].any(axis=1) & (np.arange(len(met)) != user))
    kernel = unit[others] @ unit[others].T + 0.5 * np.eye(len(others))
    without = np.linalg.solve(kernel, unit[others] @ unit[user]) @ met[others][:, span]
    unmet = np.flatnonzero(met[user, span] == 0)
    ratio = found[unmet] @ without[unmet] / (without[unmet] @ without[unmet])
    assert ratio > 0
    np.testing.assert_allclose(found[unmet], ratio * without[unmet], atol=1e-5)


def test_latest_popularity_counts_places_from_the_end_of_a_domain() -> None:
    rows = [("a", "x", "1"), ("a", "x", "2"), ("b", "x", "1"), ("a", "y", "7"), ("c", "y", "8"), ("c", "y", "7")]
    one = log(rows)
    source = LatestPopularity(place_decay=0.5)
    state = source.learn(one, seed=7, threads=1)
    assert state.tolist() == [0.5 + 1, 1, 1 + 1, 0.5]
    assert source.score(state, _asked(one, 1, [0, 2])).tolist() == [[2, 0.5], [2, 0.5]]
    assert not source.applies(make_logs([random_log()])[0])


@pytest.mark.parametrize("start", [0, 4])
def test_products_in_a_span_are_those_of_dense_matrices(start) -> None:
    rng = np.random.default_rng(8)
    left = sp.random_array((12, 9), density=0.4, format="csr", dtype=np.float32, rng=rng)
    right = rng.random((9, 10), dtype=np.float32) * (rng.random((9, 10)) < 0.6)
    wanted = (left.toarray() @ right)[:, start:9]
    for weights in (right.astype(np.float32), sp.csr_matrix(right.astype(np.float32))):
        found = product(sp.csr_matrix(left), weights, slice(start, 9))
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_full_weights_are_kept_dense_and_thin_ones_sparse() -> None:
    full, thin = sp.csr_matrix(np.ones((6, 6), np.float32)), sp.csr_matrix(np.eye(6, dtype=np.float32))
    assert isinstance(compact(full), np.ndarray)
    assert np.array_equal(compact(full), full.toarray())
    assert compact(thin) is thin


def test_weighed_histories() -> None:
    one = log([("a", "x", "1"), ("a", "x", "2"), ("a", "y", "3")], [0, 10 * DAY, 10 * DAY])
    asked = Asked(one, 0, np.array([0], np.int32), np.array([20 * DAY]))

    def rows(**options) -> list[float]:
        return [round(x, 4) for x in asked.weighed(**options).toarray()[0].tolist()]

    assert rows() == [1, 1, 1]
    assert rows(place_decay=0.5) == [0.25, 0.5, 1]
    assert rows(half_life_days=10) == [0.25, 0.5, 0.5]
    assert rows(view="within") == [1, 1, 0]
    assert rows(across=0.5) == [1, 1, 0.5]
    assert rows(view="across") == [0, 0, 1]
    assert rows(view="last") == [0, 0, 1]
    assert rows(view="day") == [0, 1, 1]
    assert isinstance(asked.weighed(), sp.csr_matrix)


def test_the_greatest_cells_are_those_of_a_stable_sort() -> None:
    rng = np.random.default_rng(3)
    dense = rng.integers(0, 5, (12, 30)).astype(np.float32)
    found = greatest(sp.csr_matrix(dense), 6).toarray()
    for row, kept in zip(dense, found, strict=True):
        order = np.argsort(-row, kind="stable")[:6]
        wanted = np.zeros(30)
        wanted[order] = row[order]
        assert kept.tolist() == wanted.tolist()
