"""Choices of the recommender, with the defaults that were measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from crossdomain.errors import InputError
from crossdomain.settings import read_variables

_PREFIX = "CROSSDOMAIN_RECOMMEND_"
DEVICES = ("cpu", "gpu")

EVENT_WEIGHTS: Mapping[str, float] = {
    "view": 0.2,
    "click": 0.2,
    "comment": 0.4,
    "favorite": 0.5,
    "share": 0.5,
    "cart": 0.6,
    "attend": 0.6,
    "purchase": 1.0,
}
"""Weight of one event as evidence of taste, relative to a purchase; other types weigh nothing."""
RATING_WEIGHTS: tuple[tuple[float, float], ...] = ((4.0, 0.8), (2.5, 0.4))
"""(least rating, weight), on a scale to 5; a rating without a value weighs like the lowest step."""
REJECTIONS: tuple[str, ...] = ("complaint", "dislike", "hide", "refund")
"""Events that take back all earlier evidence for their item; so does a rating below ``RATING_WEIGHTS``."""


@dataclass(frozen=True)
class RecommendSettings:
    """How behaviour becomes models and models become recommendations.

    Attributes:
        window_days: Business days of events that are read, up to and including the key; 0 for all. What is owned or was
            rejected is known however long ago it was.
        half_life_days: Age at which an event weighs half as evidence of taste; 0 for no decay.
        event_weights: Weights of event types that are not those of ``EVENT_WEIGHTS``: ``view=0.1,cart=0.8``; 0 takes a
            type out.
        popularity_half_life_days: Age at which an interaction counts half for decayed popularity.
        pair_cap: Greatest summed weight of one account and item.
        max_items: Items of one account that count, the heaviest first: bounds bots and bulk buyers.
        alpha: Confidence of a pair is ``1 + alpha * weight``.
        factors: Length of the latent vectors. Short vectors and a strong ridge make the domains share their
            directions; long ones learn each domain by itself and fail people known on one side only.
        regularization: Ridge of the least squares, the same for people and items.
        popularity_power: Scores are multiplied by decayed popularity to this power; 0 for none.
        iterations: Most sweeps of alternating least squares.
        patience: Training stops when so many sweeps in a row did not better what a model that did not see the days
            before the test days reaches on them; 0 for all sweeps, without that third training.
        test_days: Last days that the metrics are measured on; the evaluated twin does not see them.
        gap_days: Days between the twin's training and the test days.
        cold_share: Share of two-sided people whose one side is hidden from the twin, to measure people who
            are known on the other side only.
        min_test_people: With fewer test people a comparison of models says nothing and is not made.
        tolerance: A challenger may be worse by this much and still be promoted.
        train_every_days: A model is trained on each n-th day; between them the champion stays.
        device: ``cpu`` or ``gpu``, for training.
        top_k: Ranks per person and target domain.
        creator_cap: Items of one creator (lecturer or brand) that come first in a personal list, the others after all
            else; 0 for no cap.
        topic_cap: The same for items whose greatest topic is one, by the topics of the day before.
        repeat_days: An item that was in the person's list on each of so many days before comes after all that was not;
            0 for any repeats.
        mmr_lambda: Weight of relevance against being unlike the items before (maximal marginal relevance, by the topics
            of the day before) in a personal list; 1 for relevance alone.
        fresh_boost: What a new item's score is raised by, as a share of it; 0 for no boost.
        fresh_half_life_days: Age, since the item was listed or first seen, at which half of that is left.
        buy_again: Rows of a personal list for items that the person bought and that are due again; 0 for none.
        threads: Threads of training and scoring.
        seed: Seed of the factors and of the choice of the hidden people.
    """

    window_days: int = 90
    half_life_days: float = 20.0
    event_weights: str = ""
    popularity_half_life_days: float = 7.0
    pair_cap: float = 3.0
    max_items: int = 500
    alpha: float = 5.0
    factors: int = 16
    regularization: float = 10.0
    popularity_power: float = 0.75
    iterations: int = 10
    patience: int = 0
    test_days: int = 7
    gap_days: int = 0
    cold_share: float = 0.2
    min_test_people: int = 10
    tolerance: float = 0.0
    train_every_days: int = 1
    device: str = "cpu"
    top_k: int = 10
    creator_cap: int = 0
    topic_cap: int = 0
    repeat_days: int = 0
    mmr_lambda: float = 1.0
    fresh_boost: float = 0.0
    fresh_half_life_days: float = 14.0
    buy_again: int = 0
    threads: int = 2
    seed: int = 7

    def __post_init__(self) -> None:
        at_least = {
            "window_days": 0, "half_life_days": 0, "popularity_half_life_days": 0, "alpha": 0, "gap_days": 0,
            "factors": 1, "iterations": 1, "test_days": 1, "min_test_people": 1, "train_every_days": 1,
            "top_k": 1, "threads": 1, "max_items": 1, "tolerance": 0, "cold_share": 0, "popularity_power": 0,
            "patience": 0, "creator_cap": 0, "topic_cap": 0, "repeat_days": 0,
            "mmr_lambda": 0, "fresh_boost": 0, "buy_again": 0, "seed": 0,
        }  # fmt: skip
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise InputError(f"{_PREFIX}{name.upper()} must be {least} or more, not {getattr(self, name)}")
        if not any(self.weights.values()):
            raise InputError(f"{_PREFIX}EVENT_WEIGHTS={self.event_weights!r} leaves no event that says anything")
        for name in ("pair_cap", "regularization", "fresh_half_life_days"):
            if getattr(self, name) <= 0:
                raise InputError(f"{_PREFIX}{name.upper()} must be greater than 0, not {getattr(self, name)}")
        for name in ("cold_share", "mmr_lambda"):
            if getattr(self, name) > 1:
                raise InputError(f"{_PREFIX}{name.upper()} is a share, at most 1, not {getattr(self, name)}")
        if self.device not in DEVICES:
            raise InputError(f"{_PREFIX}DEVICE must be one of {', '.join(DEVICES)}, not {self.device!r}")
        before_test = self.test_days * (2 if self.patience else 1) + self.gap_days
        if 0 < self.window_days <= before_test:
            validated = f" and as many to validate on (PATIENCE={self.patience})" if self.patience else ""
            raise InputError(
                f"{_PREFIX}WINDOW_DAYS={self.window_days} leaves nothing to train on before "
                f"{self.test_days} test days{validated} and a gap of {self.gap_days}"
            )

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, seed: int = 7, threads: int = 2
    ) -> RecommendSettings:
        """Settings from ``CROSSDOMAIN_RECOMMEND_*`` variables; what is not set keeps its default.

        Raises:
            InputError: A variable does not parse, is out of range or names no setting.
        """
        kinds = {field.name: _KINDS[str(field.type)] for field in fields(cls)}
        values = read_variables(_PREFIX, kinds, environ, known=kinds)
        return cls(**{"seed": seed, "threads": threads} | values)

    @cached_property
    def weights(self) -> dict[str, float]:
        """Weight of one event of each type: ``EVENT_WEIGHTS`` with what ``event_weights`` says."""
        found = dict(EVENT_WEIGHTS)
        for part in filter(None, (part.strip() for part in self.event_weights.split(","))):
            name, _, text = part.partition("=")
            try:
                weight = float(text)
            except ValueError:
                weight = math.nan
            if name not in EVENT_WEIGHTS or not 0 <= weight < math.inf:
                known = ", ".join(sorted(EVENT_WEIGHTS))
                raise InputError(
                    f"{_PREFIX}EVENT_WEIGHTS: {part!r} is not TYPE=WEIGHT, a weight of 0 or more and a type of {known}"
                )
            found[name] = weight
        return found

    def as_config(self) -> dict[str, Any]:
        """What the rows depend on: everything but the number of threads."""
        config = asdict(self)
        del config["threads"]
        return {**config, "events": self.weights, "ratings": RATING_WEIGHTS, "rejections": REJECTIONS}


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("give a finite number")
    return number


_KINDS: Mapping[str, Callable[[str], str | int | float]] = {"int": int, "float": _finite, "str": str}
