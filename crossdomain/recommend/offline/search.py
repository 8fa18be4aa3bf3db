"""Search of each source's settings on the validation stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from crossdomain.recommend.offline.metrics import per_person
from crossdomain.recommend.offline.protocols import Queries, Stage
from crossdomain.recommend.offline.ranking import Ranking, rank_source
from crossdomain.recommend.offline.sources import SOURCES, Source

FINALISTS = 4
NEED_TIMES = ("half_life_days", "gap_days", "gap_minutes")
"""Settings that change nothing where the log has no times."""
MOST_FOR_COSTLY = 500_000
"""Interactions up to which costly settings are tried."""
NEED_DOMAINS = ("across",)
"""Settings that change nothing where there is one domain."""
log = logging.getLogger(__name__)
Settings = TypeVar("Settings", bound=Any)
Space = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class SearchSettings:
    """How long settings are searched for.

    Attributes:
        trials: Settings that are tried for each source, the defaults being the first; a quarter as many for the ranker.
        people: Most people of a domain that a trial is judged by; the best ``FINALISTS`` are judged by more.
        final_people: Most people of a domain that the finalists are judged by.
        metric: What is maximised: its mean over the people of all domains, each domain weighing the same.
        seconds: No source starts another trial later than its share of this; 0 for no limit. A search that a limit
            cut short depends on the machine; without one the same data gives the same settings.
        seed: Seed of the trials and models.
        threads: Threads of the models.
    """

    trials: int = 24
    people: int = 500
    final_people: int = 5000
    metric: str = "ndcg@10"
    seconds: float = 0.0
    seed: int = 7
    threads: int = 2


@dataclass(frozen=True)
class Found:
    """The best settings of a source.

    Attributes:
        source: The source with these settings.
        value: The metric on validation, over the people that the finalists were judged by.
        trials: Trials that were made.
        seconds: How long they took.
    """

    source: Source
    value: float
    trials: int
    seconds: float


def tune_source(name: str, stages: Sequence[Stage], settings: SearchSettings) -> Found | None:
    """The best settings of a source; None if it cannot be used.

    ``climb`` judges its trials by few people; the best of them are judged again by many. Where there are several trials
    and the log has at most ``MOST_FOR_COSTLY`` interactions, the best is also tried with its costly settings.
    """
    kind = SOURCES[name]
    if not all(kind().applies(stage.train) for stage in stages):
        return None
    rng = np.random.default_rng([settings.seed, sorted(SOURCES).index(name)])
    began = time.monotonic()
    few, many = (_Judge(stages, settings, people) for people in (settings.people, settings.final_people))
    late = _deadline(began, settings.seconds)
    trials = settings.trials if kind.space else 1
    tried = climb(kind(), useful_space(kind, stages), few, trials=trials, rng=rng, late=late)
    finals = sorted(tried, key=lambda one: -one[1])[:FINALISTS]
    if few.asked < many.asked:
        finals = [(one, many(one)) for one, _ in finals]
    made = len(tried)
    if trials > 1 and len(stages[0].train) <= MOST_FOR_COSTLY and not late():
        best = max(finals, key=lambda one: one[1])[0]
        costly = _useful(kind.costly, stages)
        dear = [replace(best, **{name: value}) for name, values in costly.items() for value in values]  # type: ignore[type-var]
        finals += [(one, many(one)) for one in dear]
        made += len(dear)
    source, value = max(finals, key=lambda one: one[1])
    return Found(source, value, made, time.monotonic() - began)


def useful_space(kind: type[Source], stages: Sequence[Stage]) -> Space:
    """The settings of a source that change something on these logs."""
    return _useful(kind.space, stages)


def _useful(space: Space, stages: Sequence[Stage]) -> Space:
    timed = all(stage.train.timed for stage in stages)
    several = all(len(stage.train.names.domains) > 1 for stage in stages)
    useless = {*(() if timed else NEED_TIMES), *(() if several else NEED_DOMAINS)}
    return {name: values for name, values in space.items() if name not in useless}


def climb(
    start: Settings,
    space: Space,
    judge: Callable[[Settings], float],
    *,
    trials: int,
    rng: np.random.Generator,
    late: Callable[[], bool] = lambda: False,
) -> list[tuple[Settings, float]]:
    """Tries settings, and moves on from the best so far.

    The first trial is ``start``. Half of the others draw about half of its settings afresh; the rest change one or two
    settings of the best one, so that settings which matter little do not hide those that matter much.

    Returns:
        Settings and their values, in the order of the trials.
    """
    tried: list[tuple[Settings, float]] = []
    candidate: Settings | None = start
    while candidate is not None and len(tried) < max(1, trials):
        if tried and late():
            break
        value = judge(candidate)
        log.debug("%s: %.5f", candidate, value)
        tried.append((candidate, value))
        best = max(tried, key=lambda one: one[1])[0]
        local = len(tried) > trials // 2
        candidate = _next(best if local else start, space, {one for one, _ in tried}, rng, local=local)
    return tried


def mean_metric(rankings: Sequence[Ranking], metric: str) -> float:
    """Mean over people of each domain, then over domains."""
    values: dict[int, list[Any]] = {}
    for ranking in rankings:
        values.setdefault(ranking.queries.domain, []).append(per_person(ranking)[metric])
    return float(np.mean([np.concatenate(parts).mean() for parts in values.values()]))


def some(queries: Queries, people: int, seed: int) -> Queries:
    """At most so many of the queries, at random."""
    if len(queries) <= people:
        return queries
    rng = np.random.default_rng(seed)
    return queries.take(np.sort(rng.choice(len(queries), size=people, replace=False)))


class _Judge:
    """The metric of a source on some people; what it learned is kept while only settings of its scores change."""

    def __init__(self, stages: Sequence[Stage], settings: SearchSettings, people: int) -> None:
        self._settings = settings
        self._parts = [(stage, [some(one, people, settings.seed) for one in stage.queries]) for stage in stages]
        self._states: dict[tuple[int, tuple[Any, ...]], Any] = {}
        self.asked = sum(len(one) for _, queries in self._parts for one in queries)

    def __call__(self, source: Source) -> float:
        threads = self._settings.threads
        rankings = []
        for number, (stage, asked) in enumerate(self._parts):
            key = (number, source.key())
            if key not in self._states:
                for old in [other for other in self._states if other[0] == number][:-1]:
                    del self._states[old]
                self._states[key] = source.learn(stage.train, seed=self._settings.seed, threads=threads)
            rankings += [rank_source(source, self._states[key], stage, one, threads=threads) for one in asked]
        return mean_metric(rankings, self._settings.metric)


def _deadline(began: float, seconds: float) -> Callable[[], bool]:
    return lambda: bool(seconds) and time.monotonic() - began > seconds


def _next(origin: Settings, space: Space, tried: set[Settings], rng: np.random.Generator, *, local: bool) -> Any:
    names = sorted(space)
    for _ in range(100 if names else 0):
        if local:
            changed = list(rng.choice(names, size=min(len(names), int(rng.integers(1, 3))), replace=False))
        else:
            changed = [name for name in names if rng.random() < 0.5]
        values = {name: space[name][int(rng.integers(len(space[name])))] for name in changed}
        candidate = replace(origin, **values)
        if candidate not in tried:
            return candidate
    return None
