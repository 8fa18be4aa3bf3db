"""Job ``publish``: the serving database of the day, and PostgreSQL if a target is set."""

from __future__ import annotations

from crossdomain.errors import NotReady
from crossdomain.jobs.model import Job, JobContext


def run(ctx: JobContext) -> None:
    """Publishes the newest partition, up to the day, of every serving table; nothing where a newer day is published."""
    from crossdomain.storage import postgres, serving

    newer = serving.current(ctx.lake.home)
    if newer is not None and newer.ds > ctx.ds:  # every late day asks; finding all partitions would take its time
        ctx.note(file=newer.path.name, current_ds=newer.ds.isoformat(), rows=newer.rows)
        return
    with serving.one_publisher(ctx.lake.home):
        found = serving.to_publish(ctx.lake, ctx.tables, ctx.ds)
        if not found:
            raise NotReady(f"publish {ctx.ds}: no serving table has a day up to {ctx.ds}; run the jobs before it")
        publication, new = serving.publish(ctx.lake, found, ctx.ds)
        ctx.note(file=publication.path.name, current_ds=publication.ds.isoformat(), rows=publication.rows)
        if new:
            ctx.touched.add(ctx.ds)
        if ctx.settings.publish_dsn and publication.ds == ctx.ds:
            postgres.publish(ctx.lake, found, ctx.settings.publish_dsn)


JOB = Job(name="publish", version=1, outputs=(), run=run)
