"""Job ``train``: the model of the day, what it reaches, and who is champion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.behaviour import (
    Behaviour,
    config,
    event_window,
    first_day,
    held_ever,
    read_behaviour,
    read_held,
    recommend_settings,
)
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.recommend.settings import RecommendSettings

if TYPE_CHECKING:
    from crossdomain.recommend.als import AlsModel
    from crossdomain.recommend.champion import Champion
    from crossdomain.recommend.evaluate import Evaluation, Metric, Rater, Split
    from crossdomain.recommend.holdings import Held
    from crossdomain.recommend.interactions import Pairs
    from crossdomain.recommend.transfer import Transfer

KIND = "als"
"""Kind of the model in the model store."""


def build(ctx: JobContext) -> None:
    """Trains a twin up to the test days and the model of all days, measures, and decides on the champions."""
    from crossdomain.recommend.champion import Champion
    from crossdomain.recommend.evaluate import Metric
    from crossdomain.recommend.transfer import Transfer

    settings = recommend_settings(ctx)
    before = _previous(ctx)
    overdue = _overdue(ctx)
    in_time = not overdue & {row["model_version"] for row in before.values()}
    if before and in_time and ctx.ds.toordinal() % settings.train_every_days:
        metrics: list[Metric] = []
        champions = [_carried(row) for row in before.values()]
        ctx.write("serving.transfer", ctx.con.sql("FROM previous.transfer").to_arrow_table())
        ctx.note(trained=False)
    else:
        metrics, champions, transfer = _train(ctx, settings, before, overdue)
        ctx.write("serving.transfer", _table(transfer, Transfer))
        ctx.note(transfer={f"{row.direction} {row.segment}": f"{row.verdict}: {row.serves}" for row in transfer})
    ctx.write("serving.model_metrics", _table(metrics, Metric))
    ctx.write("serving.champions", _table(champions, Champion))
    ctx.note(champions={row.target_domain: f"{row.model} {row.model_version}: {row.decision}" for row in champions})


def _train(
    ctx: JobContext, settings: RecommendSettings, before: dict[str, dict[str, Any]], overdue: set[str]
) -> tuple[list[Metric], list[Champion], list[Transfer]]:
    from crossdomain.recommend import card
    from crossdomain.recommend.als import device_note, fit, to_files, train
    from crossdomain.recommend.evaluate import evaluate
    from crossdomain.recommend.interactions import taste

    first = first_day(ctx.ds, settings)
    test_from = ctx.ds - timedelta(days=settings.test_days - 1)
    cut = test_from - timedelta(days=1 + settings.gap_days)
    spans = [(first, ctx.ds), (first, cut), (first, test_from - timedelta(days=1)), (test_from, ctx.ds)]
    if settings.patience:
        earlier = cut - timedelta(days=settings.test_days)
        spans += [(first, earlier), (first, earlier), (earlier + timedelta(days=1), cut)]
    behaviour = read_behaviour(ctx, settings, spans)
    split = split_of(behaviour, behaviour.pairs[1:4], read_held(ctx, behaviour, test_from, ctx.ds), settings)
    if settings.patience:
        held = read_held(ctx, behaviour, earlier + timedelta(days=1), cut)
        settings = replace(settings, iterations=_enough(behaviour, held, settings))
    evidence = taste(behaviour.pairs[0], behaviour.people, behaviour.items, settings)
    training = split.training(behaviour.items)
    twin = fit(training, behaviour.items, settings) if training.nnz else None
    version = None
    if evidence.nnz:
        trained = train(evidence, behaviour.items, settings)
        files = to_files("model", trained.model) | (to_files("twin", twin) if twin else {})
        metadata = _metadata(ctx, settings, first, cut, trained.sizes())
        version = ctx.models.save(KIND, {**files, card.FILE: card.describe(metadata).encode()}, metadata)
        ctx.note(**trained.sizes(), pairs_per_second=round(trained.rate))
    raters = _raters(ctx, settings, behaviour, split, before, twin, version)
    measured = evaluate(split, raters, behaviour.items, settings)
    domains = sorted(ctx.settings.domains)
    champions = [_decide(domain, measured, before.get(domain), version, settings, overdue) for domain in domains]
    transfer = _transfer(ctx, measured, champions, settings)
    ctx.note(trained=version is not None, **device_note(settings))
    return measured.metrics, champions, transfer


def _enough(behaviour: Behaviour, held: Held, settings: RecommendSettings) -> int:
    """Sweeps after which a model that did not see the days before the test days is at its best on them."""
    from crossdomain.recommend.als import train
    from crossdomain.recommend.champion import METRIC
    from crossdomain.recommend.evaluate import als_rater, evaluate
    from crossdomain.recommend.popularity import boost

    split = split_of(behaviour, behaviour.pairs[4:7], held, settings)
    training = split.training(behaviour.items)
    if not training.nnz:
        return settings.iterations
    boosts = boost(split.decayed, settings.popularity_power)

    def reached(model: AlsModel) -> float:
        found = evaluate(split, [als_rater("trial", model, behaviour.items, boosts)], behaviour.items, settings)
        return sum(row.value or 0.0 for row in found.metrics if (row.segment, row.metric) == ("all", METRIC))

    return train(training, behaviour.items, settings, validate=reached).iterations


def split_of(behaviour: Behaviour, spans: Sequence[Pairs], held: Held, settings: RecommendSettings) -> Split:
    """What was known at a cut and what came after.

    Args:
        behaviour: People and items.
        spans: Pairs up to the cut, up to the test days, and of the test days.
        held: What the people of the test days owned or had rejected before them.
        settings: The recommender's.
    """
    from crossdomain.recommend.evaluate import Split, hidden_units
    from crossdomain.recommend.interactions import met, taste
    from crossdomain.recommend.popularity import decayed_popularity, popularity

    people, items = behaviour.people, behaviour.items
    history, before_test, outcome = spans
    evidence = taste(history, people, items, settings)
    return Split(
        evidence=evidence,
        seen=met(before_test, people, items, held=held),
        outcome=met(outcome, people, items, positive_only=True),
        decayed=decayed_popularity(history, items, settings.popularity_half_life_days),
        popular=popularity(history, items),
        hidden=hidden_units(evidence, people, items, share=settings.cold_share, seed=settings.seed),
    )


def _raters(
    ctx: JobContext,
    settings: RecommendSettings,
    behaviour: Behaviour,
    split: Split,
    before: dict[str, dict[str, Any]],
    twin: AlsModel | None,
    version: str | None,
) -> list[Rater]:
    """The new model, the champions so far where they are other versions, and the baselines."""
    from crossdomain.recommend.als import from_files
    from crossdomain.recommend.champion import POPULAR
    from crossdomain.recommend.evaluate import als_rater, own_side_rater, popularity_rater
    from crossdomain.recommend.popularity import boost

    twins = {version: twin} if version and twin else {}
    for champion in sorted({row["model_version"] for row in before.values() if row["model"] == KIND} - set(twins)):
        stored = from_files("twin", ctx.models.load(KIND, champion))
        if stored:
            twins[champion] = stored
    boosts = boost(split.decayed, settings.popularity_power)
    models = [als_rater(name, model, behaviour.items, boosts) for name, model in twins.items()]
    return [
        *models,
        *(own_side_rater(rater) for rater in models),
        popularity_rater(POPULAR, split.decayed),
        popularity_rater("popularity", split.popular),
    ]


def _decide(
    domain: str,
    measured: Evaluation,
    before: dict[str, Any] | None,
    version: str | None,
    settings: RecommendSettings,
    overdue: set[str],
) -> Champion:
    from crossdomain.recommend.champion import METRIC, POPULAR, Rated, decide

    def rated(model: str, name: str) -> Rated:
        return Rated(model, name, measured.of(name, model, domain, "all", METRIC))

    incumbent = rated(before["model"], before["model_version"]) if before else None
    standing = [(KIND, version)] if version else []
    challengers = [
        rated(model, name)
        for model, name in [*standing, (POPULAR, POPULAR)]
        if incumbent is None or name != incumbent.version
    ]
    tested = measured.of(POPULAR, POPULAR, domain, "all", METRIC)
    return decide(
        domain,
        incumbent,
        challengers,
        n=0 if tested is None else len(tested),
        min_people=settings.min_test_people,
        tolerance=settings.tolerance,
        overdue=incumbent is not None and incumbent.version in overdue,
    )


def _transfer(
    ctx: JobContext, measured: Evaluation, champions: Sequence[Champion], settings: RecommendSettings
) -> list[Transfer]:
    """Of each target whose champion is a model, whether people's other side helps, warm and cold apart."""
    import numpy as np

    from crossdomain.recommend.champion import METRIC, POPULAR
    from crossdomain.recommend.transfer import OWN_SIDE, SEGMENTS, decide

    nobody = np.zeros(0)
    rows = ctx.con.execute("SELECT target_domain, segment, serves FROM previous.transfer").fetchall()
    before = {(domain, segment): serves for domain, segment, serves in rows}
    found = []
    for champion in champions:
        target, version = champion.target_domain, champion.model_version
        (other,) = set(ctx.settings.domains) - {target}
        for segment in SEGMENTS if champion.model == KIND else ():
            transferred = measured.of(version, KIND, target, segment, METRIC)
            without = {
                name: measured.of(name if name == POPULAR else version, name, target, segment, METRIC)
                for name in (POPULAR, OWN_SIDE)
            }
            found.append(
                decide(
                    target,
                    f"{other}>{target}",
                    segment,
                    version,
                    nobody if transferred is None else transferred,
                    {name: values for name, values in without.items() if values is not None} or {POPULAR: nobody},
                    before=before.get((target, segment)),
                    min_people=settings.min_test_people,
                )
            )
    return found


