"""Job ``bundles``: items of both domains that belong together, and the day's plots of topics and similarity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossdomain.content.settings import BundleSettings
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings
from crossdomain.text.advertising import read_forbidden_words

if TYPE_CHECKING:
    from crossdomain.content.bundle_texts import Described

_PAIRS = """
    WITH sold AS (SELECT domain, item_id FROM derived.catalogue WHERE status = 'on'),
    either AS (
        SELECT domain, item_id, other_domain, other_item_id, similarity, cosine,
               domain = $first AS forwards
        FROM serving.similar_items
        WHERE (domain, other_domain) IN (($first, $second), ($second, $first)) AND similarity > $theta
    )
    SELECT DISTINCT if(forwards, item_id, other_item_id) AS first, if(forwards, other_item_id, item_id) AS second,
           similarity, cosine
    FROM either
    SEMI JOIN sold USING (domain, item_id)
    SEMI JOIN sold AS other ON either.other_domain = other.domain AND either.other_item_id = other.item_id
    ORDER BY ALL
"""
_ITEMS = """
    SELECT domain, item_id, title, creator, price, tokens
    FROM derived.catalogue JOIN derived.item_tokens USING (domain, item_id)
    WHERE domain = $first AND item_id IN (SELECT first FROM pairs)
       OR domain = $second AND item_id IN (SELECT second FROM pairs)
    ORDER BY domain, item_id
"""
_TOPICS = """
    SELECT domain, item_id, topic, weight
    FROM serving.item_topics
    WHERE domain = $first AND item_id IN (SELECT first FROM pairs)
       OR domain = $second AND item_id IN (SELECT second FROM pairs)
    ORDER BY domain, item_id, topic
"""


def build(ctx: JobContext) -> None:
    """Joins the similar items of the two sides and draws the day's plots."""
    choices = BundleSettings.from_env()
    described = _describe(ctx, choices)
    ctx.write("serving.bundles", described.bundles)
    ctx.note(bundles=len(described.bundles), theta=choices.theta, left_out=list(described.left_out))


def _describe(ctx: JobContext, choices: BundleSettings) -> Described:
    from crossdomain.content import bundle_texts, bundles, documents, topics

    domains = ctx.settings.domains
    sides = dict(zip(("first", "second"), domains, strict=True))
    pairs = ctx.con.sql(_PAIRS, params={**sides, "theta": choices.theta}).to_arrow_table()
    ctx.con.register("pairs", pairs)
    rows, weights = (ctx.con.sql(query, params=sides).to_arrow_table() for query in (_ITEMS, _TOPICS))
    items = documents.item_facts(rows, domains=domains)
    listed = dict(ctx.con.sql("SELECT topic, words FROM serving.topics").fetchall())
    name = bundles.joined_topics(listed, choices.bundle_same_topic)
    words = bundles.joined_words(listed, name)
    forbidden = read_forbidden_words(_file(ctx.settings, "forbidden_words.txt"))
    found = bundles.find_bundles(
        pairs,
        bundles.BundleRules(
            theta=choices.theta,
            most_items=choices.bundle_items,
            most_bundles=choices.bundles_per_item,
            least_topic=choices.bundle_topic,
            least_words=choices.bundle_words,
        ),
        topics=bundles.joined_weights(topics.topics_by_item(weights, domains=domains), name),
        tokens=bundles.tokens_of(items),
        words=words,
    )
    wording = bundle_texts.read_wording(_file(ctx.settings, "bundles.yaml"), forbidden)
    return bundle_texts.describe_bundles(found, items=items, words=words, wording=wording, forbidden=forbidden)


def _file(settings: Settings, name: str) -> Path:
    return settings.include / "text" / name


def _config(settings: Settings) -> Mapping[str, Any]:
    return {
        "choices": asdict(BundleSettings.from_env()),
        "domains": settings.domains,
        "wording": _file(settings, "bundles.yaml").read_text(encoding="utf-8"),
        "forbidden": _file(settings, "forbidden_words.txt").read_text(encoding="utf-8"),
    }


JOB = Job(
    name="bundles",
    version=2,
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
)
