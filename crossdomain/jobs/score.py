"""Job ``score``: recommendations of the day by the champions of the day."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from crossdomain.jobs.behaviour import (
    Histories,
    config,
    event_window,
    first_day,
    held_ever,
    read_histories,
    recommend_settings,
)
from crossdomain.jobs.due_again import read_due
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.jobs.promoting import promotion_config, promotions
from crossdomain.jobs.recommendation_variants import arms, trial_versions, variant_config, variant_inputs
from crossdomain.jobs.shown import freshness, greatest_topics, list_inputs, read_shown, topic_mixtures
from crossdomain.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from crossdomain.recommend.score import Served

_COVERAGE = """
WITH known AS (SELECT DISTINCT k.person, c.domain AS target_domain FROM coded c JOIN person_keys k ON k.code = c.person
               WHERE c.last_age IS NOT NULL),
listed AS (
  SELECT r.target_domain, CASE WHEN k.person IS NULL THEN 'cold' ELSE 'warm' END AS segment, r.source, r.person,
    r.item_id, r.score
  FROM written.recommendations r LEFT JOIN known k ON k.person = r.person AND k.target_domain = r.target_domain
),
reached AS (SELECT target_domain, segment, count(DISTINCT person) AS people FROM listed GROUP BY ALL),
found AS (
  SELECT target_domain, segment, source, count(DISTINCT person) AS people, count(DISTINCT item_id) AS items,
    round(sum(score::DECIMAL(38, 6))::DOUBLE / count(*), 6) AS mean_score, count(*) AS rows
  FROM listed GROUP BY ALL
),
creators AS (SELECT DISTINCT target_domain, creator FROM offered WHERE creator >= 0),
rows_of AS (
  SELECT target_domain, segment, source, creator, count(*) AS rows
  FROM listed JOIN offered USING (target_domain, item_id) WHERE creator >= 0 GROUP BY ALL
),
exposed AS (
  SELECT f.target_domain, f.segment, f.source, coalesce(r.rows, 0) AS rows,
    row_number() OVER (PARTITION BY f.target_domain, f.segment, f.source ORDER BY coalesce(r.rows, 0)) AS place
  FROM found f JOIN creators c USING (target_domain)
  LEFT JOIN rows_of r ON r.target_domain = f.target_domain AND r.segment = f.segment AND r.source = f.source
    AND r.creator = c.creator
),
fairness AS (
  SELECT target_domain, segment, source, count(*) FILTER (rows > 0) AS creators,
    round(max(rows) / nullif(sum(rows), 0), 6) AS top_creator_share,
    round(2.0 * sum(place * rows) / nullif(count(*) * sum(rows), 0) - (count(*) + 1) / count(*), 6) AS creator_gini
  FROM exposed GROUP BY ALL
)
SELECT target_domain, segment, source, f.people, round(f.people / reached.people, 6) AS share,
  CASE WHEN source NOT IN ('promoted', 'buy_again') THEN source IN ('popular', 'fallback', 'unpersonalised') END
    AS falls_back, f.items, round(f.items / o.items, 6) AS catalogue_share, mean_score, rows,
  creators, top_creator_share, creator_gini
