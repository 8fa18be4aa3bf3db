"""What ``train`` and ``score`` read alike: people, items and the pairs of account and item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.consent_now import withdrawals_version, withdrawn_now
from crossdomain.jobs.model import Input, JobContext
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.recommend.interactions import Items, Pairs, People


@dataclass(frozen=True)
class Behaviour:
    """People, items, and the pairs of each span of days that was asked for."""

    people: People
    items: Items
    pairs: Sequence[Pairs]


def event_window() -> Input:
    """The events that the recommender reads: what was known on the key's day."""
    return Input(table="clean.events", days=RecommendSettings.from_env().window_days or None, delivered="until")


def first_day(ds: date, settings: RecommendSettings) -> date:
    """First business day of the window."""
    return ds - timedelta(days=settings.window_days - 1) if settings.window_days else date(1, 1, 1)


def recommend_settings(ctx: JobContext) -> RecommendSettings:
    """The recommender's settings under the deployment's seed and threads."""
    return RecommendSettings.from_env(seed=ctx.settings.seed, threads=ctx.settings.threads)


def config(settings: Settings) -> dict[str, Any]:
    """What the recommender's rows depend on beside its inputs."""
    return {
        **RecommendSettings.from_env(seed=settings.seed).as_config(),
        "domains": settings.domains,
        "tz": settings.tz,
        "withdrawals": withdrawals_version(settings),
    }


def read_behaviour(ctx: JobContext, settings: RecommendSettings, spans: Sequence[tuple[date, date]]) -> Behaviour:
    """Reads the views of the job; ``spans`` are first and last business days, both included.

    Consents count as they are in ``derived.people`` of the day and as they stand now: a day whose people were built
    before a withdrawal is read without what was withdrawn.
    """
    from crossdomain.recommend.interactions import (
        CATALOGUE_SQL,
        pairs_sql,
        people_sql,
        read_items,
        read_pairs,
        read_people,
    )

    domains = ctx.settings.domains
    zone = ctx.settings.tz
    rows = [_arrow(ctx, pairs_sql(settings), {"first": first, "last": last, "tz": zone}) for first, last in spans]
    people = read_people(_arrow(ctx, people_sql(withdrawn_now(ctx.lake, ctx.tables))), domains)
    items = read_items(rows, _arrow(ctx, CATALOGUE_SQL), domains)
    return Behaviour(people, items, [read_pairs(part, people, items) for part in rows])


def _arrow(ctx: JobContext, sql: str, values: dict[str, date | str] | None = None) -> pa.Table:
    return ctx.con.sql(sql, params=values).to_arrow_table()
