"""Topics: planted ones are found, gensim is the oracle of the inference, ids stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gensim.corpora import Dictionary
from gensim.models import LdaModel
from gensim.models.coherencemodel import CoherenceModel
from scipy.optimize import linear_sum_assignment

from crossdomain.content.documents import TermMatrix, term_matrix
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topics import (
    TopicModel,
    item_topics,
    item_topics_table,
    keep_topic_ids,
    new_share,
    topic_weights,
    topics_by_item,
)
from crossdomain.content.training import train_topics

SETTINGS = TopicSettings(topics=10)


def matched(weights: np.ndarray, truth: list[int]) -> float:
    """Share of items whose strongest topic is the planted one, under the best one-to-one matching."""
    table = np.zeros((weights.shape[1], max(truth) + 1))
    np.add.at(table, (weights.argmax(axis=1), truth), 1)
    pairs = linear_sum_assignment(-table)
    return float(table[pairs].sum() / len(truth))


def trained(items, settings: TopicSettings = SETTINGS) -> tuple[TopicModel, TermMatrix]:  # type: ignore[no-untyped-def]
    terms = term_matrix(items)
    model = train_topics(terms, settings)
    assert model is not None
    return model, terms


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_topics_are_found(planted, seed: int) -> None:  # type: ignore[no-untyped-def]
    items, truth = planted(seed=seed)
    model, terms = trained(items)
    found = item_topics(model, terms)
    wanted = [truth[key] for key in zip(terms.domains, terms.item_ids, strict=True)]
    assert matched(found, wanted) >= 0.8


def test_same_items_in_another_order_give_the_same_bytes(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(200)
    shuffled = items.take(np.random.default_rng(0).permutation(len(items)))
    assert trained(items)[0].to_files() == trained(shuffled)[0].to_files()


def test_model_survives_its_files(planted) -> None:  # type: ignore[no-untyped-def]
    model, terms = trained(planted(200)[0])
    again = TopicModel.from_files(model.to_files())
    assert again.to_files() == model.to_files()
    assert (item_topics(again, terms) == item_topics(model, terms)).all()


def test_an_items_topics_do_not_depend_on_the_others(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(200)
    model, terms = trained(items)
    alone = term_matrix(items.slice(17, 1))
    row = list(zip(terms.domains, terms.item_ids, strict=True)).index((alone.domains[0], alone.item_ids[0]))
    assert (item_topics(model, alone)[0] == item_topics(model, terms)[row]).all()


def test_inference_agrees_with_gensim(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(300)
    terms = term_matrix(items)
    vocabulary = list(terms.vocabulary)
    corpus = [list(zip(row.indices, row.data, strict=True)) for row in terms.counts]
    lda = LdaModel(corpus, num_topics=10, id2word=dict(enumerate(vocabulary)), random_state=1, alpha=0.1, passes=5)
    lda.minimum_phi_value = 0.0
    gamma, _ = lda.inference(corpus)
    theirs = gamma / gamma.sum(axis=1, keepdims=True)
    model = TopicModel(
        ids=tuple(range(1, 11)),
        vocabulary=terms.vocabulary,
        topic_word=np.asarray(lda.get_topics(), dtype=np.float64),
        alpha=np.full(10, 0.1),
        coherence=np.zeros(10),
    )
    mine = item_topics(model, terms, iterations=100, least=0.0)
    # gensim weighs words by exp(E[ln p]), here it is their mean probability; the starts differ too.
    assert np.median(np.abs(mine - theirs).max(axis=1)) < 0.02
    assert (mine.argmax(axis=1) == theirs.argmax(axis=1)).mean() > 0.95


def test_coherence_agrees_with_gensim(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(200)
    model, _ = trained(items, replace(SETTINGS, max_share=1.0, min_items=1))
    texts = items["tokens"].to_pylist()
    theirs = CoherenceModel(
        topics=model.words(10),
        texts=texts,
        dictionary=Dictionary(texts),
        coherence="c_npmi",
        window_size=10_000,
        processes=1,
    ).get_coherence_per_topic()
    assert np.allclose(model.coherence, theirs, atol=0.02)


def test_topics_keep_their_ids(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(400)
    old, _ = trained(items)
    old = replace(old, ids=tuple(range(21, 31)))
    new, _ = trained(items, replace(SETTINGS, seed=99))
    kept = keep_topic_ids(new, old, least=0.3)
    assert list(kept.ids) == sorted(set(kept.ids))
    same = set(kept.ids) & set(old.ids)
    assert len(same) >= 8
    words = dict(zip(old.ids, old.words(10), strict=True))
    after = dict(zip(kept.ids, kept.words(10), strict=True))
    overlap = [len(set(words[topic]) & set(after[topic])) for topic in same]
    assert np.mean(overlap) >= 7
    assert keep_topic_ids(old, old, least=0.3).to_files() == old.to_files()


def test_a_topic_unlike_any_old_one_gets_an_id_never_used(planted) -> None:  # type: ignore[no-untyped-def]
    old, _ = trained(planted(300)[0])
    strangers = replace(old, vocabulary=np.array([f"别{n}" for n in range(len(old.vocabulary))], dtype=object))
    assert set(keep_topic_ids(strangers, old, least=0.3).ids) == set(range(11, 21))


def test_too_few_or_empty_items_give_no_model(terms_of) -> None:  # type: ignore[no-untyped-def]
    assert train_topics(terms_of({}), SETTINGS) is None
    assert train_topics(terms_of({("a", "1"): [], ("b", "2"): []}), SETTINGS) is None
    assert train_topics(terms_of({("a", str(n)): ["面霜", "保湿"] for n in range(15)}), SETTINGS) is None


def test_an_item_without_known_words_has_no_topics(planted, terms_of) -> None:  # type: ignore[no-untyped-def]
    model, _ = trained(planted(200)[0])
    weights = item_topics(model, terms_of({("a", "1"): ["没见过"], ("a", "2"): [], ("a", "3"): ["词0000", "词0001"]}))
    assert (weights.sum(axis=1) > 0.5).tolist() == [False, False, True]
    assert not weights[:2].any()


def test_new_share() -> None:
    assert new_share({"a", "b"}, ["a", "b", "c", "d"]) == 0.5
    assert new_share({"a"}, []) == 0


def test_rows_hold_all_that_the_weights_said(planted) -> None:  # type: ignore[no-untyped-def]
    model, terms = trained(planted(200)[0])
    weights = item_topics(model, terms)
    weights[:, 3] = 0.0
    rows = item_topics_table(model, terms, weights)
    shuffled = rows.take(np.random.default_rng(0).permutation(len(rows)))
    assert (topic_weights(shuffled, terms) == np.delete(weights, 3, axis=1)).all()
    first, second = topics_by_item(rows, domains=("knowledge", "beauty"))
    assert sum(map(len, (*first.values(), *second.values()))) == np.count_nonzero(weights)