FROM found f JOIN reached USING (target_domain, segment) LEFT JOIN on_sale o USING (target_domain)
LEFT JOIN fairness USING (target_domain, segment, source) ORDER BY ALL
"""
"""A list has one source, but for single rows that were placed in it; those say nothing of who is served by what.
Gini of rows over all creators with an item on sale, ``2 sum(i x_i) / (n sum(x)) - (n + 1) / n`` with x ascending."""


def build(ctx: JobContext) -> None:
    """Ranks each domain's items for everyone who is known in the other one and agrees to be recommended them."""
    from crossdomain.recommend.popularity import decayed_counts
    from crossdomain.recommend.score import Audience, Scorer, popular_items

    settings = recommend_settings(ctx)
    histories = read_histories(ctx, settings, first_day(ctx.ds, settings), ctx.ds)
    decayed = decayed_counts(*histories.ages(), len(histories.items), settings.popularity_half_life_days)
    audience = Audience(
        people=histories.people,
        items=histories.items,
        histories=histories,
        decayed=decayed,
        topic=greatest_topics(ctx, histories.items) if settings.topic_cap else None,
        shown=read_shown(ctx, histories, settings.repeat_days) if settings.repeat_days else None,
        mixtures=topic_mixtures(ctx, histories.items) if settings.mmr_lambda < 1 else None,
        fresh=freshness(ctx, histories.items, settings) if settings.fresh_boost else None,
        promotions=promotions(ctx, histories.items, settings.top_k),
    )
    if settings.buy_again:
        audience = replace(audience, due=read_due(ctx, histories, audience.offered))
    champions, under = _champions(ctx), arms(ctx, histories.people.person)
    trials = {} if under is None else _trials(ctx, champions)
    scorer = Scorer(audience, champions, settings, under, trials)
    taken_up = ctx.write_blocks(
        "serving.recommendations",
        ((f"{block.start:010d}-{block.stop:010d}", partial(scorer.rows, block)) for block in scorer.blocks()),
    )
    ctx.write("serving.popular_items", popular_items(audience, settings))
    ctx.look_at("serving.recommendations")
    covered = _coverage(ctx, histories)
    ctx.write("serving.recommendation_coverage", covered)
    rows: dict[str, int] = {}
    for row in covered.to_pylist():
        rows[row["source"]] = rows.get(row["source"], 0) + row["rows"]
    ctx.note(people=len(histories.people.person), rows_by_source=rows, blocks_taken_up=taken_up)


def _coverage(ctx: JobContext, histories: Histories) -> pa.Table:
    """Rows of ``serving.recommendation_coverage``, from what was written."""
    import numpy as np
    import pyarrow as pa

    from crossdomain.recommend.interactions import creators_on_sale, on_sale_counts

    keys = {"person": histories.people.person, "code": np.arange(len(histories.people.person))}
    ctx.con.register("person_keys", pa.table(keys))
    ctx.con.register("on_sale", on_sale_counts(histories.items))
    ctx.con.register("offered", creators_on_sale(histories.items))
    found = ctx.con.sql(_COVERAGE).to_arrow_table()
    for name in ("person_keys", "on_sale", "offered"):
        ctx.con.unregister(name)
    return found


def _champions(ctx: JobContext) -> dict[str, Served]:
    from crossdomain.recommend.als import from_files
    from crossdomain.recommend.score import Served

    rows = ctx.con.execute("SELECT target_domain, model, model_version FROM serving.champions ORDER BY ALL").fetchall()
    models = {
        version: from_files("model", ctx.models.load(model, version)) for _, model, version in rows if model == "als"
    }
    told = ctx.con.execute("SELECT target_domain, segment, serves FROM serving.transfer ORDER BY ALL").fetchall()
    return {
        domain: Served(version, models.get(version), {part: serves for name, part, serves in told if name == domain})
        for domain, _, version in rows
    }


def _trials(ctx: JobContext, champions: dict[str, Served]) -> dict[str, Served]:
    """By target domain the model that arms of experiments name, where there is one."""
    from crossdomain.recommend.als import from_files
    from crossdomain.recommend.score import Served

    known = {served.version: served.model for served in champions.values()}
    standing = {name: ("als" if one.model else "popularity", one.version) for name, one in champions.items()}
    versions = trial_versions(ctx, standing)
    for version in sorted(set(versions.values()) - set(known)):
        known[version] = from_files("model", ctx.models.load("als", version))
    return {domain: Served(version, known[version]) for domain, version in versions.items()}


def _config(settings: Settings) -> dict[str, Any]:
    return {**config(settings), **variant_config(settings), **promotion_config(settings)}


JOB = Job(
    name="score",
    version=8,
    inputs=(
        event_window(),
        held_ever(),
        Input(table="derived.people"),
        Input(table="derived.catalogue"),
        Input(table="derived.duplicate_items"),
        Input(table="serving.champions"),
        Input(table="serving.transfer"),
        *variant_inputs(),
        *list_inputs(),
    ),
    outputs=("serving.recommendations", "serving.popular_items", "serving.recommendation_coverage"),
    run=build,
    config=_config,
    tells_unchanged=True,  # of models and their metrics, which are published too
)
