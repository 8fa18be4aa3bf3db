"""Job ``ingest``: one delivery day from landing to raw."""

from __future__ import annotations

from crossdomain.jobs.model import Job, JobContext

TABLES = (
    "users", "items", "events", "reviews", "consents", "identity_links", "exposures", "experiment_counts",
    "campaign_costs", "coupons", "sends", "support_entries", "erasure_requests",
)  # fmt: skip
"""The canonical tables; ``crossdomain.ingest.canonical`` says what they hold."""


def land(ctx: JobContext) -> None:
    """Reads the delivery, commits raw, and names the business days that it touched."""
    from crossdomain.ingest.arrival import ingest_delivery
    from crossdomain.ingest.feeds import load_feeds

    arrival = ingest_delivery(
        ctx.lake,
        ctx.tables,
        load_feeds(ctx.settings),
        ctx.ds,
        settings=ctx.settings,
        keys=ctx.keys,
        made_by=ctx.made_by,
    )
    ctx.touched |= set(arrival.touched)
    ctx.note(
        changed=arrival.changed,
        rows=sum(feed.rows for feed in arrival.feeds),
        feeds={
            feed.feed: {
                "rows": feed.rows,
                "replaced": feed.replaced,
                "set_aside": dict(feed.set_aside),
                "changed_days": [day.isoformat() for day in feed.changed],
                "unmapped_columns": list(feed.unmapped),
                "missing_columns": list(feed.missing),
                "widened_columns": [str(widening) for _, widening in feed.forms if widening is not None],
            }
            for feed in arrival.feeds
        },
    )


JOB = Job(
    name="ingest",
    version=2,
    outputs=(*(f"raw.{table}" for table in TABLES), "derived.erasures", "derived.deliveries", "derived.feed_columns"),
    run=land,
)
