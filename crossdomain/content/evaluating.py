"""How good topics and tokens are on a corpus: what ``crossdomain evaluate`` says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

import numpy as np

from crossdomain.content.choosing import agreement, choose_topics, split
from crossdomain.content.coherence import c_v, npmi
from crossdomain.content.corpus import Document, token_table
from crossdomain.content.documents import TermMatrix, term_matrix, texts_of, tfidf
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topics import item_topics
from crossdomain.content.training import COHERENCE_WORDS, train_topics
from crossdomain.errors import InputError
from crossdomain.text.tokens import Tokenizer

NEIGHBOURS = 10
TOPIC_SHARE = 0.1
"""Weight of the topics in the blend that is measured; chosen on four fifths of the real columns."""
_DRAWS = 1000


def evaluate_topics(
    documents: list[Document], tokenizer: Tokenizer, settings: TopicSettings, *, seeds: int = 5
) -> dict[str, Any]:
    """Coherence, stability and neighbours of topics.

    Models are trained on four fifths of the documents, one a seed; the number of topics, if not set, is chosen within
    those. Coherence is told on them and on the other fifth. The neighbours are those of all documents with tags, by a
    model of all documents, which sees no tag.

    Args:
        documents: The corpus.
        tokenizer: Gives the words.
        settings: How topics are trained.
        seeds: Models that are compared.

    Returns:
        topics, candidates, seconds (median of a training), npmi, npmi_held_out, c_v, c_v_held_out (means over the
        seeds), stability (mean agreement of pairs of seeds), tags (null without tags).

    Raises:
        InputError: The corpus is too small for topics.
    """
    tokens = token_table(documents, tokenizer)
    terms, texts = term_matrix(tokens), texts_of(tokens)
    train, held = split(len(documents), seed=settings.seed)
    part, seen, unseen = terms.of_rows(train), texts.of_rows(train), texts.of_rows(held)
    number, candidates = choose_topics(part, seen, settings)
    words, seconds = [], []
    for step in range(seeds):
        began = time.perf_counter()
        model = train_topics(part, seen, replace(settings, seed=settings.seed + step), topics=number)
        seconds.append(time.perf_counter() - began)
        if model is None:
            raise InputError(f"{len(documents)} documents are too few or too poor for topics")
        words.append(model.words(COHERENCE_WORDS))
    pairs = [agreement(a, b) for a, b in combinations(words, 2)]
    return {
        "documents": len(documents),
        "engine": settings.topic_engine,
        "tokenizer": tokenizer.version,
        "topics": len(words[0]),
        "candidates": [asdict(one) for one in candidates],
        "seeds": seeds,
        "seconds": round(float(np.median(seconds)), 2),
        "npmi": _mean(npmi(topics, seen) for topics in words),
        "npmi_held_out": _mean(npmi(topics, unseen) for topics in words),
        "c_v": _mean(c_v(topics, seen) for topics in words),
        "c_v_held_out": _mean(c_v(topics, unseen) for topics in words),
        "stability": round(float(np.mean(pairs)), 4) if pairs else None,
        "tags": _tags(documents, terms, texts, settings, len(words[0])),
    }


def evaluate_tokens(documents: list[Document], tokenizer: Tokenizer, reference: Tokenizer) -> dict[str, Any]:
    """Speed of a tokenizer, and where its words differ from the reference's with the same rules and lists.

    Returns:
        documents, megabytes (UTF-8), mb_per_second and reference_mb_per_second (one thread, the same texts in turn),
        documents_equal (share with the same words), words_shared (share of the reference's words, repeats counted,
        that both give).
    """
    size = sum(len(document.text.encode()) for document in documents) / 1e6
    sides, seconds = [], []
    for one in (tokenizer, reference):
        began = time.perf_counter()
        sides.append([one.tokens(document.text) for document in documents])
        seconds.append(time.perf_counter() - began)
    equal = sum(mine == theirs for mine, theirs in zip(*sides, strict=True))
    both = sum(_in_common(mine, theirs) for mine, theirs in zip(*sides, strict=True))
    return {
        "documents": len(documents),
        "tokenizer": tokenizer.version,
        "reference": reference.version,
        "megabytes": round(size, 3),
        "mb_per_second": round(size / seconds[0], 2),
        "reference_mb_per_second": round(size / seconds[1], 2),
        "documents_equal": round(equal / len(documents), 4),
        "words_shared": round(both / max(1, sum(map(len, sides[1]))), 4),
    }


def _tags(
    documents: list[Document], terms: TermMatrix, texts: Any, settings: TopicSettings, topics: int
) -> dict[str, Any] | None:
    """Precision at ten of shared tags by kind of neighbour, with 95 % bootstrap intervals over the documents."""
    rows = [row for row, document in enumerate(documents) if document.tags]
    if len(rows) <= NEIGHBOURS:
        return None
    model = train_topics(terms, texts, settings, topics=topics)
    if model is None:
        return None
    shares = np.array([[bool(documents[a].tags & documents[b].tags) for b in rows] for a in rows])
    vectors = tfidf(terms.counts)[rows]
    cosine = (vectors @ vectors.T).toarray()
    weights = item_topics(model, terms.of_rows(np.array(rows)))
    total = weights.sum(axis=1, keepdims=True)
    root = np.sqrt(weights / np.where(total > 0, total, 1))
    topic = 1 - np.sqrt(np.clip(1 - root @ root.T, 0, None))
    mixed = (1 - TOPIC_SHARE) * cosine + TOPIC_SHARE * topic
    found = {name: _precision(values, shares) for name, values in
             (("tfidf", cosine), ("topics", topic), ("blend", mixed))}  # fmt: skip
    others = ~np.eye(len(rows), dtype=bool)
    draws = np.random.default_rng(settings.seed).integers(len(rows), size=(_DRAWS, len(rows)))
    gain = found["blend"] - found["tfidf"]
    return {
        "documents": len(rows),
        "labels": len({tag for row in rows for tag in documents[row].tags}),
        "chance": round(float(shares[others].mean()), 4),
        "topic_share": TOPIC_SHARE,
        **{name: _interval(values, draws) for name, values in found.items()},
        "blend_minus_tfidf": _interval(gain, draws),
    }


def _precision(similarity: np.ndarray, shares: np.ndarray) -> np.ndarray:
    similarity = np.round(similarity, 9)
    np.fill_diagonal(similarity, -1.0)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
    precision: np.ndarray = np.take_along_axis(shares, nearest, axis=1).mean(axis=1)
    return precision


def _interval(values: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return {"precision": round(float(values.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _in_common(mine: Sequence[str], theirs: Sequence[str]) -> int:
    left: dict[str, int] = {}
    for word in mine:
        left[word] = left.get(word, 0) + 1
    return sum(min(left.get(word, 0), theirs.count(word)) for word in set(theirs))


def _mean(values: Any) -> float:
    return round(float(np.mean([value.mean() for value in values])), 4)
