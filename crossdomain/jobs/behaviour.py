"""What ``train`` and ``score`` read alike: people, items and the pairs of account and item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.consent_now import withdrawals_version, withdrawn_now
from crossdomain.jobs.model import Input, JobContext
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.recommend.holdings import Held
    from crossdomain.recommend.interactions import Ints, Items, Known, Pairs, People


@dataclass(frozen=True)
class Behaviour:
    """People, items, and the pairs of each span of days that was asked for."""

    people: People
    items: Items
    pairs: Sequence[Pairs]


def event_window() -> Input:
    """The events that the recommender reads: what was known on the key's day."""
    return Input(table="clean.events", days=RecommendSettings.from_env().window_days or None, delivered="until")


def held_ever() -> Input:
    """Purchases and rejections of all days, as known on the key's day."""
    return Input(table="derived.holdings", days=None, delivered="until")


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


@dataclass(frozen=True)
class Histories:
    """Pairs of a span of days, and what is held, in temporary tables, by person: a few people at a time, however many.

    Attributes:
        ctx: The job's context.
        people: Who may be processed.
        items: All items.
        settings: The recommender's.
    """

    ctx: JobContext
    people: People
    items: Items
    settings: RecommendSettings

    def of(self, persons: slice) -> Known:
        """What is known of some persons."""
        from crossdomain.recommend.interactions import Known, coded_held, coded_pairs

        block = {"first": persons.start, "last": persons.stop}
        chosen = "WHERE person >= $first AND person < $last ORDER BY account, item"
        rows = _arrow(self.ctx, f"SELECT account, item, weight, last_age FROM coded {chosen}", block)  # noqa: S608
        held = _arrow(self.ctx, f"SELECT account, item FROM held {chosen}", block)  # noqa: S608 - our own text
        return Known.of(coded_pairs(rows), coded_held(held), self.people, self.items, self.settings, persons)

    def ages(self) -> tuple[Ints, Ints, Ints]:
        """Item, days since the last positive event, and how many accounts have that, by item and age."""
        rows = _arrow(
            self.ctx,
            "SELECT item, last_age::BIGINT AS age, count(*) AS n FROM coded WHERE last_age IS NOT NULL "
            "GROUP BY ALL ORDER BY ALL",
        )
        item, age, accounts = (rows[name].to_numpy() for name in ("item", "age", "n"))
        return item, age, accounts


def read_histories(ctx: JobContext, settings: RecommendSettings, first: date, last: date) -> Histories:
    """Folds the events of a span into a temporary table of pairs, and what is held after it into another one.

    DuckDB keeps both on disk where it must. Items that are only held cannot be recommended and are left out.
    """
    from crossdomain.recommend.interactions import CATALOGUE_SQL, pairs_sql, people_sql, read_items, read_people

    domains = ctx.settings.domains
    values = {"first": first, "last": last, "tz": ctx.settings.tz}
    ctx.con.execute(f"CREATE OR REPLACE TEMP TABLE found AS {pairs_sql(settings)}", values)
    people = read_people(_arrow(ctx, people_sql(withdrawn_now(ctx.lake, ctx.tables))), domains)
    named = _arrow(ctx, "SELECT DISTINCT domain, item_id FROM found")
    items = read_items([named], _arrow(ctx, CATALOGUE_SQL), domains)
    with _codes(ctx, people, items):
        ctx.con.execute(
            "CREATE OR REPLACE TEMP TABLE coded AS "
            "SELECT person, a.code AS account, i.code AS item, i.domain, weight, last_age FROM found "
            "JOIN account_codes a USING (account) JOIN item_codes i USING (domain, item_id) ORDER BY person"
        )
        ctx.con.execute("DROP TABLE found")
        ctx.con.execute(f"CREATE OR REPLACE TEMP TABLE held AS {_coded_held()}", {"last": last})
    return Histories(ctx, people, items, settings)


def read_held(ctx: JobContext, behaviour: Behaviour, first: date, last: date) -> Held:
    """What people who did something from ``first`` to ``last`` owned or had rejected before that."""
    from crossdomain.recommend.interactions import coded_held

    values: dict[str, date | str | int] = {"last": first - timedelta(days=1), "tested": last, "tz": ctx.settings.tz}
    with _codes(ctx, behaviour.people, behaviour.items):
        return coded_held(_arrow(ctx, _coded_held(_ACTIVE), values))


_ACTIVE = """
SELECT account FROM derived.people WHERE person IN (
  SELECT person FROM derived.people JOIN clean.events USING (account)
  WHERE CAST(timezone($tz, ts) AS DATE) > $last AND CAST(timezone($tz, ts) AS DATE) <= $tested
)
"""
"""Accounts of the people who did something after ``$last``, up to ``$tested``."""


def _coded_held(among: str | None = None) -> str:
    """SQL of what accounts hold, by person: person, account, item (positions), owned, rejected."""
    from crossdomain.recommend.holdings import held_sql
    from crossdomain.recommend.interactions import PRODUCTS

    held = held_sql(PRODUCTS) if among is None else held_sql(PRODUCTS, among)
    return (
        f"SELECT person, a.code AS account, i.code AS item, owned, rejected FROM ({held}) "  # noqa: S608 - our own text
        "JOIN account_codes a USING (account) JOIN item_codes i USING (domain, item_id) ORDER BY person, account, item"
    )


@contextmanager
def _codes(ctx: JobContext, people: People, items: Items) -> Iterator[None]:
    """Positions of accounts and items, as tables ``account_codes`` and ``item_codes``."""
    tables = {"account_codes": people.codes_table(), "item_codes": items.codes_table()}
    for name, codes in tables.items():
        ctx.con.register(name, codes)
    yield
    for name in tables:
        ctx.con.unregister(name)


def _arrow(ctx: JobContext, sql: str, values: dict[str, date | str | int] | None = None) -> pa.Table:
    return ctx.con.sql(sql, params=values).to_arrow_table()
