"""The product's recommender on a plan: sources with settings found by search, and a ranker where it wins."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Floats
from crossdomain.recommend.offline.bounds import check_settings
from crossdomain.recommend.offline.features import Features, Fitted
from crossdomain.recommend.offline.metrics import METRICS, Bootstrap, per_person
from crossdomain.recommend.offline.protocols import Plan, Stage, people_of
from crossdomain.recommend.offline.ranker import Examples, Ranker, RankerSettings, examples, rank_candidates, train
from crossdomain.recommend.offline.ranker_search import Prepared, label_stages, prepared, tune_ranker
from crossdomain.recommend.offline.ranking import Ranking, rank_source
from crossdomain.recommend.offline.search import Found, SearchSettings, some, tune_source
from crossdomain.recommend.offline.sources import SOURCES, Source

BASELINES = ("popularity", "decayed_popularity", "item_knn", "person_knn", "als", "ease", "wide_ease")
MOST_CANDIDATES = 20_000_000
GATE_PEOPLE = 3_000
MOST_DOUBT = 0.16
"""Doubt up to which a ranker that is better ships: one standard error. ``docs/evaluation.md`` says why not none."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What a search found: settings of every source that can be used, and of the ranker.

    Attributes:
        sources: Sources by name.
        ranker: Settings of the ranker.
        metric: What was maximised.
        validation: The metric of each source on validation.
    """

    sources: Mapping[str, Source]
    ranker: RankerSettings = field(default_factory=RankerSettings)
    metric: str = "ndcg@10"
    validation: Mapping[str, float] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """The settings file."""
        return {
            "sources": {name: source.as_settings() for name, source in sorted(self.sources.items())},
            "ranker": asdict(self.ranker),
            "metric": self.metric,
            "validation": {name: round(value, 6) for name, value in sorted(self.validation.items())},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, where: str) -> Recipe:
        """Reads what ``as_document`` wrote.

        Raises:
            InputError: The document has another form, names a source or a setting that there is not, or gives one a
                value that it cannot have.
        """
        try:
            given, ranker = document["sources"], RankerSettings(**document.get("ranker", {}))
            sources = {name: SOURCES[name](**values) for name, values in given.items()}
            recipe = cls(sources, ranker, document.get("metric", cls.metric), dict(document.get("validation", {})))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{where} is no settings file of crossdomain tune: {error}") from error
        if unknown := sorted(set(document) - {field.name for field in fields(cls)}):
            raise InputError(f"{where}: {unknown[0]} is no part of a settings file: take it out")
        for name, source in sources.items():
            check_settings(source, f"{where}: sources.{name}")
        check_settings(ranker, f"{where}: ranker")
        if recipe.metric not in METRICS:
            raise InputError(f"{where}: metric is {recipe.metric!r}: give one of {', '.join(METRICS)}")
        for name, value in recipe.validation.items():
            if not isinstance(value, int | float):
                raise InputError(f"{where}: validation.{name} is {value!r}: give a number, or take it out")
        return recipe


@dataclass(frozen=True)
class Gate:
    """Whether the ranker is used in a domain.

    Attributes:
        ranker: Its metric on validation.
        best_source: The best single source there.
        best: That source's metric.
        rounds: Trees.
        low: Lower end of the 95 % interval of the ranker minus the best source, paired by person; None: not known.
        high: Its upper end.
        doubt: Share of the resamples in which the ranker is no better.
    """

    ranker: float
    best_source: str
    best: float
    rounds: int
    low: float | None = None
    high: float | None = None
    doubt: float = 0.0

    @property
    def ships(self) -> bool:
        """The ranker is better than the best source alone, with at most ``MOST_DOUBT``."""
        return self.ranker > self.best and self.doubt <= MOST_DOUBT


@dataclass(frozen=True)
class Recommender:
    """A trained ranker, the sources' settings, and for each domain which of them answers."""

    recipe: Recipe
    ranker: Ranker
    gates: Mapping[int, Gate]
    without: tuple[str, ...] = ()

    def rank(self, stage: Stage, fitted: Sequence[Fitted]) -> list[Ranking]:
        """Answers a stage's queries."""
        features = Features(stage, fitted, per_source=self.recipe.ranker.per_source, without=self.without)
        by_name = {one.source.name: one for one in fitted}
        threads = self.recipe.ranker.threads
        out = []
        for queries in stage.queries:
            gate = self.gates[queries.domain]
            if gate.ships:
                out.append(rank_candidates(self.ranker, features, queries, threads=threads))
            else:
                one = by_name[gate.best_source]
                out.append(rank_source(one.source, one.state, stage, queries, threads=threads))
        return out


def search(plan: Plan, settings: SearchSettings) -> Recipe:
    """Searches the settings of every source, then those of the ranker, on validation; the test is not looked at."""
    share = settings.seconds / (1 + len(SOURCES))
    recipe = search_sources(plan, replace(settings, seconds=share * len(SOURCES)))
    return search_ranker(plan, recipe, replace(settings, seconds=share))


def search_sources(plan: Plan, settings: SearchSettings, names: Sequence[str] = tuple(SOURCES)) -> Recipe:
    """The best settings of the named sources that can be used, and the ranker's as they are without a search."""
    found: dict[str, Found] = {}
    for number, name in enumerate(names, 1):
        one = tune_source(name, plan.validation, replace(settings, seconds=settings.seconds / len(names)))
        if one is None:
            log.info("%s (%s of %s): cannot be used on this log", name, number, len(names))
            continue
        found[name] = one
        given = (name, number, len(names), settings.metric, one.value, one.trials, one.seconds)
        log.info("%s (%s of %s): %s %.5f, %s settings in %.1f s", *given)
    sources = {name: one.source for name, one in found.items()}
    values = {name: one.value for name, one in found.items()}
    return Recipe(sources, ranker_for(plan, settings, len(found)), settings.metric, values)


