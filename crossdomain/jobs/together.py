"""Job ``together``: which items the same people take, and their choices, from which the blend's weights are learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.content.settings import TogetherSettings
from crossdomain.jobs.consent_now import withdrawals_version, withdrawn_now
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.content.together import Rules, Shelf, Taken

_SHELF = """
    WITH products AS (
        SELECT domain, item_id, group_id, first_value(item_id) OVER (
            PARTITION BY domain, group_id ORDER BY status = 'off', item_id
        ) AS product
        FROM derived.duplicate_items JOIN derived.catalogue USING (domain, item_id)
    )
    SELECT domain, item_id, coalesce(product, item_id) AS stands_for,
        coalesce(group_id, concat_ws('|', domain, item_id)) AS product
    FROM derived.catalogue
    JOIN derived.item_tokens USING (domain, item_id)
    LEFT JOIN products USING (domain, item_id)
    WHERE len(tokens) > 0
    ORDER BY domain, item_id
"""
"""Items with words, and of several ids of one product in a domain the one that stands for them."""
_TAKEN = """
    WITH allowed AS (
        SELECT account, person,
            personalisation AND NOT list_contains(coalesce(purposes, []), 'personalisation') AS personalisation,
            cross_domain AND NOT list_contains(coalesce(purposes, []), 'cross_domain') AS cross_domain
        FROM derived.people LEFT JOIN ({withdrawn}) USING (account)
    ),
    units AS (
        SELECT account, personalisation,
            if(bool_and(cross_domain) OVER (PARTITION BY person), person, account) AS unit
        FROM allowed
    ),
    told AS (
        SELECT unit, row AS item, event_type, CAST(timezone($tz, ts) AS DATE) AS day
        FROM clean.events
        JOIN units USING (account)
        JOIN shelf USING (domain, item_id)
        WHERE personalisation
    )
    SELECT DISTINCT unit AS person, item, day
    FROM told
    ANTI JOIN (
        SELECT unit, item FROM told WHERE event_type IN ('refund', 'dislike', 'hide', 'complaint')
    ) AS refused USING (unit, item)
    WHERE event_type IN ('view', 'click', 'favorite', 'cart', 'purchase', 'attend') AND day BETWEEN $first AND $last
"""
"""A person is one where all its accounts grant ``cross_domain``, else each account is one by itself: no pair crosses
the domains without consent. Only accounts that grant ``personalisation`` count."""


def build(ctx: JobContext) -> None:
    """Counts what is taken together up to the day, and collects later choices of the days before it."""
    from crossdomain.content import together

    settings = TogetherSettings.from_env(seed=ctx.settings.seed)
    rules = _rules(settings)
    shelf, taken = _read(ctx, settings)
    today = ctx.ds.toordinal() - _EPOCH
    recent = taken.between(today - settings.together_days + 1, today)
    found = together.taken_together(recent, shelf, rules)
    chance = together.taken_together(_shuffled(recent, shelf, settings.seed), shelf, rules)
    tables = [found.table(shelf, by_chance=False), chance.table(shelf, by_chance=True)]
    ctx.write("derived.taken_together", pa.concat_tables(tables))
    folds = []
    for fold, ago in ((together.LEARN, 2), (together.CHECK, 1)):
        folds.append(
            together.choices(
                taken,
                shelf,
                rules,
                fold=fold,
                after=today - ago * settings.later_days,
                days=settings.later_days,
                before=settings.together_days,
                most=settings.choices,
                seed=settings.seed,
            )
        )
    ctx.write("derived.later_choices", pa.concat_tables(folds))
    ctx.note(
        people=len(set(recent.person.tolist())),
        items=len(set(recent.item.tolist())),
        pairs=len(found) // 2,
        pairs_by_chance=len(chance) // 2,
        choices={fold: len(table) for fold, table in zip((together.LEARN, together.CHECK), folds, strict=True)},
    )


_EPOCH = 719_163
"""Ordinal of 1970-01-01, from which Arrow counts days."""


def _read(ctx: JobContext, settings: TogetherSettings) -> tuple[Shelf, Taken]:
    from crossdomain.content.together import Shelf, Taken

    rows = ctx.con.sql(_SHELF).to_arrow_table().to_pandas()
    standing = (rows["item_id"] == rows["stands_for"]).to_numpy()
    stands = rows[standing].reset_index(drop=True)
    shelf = Shelf(*(stands[name].to_numpy(dtype=object) for name in ("domain", "item_id", "product")))
    place = {key: row for row, key in enumerate(zip(shelf.domains, shelf.item_ids, strict=True))}
    # A product whose standing id has no words is not there.
    row_of = [place.get(key, -1) for key in zip(rows["domain"], rows["stands_for"], strict=True)]
    names = pa.table({name: pa.array(rows[name], pa.string()) for name in ("domain", "item_id")})
    ctx.con.register("numbered", names.append_column("row", pa.array(row_of, pa.int64())))
    ctx.con.execute("CREATE TEMP VIEW shelf AS FROM numbered WHERE row >= 0")
    values = {"tz": ctx.settings.tz, "first": ctx.ds - timedelta(days=_days(settings) - 1), "last": ctx.ds}
    sql = _TAKEN.format(withdrawn=withdrawn_now(ctx.lake, ctx.tables))
    return shelf, Taken.of(ctx.con.sql(sql, params=values).to_arrow_table(), shelf)


def _shuffled(taken: Taken, shelf: Shelf, seed: int) -> Taken:
    import numpy as np

    return taken.shuffled(shelf, np.random.default_rng(seed))


def _rules(settings: TogetherSettings) -> Rules:
    from crossdomain.content.together import Rules

    return Rules(
        least_people=settings.together_people,
        shrink=settings.together_shrink,
        most_items=settings.together_items,
        most_others=settings.together_others,
    )


def _days(settings: TogetherSettings) -> int:
    return settings.together_days + 2 * settings.later_days


def _config(settings: Settings) -> Mapping[str, Any]:
    return {
        "choices": asdict(TogetherSettings.from_env(seed=settings.seed)),
        "domains": settings.domains,
        "tz": settings.tz,
        "withdrawals": withdrawals_version(settings),
    }


JOB = Job(
    name="together",
    version=1,
    inputs=(
        Input(table="clean.events", days=_days(TogetherSettings.from_env()), delivered="until"),
        Input(table="derived.people"),
        Input(table="derived.catalogue"),
        Input(table="derived.duplicate_items"),
        Input(table="derived.item_tokens"),
    ),
    outputs=("derived.taken_together", "derived.later_choices"),
    run=build,
    config=_config,
    tells_unchanged=True,
)
