"""Settings of the ranker and its sources, searched on days that the test does not see.

Each trial learns from what was known before the validation days and is judged on them; the choice is measured once, on
the test days, beside the settings in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING

from crossdomain.errors import InputError
from crossdomain.jobs.behaviour import first_day, read_behaviour, read_held, recipe, recommend_settings
from crossdomain.jobs.learning_weights import compared
from crossdomain.jobs.model import JobContext
from crossdomain.jobs.ranking import test_windows, windows_of
from crossdomain.jobs.runner import looking_at
from crossdomain.jobs.train import JOB, WINDOWS, split_of
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.recommend.evaluate import Split
    from crossdomain.recommend.interactions import Items
    from crossdomain.recommend.offline.training import Recipe
    from crossdomain.recommend.ranked import Window


@dataclass(frozen=True)
class LearnedRecipe:
    """What was found.

    Attributes:
        recipe: The best settings on validation, with what each source and the ranker reach there.
        test: By target domain: people, value, value_before (of the settings in force), difference, low and high (95 %,
            paired) on the test days; None where nobody could be tested.
    """

    recipe: Recipe
    test: dict[str, dict[str, float | int] | None]


def learn_recipe(settings: Settings, day: date, *, trials: int, budget: float = 0.0) -> LearnedRecipe:
    """Searches the settings of every source that can be used and of the ranker, for a day.

    Args:
        settings: Deployment settings.
        day: Business day whose inputs of job ``train`` are read.
        trials: Settings that are tried for each source; a quarter as many for the ranker.
        budget: Seconds after which no further trial starts; 0 for no limit.

    Raises:
        NotReady: The day's inputs are not there.
        InputError: Too few people met anything new on the days that label the ranker.
    """
    from crossdomain.recommend.offline.protocols import Plan
    from crossdomain.recommend.offline.search import SearchSettings
    from crossdomain.recommend.offline.training import search
    from crossdomain.recommend.ranked import stage_of

    with looking_at(JOB, day, settings) as ctx:
        chosen = recommend_settings(ctx)
        first = first_day(ctx.ds, chosen)
        spans = test_windows(first, ctx.ds, chosen, WINDOWS)
        behaviour = read_behaviour(ctx, chosen, [(first, ctx.ds), *chain.from_iterable(spans)])
        split = split_of(behaviour, behaviour.pairs[1:4], read_held(ctx, behaviour, *spans[0][2]), chosen)
        windows = windows_of(ctx, chosen, behaviour, split, spans)
        stages = [stage_of(window, split.hidden, chosen.seed) for window in windows]
        if len(stages) < 2 or not stages[1].queries:
            raise InputError(
                f"nobody met anything new on the days before the test days of {day}: the window of "
                f"{chosen.window_days} days holds too little; set CROSSDOMAIN_RECOMMEND_WINDOW_DAYS or take a later day"
            )
        labels = tuple((stage,) for stage in stages[2:] if stage.queries)
        plan = Plan("temporal", (stages[0],), (stages[1],), labels)
        found = search(plan, SearchSettings(trials=trials, seconds=budget, seed=chosen.seed, threads=chosen.threads))
        return LearnedRecipe(found, _tested(ctx, chosen, behaviour.items, split, windows, found))


def _tested(
    ctx: JobContext,
    settings: RecommendSettings,
    items: Items,
    split: Split,
    windows: Sequence[Window],
    found: Recipe,
) -> dict[str, dict[str, float | int] | None]:
    from crossdomain.recommend.champion import METRIC
    from crossdomain.recommend.evaluate import evaluate
    from crossdomain.recommend.offline.answering import Answerer
    from crossdomain.recommend.ranked import KIND, RankedRater, learn_day

    settings = replace(settings, ranker_people=1)
    raters = []
    for name, one in (("in force", recipe(ctx.settings, settings)), ("found", found)):
        learned = learn_day(windows, split.hidden, one, settings)
        if learned is not None:
            answerer = Answerer(learned.twin, learned.tested.stage, learned.tested.fitted)
            raters.append(RankedRater(name, answerer, windows[0].known, windows[0].moment))
    measured = evaluate(split, raters, items, settings)
    out: dict[str, dict[str, float | int] | None] = {}
    for domain in sorted(ctx.settings.domains):
        before, after = (measured.of(name, KIND, domain, "all", METRIC) for name in ("in force", "found"))
        out[domain] = compared(before, after)
    return out