def search_ranker(plan: Plan, recipe: Recipe, settings: SearchSettings) -> Recipe:
    """The recipe with the best settings of a ranker over its sources."""
    start = ranker_for(plan, settings, len(recipe.sources))
    others = () if _sampled(plan) else (start.per_source // 2,)
    ranker, value = tune_ranker(plan, recipe.sources, start, settings, others)
    return replace(recipe, ranker=ranker, validation={**recipe.validation, "ranker": value})


def ranker_for(plan: Plan, settings: SearchSettings, sources: int) -> RankerSettings:
    """Settings of the ranker for so many sources: their candidates are what everybody's ranking can afford."""
    per_source = affordable(people_of(plan.test), sources, sampled=_sampled(plan))
    return RankerSettings(seed=settings.seed, threads=settings.threads, per_source=per_source)


def affordable(people: int, sources: int, *, sampled: bool = False) -> int:
    """Candidates of each source such that those of everybody are not more than ``MOST_CANDIDATES``, from 20 to 100."""
    return 100 if sampled else int(np.clip(MOST_CANDIDATES // max(1, people * sources), 20, 100))


def _sampled(plan: Plan) -> bool:
    return any(queries.candidates is not None for stage in plan.test for queries in stage.queries)


def learn(plan: Plan, recipe: Recipe, *, without: Sequence[str] = ()) -> Recommender:
    """Trains the ranker on what followed in the label and validation stages, and decides where it is used.

    The number of trees, and whether it ships, is decided on validation by a ranker that learned from the earlier
    stages (without these from one half of the people, and both it and the sources are judged by the other half); then
    it learns from all of them.

    Args:
        plan: Stages; the test is not looked at.
        recipe: Settings.
        without: Features to leave out.

    Raises:
        InputError: The recipe has no source, one of them cannot learn from the log, or no query has a true candidate.
    """
    if not recipe.sources:
        raise InputError(f"the settings name no source: give one of {', '.join(SOURCES)}, or run crossdomain tune")
    for name, source in recipe.sources.items():
        if not any(source.applies(stage.train) for stage in plan.validation):
            raise InputError(
                f"{name} of --settings cannot learn from these events: it lacks texts, a second domain or rows, or has "
                "too many: take it out, or run crossdomain tune on them"
            )
    settings = recipe.ranker
    last = [prepared(stage, recipe.sources, settings) for stage in plan.validation]
    learning: list[Examples] = []
    for stages in label_stages(plan, recipe.sources)[: settings.stages]:
        learning += _examples([prepared(stage, recipe.sources, settings) for stage in stages], settings, without)
    judged = last
    if not any(len(one.label) for one in learning):
        learning = _examples([one.half(0) for one in last], settings, without)
        judged = [one.half(1) for one in last]
    watching = _examples(judged, settings, without)
    names = last[0].features(per_source=settings.per_source, without=without).names
    ranker = train(Examples.joined(learning), Examples.joined(watching), names, settings)
    log.info("ranker: %s examples, %s trees", sum(len(one.label) for one in learning + watching), ranker.rounds)
    gates = _gates(judged, recipe, ranker, without)
    whole = train(Examples.joined([*learning, *watching]), None, names, settings, ranker.rounds)
    return Recommender(recipe, whole, gates, tuple(without))


def _examples(ready: Sequence[Prepared], settings: RankerSettings, without: Sequence[str]) -> list[Examples]:
    """Examples of every stage and domain."""
    found = []
    for one in ready:
        features = one.features(per_source=settings.per_source, without=without)
        found += [examples(features, queries, settings) for queries in one.stage.queries]
    return found


def _gates(ready: Sequence[Prepared], recipe: Recipe, ranker: Ranker, without: Sequence[str]) -> dict[int, Gate]:
    """The ranker and every source alone on validation, domain by domain, for at most ``GATE_PEOPLE`` of each.

    The ranker is compared with the source whose mean is the greatest, paired by person.
    """
    threads = recipe.ranker.threads
    found: dict[int, dict[str, list[Floats]]] = {}
    for one in ready:
        features = one.features(per_source=recipe.ranker.per_source, without=without)
        for everybody in one.stage.queries:
            queries = some(everybody, GATE_PEOPLE, recipe.ranker.seed)
            answers = {"": rank_candidates(ranker, features, queries, threads=threads)}
            for each in one.fitted:
                answers[each.source.name] = rank_source(each.source, each.state, one.stage, queries, threads=threads)
            for name, ranking in answers.items():
                values = found.setdefault(queries.domain, {}).setdefault(name, [])
                values.append(per_person(ranking)[recipe.metric])
    out = {}
    for domain, models in found.items():
        people = {name: np.concatenate(values) for name, values in models.items()}
        means = {name: float(one.mean()) for name, one in people.items()}
        own = means.pop("")
        best = max(sorted(means), key=lambda name: means[name])
        pair = {name: {recipe.metric: people[name]} for name in ("", best)}
        drawn = Bootstrap(len(people[""]), seed=recipe.ranker.seed).means(pair)
        gain = drawn[""].minus(drawn[best])
        interval, doubt = gain.intervals()[recipe.metric], float((gain.draws <= 0).mean())
        out[domain] = Gate(own, best, means[best], ranker.rounds, interval.low, interval.high, doubt)
        log.info("domain %s: %s", domain, out[domain])
    return out
