"""What ``train`` and ``score`` read alike: people, items and the pairs of account and item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from crossdomain.jobs.model import Input, JobContext
from crossdomain.recommend.settings import RecommendSettings

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


def read_behaviour(ctx: JobContext, settings: RecommendSettings, spans: Sequence[tuple[date, date]]) -> Behaviour:
    """Reads the views of the job; ``spans`` are first and last business days, both included."""
    from crossdomain.recommend.interactions import (
        CATALOGUE_SQL,
        PEOPLE_SQL,
        pairs_sql,
        read_items,
        read_pairs,
        read_people,
    )

    domains = ctx.settings.domains
    zone = ctx.settings.tz
    rows = [_arrow(ctx, pairs_sql(settings), {"first": first, "last": last, "tz": zone}) for first, last in spans]
    people = read_people(_arrow(ctx, PEOPLE_SQL), domains)
    items = read_items(rows, _arrow(ctx, CATALOGUE_SQL), domains)
    return Behaviour(people, items, [read_pairs(part, people, items) for part in rows])


def _arrow(ctx: JobContext, sql: str, values: dict[str, date | str] | None = None) -> pa.Table:
    return ctx.con.sql(sql, params=values).to_arrow_table()
