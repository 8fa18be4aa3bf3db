"""Job ``govern``: erasures that wait, people who came back, and what has outlived its term."""

from __future__ import annotations

from collections import Counter

from crossdomain.governance.erasing import RECEIPTS
from crossdomain.governance.holds import HOLDS
from crossdomain.governance.requests import DONE
from crossdomain.governance.retention import RUNS
from crossdomain.governance.retraining import RETRAINING
from crossdomain.jobs.model import Job, JobContext
from crossdomain.settings import Settings
from crossdomain.storage.locks import exclusive
from crossdomain.tables import TableRegistry


def govern(ctx: JobContext) -> None:
    """Carries out every erasure that waits, then enforces retention as of the day.

    A request whose id stands nowhere any more cannot be carried out by its id; it is counted and stays suppressed.
    """
    from crossdomain.governance.erasing import carry_out, orders_returned, orders_waiting
    from crossdomain.governance.retention import EXPIRED, enforce
    from crossdomain.jobs.erase import ground

    here = ground(ctx.lake, ctx.tables, ctx.settings, ctx.ds)
    with exclusive(ctx.lake.home.pending_erasures):
        waiting, without_id = orders_waiting(here)
        returned = orders_returned(here)
        receipts = carry_out(here, [*waiting, *returned])
        decisions = enforce(here, needed_days(ctx.settings, ctx.tables))
    kinds = Counter(receipt.status for receipt in receipts)
    expired = Counter(one.place for one in decisions if one.action == EXPIRED)
    ctx.note(
        erasures=dict(kinds),
        returned=len(returned),
        without_id=without_id,
        rows_removed=sum(receipt.rows for receipt in receipts),
        models_to_retrain=sum(receipt.models for receipt in receipts),
        files_left_to_running_tasks=sum(receipt.left for receipt in receipts),
        expired=dict(expired),
        kept=dict(Counter(one.action for one in decisions if one.action != EXPIRED)),
    )
    ctx.touched.add(ctx.ds)


def needed_days(settings: Settings, tables: TableRegistry) -> dict[str, int]:
    """Days of each table, and of ``landing``, that jobs read, go on from, or may have to build again.

    A late delivery changes a day up to ``late_days`` back, whose window must then still be there.
    """
    from crossdomain.ingest.feeds import load_feeds
    from crossdomain.jobs.registry import NAMES, job

    late = max([settings.late_days, *(feed.late_days for feed in load_feeds(settings).values())])
    needed: dict[str, int] = {"landing": late + 1}
    for spec in tables:
        needed[spec.full_name] = late + (2 if spec.kind == "sequential" else 1)
    for one in map(job, NAMES):
        for wanted in one.inputs:
            needed[wanted.table] = max(needed[wanted.table], (wanted.days or 1) + wanted.before + late)
    return needed


JOB = Job(
    name="govern",
    version=1,
    outputs=(DONE, RECEIPTS, RETRAINING, RUNS, HOLDS),
    run=govern,
)
