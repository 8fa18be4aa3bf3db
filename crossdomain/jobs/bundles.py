"""Job ``bundles``: items of both domains that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crossdomain.content.settings import BundleSettings
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

_CATALOGUE = """
    SELECT domain, item_id, title, creator, price, status = 'on' AS on_sale
    FROM derived.catalogue
    ORDER BY domain, item_id
"""


def build(ctx: JobContext) -> None:
    """Joins the similar items of the two sides."""
    from crossdomain.content import bundles, documents, topics

    choices, (first, second) = BundleSettings.from_env(), ctx.settings.domains
    catalogue, tokens, similar, item_topics = (
        ctx.con.sql(query).to_arrow_table()
        for query in (_CATALOGUE, "FROM derived.item_tokens", "FROM serving.similar_items", "FROM serving.item_topics")
    )
    facts = documents.item_facts(catalogue, tokens, domains=(first, second))
    sold = tuple({item for item, fact in side.items() if fact["on_sale"]} for side in facts)
    pairs = bundles.cross_pairs(similar, domains=(first, second), on_sale=(sold[0], sold[1]))
    found = bundles.describe_bundles(
        bundles.find_bundles(pairs, theta=choices.theta, most=choices.bundle_items),
        items=facts,
        topics=topics.topics_by_item(item_topics, domains=(first, second)),
        words=dict(ctx.con.sql("SELECT topic, words FROM serving.topics").fetchall()),
        wording=bundles.read_wording(_wording(ctx.settings)),
    )
    ctx.write("serving.bundles", found)
    ctx.note(bundles=len(found))


def _wording(settings: Settings) -> Path:
    return settings.include / "text" / "bundles.yaml"


def _config(settings: Settings) -> Mapping[str, Any]:
    return {
        "choices": asdict(BundleSettings.from_env()),
        "domains": settings.domains,
        "wording": _wording(settings).read_text(encoding="utf-8"),
    }


JOB = Job(
    name="bundles",
    version=1,
    inputs=(
        Input(table="derived.catalogue"),
        Input(table="derived.item_tokens"),
        Input(table="serving.topics"),
        Input(table="serving.item_topics"),
        Input(table="serving.similar_items"),
    ),
    outputs=("serving.bundles",),
    run=build,
    config=_config,
    tells_unchanged=True,
)
