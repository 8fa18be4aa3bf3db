"""Search of the ranker's settings: learned from the earlier stages, judged on the validation stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile

import numpy as np

from crossdomain.recommend.offline.features import Features, Fitted, fit_sources
from crossdomain.recommend.offline.protocols import Plan, Stage
from crossdomain.recommend.offline.ranker import (
    Examples,
    RankerSettings,
    candidates,
    examples,
    labelled,
    rank_found,
    thinned,
    train,
)
from crossdomain.recommend.offline.ranking import side_by_side
from crossdomain.recommend.offline.search import SearchSettings, climb, mean_metric, some
from crossdomain.recommend.offline.sources import Source

_BAGS = 4
_MOST_WATCHED = 2000
_MOST_NEGATIVES = max(int(value) for value in RankerSettings.space["negatives"])
_MOST_STAGES = max(int(value) for value in RankerSettings.space["stages"])
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A stage with sources that learned from it."""

    stage: Stage
    fitted: Sequence[Fitted]

    def features(self, *, per_source: int, without: Sequence[str] = ()) -> Features:
        """The features of its candidates."""
        return Features(self.stage, self.fitted, per_source=per_source, without=without)

    def half(self, odd: int) -> Prepared:
        """The same with every second query of each domain; one that is alone belongs to both halves."""
        queries = tuple(one.take(np.arange(odd, len(one), 2)) if len(one) > 1 else one for one in self.stage.queries)
        return replace(self, stage=replace(self.stage, queries=queries))


def prepared(stage: Stage, sources: Mapping[str, Source], ranker: RankerSettings) -> Prepared:
    """Lets the sources learn."""
    began = time.monotonic()
    found = Prepared(stage, fit_sources(stage, sources, seed=ranker.seed, threads=ranker.threads))
    log.info(
        "%s sources learned from %s interactions in %.1f s", len(sources), len(stage.train), time.monotonic() - began
    )
    return found


def label_stages(plan: Plan, sources: Mapping[str, Source]) -> list[tuple[Stage, ...]]:
    """The stages that label the ranker, the latest first, up to one that a source cannot learn from: too few people."""
    able = partial(_can_learn, sources=tuple(sources.values()))
    return list(takewhile(able, plan.labels))


def _can_learn(stages: Sequence[Stage], sources: Sequence[Source]) -> bool:
    return all(any(source.applies(stage.train) for stage in stages) for source in sources)


def tune_ranker(
    plan: Plan, sources: Mapping[str, Source], start: RankerSettings, settings: SearchSettings, others: Sequence[int]
) -> tuple[RankerSettings, float]:
    """The best settings and their metric on validation; the test is not looked at.

    A quarter of ``settings.trials`` are tried by ``climb``, then other numbers of candidates, then an average of
    ``_BAGS`` rankers. Each learns from the stages before the validation (without these from one half of its people),
    at most ``settings.final_people`` of a domain, and is judged by at most ``_MOST_WATCHED`` of the validation.

    Args:
        plan: Stages.
        sources: Sources with their settings.
        start: The first trial.
        settings: How long is searched.
        others: Other values of ``per_source`` to try.
    """
    began = time.monotonic()

    def late() -> bool:
        return bool(settings.seconds) and time.monotonic() - began > settings.seconds

    ready = _Ready.of(plan, sources, start)
    bench = _Bench(ready, start.per_source, settings)
    rng = np.random.default_rng([settings.seed, len(sources)])
    tried = climb(start, start.space, bench, trials=max(1, settings.trials // 4), rng=rng, late=late)
    best, value = max(tried, key=lambda one: one[1])
    for per_source in others:
        if late():
            break
        other = _Bench(ready, per_source, settings)
        candidate = replace(best, per_source=per_source)
        if (found := other(candidate)) > value:
            best, value, bench = candidate, found, other
    if not late():
        candidate = replace(best, bags=_BAGS)
        if (found := bench(candidate)) > value:
            best, value = candidate, found
    log.info("ranker: %s %.5f in %.1f s", settings.metric, value, time.monotonic() - began)
    return best, value


@dataclass(frozen=True)
class _Ready:
    """Stages with what their sources learned: those that are judged by, and the earlier ones, the latest first."""

    last: Sequence[Prepared]
    earlier: Sequence[Sequence[Prepared]]

    @classmethod
    def of(cls, plan: Plan, sources: Mapping[str, Source], ranker: RankerSettings) -> _Ready:
        return cls(
            [prepared(stage, sources, ranker) for stage in plan.validation],
            [
                [prepared(stage, sources, ranker) for stage in stages]
                for stages in label_stages(plan, sources)[:_MOST_STAGES]
            ],
        )


class _Bench:
    """Judges the settings of a ranker for one number of candidates."""

    def __init__(self, ready: _Ready, per_source: int, settings: SearchSettings) -> None:
        self._metric, self._threads = settings.metric, settings.threads
        most = RankerSettings(per_source=per_source, negatives=_MOST_NEGATIVES, seed=settings.seed)
        found = [[each for one in stages for each in _examples(one, most, settings)] for stages in ready.earlier]
        self._learn = [parts for parts in found if any(len(one.label) for one in parts)]
        last = ready.last
        if not self._learn:
            halves = [one.half(0) for one in last]
            self._learn = [[each for one in halves for each in _examples(one, most, settings)]]
            last = [one.half(1) for one in last]
        self._watch = []
        for one in last:
            features = one.features(per_source=per_source)
            asked = [some(queries, _MOST_WATCHED, settings.seed) for queries in one.stage.queries]
            self._watch += [(queries, candidates(features, queries, threads=settings.threads)) for queries in asked]
        self._names = features.names
        self._held = Examples.joined([labelled(found, asked.domain) for asked, found in self._watch])

    def __call__(self, candidate: RankerSettings) -> float:
        parts = [thinned(one, candidate) for stage in self._learn[: candidate.stages] for one in stage]
        began = time.monotonic()
        ranker = train(Examples.joined(parts), self._held, self._names, candidate)
        rankings = side_by_side(lambda one: rank_found(ranker, one[1], one[0]), self._watch, self._threads)
        value = mean_metric(rankings, self._metric)
        log.info("a ranker's settings: %s %.5f in %.1f s", self._metric, value, time.monotonic() - began)
        return value


def _examples(one: Prepared, ranker: RankerSettings, settings: SearchSettings) -> list[Examples]:
    features = one.features(per_source=ranker.per_source)
    asked = [some(queries, settings.final_people, settings.seed) for queries in one.stage.queries]
    return [examples(features, queries, ranker) for queries in asked]
