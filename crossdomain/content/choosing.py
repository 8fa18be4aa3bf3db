"""How many topics: chosen by measure, when topics are trained.

For each number of the grid two models with different seeds are trained on four fifths of the items. Of the numbers
whose coherence on the other fifth is within one standard error of the best one's, and whose two models agree at least
four fifths as much as those of the most stable of them, the greatest is taken: more topics tell items apart better, as
long as they are no worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from crossdomain.content.coherence import npmi
from crossdomain.content.documents import TermMatrix
from crossdomain.content.reading import Texts
from crossdomain.content.settings import TopicSettings
from crossdomain.content.training import COHERENCE_WORDS, train_topics
from crossdomain.errors import InputError

_HELD_OUT = 0.2
_AS_STABLE = 0.8


@dataclass(frozen=True)
class Candidate:
    """What a number of topics reached.

    Attributes:
        topics: The number.
        npmi: Mean coherence of both models' topics over the held-out texts.
        error: Its standard error over the topics.
        stability: Agreement of the two models (:func:`agreement`).
    """

    topics: int
    npmi: float
    error: float
    stability: float


def choose_topics(terms: TermMatrix, texts: Texts, settings: TopicSettings) -> tuple[int, list[Candidate]]:
    """The number of topics to train, and what all numbers of the grid reached.

    Args:
        terms: Words by item.
        texts: The same items' words in reading order.
        settings: ``topics`` if not 0, else ``topic_grid``.

    Returns:
        The number, 0 where the items give no model; the candidates by number, none where the setting says it.

    Raises:
        InputError: The grid is no list of numbers from 2 on.
    """
    if settings.topics:
        return settings.topics, []
    train, held = split(len(terms.item_ids), seed=settings.seed)
    seen, better = texts.of_rows(train), texts.of_rows(held)
    candidates: dict[int, Candidate] = {}
    for number in _grid(settings):
        models = [
            train_topics(terms.of_rows(train), seen, replace(settings, seed=settings.seed + step), topics=number)
            for step in range(2)
        ]
        words = [model.words(COHERENCE_WORDS) for model in models if model]
        if len(words) < 2 or len(words[0]) in candidates:
            continue
        values = np.concatenate([npmi(topics, better) for topics in words])
        error = float(values.std() / np.sqrt(len(values)))
        count = len(words[0])
        candidates[count] = Candidate(count, round(float(values.mean()), 6), round(error, 6), agreement(*words))
    return (_best(list(candidates.values())) if candidates else 0), list(candidates.values())


def agreement(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> float:
    """Mean share of words that topics matched one to one have in common; 1 for the same topics in any order."""
    shared = np.array([[len(set(a) & set(b)) / max(1, len(a)) for b in other] for a in one])
    return round(float(shared[linear_sum_assignment(-shared)].mean()), 6)


def split(items: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, each in order."""
    shuffled = np.random.default_rng(seed).permutation(items)
    held = int(items * _HELD_OUT)
    return np.sort(shuffled[held:]), np.sort(shuffled[:held])


def _best(candidates: Sequence[Candidate]) -> int:
    best = max(candidates, key=lambda one: (one.npmi, -one.topics))
    near = [one for one in candidates if one.npmi >= best.npmi - best.error]
    stable = _AS_STABLE * max(one.stability for one in near)
    return max(one.topics for one in near if one.stability >= stable)


def _grid(settings: TopicSettings) -> list[int]:
    try:
        numbers = sorted({int(part) for part in settings.topic_grid.split(",")})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 2:
        raise InputError(f"topic_grid {settings.topic_grid!r} is no list of numbers from 2 on; write 10,20,40")
    return numbers
