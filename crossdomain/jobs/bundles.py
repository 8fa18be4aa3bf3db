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


_THETA = """
    SELECT if(count(theta) = 2, max(theta), NULL) FROM serving.similarity_thresholds
    WHERE (domain, other_domain) IN (($first, $second), ($second, $first))
"""
PLOT_DAYS = 30
"""Business days that the plot of topic shares looks back."""


def build(ctx: JobContext) -> None:
    """Joins the similar items of the two sides and draws the day's plots."""
    from crossdomain.content.bundle_texts import BUNDLE_SCHEMA
    from crossdomain.jobs.content_plots import draw_plots

    choices = BundleSettings.from_env()
    theta = choices.theta or _calibrated(ctx)
    described = None if theta is None else _describe(ctx, choices, theta)
    found = described.bundles if described else BUNDLE_SCHEMA.empty_table()
    ctx.write("serving.bundles", found)
    draw_plots(ctx)
    ctx.note(bundles=len(found), theta=theta, left_out=list(described.left_out) if described else [])


def _calibrated(ctx: JobContext) -> float | None:
    """θ of both directions, the greater; null where one has none: then no pair of it means anything."""
    found = ctx.con.sql(_THETA, params=_sides(ctx)).fetchall()
    ((theta,),) = found
    return None if theta is None else float(theta)


def _sides(ctx: JobContext) -> dict[str, str]:
    return dict(zip(("first", "second"), ctx.settings.domains, strict=True))


def _describe(ctx: JobContext, choices: BundleSettings, theta: float) -> Described:
    from crossdomain.content import bundle_texts, bundles, documents, topics

    domains = ctx.settings.domains
    sides = _sides(ctx)
    pairs = ctx.con.sql(_PAIRS, params={**sides, "theta": theta}).to_arrow_table()
    ctx.con.register("pairs", pairs)
    rows, weights = (ctx.con.sql(query, params=sides).to_arrow_table() for query in (_ITEMS, _TOPICS))
    items = documents.item_facts(rows, domains=domains)
    listed = dict(ctx.con.sql("SELECT topic, words FROM serving.topics WHERE ds = getvariable('ds')").fetchall())
    name = bundles.joined_topics(listed, choices.bundle_same_topic)
    words = bundles.joined_words(listed, name)
    forbidden = read_forbidden_words(_file(ctx.settings, "forbidden_words.txt"))
    found = bundles.find_bundles(
        pairs,
        bundles.BundleRules(
            theta=theta,
            most_items=choices.bundle_items,
            most_bundles=choices.bundles_per_item,
            least_topic=choices.bundle_topic,
            least_words=choices.bundle_words,
        ),
        topics=bundles.joined_weights(topics.topics_by_item(weights, domains=domains), name),
        tokens=bundles.tokens_of(items),
        words=words,
        duplicates=_duplicates(ctx, domains),
    )
    wording = bundle_texts.read_wording(_file(ctx.settings, "bundles.yaml"), forbidden)
    return bundle_texts.describe_bundles(found, items=items, words=words, wording=wording, forbidden=forbidden)


def _duplicates(ctx: JobContext, domains: tuple[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """For each domain the product of the items that are one with others."""
    groups: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for domain, item, group in ctx.con.sql("SELECT domain, item_id, group_id FROM derived.duplicate_items").fetchall():
        groups[domains.index(domain)][item] = group
    return groups


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
        Input(table="derived.duplicate_items"),
        Input(table="serving.topics", days=PLOT_DAYS),
        Input(table="serving.item_topics"),
        Input(table="serving.similar_items"),
        Input(table="serving.similarity_thresholds"),
    ),
    outputs=("serving.bundles",),
    run=build,
    config=_config,
    tells_unchanged=True,
)
