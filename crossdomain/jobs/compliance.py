"""Job ``compliance``: the account of a day's processing, as a table and as a page."""

from __future__ import annotations

from crossdomain.governance.compliance import COMPLIANCE
from crossdomain.jobs.model import Job, JobContext


def report(ctx: JobContext) -> None:
    """Writes the day's account; a day that runs again is accounted for again, as things stand then."""
    from crossdomain.governance.compliance import account_for, as_table
    from crossdomain.governance.page import as_json, as_markdown
    from crossdomain.jobs.erase import ground
    from crossdomain.storage.home import write_whole

    facts = account_for(ground(ctx.lake, ctx.tables, ctx.settings, ctx.ds))
    spec = ctx.tables.get(COMPLIANCE)
    values = {"ds": ctx.ds.isoformat()}
    staged = ctx.lake.stage(spec, as_table(facts), values, made_by=ctx.made_by)
    ctx.lake.commit(spec, [staged], replace={"ds": [ctx.ds.isoformat()]})
    page = ctx.lake.home.report(f"compliance/{ctx.ds}.md")
    write_whole(page, as_markdown(ctx.ds, facts))
    write_whole(page.with_suffix(".json"), as_json(ctx.ds, facts))
    ctx.note(facts=len(facts), page=str(page))
    ctx.touched.add(ctx.ds)


JOB = Job(name="compliance", version=1, outputs=(COMPLIANCE,), run=report)
