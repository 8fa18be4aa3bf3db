"""Job ``catalogue``: items of both domains as of the day."""

from __future__ import annotations

from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.sql import query


def build(ctx: JobContext) -> None:
    """Folds the items that were delivered on the day onto the catalogue of the day before."""
    rows = ctx.write("derived.catalogue", query(ctx.tables.get("derived.catalogue"))).rows
    delivered = ctx.con.sql("SELECT count(*) FROM clean.items").fetchall()[0][0]
    ctx.note(items=rows, delivered=delivered)


JOB = Job(
    name="catalogue",
    version=1,
    inputs=(Input(table="clean.items", days=None, delivered="on"),),
    outputs=("derived.catalogue",),
    run=build,
)
