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
from crossdomain.recommend.offline.log import Log, make_logs
from crossdomain.recommend.offline.metrics import Bootstrap, Means, of_lists, per_person
from crossdomain.recommend.offline.protocols import Choices, Plan, Queries, Stage, make_plan
from crossdomain.recommend.offline.ranking import Ranking, joined, rank_source
from crossdomain.recommend.offline.search import SearchSettings
from crossdomain.recommend.offline.sources.base import known_sides
from crossdomain.recommend.offline.training import BASELINES, Recipe, Recommender, learn, search

PRODUCT = "crossdomain"
SEGMENTS = ("warm", "cold")
"""Whether a person is known in the target domain."""
DIRECTIONS = ("other", "both", "target")
"""Where a person is known: from other domains only, there and in the target domain, or in the target domain only."""
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
        ``warm`` (known in the target domain) and ``cold`` people, and ``directions`` by where they are known
        (``DIRECTIONS``); ``differences``: the product minus each baseline, paired by person, also as
        ``segment_differences`` and ``direction_differences``; ``lists`` and ``list_differences``: the same for
        whole-list metrics, ``segment_lists`` by segment; ``left_out``: see ``Plan``; ``gates``, ``leaks``,
        ``settings``, ``people`` and ``seconds``.

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
    parts: dict[str, Any] = {
        **{name: {} for name in ("models", "differences", "lists", "list_differences")},
        **{
            name: {segment: {} for segment in SEGMENTS} for name in ("segments", "segment_differences", "segment_lists")
        },
        **{name: {one: {} for one in DIRECTIONS} for name in ("directions", "direction_differences")},
    }
    for number, domain in enumerate(names.domains):
        found = [
            (stage, {model: rankings[at] for model, rankings in answers.items()})
            for stage, answers in answered
            for at, queries in enumerate(stage.queries)
            if queries.domain == number
        ]
        if not found:
            continue
        answers = {model: joined([one[model] for _, one in found]) for model in found[0][1]}
        known = np.concatenate([_known(stage, one[PRODUCT].queries) for stage, one in found])
        draws = Bootstrap(len(known), samples=request.samples, seed=request.choices.seed)
        _fill_accuracy(parts, answers, known, draws, domain)
        _fill_lists(parts, answers, known, draws, domain, found[-1][0].train)
    return parts


def _fill_accuracy(
    parts: dict[str, Any], answers: Mapping[str, Ranking], known: Bools, draws: Bootstrap, domain: str
) -> None:
    """Metrics of everybody, by segment and by direction, each with the differences to the baselines."""
    values = {model: per_person(ranking) for model, ranking in answers.items()}
    means = draws.means(values)
    _fill(parts["models"], means, domain)
    _fill_differences(parts["differences"], means, domain)
    there, here = known.T
    groups = {"segment": {"warm": here, "cold": ~here}}
    groups["direction"] = {"other": there & ~here, "both": there & here, "target": here & ~there}
    for kind, people in groups.items():
        for name, chosen in people.items():
            if chosen.any():
                some = means if chosen.all() else draws.means(values, chosen)
                _fill(parts[f"{kind}s"][name], some, domain)
                _fill_differences(parts[f"{kind}_differences"][name], some, domain)


def _fill_lists(
    parts: dict[str, Any], answers: Mapping[str, Ranking], known: Bools, draws: Bootstrap, domain: str, train: Log
) -> None:
    """What the lists of everybody, and of each segment, are like."""
    shown = draws.of_lists({model: of_lists(ranking, train) for model, ranking in answers.items()})
    _fill(parts["lists"], shown, domain)
    _fill_differences(parts["list_differences"], shown, domain)
    for segment, chosen in zip(SEGMENTS, (known[:, 1], ~known[:, 1]), strict=True):
        if chosen.all():
            _fill(parts["segment_lists"][segment], shown, domain)
        elif chosen.any():
            lists = {model: of_lists(ranking.where(chosen), train) for model, ranking in answers.items()}
            _fill(parts["segment_lists"][segment], draws.of_lists(lists, chosen), domain)


def _known(stage: Stage, queries: Queries) -> Bools:
    """People × (in another domain than the target, in the target domain)."""
    sides = known_sides(stage.train.names, stage.history.matrix[queries.user])
    return np.stack([np.delete(sides, queries.domain, axis=1).any(axis=1), sides[:, queries.domain]], axis=1)


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
