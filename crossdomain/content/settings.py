"""Choices of content understanding, with the defaults that were measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from crossdomain.errors import InputError

_PREFIX = "CROSSDOMAIN_CONTENT_"


class _Settings:
    """Settings that ``CROSSDOMAIN_CONTENT_*`` variables change; one class a job, the names are all different."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Settings from the variables; what is neither set nor given keeps its default.

        Args:
            environ: Variables; those of the process if None.
            given: Values that a variable overrides, such as the platform's seed.

        Raises:
            InputError: A variable does not parse or names no setting of any job.
        """
        env = os.environ if environ is None else environ
        known = {field.name for kind in _ALL for field in fields(kind)}
        mine = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}  # type: ignore[arg-type]
        for name in sorted(name for name in env if name.startswith(_PREFIX)):
            setting = name[len(_PREFIX) :].lower()
            if setting not in known:
                raise InputError(f"{name} is no setting; there are {', '.join(sorted(known))}")
            if setting not in mine:
                continue
            try:
                given[setting] = mine[setting](env[name])
            except ValueError as error:
                raise InputError(f"{name}={env[name]!r} is not valid: {error}") from error
        return cls(**given)


@dataclass(frozen=True)
class TopicSettings(_Settings):
    """How texts become tokens and topics.

    Attributes:
        engine: Tokenizer engine, one of ``crossdomain.text.tokens.ENGINES``.
        topic_engine: What trains topics, one of ``crossdomain.content.training.ENGINES``.
        topics: Number of topics; 0: chosen from ``topic_grid`` by measure (``crossdomain.content.choosing``).
            Fewer where there are fewer than ``items_per_topic`` items for each.
        topic_grid: Numbers of topics to choose from, with commas.
        items_per_topic: Least number of items that a topic needs.
        sweeps: Rounds of tomotopy over all words.
        workers: Threads of tomotopy; another number gives another model.
        passes: Passes of gensim over all items.
        iterations: Most steps of the inference of one item.
        chunk: Items between two updates of the topics while gensim trains.
        item_prior: Prior weight of each topic in an item (alpha); small: few topics an item.
        word_prior: Prior weight of each word in a topic (eta).
        min_items: A word must be in this many items to count for topics.
        min_share: Topics are learned from words in at least this share of the items; rarer ones get the topics of
            the items that have them.
        max_share: A word in a greater share of one domain's items says too little about any topic.
        max_words: Most words of the topic model; the ones in most items stay.
        retrain_share: Topics are trained again when more than this share of the catalogue's texts is new
            to the model; until then new items are folded in.
        keep_identity: Least cosine between the words of a new topic and an old one for it to keep the id.
        topic_words: Words stored with a topic.
        shared_least: A topic is shared when each domain has at least this part of it
        shared_chance: and chance would make it hold together in both with at most this probability.
        min_weight: Smaller topic weights of an item are not stored.
        seed: Seed of the training.
    """

    engine: str = "rjieba"
    topic_engine: str = "tomotopy"
    topics: int = 0
    topic_grid: str = "5,10,15,20,30,40,60"
    items_per_topic: int = 10
    sweeps: int = 150
    workers: int = 2
    passes: int = 5
    iterations: int = 50
    chunk: int = 512
    item_prior: float = 0.05
    word_prior: float = 0.1
    min_items: int = 5
    min_share: float = 0.006
    max_share: float = 0.5
    max_words: int = 20_000
    retrain_share: float = 0.2
    keep_identity: float = 0.3
    topic_words: int = 20
    shared_least: float = 0.1
    shared_chance: float = 0.01
    min_weight: float = 0.01
    seed: int = 7


@dataclass(frozen=True)
class SimilaritySettings(_Settings):
    """How alike two items are.

    Attributes:
        cosine_weight: Weight of the TF-IDF cosine in the similarity.
        jaccard_weight: Weight of the Jaccard index of the token sets.
        topic_weight: Weight of the topic similarity.
        neighbours: Similar items kept for an item and a domain.
        min_similarity: Weaker pairs are not kept.
    """

    cosine_weight: float = 0.5
    jaccard_weight: float = 0.2
    topic_weight: float = 0.3
    neighbours: int = 20
    min_similarity: float = 0.02


@dataclass(frozen=True)
class BundleSettings(_Settings):
    """Which items a bundle joins.

    Attributes:
        theta: Least similarity of a knowledge and a beauty item that a bundle may join.
        bundle_items: Most items of one side in a bundle.
    """

    theta: float = 0.25
    bundle_items: int = 5


_ALL = (TopicSettings, SimilaritySettings, BundleSettings)
