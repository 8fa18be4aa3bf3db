"""Job ``vault``: the personal fields of a day's users, encrypted, each person's under a key of their own.

Fresh nonces make other bytes each time; a day whose inputs are the same is left alone, as with every job.
"""

from __future__ import annotations

from crossdomain.errors import NotReady
from crossdomain.jobs.model import Input, Job, JobContext

ERASURES = "derived.erasures"


def build(ctx: JobContext) -> None:
    """Encrypts the fields of the day's clean users.

    Raises:
        NotReady: The raw rows of the day's users are gone, as their retention wants: what the vault holds stays.
    """
    from crossdomain.ingest.canonical import CANONICAL
    from crossdomain.ingest.cleaning import clean_table
    from crossdomain.ingest.feeds import load_feeds
    from crossdomain.ingest.personal import accepted_people, undelivered
    from crossdomain.ingest.pseudonyms import erased_accounts
    from crossdomain.storage.person_keys import KeyWrapper
    from crossdomain.storage.vault import PERSONAL_FIELDS, encrypt_people

    if gone := undelivered(ctx.con):
        feed, day = gone[0]
        raise NotReady(f"vault {ctx.ds}: raw.users no longer holds what {feed} delivered on {day}; nothing is changed")
    clean_table(
        ctx.con,
        CANONICAL["users"],
        ctx.tables.get("clean.users"),
        feeds=load_feeds(ctx.settings),
        settings=ctx.settings,
        keys=ctx.keys,
        erased=erased_accounts(ctx.lake, ctx.tables.get(ERASURES)),
    )
    wrapper = KeyWrapper(ctx.keys.vault)
    rows = encrypt_people(ctx.lake, ctx.tables, wrapper, ctx.ds, accepted_people(ctx.con))
    ctx.write(PERSONAL_FIELDS, rows)
    ctx.note(fields=rows.num_rows)


JOB = Job(
    name="vault",
    version=1,
    inputs=(Input(table="raw.users", optional=True), Input(table="clean.users")),
    outputs=("vault.personal_fields",),
    run=build,
)
