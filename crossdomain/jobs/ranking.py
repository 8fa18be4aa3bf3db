"""What the ranker of a day learns from and is measured by, and where it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from crossdomain.jobs.behaviour import Behaviour, day_began, recipe
from crossdomain.jobs.model import JobContext
from crossdomain.recommend.settings import RecommendSettings

if TYPE_CHECKING:
    from crossdomain.recommend.evaluate import Rater, Split
    from crossdomain.recommend.interactions import Pairs
    from crossdomain.recommend.offline.training import Recommender
    from crossdomain.recommend.ranked import Learned, Window

Span = tuple[date, date]


def test_windows(first: date, last: date, settings: RecommendSettings, count: int) -> list[tuple[Span, Span, Span]]:
    """Spans of test days, the latest first, each ending where what is known before the one after it ends.

    Args:
        first: First day of all that is read.
        last: Last test day.
        settings: Length of the test days and of the gap before them.
        count: Most spans; of those after the first there are only such with a day that is known before.

    Returns:
        For each: what is known at the cut, what was met before the test days, the test days; first and last days.
    """
    found: list[tuple[Span, Span, Span]] = []
    for number in range(count):
        begin = last - timedelta(days=settings.test_days - 1)
        before = begin - timedelta(days=1)
        cut = before - timedelta(days=settings.gap_days)
        if number and cut < first:
            break
        found.append(((first, cut), (first, before), (begin, last)))
        last = cut
    return found


def learn_ranker(
    ctx: JobContext,
    settings: RecommendSettings,
    behaviour: Behaviour,
    split: Split,
    windows: Sequence[tuple[Span, Span, Span]],
) -> tuple[Learned | None, Window]:
    """The ranker of the day, None where too few people label it; and what it is tested on.

    Args:
        ctx: The job's context.
        settings: The recommender's.
        behaviour: Pairs of all days, then of the three spans of each window.
        split: The test days, with the people whose histories are hidden.
        windows: As ``test_windows`` gives them.
    """
    from crossdomain.recommend.ranked import learn_day

    found = windows_of(ctx, settings, behaviour, split, windows)
    return learn_day(found, split.hidden, recipe(ctx.settings, settings), settings), found[0]


def windows_of(
    ctx: JobContext,
    settings: RecommendSettings,
    behaviour: Behaviour,
    split: Split,
    windows: Sequence[tuple[Span, Span, Span]],
) -> list[Window]:
    """What was known before each span of test days, and what was met on them; arguments as for ``learn_ranker``.

    What is held since before the window of events is nothing new on the test days; the days before only label.
    """
    from crossdomain.recommend.interactions import met
    from crossdomain.recommend.logs import log_of, names_of
    from crossdomain.recommend.ranked import Window

    people, items = behaviour.people, behaviour.items
    names = names_of(people, items)

    def window(known: Pairs, before: Pairs, outcome: Pairs, *, days: Span) -> Window:
        return Window(
            log_of(known, people, names, settings),
            met(before, people, items),
            met(outcome, people, items, positive_only=True),
            day_began(days[0], ctx.settings.tz),
        )

    tested, *others = [
        window(*behaviour.pairs[1 + 3 * number : 4 + 3 * number], days=days)
        for number, (_, _, days) in enumerate(windows)
    ]
    return [replace(tested, seen=split.seen), *others]


def save_ranker(ctx: JobContext, learned: Learned, metadata: Mapping[str, Any]) -> str:
    """Stores the ranker with its twin and its card; returns its version."""
    from crossdomain.recommend import card
    from crossdomain.recommend.ranked import KIND, recipe_document, to_files

    ranker = learned.model.ranker
    described = {
        **metadata,
        "model": KIND,
        "libraries": {**metadata["libraries"], **{name: version(name) for name in ("lightgbm", "scikit-learn")}},
        "sources": sorted(learned.model.recipe.sources),
        "trees": ranker.rounds,
        "gates": {
            ctx.settings.domains[domain]: "the ranker" if gate.ships else gate.best_source
            for domain, gate in sorted(learned.model.gates.items())
        },
        "recipe": recipe_document(learned.model.recipe),
    }
    ctx.note(ranker={"sources": described["sources"], "trees": ranker.rounds, "answers": described["gates"]})
    files = to_files("model", learned.model) | to_files("twin", learned.twin)
    return ctx.models.save(KIND, {**files, card.FILE: card.describe(described).encode()}, described)


def ranked_raters(
    ctx: JobContext,
    settings: RecommendSettings,
    split: Split,
    tested: Window,
    learned: Learned | None,
    version: str | None,
    standing: Sequence[str],
) -> list[Rater]:
    """Raters of the day's ranker and of the rankers that are champions so far, each with and without the other side.

    Args:
        ctx: The job's context.
        settings: The recommender's.
        split: The test days, with the people whose histories are hidden.
        tested: What is known at the cut, and the test days.
        learned: The day's ranker; None if there is none.
        version: Its version.
        standing: Versions of the champions.
    """
    from crossdomain.recommend.offline.answering import Answerer
    from crossdomain.recommend.offline.features import fit_sources
    from crossdomain.recommend.ranked import KIND, RankedRater, from_files, stage_of

    twins: dict[str, Recommender | None] = {}
    if learned is not None and version is not None:
        twins[version] = learned.twin
    for name in sorted(set(standing) - set(twins)):
        twins[name] = from_files("twin", ctx.models.load(KIND, name), settings)
    raters: list[Rater] = []
    stage = None if learned is None else learned.tested.stage
    for name, twin in twins.items():
        if twin is None:
            continue
        stage = stage or stage_of(tested, split.hidden, settings.seed)
        if learned is not None and learned.twin.recipe.sources == twin.recipe.sources:
            fitted = learned.tested.fitted
        else:
            fitted = fit_sources(stage, twin.recipe.sources, seed=settings.seed, threads=settings.threads)
        rater = RankedRater(name, Answerer(twin, stage, fitted), tested.known, tested.moment)
        raters += [rater, replace(rater, own_side=True)]
    return raters


def load_ranker(ctx: JobContext, version: str, settings: RecommendSettings) -> Recommender:
    """A stored ranker."""
    from crossdomain.errors import MissingInput
    from crossdomain.recommend.ranked import KIND, from_files

    found = from_files("model", ctx.models.load(KIND, version), settings)
    if found is None:
        raise MissingInput(f"model {KIND}/{version} holds no ranker: train it again")
    return found
