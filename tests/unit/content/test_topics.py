"""Topics: planted ones are found, gensim is the oracle of the inference, ids stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from gensim.models import LdaModel
from scipy.optimize import linear_sum_assignment

from crossdomain.content.documents import TermMatrix, term_matrix, texts_of
from crossdomain.content.reading import Texts
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topics import (
    TopicModel,
    item_topics,
    item_topics_table,
    keep_topic_ids,
    labels_of,
    new_share,
    shared_p,
    topic_changes,
    topic_weights,
    topics_by_item,
    topics_table,
)
from crossdomain.content.training import ENGINES, train_topics
from crossdomain.errors import InputError

SETTINGS = TopicSettings()
TOPICS = 10


def matched(weights: np.ndarray, truth: list[int]) -> float:
    """Share of items whose strongest topic is the planted one, under the best one-to-one matching."""
    table = np.zeros((weights.shape[1], max(truth) + 1))
    np.add.at(table, (weights.argmax(axis=1), truth), 1)
    pairs = linear_sum_assignment(-table)
    return float(table[pairs].sum() / len(truth))


def trained(items, settings: TopicSettings = SETTINGS) -> tuple[TopicModel, TermMatrix]:  # type: ignore[no-untyped-def]
    terms = term_matrix(items)
    model = train_topics(terms, texts_of(items), settings, topics=TOPICS)
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


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_finds_the_topics_and_gives_the_same_bytes_again(planted, engine: str) -> None:  # type: ignore[no-untyped-def]
    items, truth = planted(300)
    settings = replace(SETTINGS, topic_engine=engine)
    model, terms = trained(items, settings)
    wanted = [truth[key] for key in zip(terms.domains, terms.item_ids, strict=True)]
    assert matched(item_topics(model, terms), wanted) >= 0.8
    assert model.to_files() == trained(items, settings)[0].to_files()


def test_an_unknown_engine_is_named(terms_of) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"'lsi'.*tomotopy, gensim"):
        train_topics(terms_of({}), Texts.of([]), replace(SETTINGS, topic_engine="lsi"), topics=2)


def test_a_word_too_rare_to_learn_from_goes_where_its_items_are(planted) -> None:  # type: ignore[no-untyped-def]
    items, truth = planted(400)
    theme = [truth[key] for key in zip(items["domain"].to_pylist(), items["item_id"].to_pylist(), strict=True)]
    rare = [row for row, topic in enumerate(theme) if topic == theme[0]][:6]
    tokens = [[*words, "珍珠粉"] if row in rare else words for row, words in enumerate(items["tokens"].to_pylist())]
    items = items.set_column(items.column_names.index("tokens"), "tokens", [tokens])
    model, terms = trained(items, replace(SETTINGS, min_share=0.05))
    place = list(model.vocabulary).index("珍珠粉")
    found = item_topics(model, terms)
    ours = list(zip(terms.domains, terms.item_ids, strict=True)).index(
        (items["domain"][rare[0]].as_py(), items["item_id"][rare[0]].as_py())
    )
    assert model.topic_word[:, place].argmax() == found[ours].argmax()
    assert model.topic_word[:, place].max() > 0.8 * model.topic_word[:, place].sum()


def test_labels_pass_over_words_of_all_topics_and_words_within_words() -> None:
    words = np.array(["保湿", "保湿面霜", "内容", "基金", "定投", "面霜"], dtype=object)
    chances = np.array([[0.3, 0.2, 0.22, 0.0, 0.0, 0.28], [0.0, 0.0, 0.22, 0.4, 0.38, 0.0]])
    model = TopicModel((1, 2), words, chances, np.full(2, 0.1), np.zeros(2))
    assert labels_of(model, words=2) == ["保湿、面霜", "基金、定投"]


def test_shared_topics_are_told_from_those_of_one_side(planted) -> None:  # type: ignore[no-untyped-def]
    items, truth = planted(600)
    model, terms = trained(items)
    weights = item_topics(model, terms)
    wanted = np.array([truth[key] for key in zip(terms.domains, terms.item_ids, strict=True)])
    planted_as = [np.bincount(wanted[weights.argmax(axis=1) == topic]).argmax() for topic in range(10)]
    table = topics_table(
        model, terms, weights, first_domain="knowledge", settings=SETTINGS, trained_ds=date(2026, 1, 5), version="v"
    )
    shared = table["shared"].to_pylist()
    # The last four are sold on one side; a small topic may be missed, none of one side may be called shared.
    assert all(topic < 6 for topic, found in zip(planted_as, shared, strict=True) if found)
    assert sum(shared) >= 5


def test_words_thrown_at_random_share_no_topic(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(600)
    model, _ = trained(items)
    rng = np.random.default_rng(3)
    tokens = [text if side == "knowledge" else None for side, text in zip(
        items["domain"].to_pylist(), items["tokens"].to_pylist(), strict=True)]  # fmt: skip
    words = [word for text in items["tokens"].to_pylist() for word in text]
    tokens = [rng.choice(words, 25).tolist() if text is None else text for text in tokens]
    random = items.set_column(items.column_names.index("tokens"), "tokens", [tokens])
    assert (shared_p(model, term_matrix(random)) > SETTINGS.shared_chance).all()


def test_births_and_deaths_are_told(planted) -> None:  # type: ignore[no-untyped-def]
    old, _ = trained(planted(300)[0])
    new = replace(old, ids=(*old.ids[:9], 42))
    rows = topic_changes(new, old, version="v").to_pylist()
    assert {row["topic"]: row["change"] for row in rows} == {
        **dict.fromkeys(range(1, 10), "kept"), 10: "died", 42: "born"
    }  # fmt: skip
    assert [row["overlap"] for row in rows] == [1.0] * 9 + [0.0, 0.0]
    assert {row["change"] for row in topic_changes(old, None, version="v").to_pylist()} == {"born"}


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
    few = ({}, {("a", "1"): [], ("b", "2"): []}, {("a", str(n)): ["面霜", "保湿"] for n in range(15)})
    for items in few:
        assert train_topics(terms_of(items), Texts.of(list(items.values())), SETTINGS, topics=TOPICS) is None


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
