"""Search of each source's settings on the validation stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crossdomain.recommend.offline.metrics import per_person
from crossdomain.recommend.offline.protocols import Queries, Stage
from crossdomain.recommend.offline.ranking import rank_source
from crossdomain.recommend.offline.sources import SOURCES, Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchSettings:
    """How long settings are searched for.

    Attributes:
        trials: Settings that are tried for each source, the defaults being the first.
        people: Most people of a domain that a trial is judged by.
        metric: What is maximised: its mean over the people of all domains, each domain weighing the same.
        seconds: No source starts another trial later than its share of this; 0 for no limit. A search that a limit
            cut short depends on the machine; without one the same data gives the same settings.
        seed: Seed of the trials and models.
        threads: Threads of the models.
    """

    trials: int = 24
    people: int = 2000
    metric: str = "ndcg@10"
    seconds: float = 0.0
    seed: int = 7
    threads: int = 2


@dataclass(frozen=True)
class Found:
    """The best settings of a source.

    Attributes:
        source: The source with these settings.
        value: The metric on validation.
        trials: Trials that were made.
        seconds: How long they took.
    """

    source: Source
    value: float
    trials: int
    seconds: float


def tune_source(name: str, stages: Sequence[Stage], settings: SearchSettings) -> Found | None:
    """The best settings of a source by a random search that moves on from the best so far; None if it cannot be used.

    The first trial is the default. Half of the others draw every setting afresh; the rest change one or two settings
    of the best one, so that settings which matter little do not hide those that matter much.
    """
    kind = SOURCES[name]
    best: Source = kind()
    if not all(best.applies(stage.train) for stage in stages):
        return None
    parts = [(stage, [_some(queries, settings) for queries in stage.queries]) for stage in stages]
    rng = np.random.default_rng([settings.seed, sorted(SOURCES).index(name)])
    began, tried, value = time.monotonic(), {best}, -1.0
    candidate = best
    states: dict[tuple[int, tuple[Any, ...]], Any] = {}
    trials = settings.trials if kind.space else 1
    while True:
        found = _judge(candidate, parts, settings, states)
        if found > value:
            best, value = candidate, found
        log.info("%s %s: %s %.5f", name, candidate.as_settings(), settings.metric, found)
        fresh = _next(kind, best, tried, rng, local=len(tried) > trials // 2)
        late = settings.seconds and time.monotonic() - began > settings.seconds
        if len(tried) >= trials or fresh is None or late:
            return Found(best, value, len(tried), time.monotonic() - began)
        tried.add(fresh)
        candidate = fresh


def mean_metric(rankings: Sequence[Any], metric: str) -> float:
    """Mean over people of each domain, then over domains."""
    values: dict[int, list[Any]] = {}
    for ranking in rankings:
        values.setdefault(ranking.queries.domain, []).append(per_person(ranking)[metric])
    return float(np.mean([np.concatenate(parts).mean() for parts in values.values()]))


def _judge(
    source: Source, parts: Any, settings: SearchSettings, states: dict[tuple[int, tuple[Any, ...]], Any]
) -> float:
    rankings = []
    for number, (stage, asked) in enumerate(parts):
        key = (number, source.key())
        if key not in states:
            for old in [other for other in states if other[0] == number][:-1]:
                del states[old]
            states[key] = source.learn(stage.train, seed=settings.seed, threads=settings.threads)
        rankings += [rank_source(source, states[key], stage, one, threads=settings.threads) for one in asked]
    return mean_metric(rankings, settings.metric)


def _next(
    kind: type[Source], best: Source, tried: set[Source], rng: np.random.Generator, *, local: bool
) -> Source | None:
    names = sorted(kind.space)
    for _ in range(100):
        changed = names
        if local and len(names) > 1:
            changed = list(rng.choice(names, size=int(rng.integers(1, 3)), replace=False))
        values = {name: kind.space[name][int(rng.integers(len(kind.space[name])))] for name in changed}
        candidate = replace(best, **values)  # type: ignore[type-var]
        if candidate not in tried:
            return candidate
    return None


def _some(queries: Queries, settings: SearchSettings) -> Queries:
    if len(queries) <= settings.people:
        return queries
    rng = np.random.default_rng(settings.seed)
    return queries.take(np.sort(rng.choice(len(queries), size=settings.people, replace=False)))
