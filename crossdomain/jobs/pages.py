"""Job ``pages``: what to show beside every article and product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

_DAYS = 28
"""Days of which popularity is counted."""
_POPULARITY = """
    SELECT domain, item_id, count(DISTINCT account) AS people
    FROM clean.events
    WHERE item_id IS NOT NULL AND event_type IN ('view', 'click', 'favorite', 'cart', 'purchase', 'attend')
    GROUP BY ALL ORDER BY ALL
"""
_ON_SALE = """
    SELECT domain, item_id FROM derived.catalogue WHERE status = 'on' ORDER BY ALL
"""


def build(ctx: JobContext) -> None:
    """Ranks the similar items of each item by similarity and popularity, under the rules."""
    from crossdomain.content import pages

    rules = pages.read_rules(_rules(ctx.settings))
    thetas = ctx.con.sql("SELECT domain, other_domain, theta FROM serving.similarity_thresholds").fetchall()
    found = pages.page_recommendations(
        ctx.con.sql("FROM serving.similar_items").to_arrow_table(),
        weights=_weights(ctx),
        thetas={(domain, other): theta for domain, other, theta in thetas},
        popularity=ctx.con.sql(_POPULARITY).to_arrow_table(),
        on_sale=set(ctx.con.sql(_ON_SALE).fetchall()),
        rules=rules,
    )
    ctx.write("serving.page_recommendations", found)
    ctx.note(pages=len(found.group_by(["domain", "item_id"]).aggregate([])), rows=len(found), pins=len(rules.pins))


def _weights(ctx: JobContext) -> dict[tuple[str, str], list[float]]:
    """Weights of the similarity's parts by direction, in the parts' order."""
    from crossdomain.content.neighbours import COMPONENTS

    rows = ctx.con.sql("SELECT domain, other_domain, part, weight FROM serving.similarity_weights").fetchall()
    found: dict[tuple[str, str], list[float]] = {}
    for domain, other, part, weight in rows:
        found.setdefault((domain, other), [0.0] * len(COMPONENTS))[COMPONENTS.index(part)] = weight
    return found


def _rules(settings: Settings) -> Path:
    return settings.include / "pages" / "rules.yaml"


def _config(settings: Settings) -> Mapping[str, Any]:
    from crossdomain.content.pages import read_rules

    return {"rules": asdict(read_rules(_rules(settings)))}


JOB = Job(
    name="pages",
    version=2,
    inputs=(
        Input(table="derived.catalogue"),
        Input(table="serving.similar_items"),
        Input(table="serving.similarity_thresholds"),
        Input(table="serving.similarity_weights"),
        Input(table="clean.events", days=_DAYS, delivered="until", optional=True),
    ),
    outputs=("serving.page_recommendations",),
    run=build,
    config=_config,
)
