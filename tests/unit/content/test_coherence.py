"""Coherence: gensim is the oracle, where it counts right; the number of topics that is chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gensim.corpora import Dictionary
from gensim.models.coherencemodel import CoherenceModel

from crossdomain.content.choosing import agreement, choose_topics, split
from crossdomain.content.coherence import c_v, nearness, npmi
from crossdomain.content.documents import term_matrix, texts_of
from crossdomain.content.reading import Texts
from crossdomain.content.settings import TopicSettings
from crossdomain.errors import InputError

SETTINGS = TopicSettings()


@pytest.mark.parametrize(("name", "measure"), [("c_npmi", npmi), ("c_v", c_v)])
def test_coherence_agrees_with_gensim(name: str, measure) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    words = [f"词{n:03}" for n in range(300)]
    # Without repeats: gensim forgets a word that leaves the window at its edge though it stands in it once more.
    texts = [[words[n] for n in rng.choice(300, size=size, replace=False)] for size in rng.integers(1, 150, size=200)]
    topics = [[words[n] for n in rng.choice(120, size=10, replace=False)] for _ in range(5)]
    theirs = CoherenceModel(
        topics=topics, texts=texts, dictionary=Dictionary(texts), coherence=name, processes=1
    ).get_coherence_per_topic()
    assert np.allclose(measure(topics, Texts.of(texts)), theirs, atol=1e-5)


def test_a_word_twice_in_a_window_counts_once() -> None:
    near = nearness(Texts.of([["a", "b", "a", "c"], [], ["b"]]), ["a", "b"], 2)
    # Windows: ab, ba, ac, none, b.
    assert near.together.round(6).tolist() == [[0.6, 0.4], [0.4, 0.6]]


def test_words_that_no_text_has_are_near_nothing() -> None:
    assert npmi([["x", "y"]], Texts.of([["a", "b"]])).tolist() == [0.0]
    assert c_v([["x", "y"]], Texts.of([["a", "b"]])).tolist() == [0.0]


def test_agreement_of_two_models() -> None:
    one = [["a", "b"], ["c", "d"]]
    assert agreement(one, one[::-1]) == 1.0
    assert agreement(one, [["c", "x"], ["a", "b"]]) == 0.75
    assert agreement(one, [["x", "y"], ["z", "w"]]) == 0.0


def test_the_planted_number_of_topics_is_chosen(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(600, topics=10)
    terms, texts = term_matrix(items), texts_of(items)
    number, candidates = choose_topics(terms, texts, replace(SETTINGS, topic_grid="3,10,40"))
    assert number == 10
    assert [one.topics for one in candidates] == [3, 10, 40]
    assert choose_topics(terms, texts, replace(SETTINGS, topics=7)) == (7, [])


def test_a_grid_of_no_numbers_is_refused(planted) -> None:  # type: ignore[no-untyped-def]
    items, _ = planted(50)
    with pytest.raises(InputError, match="topic_grid"):
        choose_topics(term_matrix(items), texts_of(items), replace(SETTINGS, topic_grid="many"))


def test_items_are_held_out_once() -> None:
    train, held = split(10, seed=3)
    assert sorted([*train, *held]) == list(range(10))
    assert len(held) == 2
