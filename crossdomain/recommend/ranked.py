"""The ranker of a day: several candidate sources, put in order by trees that learned from what people met next.

What is stored are the trees, the blend that they start from and the settings of the sources. The sources themselves
hold what people did; they learn anew from the day's pairs wherever they are used, so that nothing of a person is kept
and what happened since the training counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.evaluate import Question
from crossdomain.recommend.interactions import Bools, Floats, Ints
from crossdomain.recommend.logs import within, without
from crossdomain.recommend.offline.answering import Answerer, Pool, questions
from crossdomain.recommend.offline.blend import Blend, Linear
from crossdomain.recommend.offline.features import Fitted, fit_sources
from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.protocols import Queries, Stage, in_span
from crossdomain.recommend.offline.ranker import Ranker, RankerSettings
from crossdomain.recommend.offline.ranker_search import Prepared, prepared
from crossdomain.recommend.offline.search import some
from crossdomain.recommend.offline.sources import SOURCES
from crossdomain.recommend.offline.training import Gate, Recipe, Recommender, learn_from
from crossdomain.recommend.settings import RecommendSettings

KIND = "ranker"
"""Kind of the model in the model store, and its name where models are measured."""
OWN_SIDE = "ranker_own_side"
"""The same, people known by what they did in the target domain only."""
_MOST_LABELLED = 10_000
_DEFAULT = (
    "popularity", "decayed_popularity", "segment_popularity", "item_knn", "transitions", "als", "vector_mapping"
)  # fmt: skip


@dataclass(frozen=True)
class Window:
    """What was known before some days, and what people met on them.

    Attributes:
        known: Evidence up to the cut.
        seen: Items that each unit had met before the days, units × items.
        outcome: Items that each unit met with positive evidence on the days, units × items.
        moment: When the days began, in seconds since 1970.
    """

    known: Log
    seen: sp.csr_matrix
    outcome: sp.csr_matrix
    moment: int


@dataclass(frozen=True)
class Learned:
    """What a day's training gives.

    Attributes:
        model: Learned from all days.
        twin: Learned from what was known before the test days.
        tested: What was known at the cut, hidden histories left out, and the sources that learned from it.
    """

    model: Recommender
    twin: Recommender
    tested: Prepared


def default_recipe(settings: RecommendSettings) -> Recipe:
    """Settings where no search has found others: those of the sources, popularity decayed as elsewhere in the day."""
    given: dict[str, dict[str, float]] = {
        "decayed_popularity": {"half_life_days": settings.popularity_half_life_days},
        "als": {"factors": 32, "regularization": 5.0},
    }
    ranker = RankerSettings(
        rounds=100, patience=15, learning_rate=0.1, leaves=15, negatives=30, per_source=50, most_doubt=0.16
    )
    return Recipe({name: SOURCES[name](**given.get(name, {})) for name in _DEFAULT}, ranker)


def stage_of(window: Window, hidden: tuple[Ints, Ints], seed: int) -> Stage:
    """Who is asked about what was new in a window: everybody with a history, at most ``_MOST_LABELLED`` of a domain.

    Units that are hidden in a domain are asked about it without their history there.
    """
    known = without(without(window.known, hidden[0], 0), hidden[1], 1)
    fresh = (window.outcome - window.outcome.multiply(window.seen)).tocsr()
    fresh.eliminate_zeros()
    has_history = np.diff(known.indptr) > 0
    asked = []
    for domain in range(len(known.names.domains)):
        truth = in_span(fresh, known.names.span(domain))
        user = np.flatnonzero((np.diff(truth.indptr) > 0) & has_history)
        if len(user):
            moment = np.full(len(user), window.moment, dtype=np.int64)
            queries = Queries(domain, user.astype(np.int32), moment, truth[user])
            asked.append(some(queries, _MOST_LABELLED, seed))
    return Stage(known, known, known.counts > 0, tuple(asked))


def learn_day(
    windows: Sequence[Window], hidden: tuple[Ints, Ints], recipe: Recipe, settings: RecommendSettings
) -> Learned | None:
    """Trains the ranker of all days and its twin; None where too few people label one of them.

    Args:
        windows: The test days first, then those before, each known up to where the days before it end.
        hidden: Per domain the units whose history there is hidden; they are asked about it as people who are new to it.
        recipe: Settings; sources that make no sense on this log are left out.
        settings: Fewest labelled people, seed and threads.
    """
    recipe = replace(recipe, ranker=replace(recipe.ranker, seed=settings.seed, threads=settings.threads))
    stages = [stage_of(window, hidden, settings.seed) for window in windows]
    enough = [sum(len(queries) for queries in stage.queries) >= settings.ranker_people for stage in stages]
    if len(stages) < 2 or not all(enough[:2]):
        return None
    stages = [stage for stage, full in zip(stages, enough, strict=True) if full]
    sources = {name: one for name, one in recipe.sources.items() if all(one.applies(each.train) for each in stages)}
    if not sources:
        return None
    recipe = replace(recipe, sources=sources)
    last, *earlier = [prepared(stage, sources, recipe.ranker) for stage in stages]
    twin = learn_from(earlier[:1], earlier[1:], recipe)
    return Learned(learn_from([last], earlier[: recipe.ranker.stages], recipe), twin, last)


@dataclass(frozen=True)
class RankedRater:
    """A ranker's twin, measured: see ``evaluate.Rater``.

    Attributes:
        version: Version of the model.
        answerer: The twin over sources that learned up to the cut, hidden histories left out.
        history: What is known of people at the cut, nothing left out.
        moment: When the test days began.
        own_side: See ``evaluate.Rater``.
    """

    version: str
    answerer: Answerer
    history: Log
    moment: int
    own_side: bool = False

    @property
    def name(self) -> str:
        """See ``evaluate.Rater``."""
        return OWN_SIDE if self.own_side else KIND

    def lists(self, question: Question, length: int) -> Ints:
        """See ``evaluate.Rater``; ties go to the smaller item."""
        history = without(_of_units(self.history, question.units), question.units[question.blind], question.target)
        if self.own_side:
            history = within(history, question.target)
        catalogue = np.zeros(len(question.items), dtype=bool)
        catalogue[question.candidates] = True
        stage = replace(self.answerer.stage, history=history, catalogue=catalogue)
        answerer = replace(self.answerer, stage=stage)
        queries = questions(stage, question.target, question.units, self.moment)
        pool = answerer.pool(queries, closed=question.seen)
        return pool.best(np.ones(len(pool.item), dtype=bool), length)[0]


@dataclass(frozen=True)
class RankedServer:
    """A ranker, ready to score the people of a day.

    Attributes:
        recommender: The ranker.
        log: Everybody's evidence on the day.
        offered: Items that may be recommended.
        moment: When the day ended, in seconds since 1970.
        width: Items that lists are made from, so many at least of each source.
    """

    recommender: Recommender
    log: Log
    offered: Bools
    moment: int
    width: int = 0

    def informed(self, target: int, units: Ints, *, own_side: bool) -> Bools:
        """Which of some units have a history that the ranker may use."""
        found: Bools = np.diff(self._answerer(target, own_side=own_side).stage.history.indptr)[units] > 0
        return found

    def pool(
        self, target: int, units: Ints, closed: sp.csr_matrix, factor: Floats, *, own_side: bool
    ) -> tuple[Pool, Queries]:
        """What can be recommended to some units, and the queries; what they met already is not.

        Args:
            target: Index of the domain.
            units: The units.
            closed: Units × items that must not be shown.
            factor: What scores are multiplied by, for all items.
            own_side: Whether only what they did in the target domain is used.
        """
        answerer = self._answerer(target, own_side=own_side)
        queries = questions(answerer.stage, target, units, self.moment)
        return answerer.pool(queries, closed=closed, factor=factor, most=2 * self.width), queries

    def because(self, queries: Queries, item: Ints, pool: Pool, *, own_side: bool) -> tuple[Any, Bools]:
        """Items of the histories that lists rest on (see ``Source.explain``), and what is there by popularity."""
        answerer = self._answerer(queries.domain, own_side=own_side)
        source = pool.source_of(item, len(self.offered))
        popular = np.array([one.source.name.endswith("popularity") and one.source.name != "segment_popularity"
                            for one in answerer.fitted])  # fmt: skip
        return answerer.because(queries, item, source), (source >= 0) & popular[source]

    @cached_property
    def _fitted(self) -> Sequence[Fitted]:
        recipe = self.recommender.recipe
        stage = Stage(self.log, self.log, self.offered, ())
        return fit_sources(stage, recipe.sources, seed=recipe.ranker.seed, threads=recipe.ranker.threads)

    @cached_property
    def _made(self) -> dict[int, Answerer]:
        return {}

    def _answerer(self, target: int, *, own_side: bool) -> Answerer:
        name = target if own_side else -1
        if name not in self._made:
            history = within(self.log, target) if own_side else self.log
            stage = Stage(self.log, history, self.offered, ())
            self._made[name] = Answerer(self.recommender, stage, self._fitted, self.width)
        return self._made[name]


def recipe_document(recipe: Recipe) -> dict[str, Any]:
    """The settings of a ranker and its sources without the number of threads, which changes nothing."""
    found = recipe.as_document()
    del found["ranker"]["threads"]
    return found


def to_files(name: str, recommender: Recommender) -> dict[str, bytes]:
    """Files of a ranker, without pickle: ``<name>.json``, and the text of each booster, ``<name>_<n>.txt``."""
    ranker, blend = recommender.ranker, recommender.ranker.blend
    content = {
        "recipe": recipe_document(recommender.recipe),
        "gates": {str(domain): asdict(gate) for domain, gate in sorted(recommender.gates.items())},
        "rounds": ranker.rounds,
        "boosters": len(ranker.boosters),
        "blend": None if blend is None else {
            "columns": blend.columns.tolist(),
            "domains": {str(one): {key: value.tolist() for key, value in asdict(linear).items()}
                        for one, linear in sorted(blend.domains.items())},
        },
    }  # fmt: skip
    files = {f"{name}.json": json.dumps(content, indent=1, sort_keys=True).encode()}
    texts = {f"{name}_{number}.txt": one.model_to_string() for number, one in enumerate(ranker.boosters)}
    return files | {path: text.encode() for path, text in texts.items()}


def from_files(name: str, files: Mapping[str, bytes], settings: RecommendSettings) -> Recommender | None:
    """The ranker that ``to_files`` stored under the name, to be used with the threads of the settings; None without."""
    if f"{name}.json" not in files:
        return None
    import lightgbm as lgb

    content = json.loads(files[f"{name}.json"])
    recipe = Recipe.from_document(content["recipe"], where=f"{name}.json")
    boosters = tuple(
        lgb.Booster(model_str=files[f"{name}_{number}.txt"].decode()) for number in range(content["boosters"])
    )
    ranker = Ranker(_blend(content["blend"]), boosters, content["rounds"])
    gates = {int(domain): Gate(**gate) for domain, gate in content["gates"].items()}
    return Recommender(replace(recipe, ranker=replace(recipe.ranker, threads=settings.threads)), ranker, gates)


def _blend(content: dict[str, Any] | None) -> Blend | None:
    if content is None:
        return None
    domains = {
        int(domain): Linear(**{key: np.array(value, dtype=np.float32) for key, value in linear.items()})
        for domain, linear in content["domains"].items()
    }
    return Blend(np.array(content["columns"], dtype=np.int64), domains)


def _of_units(log: Log, units: Ints) -> Log:
    chosen = np.zeros(len(log.names.users), dtype=bool)
    chosen[units] = True
    return log.where(chosen[log.user])
