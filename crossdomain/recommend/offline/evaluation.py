"""The whole of an evaluation: a log and a protocol in, a document of every model's metrics out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Bools
from crossdomain.recommend.offline.features import check_features, fit_sources
from crossdomain.recommend.offline.leaks import Leak, find_leaks
from crossdomain.recommend.offline.log import make_logs
from crossdomain.recommend.offline.metrics import Bootstrap, Means, of_lists, per_person
from crossdomain.recommend.offline.protocols import Choices, Plan, Queries, Stage, make_plan
from crossdomain.recommend.offline.ranking import Ranking, joined, rank_source
from crossdomain.recommend.offline.search import SearchSettings
from crossdomain.recommend.offline.training import BASELINES, Recipe, Recommender, learn, search

PRODUCT = "crossdomain"
SEGMENTS = ("warm", "cold")
_LEAKS = {
    "test_in_training": ("true items are in the training", "take them out of the events"),
    "future": (
        "interactions happened after the moment of the question",
        "take them out of the events, or ask at the last known moment (--moment last)",
    ),
}
"""What stops an evaluation, and what to do."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to evaluate and how.

    Attributes:
        protocol: See ``protocols.PROTOCOLS``.
        choices: How the log is divided.
        search: How settings are searched for where none are given.
        recipe: Settings found before; None to search now.
        without: Features that the ranker must not use.
        samples: Resamples of people for the intervals.
    """

    protocol: str
    choices: Choices = field(default_factory=Choices)
    search: SearchSettings = field(default_factory=SearchSettings)
    recipe: Recipe | None = None
    without: tuple[str, ...] = ()
    samples: int = 1000


def plan_of(events: pa.Table, items: pa.Table | None, test: pa.Table | None, request: Request) -> Plan:
    """The stages of a request, from tables as ``reading`` gives them."""
    logs = make_logs([table for table in (events, test) if table is not None], items)
    if test is not None and request.protocol not in ("given", "domain-cold"):
        raise InputError(f"--test goes with the protocols given and domain-cold, not with {request.protocol}")
    return make_plan(request.protocol, logs[0], request.choices, logs[1] if test is not None else None)


def evaluate(events: pa.Table, items: pa.Table | None, test: pa.Table | None, request: Request) -> dict[str, Any]:
    """Trains, tests once, and reports.

    Returns:
        ``protocol``; ``models``: model, domain, metric, then ``value, low, high, n``; ``segments``: the same for
        ``warm`` (known in the target domain) and ``cold`` people; ``differences``: the product minus each baseline,
        paired by person; ``lists`` and ``list_differences``: the same for whole-list metrics; ``left_out``: see
        ``Plan``; ``gates``, ``leaks``, ``settings``, ``people`` and ``seconds``.

    Raises:
        InputError: The log, the protocol and the recipe do not go together, or the test leaks into the training.
    """
    clock = _Clock()
    check_features(request.without)
    plan = plan_of(events, items, test, request)
    leaks = find_leaks(plan.test, items, cut_in_time=request.protocol == "temporal")
    if broken := [leak for leak in leaks if leak.error]:
        raise InputError(_said(broken[0]))
    clock.lap("plan")
    recipe = request.recipe or search(plan, request.search)
    clock.lap("search")
    model = learn(plan, recipe, without=request.without)
    clock.lap("train")
    rankings = _answers(plan.test, model)
    clock.lap("test")
    document = _report(plan, rankings, request)
    clock.lap("metrics")
    names = plan.test[0].train.names
    return {
        "protocol": request.protocol,
        "people": {names.domains[domain]: _people(plan.test, domain) for domain in range(len(names.domains))},
        "left_out": dict(plan.left_out),
        **document,
        "gates": {names.domains[domain]: {**asdict(gate), "ships": gate.ships} for domain, gate in model.gates.items()},
        "leaks": [asdict(leak) for leak in leaks],
        "settings": recipe.as_document(),
        "choices": asdict(request.choices),
        "seconds": clock.laps,
    }


def _said(leak: Leak) -> str:
    what, remedy = _LEAKS[leak.kind]
    return f"the test leaks into the training: {leak.count} {what} ({'; '.join(leak.examples)}): {remedy}"


def _answers(stages: Sequence[Stage], model: Recommender) -> list[tuple[Stage, dict[str, list[Ranking]]]]:
    out = []
    threads = model.recipe.ranker.threads
    for stage in stages:
        fitted = fit_sources(stage, model.recipe.sources, seed=model.recipe.ranker.seed, threads=threads)
        answers = {PRODUCT: model.rank(stage, fitted)}
        for one in fitted:
            if one.source.name in BASELINES:
                answers[one.source.name] = [
                    rank_source(one.source, one.state, stage, queries, threads=threads) for queries in stage.queries
                ]
        out.append((stage, answers))
    return out


def _report(plan: Plan, answered: list[tuple[Stage, dict[str, list[Ranking]]]], request: Request) -> dict[str, Any]:
    names = plan.test[0].train.names
    models: dict[str, Any] = {}
    segments: dict[str, Any] = {segment: {} for segment in SEGMENTS}
    differences: dict[str, Any] = {}
    lists: dict[str, Any] = {}
    list_differences: dict[str, Any] = {}
    for number, domain in enumerate(names.domains):
        parts = [
            (stage, {model: rankings[at] for model, rankings in answers.items()})
            for stage, answers in answered
            for at, queries in enumerate(stage.queries)
            if queries.domain == number
        ]
        if not parts:
            continue
        answers = {model: joined([found[model] for _, found in parts]) for model in parts[0][1]}
        queries = answers[PRODUCT].queries
        draws = Bootstrap(len(queries), samples=request.samples, seed=request.choices.seed)
        values = {model: per_person(ranking) for model, ranking in answers.items()}
        means = draws.means(values)
        _fill(models, means, domain)
        _fill_differences(differences, means, domain)
        warm = np.concatenate([_warm(stage, found[PRODUCT].queries) for stage, found in parts])
        for segment, chosen in zip(SEGMENTS, (warm, ~warm), strict=True):
            if chosen.any():
                _fill(segments[segment], draws.means(values, chosen), domain)
        shown = draws.of_lists({model: of_lists(ranking, parts[-1][0].train) for model, ranking in answers.items()})
        _fill(lists, shown, domain)
        _fill_differences(list_differences, shown, domain)
    return {
        "models": models,
        "segments": segments,
        "differences": differences,
        "lists": lists,
        "list_differences": list_differences,
    }


def _warm(stage: Stage, queries: Queries) -> Bools:
    """Who is known in the target domain."""
    span = stage.train.names.span(queries.domain)
    warm: Bools = np.diff(stage.history.matrix[queries.user][:, span].indptr) > 0
    return warm


def _fill(into: dict[str, Any], means: Mapping[str, Means], domain: str) -> None:
    for model, one in sorted(means.items()):
        into.setdefault(model, {})[domain] = {name: asdict(each) for name, each in one.intervals().items()}


def _fill_differences(into: dict[str, Any], means: Mapping[str, Means], domain: str) -> None:
    """The product minus each baseline."""
    _fill(into, {name: means[PRODUCT].minus(one) for name, one in means.items() if name != PRODUCT}, domain)


def _people(stages: Sequence[Stage], domain: int) -> int:
    return sum(len(queries) for stage in stages for queries in stage.queries if queries.domain == domain)


class _Clock:
    """Seconds of each step."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._last = now, now()
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = self._now()
        self.laps[name] = round(now - self._last, 2)
        log.info("%s: %.1f s", name, now - self._last)
        self._last = now
