"""Job ``holdings``: purchases and rejections of a day, which are remembered when its events are long gone."""

from __future__ import annotations

from typing import Any

from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings


def build(ctx: JobContext) -> None:
    """Keeps the last purchase and the last rejection of each account and item of the day."""
    from crossdomain.recommend.holdings import HOLDINGS_SQL

    ctx.con.execute("SET VARIABLE tz = ?", [ctx.settings.tz])
    ctx.note(held=ctx.write("derived.holdings", HOLDINGS_SQL).rows)


def _config(settings: Settings) -> dict[str, Any]:
    from crossdomain.recommend.holdings import REJECTS

    return {"rejects": REJECTS, "tz": settings.tz}


JOB = Job(
    name="holdings",
    version=1,
    inputs=(Input(table="clean.events"),),
    outputs=("derived.holdings",),
    run=build,
    config=_config,
)
