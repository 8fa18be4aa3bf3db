"""Similarity: obvious answers, and brute force as the oracle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from crossdomain.content import similarity
from crossdomain.content.documents import term_matrix
from crossdomain.content.settings import SimilaritySettings
from crossdomain.content.similarity import similar_items

DOMAINS = ("knowledge", "beauty")
SETTINGS = SimilaritySettings()


def all_on(terms) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.ones(len(terms.item_ids), dtype=bool)


def test_the_obvious_answer(terms_of) -> None:  # type: ignore[no-untyped-def]
    terms = terms_of(
        {
            ("knowledge", "skin"): ["敏感肌", "面霜", "保湿"],
            ("knowledge", "fund"): ["基金", "定投", "理财"],
            ("beauty", "cream"): ["敏感肌", "面霜", "保湿"],
            ("beauty", "soap"): ["洗面奶", "清洁", "保湿"],
            ("beauty", "empty"): [],
        }
    )
    topics = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    # Rows are by domain, then id: cream, empty, soap, fund, skin.
    topics = np.array([[1.0, 0.0], [0.0, 0.0], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    found = similar_items(terms, topics, on_sale=all_on(terms), domains=DOMAINS, settings=SETTINGS).to_pylist()
    of_skin = [row for row in found if row["item_id"] == "skin" and row["other_domain"] == "beauty"]
    assert [(row["rank"], row["other_item_id"]) for row in of_skin] == [(1, "cream"), (2, "soap")]
    assert (of_skin[0]["similarity"], of_skin[0]["cosine"], of_skin[0]["jaccard"], of_skin[0]["topic"]) == (1, 1, 1, 1)
    assert of_skin[1]["jaccard"] == 0.2
    assert of_skin[1]["topic"] == pytest.approx(1 - np.sqrt(1 - np.sqrt(0.5)), abs=1e-6)
    assert "empty" not in {row["item_id"] for row in found} | {row["other_item_id"] for row in found}
    assert all((row["domain"], row["item_id"]) != (row["other_domain"], row["other_item_id"]) for row in found)


def test_all_pairs_by_brute_force(planted, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    terms = term_matrix(planted(90)[0])
    weights = np.round(np.random.default_rng(3).dirichlet(np.full(5, 0.3), len(terms.item_ids)), 6)
    monkeypatch.setattr(similarity, "_BLOCK_CELLS", 500)
    settings = replace(SETTINGS, min_similarity=0.0)
    found = similar_items(terms, weights, on_sale=all_on(terms), domains=DOMAINS, settings=settings).to_pylist()

    words = [np.repeat(terms.vocabulary[row.indices], row.data.astype(int)).tolist() for row in terms.counts]
    tfidf = TfidfVectorizer(analyzer=lambda item: item, sublinear_tf=True).fit_transform(words).toarray()
    sets = [set(item) for item in words]
    root = np.sqrt(weights / weights.sum(axis=1, keepdims=True))
    expected = []
    for a in range(len(words)):
        for domain in sorted(DOMAINS):
            pairs = []
            for b in terms.rows_of(domain):
                if a == b:
                    continue
                cosine = tfidf[a] @ tfidf[b]
                jaccard = len(sets[a] & sets[b]) / len(sets[a] | sets[b])
                topic = 1 - np.sqrt(max(0.0, 1 - root[a] @ root[b]))
                pairs.append((-round(0.5 * cosine + 0.2 * jaccard + 0.3 * topic, 6), b, cosine, jaccard, topic))
            for rank, (value, b, cosine, jaccard, topic) in enumerate(sorted(pairs)[: settings.neighbours], start=1):
                key = (terms.domains[a], terms.item_ids[a], domain, rank, terms.item_ids[b])
                expected.append((*key, -value, round(cosine, 6), round(jaccard, 6), round(topic, 6)))
    assert [tuple(row.values())[:5] for row in found] == [row[:5] for row in expected]
    numbers = np.array([tuple(row.values())[5:] for row in found])
    assert np.allclose(numbers, np.array([row[5:] for row in expected]), atol=2e-6)


def test_ties_go_by_id_and_items_off_sale_are_no_answer(terms_of) -> None:  # type: ignore[no-untyped-def]
    items = {("beauty", f"b{n:02}"): ["面霜", "保湿"] for n in range(30)}
    terms = terms_of({("knowledge", "k"): ["面霜", "保湿"], **items})
    on_sale = all_on(terms)
    on_sale[:3] = False
    settings = replace(SETTINGS, neighbours=5)
    found = similar_items(terms, np.zeros((31, 0)), on_sale=on_sale, domains=DOMAINS, settings=settings).to_pylist()
    assert [row["other_item_id"] for row in found if row["item_id"] == "k"] == ["b03", "b04", "b05", "b06", "b07"]
    assert [row["other_item_id"] for row in found if row["item_id"] == "b00" and row["other_domain"] == "beauty"] == [
        "b03", "b04", "b05", "b06", "b07",
    ]  # fmt: skip


def test_nothing_to_compare(terms_of) -> None:  # type: ignore[no-untyped-def]
    terms = terms_of({("knowledge", "k"): [], ("beauty", "b"): []})
    found = similar_items(terms, np.zeros((2, 0)), on_sale=all_on(terms), domains=DOMAINS, settings=SETTINGS)
    assert len(found) == 0
    assert found.schema == similarity.SIMILAR_SCHEMA