def _carried(row: dict[str, Any]) -> Champion:
    from crossdomain.recommend.champion import Rated, decide

    incumbent = Rated(row["model"], row["model_version"])
    return decide(row["target_domain"], incumbent, [], n=0, min_people=1)


def _metadata(
    ctx: JobContext, settings: RecommendSettings, first: date, cut: date, sizes: dict[str, int]
) -> dict[str, Any]:
    from crossdomain.recommend.als import device_in_use, library_versions

    return {
        "model": KIND,
        "trained_to": ctx.ds.isoformat(),
        "window_from": first.isoformat(),
        "twin_trained_to": cut.isoformat(),
        "domains": list(ctx.settings.domains),
        **sizes,
        "device": device_in_use(settings)[0],
        "settings": settings.as_config(),
        "libraries": library_versions(),
    }


def _overdue(ctx: JobContext) -> set[str]:
    """Versions that learned from people who were erased, and that may be in force no longer."""
    rows = ctx.con.execute("SELECT DISTINCT model_version FROM derived.retraining WHERE due_ds <= ?", [ctx.ds])
    return {version for (version,) in rows.fetchall()}


def _previous(ctx: JobContext) -> dict[str, dict[str, Any]]:
    rows = ctx.con.execute("SELECT target_domain, model, model_version FROM previous.champions ORDER BY ALL").fetchall()
    return {domain: {"target_domain": domain, "model": model, "model_version": name} for domain, model, name in rows}


def _table(rows: Sequence[Any], kind: type[Any]) -> pa.Table:
    types = {"float": pa.float64(), "int": pa.int64()}
    declared = {field.name: str(field.type).split(" ")[0] for field in fields(kind)}
    schema = pa.schema([(name, types.get(declared[name], pa.string())) for name in declared])
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)


JOB = Job(
    name="train",
    version=4,
    inputs=(
        event_window(),
        held_ever(),
        Input(table="derived.people"),
        Input(table="derived.catalogue"),
        Input(table="derived.duplicate_items"),
        Input(table="derived.retraining", days=None, optional=True),
    ),
    outputs=("serving.model_metrics", "serving.champions", "serving.transfer"),
    run=build,
    config=config,
    tells_unchanged=True,
)
