"""Job ``people``: accounts, consents, links and persons as of the day, as consent stands now."""

from __future__ import annotations

from typing import Any

from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings
from crossdomain.sql import query


def build(ctx: JobContext) -> None:
    """Folds the day's deliveries of users, consents, links and erasures onto the day before.

    What was withdrawn since then takes a right away and never gives one; whoever asked to be forgotten since is left
    out.
    """
    from crossdomain.people.consent import AGES, ALLOWED, MINORS, PURPOSES, WILLING
    from crossdomain.people.identity import CARRIED, CONTACTS, MET, persons

    first, second = ctx.settings.domains
    for name, value in {"first_domain": first, "second_domain": second, "purposes": list(PURPOSES)}.items():
        ctx.con.execute(f"SET VARIABLE {name} = ?", [value])
    ctx.con.execute("CREATE SCHEMA IF NOT EXISTS state")
    _state(ctx, "erased", _erased(ctx))
    _state(ctx, "consents", query(ctx.tables.get("derived.consents")))
    _state(ctx, "accounts", query(ctx.tables.get("derived.accounts")))
    _state(ctx, "withdrawn", _withdrawn_since(ctx))
    _state(ctx, "allowed", ALLOWED)
    for name, sql in {"ages": AGES, "willing": WILLING, "carried": CARRIED, "contacts": CONTACTS, "met": MET}.items():
        _state(ctx, name, sql)
    _state(ctx, "links", query(ctx.tables.get("derived.account_links")))
    _state(ctx, "link_conflicts", query(ctx.tables.get("derived.link_conflicts")))
    _state(ctx, "minors", MINORS)
    in_force = "SELECT knowledge_account, beauty_account FROM state.links WHERE status = 'in_force'"
    members = persons(ctx.con.sql(in_force).to_arrow_table())
    ctx.con.register("members", members)
    _state(ctx, "members", "FROM members")
    for name in ("consents", "accounts", "link_conflicts"):
        ctx.write(f"derived.{name}", f"FROM state.{name}")
    ctx.write("derived.account_links", "FROM state.links WHERE method = 'given' OR status = 'in_force'")
    for name in ("people", "people_counts"):
        ctx.write(f"derived.{name}", query(ctx.tables.get(f"derived.{name}")))
    ctx.note(**{f"{name}_rows": _count(ctx, name) for name in ("accounts", "minors", "link_conflicts")})
    ctx.note(linked_persons=len(set(members.column("person").to_pylist())))


def _erased(ctx: JobContext) -> str:
    """Who asked to be forgotten in the day's delivery or since."""
    from crossdomain.jobs.consent_now import erasures_after

    later = erasures_after(ctx.lake, ctx.tables, ctx.ds)
    return f"SELECT account FROM clean.erasure_requests UNION {later}"  # noqa: S608 - our own text


def _withdrawn_since(ctx: JobContext) -> str:
    """What the newest words say no to, those that were delivered since the day among them."""
    from crossdomain.jobs.consent_now import words
    from crossdomain.people.consent import withdrawn

    later = words(ctx.lake, ctx.tables, after=ctx.ds)
    known = "SELECT account, purpose, granted, ts FROM state.consents"
    return withdrawn(f"{known} UNION ALL {later}")


def _state(ctx: JobContext, name: str, sql: str) -> None:
    ctx.con.execute(f"CREATE TABLE state.{name} AS {sql}")


def _count(ctx: JobContext, name: str) -> int:
    ((count,),) = ctx.con.execute(f"SELECT count(*) FROM state.{name}").fetchall()  # noqa: S608 - our own name
    return int(count)


def _config(settings: Settings) -> dict[str, Any]:
    from crossdomain.jobs.consent_now import withdrawals_version

    return {"domains": settings.domains, "withdrawals": withdrawals_version(settings)}


JOB = Job(
    name="people",
    version=2,
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
    outputs=(
        "derived.accounts",
        "derived.consents",
        "derived.account_links",
        "derived.link_conflicts",
        "derived.people",
        "derived.people_counts",
    ),
    run=build,
    config=_config,
    tells_unchanged=True,
)
