"""Choices of content understanding, with the defaults that were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from crossdomain.settings import read_variables

_PREFIX = "CROSSDOMAIN_CONTENT_"


class _Settings:
    """Settings that ``CROSSDOMAIN_CONTENT_*`` variables change; one class a job.

    But for the seed, all names are different.
    """

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Settings from the variables; what is neither set nor given keeps its default.

        Args:
            environ: Variables; those of the process if None.
            given: Values that a variable overrides, such as the platform's seed.

        Raises:
            InputError: A variable does not parse or names no setting of any job.
        """
        known = {field.name for kind in _ALL for field in fields(kind)}
        mine = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**given | read_variables(_PREFIX, mine, environ, known=known))


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
        retrain_misfits: Topics are trained again when new texts that do not fit them (``topic_drift``) make up this
            share of a domain's items, and at least ``items_per_topic`` of them; until then new items are folded in.
        retrain_share: Topics are also trained again when more than this share of the catalogue's texts is new to the
            model.
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
    retrain_misfits: float = 0.02
    retrain_share: float = 0.5
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
        cosine_weight: Weight of the TF-IDF cosine of the words in the similarity.
        ngram_weight: Weight of the TF-IDF cosine of the titles' character n-grams.
        jaccard_weight: Weight of the Jaccard index of the token sets.
        topic_weight: Weight of the topic similarity.
        behaviour_weight: Weight of what is taken together. These weights are in force where they are not learned.
        learn_least: Choices of people by which the weights of a pair of domains are learned, at least so many, and as
            many of later days to check them.
        neighbours: Similar items kept for an item and a domain.
        reserve: Further ones that are held for the days to come, as some of the neighbours go.
        min_similarity: Weaker pairs are not kept.
        refresh_days: Age in days at which term weights and thresholds are learned again.
        theta_fdr: Share of pairs above the threshold that may be there by chance.
        theta_sample: Most items of a side by which a threshold is calibrated.
        similarity_threads: Threads of the search; without influence on the result.
        seed: Of everything drawn.
    """

    cosine_weight: float = 0.5
    ngram_weight: float = 0.3
    jaccard_weight: float = 0.1
    topic_weight: float = 0.1
    behaviour_weight: float = 0.0
    learn_least: int = 500
    neighbours: int = 50
    reserve: int = 14
    min_similarity: float = 0.02
    refresh_days: int = 7
    theta_fdr: float = 0.05
    theta_sample: int = 2000
    similarity_threads: int = 2
    seed: int = 7


@dataclass(frozen=True)
class TogetherSettings(_Settings):
    """What the same people take.

    Attributes:
        together_days: Business days of events by which items are taken together.
        later_days: Days on which later choices are looked at: so many for learning weights, as many after them for
            checking.
        together_people: A pair needs so many people who take both; of fewer nothing is kept.
        together_shrink: People that count as chance beside those who take both; see ``together``.
        together_items: Items of a person that count, the latest.
        together_others: Others kept for an item and a domain.
        choices: Most choices for a pair of domains and days.
        seed: Of everything drawn.
    """

    together_days: int = 42
    later_days: int = 7
    together_people: int = 5
    together_shrink: float = 5.0
    together_items: int = 200
    together_others: int = 100
    choices: int = 20_000
    seed: int = 7


@dataclass(frozen=True)
class DuplicateSettings(_Settings):
    """When two items are one product; see ``duplicates.DuplicateRules``.

    Attributes:
        same_title: Least Jaccard index of the titles' character n-grams, for one creator.
        same_title_elsewhere: The same where the creators differ.
        same_title_length: Characters that a title needs for another creator's to be the same product.
        same_price_ratio: Greatest ratio of the two prices.
        seed: Of the hash functions by which candidates are found.
    """

    same_title: float = 0.7
    same_title_elsewhere: float = 0.9
    same_title_length: int = 12
    same_price_ratio: float = 2.0
    seed: int = 7


@dataclass(frozen=True)
class BundleSettings(_Settings):
    """Which items a bundle joins.

    Attributes:
        theta: A knowledge and a beauty item may stand together if their similarity is greater; 0: the threshold that
            was calibrated (``serving.similarity_thresholds``), the greater one of the two directions.
        bundle_items: Most items of one side in a bundle.
        bundles_per_item: Most bundles that an item is in; two items are in one bundle together at most.
        bundle_topic: Least weight of the bundle's topic in each of its items.
        bundle_words: Least number of the topic's words that a knowledge and a beauty item of a bundle have in common.
        bundle_same_topic: Topics with at least this share of their words in common count as one for bundles: a model
            may cut one theme in two, a topic for each domain's way of writing.
    """

    theta: float = 0.0
    bundle_items: int = 5
    bundles_per_item: int = 1
    bundle_topic: float = 0.15
    bundle_words: int = 2
    bundle_same_topic: float = 0.5


_ALL = (TopicSettings, SimilaritySettings, TogetherSettings, DuplicateSettings, BundleSettings)
