from __future__ import annotations

import numpy as np

from crossdomain.demo.topics import BEAUTY, KNOWLEDGE, TOPICS, carry_over_matrix, shared_topics, topics_of


def test_every_knowledge_topic_carries_over_to_beauty_as_a_distribution() -> None:
    matrix = carry_over_matrix()
    assert matrix.shape == (len(topics_of(KNOWLEDGE)), len(topics_of(BEAUTY)))
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert (matrix.sum(axis=0) > 0).all()


def test_some_topics_are_shared_and_some_are_not() -> None:
    shared = set(shared_topics())
    assert shared
    assert shared < set(topics_of(KNOWLEDGE))
    assert shared < set(topics_of(BEAUTY))
    assert set(topics_of(KNOWLEDGE)) | set(topics_of(BEAUTY)) == set(range(len(TOPICS)))


def test_topics_have_enough_words_of_their_own() -> None:
    for topic in TOPICS:
        assert len(topic.words) == len(set(topic.words)) >= 24
    words = [word for topic in TOPICS for word in topic.words]
    assert len(words) - len(set(words)) <= 5
