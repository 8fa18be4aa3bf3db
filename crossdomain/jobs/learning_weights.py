"""Weights of events and their decay, learned on days that neither the models nor the test see.

Each trial trains on what was known before the validation days and is judged on them; the choice is measured once, on
the test days, beside the settings in force.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from crossdomain.jobs.behaviour import first_day, read_behaviour, read_held, recommend_settings
from crossdomain.jobs.model import JobContext
from crossdomain.jobs.runner import looking_at
from crossdomain.jobs.train import JOB, split_of
from crossdomain.recommend.settings import EVENT_WEIGHTS, RecommendSettings
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.recommend.evaluate import Evaluation

STEPS = (0.0, 0.5, 2.0)
"""What the weight of a type is multiplied by in a trial."""
HALF_LIVES = (5.0, 10.0, 20.0, 40.0, 0.0)
"""Half-lives that are tried, in days; 0 for no decay."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes:
        settings: The best settings on validation.
        trials: Settings that were tried, those in force included.
        validation_before: NDCG@10 of those in force on validation, summed over the domains.
        validation: The same of the best ones.
        test: By target domain: value, value_before, difference, low and high (95 %, paired) on the test days; None
            where nobody could be tested.
    """

    settings: RecommendSettings
    trials: int
    validation_before: float
    validation: float
    test: dict[str, dict[str, float | int] | None]


def learn_weights(settings: Settings, day: date, *, trials: int) -> Learned:
    """Searches event weights and half-life for a day, one change at a time, each kept if it betters validation.

    The order of the changes is fixed, so that the same data and number of trials give the same result.

    Args:
        settings: Deployment settings.
        day: Business day whose inputs of job ``train`` are read.
        trials: Most settings that are tried.

    Raises:
        NotReady: The day's inputs are not there.
        InputError: There is no consented interaction to train on.
    """
    with looking_at(JOB, day, settings) as ctx:
        base = recommend_settings(ctx)
        tried = {_name(base)}
        best, before = base, _validated(ctx, base)
        value = before
        for change in _changes():
            candidate = change(best)
            if len(tried) >= trials:
                break
            if _name(candidate) in tried or not any(candidate.weights.values()):
                continue
            tried.add(_name(candidate))
            found = _validated(ctx, candidate)
            log.info("%s: %.6f", _name(candidate), found)
            if found > value:
                best, value = candidate, found
        return Learned(best, len(tried), before, value, _tested(ctx, base, best))


def _changes() -> Iterator[Any]:
    """Changes in the order in which they are tried: the decay, then the commonest signals, twice over."""
    for _ in range(2):
        for days in HALF_LIVES:
            yield lambda settings, days=days: replace(settings, half_life_days=days)
        for name in sorted(EVENT_WEIGHTS, key=lambda name: (EVENT_WEIGHTS[name], name)):
            for step in STEPS:
                yield lambda settings, name=name, step=step: _scaled(settings, name, step)


def _scaled(settings: RecommendSettings, name: str, step: float) -> RecommendSettings:
    changed = {**settings.weights, name: round(settings.weights[name] * step, 6)}
    given = {kind: weight for kind, weight in changed.items() if weight != EVENT_WEIGHTS[kind]}
    return replace(settings, event_weights=",".join(f"{kind}={weight:g}" for kind, weight in sorted(given.items())))


def _name(settings: RecommendSettings) -> str:
    return f"half_life_days={settings.half_life_days:g} event_weights={settings.event_weights}"


def _validated(ctx: JobContext, settings: RecommendSettings) -> float:
    """What the settings reach on the days before the test days, summed over the target domains."""
    found = _measured(ctx, settings, ctx.ds - timedelta(days=settings.test_days))
    return sum(float(values.mean()) for values in _values(ctx, found).values() if len(values))


def _tested(
    ctx: JobContext, base: RecommendSettings, best: RecommendSettings
) -> dict[str, dict[str, float | int] | None]:
    from crossdomain.stats.paired import compare_pairs

    before, after = (_values(ctx, _measured(ctx, one, ctx.ds)) for one in (base, best))
    found: dict[str, dict[str, float | int] | None] = {}
    for domain, values in after.items():
        if len(values) < 2:
            found[domain] = None
            continue
        compared = compare_pairs(before[domain], values)
        found[domain] = {
            "people": len(values),
            "value": round(float(values.mean()), 6),
            "value_before": round(float(before[domain].mean()), 6),
            "difference": round(compared.estimate, 6),
            "low": round(compared.low, 6),
            "high": round(compared.high, 6),
        }
    return found


def _measured(ctx: JobContext, settings: RecommendSettings, last: date) -> Evaluation:
    """A model trained up to the days that end with ``last``, measured on them."""
    from crossdomain.recommend.als import fit
    from crossdomain.recommend.evaluate import als_rater, evaluate
    from crossdomain.recommend.popularity import boost

    first, measured_from = first_day(ctx.ds, settings), last - timedelta(days=settings.test_days - 1)
    cut = measured_from - timedelta(days=1 + settings.gap_days)
    spans = [(first, cut), (first, measured_from - timedelta(days=1)), (measured_from, last)]
    behaviour = read_behaviour(ctx, settings, spans)
    split = split_of(behaviour, behaviour.pairs, read_held(ctx, behaviour, measured_from, last), settings)
    model = fit(split.training(behaviour.items), behaviour.items, settings)
    boosts = boost(split.decayed, settings.popularity_power)
    return evaluate(split, [als_rater("trial", model, behaviour.items, boosts)], behaviour.items, settings)


def _values(ctx: JobContext, measured: Evaluation) -> dict[str, Any]:
    """NDCG@10 of each test person by target domain."""
    from crossdomain.recommend.champion import METRIC

    found = {domain: measured.of("trial", "als", domain, "all", METRIC) for domain in sorted(ctx.settings.domains)}
    return {domain: values for domain, values in found.items() if values is not None}
