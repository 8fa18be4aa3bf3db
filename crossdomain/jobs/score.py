"""Job ``score``: recommendations of the day by the champions of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from crossdomain.jobs.behaviour import config, event_window, first_day, read_behaviour, recommend_settings
from crossdomain.jobs.model import Input, Job, JobContext

if TYPE_CHECKING:
    from crossdomain.recommend.score import Served


def build(ctx: JobContext) -> None:
    """Ranks each domain's items for everyone who is known in the other one and agrees to be recommended them."""
    from crossdomain.recommend.interactions import not_wanted, person_rows, taste
    from crossdomain.recommend.popularity import decayed_popularity
    from crossdomain.recommend.score import SCHEMA, Audience, popular_items, recommend

    settings = recommend_settings(ctx)
    behaviour = read_behaviour(ctx, settings, [(first_day(ctx.ds, settings), ctx.ds)])
    pairs, people, items = behaviour.pairs[0], behaviour.people, behaviour.items
    audience = Audience(
        people=people,
        items=items,
        evidence=person_rows(taste(pairs, people, items, settings), people),
        unwanted=not_wanted(pairs, people, items),
        decayed=decayed_popularity(pairs, items, settings.popularity_half_life_days),
    )
    batches = list(recommend(audience, _champions(ctx), settings))
    table = pa.Table.from_batches(batches, SCHEMA)
    ctx.write("serving.recommendations", table)
    ctx.write("serving.popular_items", popular_items(audience, settings))
    sources = table["source"].cast(pa.string()).value_counts().to_pylist()
    ctx.note(people=len(people.person), rows_by_source={entry["values"]: entry["counts"] for entry in sources})


def _champions(ctx: JobContext) -> dict[str, Served]:
    from crossdomain.recommend.als import from_files
    from crossdomain.recommend.score import Served

    rows = ctx.con.execute("SELECT target_domain, model, model_version FROM serving.champions ORDER BY ALL").fetchall()
    models = {
        version: from_files("model", ctx.models.load(model, version)) for _, model, version in rows if model == "als"
    }
    return {domain: Served(version, models.get(version)) for domain, _, version in rows}


JOB = Job(
    name="score",
    version=3,
    inputs=(
        event_window(),
        Input(table="derived.people"),
        Input(table="derived.catalogue"),
        Input(table="derived.duplicate_items"),
        Input(table="serving.champions"),
    ),
    outputs=("serving.recommendations", "serving.popular_items"),
    run=build,
    config=config,
    tells_unchanged=True,  # of models and their metrics, which are published too
)
