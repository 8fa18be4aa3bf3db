"""Job ``score``: recommendations of the day by the champions of the day."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from crossdomain.jobs.behaviour import config, event_window, first_day, read_histories, recommend_settings
from crossdomain.jobs.model import Input, Job, JobContext

if TYPE_CHECKING:
    from crossdomain.recommend.score import Served


def build(ctx: JobContext) -> None:
    """Ranks each domain's items for everyone who is known in the other one and agrees to be recommended them."""
    from crossdomain.recommend.popularity import decayed_counts
    from crossdomain.recommend.score import Audience, Scorer, popular_items

    settings = recommend_settings(ctx)
    histories = read_histories(ctx, settings, first_day(ctx.ds, settings), ctx.ds)
    decayed = decayed_counts(*histories.ages(), len(histories.items), settings.popularity_half_life_days)
    audience = Audience(people=histories.people, items=histories.items, histories=histories, decayed=decayed)
    scorer = Scorer(audience, _champions(ctx), settings)
    taken_up = ctx.write_blocks(
        "serving.recommendations",
        ((f"{block.start:010d}-{block.stop:010d}", partial(scorer.rows, block)) for block in scorer.blocks()),
    )
    ctx.write("serving.popular_items", popular_items(audience, settings))
    ctx.look_at("serving.recommendations")
    sources = ctx.con.execute("SELECT source, count(*) FROM written.recommendations GROUP BY ALL ORDER BY ALL")
    ctx.note(people=len(histories.people.person), rows_by_source=dict(sources.fetchall()), blocks_taken_up=taken_up)


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
    version=4,
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
