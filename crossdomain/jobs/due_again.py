"""What people are due to buy again, in a temporary table, by person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from crossdomain.jobs.behaviour import Histories, first_day
from crossdomain.jobs.model import JobContext

if TYPE_CHECKING:
    from crossdomain.recommend.interactions import Bools, Floats, Ints, Items

_DUE = """
CREATE OR REPLACE TEMP TABLE due AS
WITH found AS (
  SELECT a.person, i.code AS item, count(*) AS accounts, min(wait) AS wait
  FROM ({due}) JOIN due_accounts a USING (account) JOIN due_items i USING (domain, item_id)
  WHERE i.offered GROUP BY ALL
),
owners AS (
  SELECT person, item, count(*) FILTER (owned) AS accounts FROM held GROUP BY ALL
  HAVING bool_or(owned) AND NOT bool_or(rejected)
)
SELECT person, item, wait FROM found JOIN owners USING (person, item, accounts) ORDER BY person, wait, item
"""
"""An item is due where it is for all accounts of the person that own it, and none of them rejected it."""


@dataclass(frozen=True)
class DueItems:
    """What persons are due to buy again.

    Attributes:
        ctx: The job's context.
        items: All items.
        most: Most rows for a person and domain.
    """

    ctx: JobContext
    items: Items
    most: int

    def of(self, persons: slice, target: int) -> tuple[Ints, Floats]:
        """Items of a domain, persons × most, -1 where there are fewer, and how long they waited, in gaps."""
        import numpy as np

        span = self.items.span(target)
        values = {"first": persons.start, "last": persons.stop, "low": span.start, "high": span.stop, "most": self.most}
        rows = self.ctx.con.sql(
            "SELECT person - $first AS person, item, wait, "
            "row_number() OVER (PARTITION BY person ORDER BY wait, item) - 1 AS place FROM due "
            "WHERE person >= $first AND person < $last AND item >= $low AND item < $high "
            "QUALIFY place < $most ORDER BY ALL",
            params=values,
        ).to_arrow_table()
        item = np.full((persons.stop - persons.start, self.most), -1, dtype=np.int64)
        wait = np.zeros(item.shape)
        at = (rows["person"].to_numpy(), rows["place"].to_numpy())
        item[at], wait[at] = rows["item"].to_numpy(), rows["wait"].to_numpy()
        return item, wait


def read_due(ctx: JobContext, histories: Histories, offered: Bools) -> DueItems:
    """Finds what is due among the items that may be recommended."""
    from crossdomain.recommend.interactions import PRODUCTS
    from crossdomain.recommend.reranking.buying_again import due_sql

    items = histories.items
    ctx.con.register("due_accounts", histories.people.codes_table().drop_columns("code"))
    ctx.con.register("due_items", items.codes_table().append_column("offered", pa.array(offered)))
    values = {"first": first_day(ctx.ds, histories.settings), "last": ctx.ds, "tz": ctx.settings.tz}
    ctx.con.execute(_DUE.format(due=due_sql(PRODUCTS)), values)
    for name in ("due_accounts", "due_items"):
        ctx.con.unregister(name)
    ((people, rows),) = ctx.con.execute("SELECT count(DISTINCT person), count(*) FROM due").fetchall()
    ctx.note(due_again={"people": people, "items": rows})
    return DueItems(ctx, items, histories.settings.buy_again)
