"""Job ``people``: accounts, links and persons as of the day."""

from __future__ import annotations

from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.sql import query

_AGREED = """
    WITH willing AS (
        SELECT account FROM state.accounts WHERE consent_assumed OR list_contains(consents, 'cross_domain')
    )
    SELECT knowledge_account, beauty_account
    FROM state.account_links
    WHERE knowledge_account IN (FROM willing) AND beauty_account IN (FROM willing)
"""


def build(ctx: JobContext) -> None:
    """Folds the day's deliveries of users, consents, links and erasures onto the day before."""
    from crossdomain.people.identity import persons

    first, second = ctx.settings.domains
    ctx.con.execute("SET VARIABLE first_domain = ?", [first])
    ctx.con.execute("SET VARIABLE second_domain = ?", [second])
    ctx.con.execute("CREATE SCHEMA IF NOT EXISTS state")
    rows = {}
    for name in ("accounts", "account_links"):
        spec = ctx.tables.get(f"derived.{name}")
        ctx.con.execute(f"CREATE TABLE state.{name} AS {query(spec)}")
        rows[name] = ctx.write(spec.full_name, f"FROM state.{name}").rows
    agreed = ctx.con.sql(_AGREED).to_arrow_table()
    members = persons(agreed)
    ctx.con.register("members", members)
    ctx.con.execute("CREATE TABLE state.members AS FROM members")
    ctx.write("derived.people", query(ctx.tables.get("derived.people")))
    ctx.note(
        **rows,
        linked_persons=len(set(members.column("person").to_pylist())),
    )


JOB = Job(
    name="people",
    version=1,
    inputs=tuple(
        Input(table=table, days=None, delivered="on")
        for table in (
            "clean.users",
            "clean.events",
            "clean.consents",
            "clean.identity_links",
            "clean.erasure_requests",
        )
    ),
    outputs=("derived.accounts", "derived.account_links", "derived.people"),
    run=build,
    config=lambda settings: {"domains": settings.domains},
)
