import json
from dataclasses import replace

import numpy as np
import pytest

from crossdomain.recommend.offline import ranking, training
from crossdomain.recommend.offline.evaluation import Request, evaluate, plan_of
from crossdomain.recommend.offline.features import fit_sources
from crossdomain.recommend.offline.log import make_logs
from crossdomain.recommend.offline.protocols import Choices, Queries, make_plan
from crossdomain.recommend.offline.ranker import RankerSettings
from crossdomain.recommend.offline.ranking import Closed, rank_source
from crossdomain.recommend.offline.sources import SOURCES
from crossdomain.recommend.offline.training import Recipe, learn
from tests.unit.recommend.offline.logs import blocks, random_log

NAMES = ("popularity", "item_knn", "person_ridge", "next_item", "als", "ease")


def _recipe(threads: int) -> Recipe:
    sources = {name: SOURCES[name]() for name in NAMES}
    return Recipe(sources, RankerSettings(rounds=15, least_rows=5, threads=threads))


def _stage(**choices):
    return make_plan("temporal", make_logs([random_log(people=60)])[0], Choices(label_stages=0, test_days=200)).test[0]


def test_what_was_met_or_is_not_on_sale_is_hidden() -> None:
    stage = _stage()
    (queries, *_) = stage.queries
    rows = slice(3, 17)
    span = stage.train.names.span(queries.domain)
    on_sale = stage.catalogue.copy()
    on_sale[span.start + 2] = False
    stage = replace(stage, catalogue=on_sale)
    scores = np.ones((14, span.stop - span.start), dtype=np.float32)
    Closed.of(stage, queries, rows).hide(scores)
    met = stage.history.matrix[queries.user[rows]].toarray()[:, span] > 0
    assert met.any()
    assert np.array_equal(scores == -np.inf, met | ~stage.catalogue[span])


@pytest.mark.parametrize("name", NAMES)
def test_the_best_are_those_of_a_stable_sort_of_the_scores(name) -> None:
    stage = _stage()
    (fitted,) = fit_sources(stage, {name: SOURCES[name]()}, seed=7, threads=1)
    for queries in stage.queries:
        found = rank_source(fitted.source, fitted.state, stage, queries)
        rows = slice(0, len(queries))
        scores = fitted.source.score(fitted.state, ranking.asked_block(stage, queries, rows))
        Closed.of(stage, queries, rows).hide(scores)
        start = stage.train.names.span(queries.domain).start
        for row, one in enumerate(scores):
            order = np.argsort(-one, kind="stable")
            shown = order[one[order] > -np.inf][: ranking.LIST_LENGTH] + start
            assert found.lists[row][: len(shown)].tolist() == shown.tolist()
            assert (found.lists[row][len(shown) :] == -1).all()


def test_threads_change_nothing(monkeypatch) -> None:
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 200)  # several blocks
    documents = []
    for threads in (1, 2):
        request = Request("leave-one-out", Choices(label_stages=1), recipe=_recipe(threads), samples=20)
        found = evaluate(random_log(people=80), None, None, request)
        del found["seconds"], found["settings"]
        documents.append(json.dumps(found))
    assert documents[0] == documents[1]


def test_without_label_stages_the_gate_asks_whom_the_ranker_did_not_learn_from(monkeypatch) -> None:
    learned, judged = [], []

    def noting(name: str, into: list) -> None:
        function = getattr(training, name)

        def noted(*given, **options):
            into.append(next(one for one in given if isinstance(one, Queries)))
            return function(*given, **options)

        monkeypatch.setattr(training, name, noted)

    noting("examples", learned)
    noting("rank_candidates", judged)
    plan = plan_of(blocks(), None, None, Request("leave-one-out", Choices(label_stages=0)))
    learn(plan, _recipe(1))
    everybody = {(q.domain, user) for stage in plan.validation for q in stage.queries for user in q.user.tolist()}
    halves = [{(q.domain, user) for q in part for user in q.user.tolist()} for part in (learned[:2], learned[2:])]
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == everybody
    assert {(q.domain, user) for q in judged for user in q.user.tolist()} == halves[1]
