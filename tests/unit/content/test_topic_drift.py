"""Drift of topics: the fit by hand, no drift among texts of the same kind, a new theme that does not fit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from crossdomain.content.documents import TermMatrix, term_matrix, texts_of
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topic_drift import DRIFT_SCHEMA, TrainedFit, drift, limit, text_fit, trained_fit
from crossdomain.content.topics import TopicModel, infer
from crossdomain.content.training import train_topics

CHOICES = TopicSettings(topics=10)


@pytest.fixture(scope="module")
def two_words() -> TopicModel:
    return TopicModel(
        (0, 1),
        np.array(["a", "b", "c", "d"], dtype=object),
        np.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]),
        np.array([0.1, 0.1]),
        np.zeros(2),
    )


def matrix(rows: list[list[str]], domains: list[str] | None = None) -> TermMatrix:
    vocabulary = sorted({word for row in rows for word in row})
    counts = np.array([[row.count(word) for word in vocabulary] for row in rows], dtype=float)
    return TermMatrix(
        np.array(domains or ["beauty"] * len(rows), dtype=object),
        np.array([f"i{number}" for number in range(len(rows))], dtype=object),
        np.array(vocabulary, dtype=object),
        sparse.csr_matrix(counts),
    )


def test_the_fit_of_a_text_by_hand(two_words: TopicModel) -> None:
    trained = TrainedFit({}, unknown_share=0.1, unknown_kinds=20)
    terms = matrix([["a", "b"], ["a", "c"], ["a", "b", "x"], ["x"], ["a"]])
    fits = text_fit(two_words, terms, trained, iterations=50)
    (share,) = infer(two_words.topic_word, two_words.alpha, sparse.csr_matrix([[1.0, 0, 0, 0]]), 50)
    known, unknown = np.log(0.9), np.log(0.1 / 20)
    chance = [np.log(0.999 * share[topic] * 0.5 + 0.001 / 4) for topic in (0, 1)]
    assert fits[0] == pytest.approx(chance[0] + known)
    assert fits[1] == pytest.approx(chance[1] + known)
    assert fits[2] == pytest.approx((2 * (chance[0] + known) + unknown) / 3)
    assert fits[3] == pytest.approx(unknown)
    assert np.isnan(fits[4]), "one word cannot be read and scored"


def test_the_fit_does_not_depend_on_other_texts(two_words: TopicModel) -> None:
    trained = TrainedFit({}, unknown_share=0.1, unknown_kinds=20)
    terms = matrix([["a", "b", "c"], ["c", "d"], ["a", "a", "d", "x"]])
    alone = [text_fit(two_words, terms.of_rows(np.array([row])), trained, iterations=50)[0] for row in range(3)]
    assert text_fit(two_words, terms, trained, iterations=50).tolist() == pytest.approx(alone)


def test_a_new_theme_drifts_and_more_of_the_same_does_not(planted) -> None:  # type: ignore[no-untyped-def]
    tokens, truth = planted(900, seed=4)
    terms, texts = term_matrix(tokens), texts_of(tokens)
    theme = np.array([truth[key] for key in zip(terms.domains, terms.item_ids, strict=True)])
    rng = np.random.default_rng(1)
    old = np.flatnonzero(theme != 0)
    known = np.sort(rng.choice(old, 500, replace=False))
    model = train_topics(terms.of_rows(known), texts.of_rows(known), CHOICES, topics=9)
    assert model is not None
    fit = trained_fit(model, terms.of_rows(known), iterations=50, seed=1)
    assert TrainedFit.from_facts(fit.as_facts()) == fit
    assert set(fit.by_domain) == {"beauty", "knowledge"}
    limits = {domain: limit(450, CHOICES) for domain in fit.by_domain}
    assert limits["beauty"] == 10
    more, strange = np.setdiff1d(old, known), np.flatnonzero(theme == 0)
    arguments = {"limits": limits, "iterations": 50, "version": "v"}
    quiet = drift(model, fit, terms.of_rows(more), **arguments)
    assert quiet.schema == DRIFT_SCHEMA
    assert not any(quiet["drifted"].to_pylist())
    mixed = np.sort(np.concatenate([more, strange[:60]]))
    shifted = drift(model, fit, terms.of_rows(mixed), **arguments)
    assert all(shifted["drifted"].to_pylist())
    few = drift(model, fit, terms.of_rows(np.sort(np.concatenate([more, strange[:8]]))), **arguments)
    assert not any(few["drifted"].to_pylist()), "a handful of odd texts is no topic"
    nothing = drift(model, fit, terms.of_rows(np.zeros(0, dtype=int)), **arguments)
    assert nothing["fit"].to_pylist() == [None, None]
    assert pa.compute.sum(nothing["misfits"]).as_py() == 0
