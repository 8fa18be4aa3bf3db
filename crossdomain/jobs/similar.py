"""Job ``similar``: the most similar items of every item of the day's catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from crossdomain.content.settings import SimilaritySettings
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings


def build(ctx: JobContext) -> None:
    """Compares the items by their words and topics."""
    from crossdomain.content import documents, similarity, topics

    terms = documents.term_matrix(ctx.con.sql("FROM derived.item_tokens").to_arrow_table())
    weights = topics.topic_weights(ctx.con.sql("FROM serving.item_topics").to_arrow_table(), terms)
    on_sale = ctx.con.sql("SELECT status = 'on' AS on_sale FROM derived.catalogue ORDER BY domain, item_id")
    similar = similarity.similar_items(
        terms,
        weights,
        on_sale=on_sale.to_arrow_table()["on_sale"].to_numpy(),
        domains=ctx.settings.domains,
        settings=SimilaritySettings.from_env(),
    )
    ctx.write("serving.similar_items", similar)
    ctx.note(items=len(terms.item_ids), similar_pairs=len(similar))


def _config(settings: Settings) -> Mapping[str, Any]:
    return {"choices": asdict(SimilaritySettings.from_env()), "domains": settings.domains}


JOB = Job(
    name="similar",
    version=1,
    inputs=(
        Input(table="derived.catalogue"),
        Input(table="derived.item_tokens"),
        Input(table="serving.item_topics"),
    ),
    outputs=("serving.similar_items",),
    run=build,
    config=_config,
)
