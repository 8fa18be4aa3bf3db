"""Similarity: obvious answers, brute force as the oracle, and days merged into a pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from crossdomain.content import neighbours
from crossdomain.content.documents import TermMatrix
from crossdomain.content.features import Features, features, gram_matrix, learn_weights
from crossdomain.content.neighbours import COMPONENTS, histogram, nearest, score_pairs
from crossdomain.content.similarity import SIMILAR_SCHEMA, Pool, Search, blend_weights, find_pool, similar_items

DOMAINS = ("knowledge", "beauty")
WEIGHTS = blend_weights(cosine=0.4, ngram=0.1, jaccard=0.2, topic=0.3)
TermsOf = Callable[[dict[tuple[str, str], Sequence[str]]], TermMatrix]


def features_of(terms: TermMatrix, topics: np.ndarray, titles: Sequence[str | None] | None = None) -> Features:
    grams = gram_matrix(titles or [None] * len(terms.item_ids))
    return features(terms, grams, topics, learn_weights(terms, grams))


def served(
    data: Features, *, neighbours: int = 20, least: float = 0.02, candidate: np.ndarray | None = None, threads: int = 2
) -> pa.Table:
    pool = find_pool(
        data,
        domains=DOMAINS,
        prints=data.item_ids,
        candidate=np.ones(len(data), dtype=bool) if candidate is None else candidate,
        search=Search(weights=WEIGHTS, neighbours=neighbours, reserve=3, least=least, threads=threads),
        version="v",
    )
    return similar_items(pool, np.arange(len(data)).astype(object), neighbours=neighbours)


def random_catalogue(count: int, seed: int = 5) -> Features:
    """Items with Zipf words, titles of their words, and topics; some have twins, some have no words."""
    rng = np.random.default_rng(seed)
    words = [f"词{chr(0x4E00 + number)}" for number in range(300)]
    texts = [rng.choice(words, size=rng.integers(0, 12), p=zipf(300)).tolist() for _ in range(count)]
    for twin in range(0, count - 7, 7):
        texts[twin + 3] = texts[twin]
    rows = [(DOMAINS[number % 2], f"i{number:05}", text) for number, text in enumerate(texts)]
    rows.sort()
    vocabulary = sorted({word for row in rows for word in row[2]})
    place = {word: column for column, word in enumerate(vocabulary)}
    counts = sparse.csr_matrix(
        (
            np.ones(sum(len(row[2]) for row in rows)),
            (
                np.repeat(np.arange(count), [len(row[2]) for row in rows]),
                [place[word] for row in rows for word in row[2]],
            ),
        ),
        shape=(count, len(vocabulary)),
    )
    counts.sum_duplicates()
    counts.sort_indices()
    terms = TermMatrix(
        np.array([row[0] for row in rows], dtype=object),
        np.array([row[1] for row in rows], dtype=object),
        np.array(vocabulary, dtype=object),
        counts,
    )
    topics = np.round(rng.dirichlet(np.full(6, 0.2), count), 6)
    topics[topics < 0.01] = 0
    return features_of(terms, topics, ["".join(row[2][:4]) for row in rows])


def zipf(count: int) -> np.ndarray:
    weight = 1.0 / (1 + np.arange(count))
    return weight / weight.sum()


def part(data: Features, rows: np.ndarray) -> Features:
    return Features(data.domains[rows], data.item_ids[rows], data.words[rows], data.grams[rows], data.topics[rows])


def test_the_obvious_answer(terms_of: TermsOf) -> None:
    terms = terms_of(
        {
            ("knowledge", "skin"): ["敏感肌", "面霜", "保湿"],
            ("knowledge", "fund"): ["基金", "定投", "理财"],
            ("beauty", "cream"): ["敏感肌", "面霜", "保湿"],
            ("beauty", "soap"): ["洗面奶", "清洁", "保湿"],
            ("beauty", "empty"): [],
        }
    )
    # Rows are by domain, then id: cream, empty, soap, fund, skin.
    topics = np.array([[1.0, 0.0], [0.0, 0.0], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    found = served(features_of(terms, topics, ["护肤", None, None, None, "护肤"])).to_pylist()
    of_skin = [row for row in found if row["item_id"] == "skin" and row["other_domain"] == "beauty"]
    assert [(row["rank"], row["other_item_id"]) for row in of_skin] == [(1, "cream"), (2, "soap")]
    assert {of_skin[0][name] for name in ("similarity", "cosine", "ngram", "jaccard", "topic")} == {1.0}
    assert of_skin[1]["jaccard"] == 0.2
    assert of_skin[1]["topic"] == pytest.approx(1 - np.sqrt(1 - np.sqrt(0.5)), abs=1e-6)
    assert (of_skin[1]["ngram"], of_skin[1]["behaviour"]) == (0, 0)
    assert "empty" not in {row["item_id"] for row in found} | {row["other_item_id"] for row in found}
    assert all((row["domain"], row["item_id"]) != (row["other_domain"], row["other_item_id"]) for row in found)


def test_all_pairs_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", 32)
    monkeypatch.setattr(neighbours, "_ROWS", 16)
    data = random_catalogue(150)
    found = served(data, least=0.0001).to_pylist()

    words, grams = data.words.toarray(), data.grams.toarray()
    sets = [set(row.indices) for row in data.words]
    roots = data.topics.toarray()
    expected = []
    for a in np.flatnonzero(data.described()):
        for domain in sorted(DOMAINS):
            pairs = []
            for b in np.flatnonzero(data.described() & (data.domains == domain)):
                if a == b:
                    continue
                jaccard = len(sets[a] & sets[b]) / len(sets[a] | sets[b])
                topic = 1 - np.sqrt(max(0.0, 1 - roots[a] @ roots[b]))
                parts = np.round([words[a] @ words[b], grams[a] @ grams[b], jaccard, topic, 0.0], 6)
                if (value := round(float(np.dot(WEIGHTS, parts)), 6)) >= 0.0001:
                    pairs.append((-value, b, *parts))
            for rank, (value, b, *parts) in enumerate(sorted(pairs)[:20], start=1):
                key = (data.domains[a], data.item_ids[a], domain, rank, data.item_ids[b])
                expected.append((*key, -value, *parts))
    assert [tuple(row.values())[:5] for row in found] == [row[:5] for row in expected]
    numbers = np.array([tuple(row.values())[5:] for row in found])
    assert np.allclose(numbers, np.array([row[5:] for row in expected]), atol=2e-6)


def test_the_cosine_is_that_of_scikit_learn(planted) -> None:  # type: ignore[no-untyped-def]
    from crossdomain.content.documents import term_matrix

    terms = term_matrix(planted(60)[0])
    data = features_of(terms, np.zeros((60, 0)))
    words = [np.repeat(terms.vocabulary[row.indices], row.data.astype(int)).tolist() for row in terms.counts]
    expected = TfidfVectorizer(analyzer=lambda item: item, sublinear_tf=True).fit_transform(words)
    assert np.allclose((data.words @ data.words.T).toarray(), (expected @ expected.T).toarray())


def test_ngrams_are_those_of_one_title() -> None:
    found = gram_matrix(["ＡＢ c", "bc", None, "x", "ab c"])
    assert found.counts.toarray().sum(axis=1).tolist() == [3, 1, 0, 0, 3]  # ab, bc, abc; bc
    assert (found.counts[0] != found.counts[4]).nnz == 0
    assert found.counts[1].multiply(found.counts[0]).sum() == 1


def test_threads_change_nothing() -> None:
    data = random_catalogue(400)
    assert served(data, threads=1).equals(served(data, threads=4))


def test_ties_go_by_id_and_items_that_are_no_candidates_are_no_answer(terms_of: TermsOf) -> None:
    items = {("beauty", f"b{n:02}"): ["面霜", "保湿"] for n in range(60)}
    terms = terms_of({("knowledge", "k"): ["面霜", "保湿"], **items})
    candidate = np.ones(61, dtype=bool)
    candidate[:3] = False
    found = served(features_of(terms, np.zeros((61, 0))), neighbours=5, candidate=candidate).to_pylist()
    expected = ["b03", "b04", "b05", "b06", "b07"]
    assert [row["other_item_id"] for row in found if row["item_id"] == "k"] == expected
    assert [row["other_item_id"] for row in found if row["item_id"] == "b00"][:5] == expected


def test_nothing_to_compare(terms_of: TermsOf) -> None:
    terms = terms_of({("knowledge", "k"): [], ("beauty", "b"): []})
    found = served(features_of(terms, np.zeros((2, 0))))
    assert len(found) == 0
    assert found.cast(SIMILAR_SCHEMA).schema == SIMILAR_SCHEMA


def test_items_of_the_same_product_are_no_neighbours(terms_of: TermsOf) -> None:
    terms = terms_of({("beauty", name): ["面霜", "保湿"] for name in ("a", "b", "c")})
    data = features_of(terms, np.zeros((3, 0)))
    pool = find_pool(
        data,
        domains=DOMAINS,
        prints=data.item_ids,
        candidate=np.array([True, False, True]),
        search=Search(weights=WEIGHTS),
        version="v",
    )
    groups = np.array(["twins", "twins", "c"], dtype=object)
    found = similar_items(pool, groups, neighbours=5).to_pylist()
    assert [(row["item_id"], row["rank"], row["other_item_id"]) for row in found] == [
        ("a", 1, "c"), ("b", 1, "c"), ("c", 1, "a"),
    ]  # fmt: skip


def test_a_day_merged_into_the_pool_is_the_same_as_a_search_of_everything() -> None:
    everything = random_catalogue(700)
    rng = np.random.default_rng(2)
    search = Search(weights=WEIGHTS, neighbours=8, reserve=4)
    rows = np.sort(rng.choice(700, 500, replace=False))
    before: Pool | None = None
    for day in range(6):
        data = part(everything, rows)
        prints = np.array([f"{row} {day if rng.random() < 0.01 else ''}" for row in rows], dtype=object)
        candidate = rng.random(len(rows)) < 0.97
        args = {"domains": DOMAINS, "prints": prints, "candidate": candidate, "search": search, "version": "v"}
        anew = find_pool(data, **args)  # type: ignore[arg-type]
        merged = find_pool(data, previous=(before.table(), before.state) if before else None, **args)  # type: ignore[arg-type]
        alone = np.arange(len(rows)).astype(object)
        tables = [similar_items(pool, alone, neighbours=8) for pool in (merged, anew)]
        assert tables[0].equals(tables[1])
        assert before is None or merged.asked < anew.asked / 2
        other_version = find_pool(data, previous=(merged.table(), merged.state), **{**args, "version": "w"})  # type: ignore[arg-type]
        assert other_version.asked == anew.asked
        before = merged
        kept = rows[rng.random(len(rows)) > 0.01]
        rows = np.sort(np.concatenate([kept, rng.choice(np.setdiff1d(np.arange(700), kept), 6, replace=False)]))


def test_term_weights_survive_their_files_and_do_not_move_with_the_catalogue(terms_of: TermsOf) -> None:
    terms = terms_of({("beauty", "a"): ["面霜", "保湿"], ("beauty", "b"): ["面霜"], ("knowledge", "c"): ["基金"]})
    weights = learn_weights(terms, gram_matrix(["面霜", "霜", "基金课"]))
    again = type(weights).from_files(weights.to_files())
    more = terms_of(
        {("beauty", "a"): ["面霜", "保湿"], ("beauty", "b"): ["面霜"], ("beauty", "n"): ["保湿", "新词", "面霜"]}
    )
    titles = ["面霜", "霜", "新"]
    small = features(terms, gram_matrix(["面霜", "霜", "基金课"]), np.zeros((3, 0)), again)
    large = features(more, gram_matrix(titles), np.zeros((3, 0)), again)
    first, second = np.array([0]), np.array([1])
    alike = [score_pairs(data, first, second, weights=WEIGHTS).similarity[0] for data in (small, large)]
    assert alike[0] == alike[1] > 0


def test_co_behaviour_counts_in_the_search_as_in_the_scores() -> None:
    data = random_catalogue(120)
    rng = np.random.default_rng(1)
    dense = np.triu(np.where(rng.random((120, 120)) < 0.05, rng.random((120, 120)), 0), 1)
    behaviour = sparse.csr_matrix(np.round(dense + dense.T, 6))
    weights = blend_weights(cosine=0.4, jaccard=0.2, behaviour=0.4)
    rows = np.flatnonzero(data.described())
    found = nearest(data, rows, rows, weights=weights, count=5, least=0.01, behaviour=behaviour, threads=1)
    a, b = np.meshgrid(rows, rows, indexing="ij")
    scores = score_pairs(data, a.ravel(), b.ravel(), weights=weights, behaviour=behaviour)
    table = scores.similarity.reshape(a.shape)
    np.fill_diagonal(table, 0)
    for row in range(len(rows)):
        expected = [other for other in np.lexsort((np.arange(len(rows)), -table[row]))[:5] if table[row, other] >= 0.01]
        assert found.other[found.row == row].tolist() == expected
    counts = histogram(data, rows, rows, weights=weights, bins=10, behaviour=behaviour)
    assert counts.sum() == len(rows) * (len(rows) - 1)
    off = np.round(table[~np.eye(len(rows), dtype=bool)] * 10**6).astype(int)
    assert counts.tolist() == np.bincount(off * 10 // 10**6, minlength=10).tolist()


def test_each_direction_has_its_own_weights_where_they_are_learned() -> None:
    data = random_catalogue(60)
    across = blend_weights(topic=1.0)
    learned = dict.fromkeys([("knowledge", "beauty"), ("beauty", "knowledge")], across)
    pool = find_pool(
        data,
        domains=DOMAINS,
        prints=data.item_ids,
        candidate=np.ones(len(data), dtype=bool),
        search=Search(weights=WEIGHTS, learned=learned, neighbours=5, reserve=2),
        version="v",
    )
    rows = similar_items(pool, np.arange(len(data)).astype(object), neighbours=5).to_pylist()
    for row in rows:
        weights = across if row["domain"] != row["other_domain"] else WEIGHTS
        expected = sum(weight * row[part] for weight, part in zip(weights, COMPONENTS, strict=True))
        assert row["similarity"] == pytest.approx(expected, abs=1e-6)
    assert {row["domain"] == row["other_domain"] for row in rows} == {True, False}


def test_weights_of_the_blend_are_checked() -> None:
    assert sum(blend_weights(cosine=2, topic=1)) == pytest.approx(1)
    assert len(blend_weights(cosine=1)) == len(COMPONENTS)
    with pytest.raises(ValueError, match="negative"):
        blend_weights(cosine=1, topic=-0.1)
    with pytest.raises(ValueError, match="positive"):
        blend_weights()
