"""Duties towards people: erasure and its proof, legal holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.errors import CrossdomainError
from crossdomain.settings import Settings, parse_day

app = typer.Typer(no_args_is_help=True, help="Duties towards people: erasure and its proof, legal holds.")
hold = typer.Typer(no_args_is_help=True, help="Legal holds: held accounts are blocked, not erased.")
app.add_typer(hold, name="hold")

User = Annotated[str, typer.Option("--user", help="The source's user id.")]
Domain = Annotated[str, typer.Option("--domain", help="Side of the business, such as knowledge.")]
By = Annotated[str, typer.Option("--by", help="Who gives the order; the audit log keeps the name.")]


@app.command()
def erase(
    user: User,
    domain: Domain,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    by: By = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; the audit log keeps it. No personal data.")] = "request",
    json: Json = False,
) -> None:
    """Forget a person: shred their keys, take them out of every table and file, write a receipt.

    Killed, run it again: it goes on. Prove it with `crossdomain privacy verify`.
    """
    from crossdomain.governance.erasing import Order, carry_out, plan
    from crossdomain.jobs.erase import opened

    order = Order(domain, user.strip(), datetime.now(UTC), by or _whoever(), reason)
    with opened(Settings.from_env()) as ground:
        receipts = [plan(ground, order)] if dry_run else carry_out(ground, [order])
    document = [
        {
            "receipt_id": one.receipt_id,
            "subject": one.subject,
            "domain": one.domain,
            "status": one.status,
            "rows": one.rows,
            "models_to_retrain": one.models,
            "files_left_to_running_tasks": one.left,
            "places": [
                {"place": place, "partition": partition, "action": action, "rows": rows}
                for (place, partition, action), rows in sorted(one.found.items())
            ],
        }
        for one in receipts
    ]
    listed = [[one.receipt_id, *place, rows] for one in receipts for place, rows in sorted(one.found.items())]
    show(
        {"erasures": document},
        json=json,
        title="; ".join(f"{one.status}: {one.rows} rows of {one.domain}/{one.subject}" for one in receipts),
        columns=("receipt", "place", "partition", "action", "rows"),
        rows=listed,
    )


@app.command()
def verify(
    user: User,
    domain: Domain,
    also: Annotated[list[str] | None, typer.Option("--also", help="More to look for, such as a phone number.")] = None,
    json: Json = False,
) -> None:
    """Decode every file under the home but the keys and search it for a person; exit 1 if anything is found."""
    from crossdomain.governance.verifying import verify as search
    from crossdomain.jobs.erase import opened

    with opened(Settings.from_env()) as ground:
        proof = search(ground, domain, user, also=also or [])
    document = {
        "clean": proof.is_clean,
        "files": proof.files,
        "bytes": proof.size,
        "notes": list(proof.notes),
        "findings": [
            {"file": one.path, "within": one.within, "where": one.where, "what": one.what, "count": one.count}
            for one in proof.findings
        ],
        "unreadable": [{"file": name, "reason": reason} for name, reason in proof.unreadable],
    }
    rows = [[one.path, one.within, one.where, one.what, one.count] for one in proof.findings]
    rows += [[name, "", "", f"cannot be read: {reason}", 0] for name, reason in proof.unreadable]
    show(
        document,
        json=json,
        title=f"{len(proof.findings)} traces in {proof.files} files ({proof.size} bytes)",
        facts={f"note {number}": note for number, note in enumerate(proof.notes, 1)},
        columns=("file", "within", "first", "what", "count"),
        rows=rows,
    )
    if not proof.is_clean:
        raise CrossdomainError(
            f"{len(proof.findings)} traces of the person, {len(proof.unreadable)} files that cannot be read"
        )


@app.command()
def retention(
    date: Annotated[str, typer.Option(help="Business day as of which terms count.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    json: Json = False,
) -> None:
    """Remove what has outlived its term, as the job `govern` does."""
    from crossdomain.governance.retention import enforce
    from crossdomain.jobs.erase import opened
    from crossdomain.jobs.govern import needed_days

    settings = Settings.from_env()
    with opened(settings, parse_day(date)) as ground:
        found = enforce(ground, needed_days(settings, ground.tables), dry_run=dry_run)
    document = [
        {
            "place": one.place,
            "partition": one.partition,
            "action": one.action,
            "rows": one.rows,
            "kept_days": one.kept_days,
        }
        for one in found
    ]
    show(
        {"date": date, "dry_run": dry_run, "decisions": document},
        json=json,
        title=f"{len(found)} places have outlived their term on {date}" + (" (dry run)" if dry_run else ""),
        columns=("place", "partition", "action", "rows", "kept days"),
        rows=[list(one.values()) for one in document],
    )


@hold.command("place")
def place_hold(
    user: User,
    domain: Domain,
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="Case or order. No personal data.")],
    json: Json = False,
) -> None:
    """Place an account under legal hold: it is not erased but blocked, and its raw deliveries do not expire."""
    _say(user, domain, by, reason, json=json, held=True)


@hold.command("release")
def release_hold(
    user: User,
    domain: Domain,
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="Case or order. No personal data.")],
    json: Json = False,
) -> None:
    """Release an account's hold; an erasure that waited goes on in the next run of `govern`."""
    _say(user, domain, by, reason, json=json, held=False)


@hold.command("list")
def list_holds(json: Json = False) -> None:
    """List the holds in force; people are named as the audit log names them."""
    from crossdomain.governance.holds import in_force
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        found = in_force(lake, registry(settings.include))
    document = [
        {"subject": one.subject, "domain": one.domain, "since": one.since, "by": one.said_by, "reason": one.reason}
        for one in found
    ]
    columns = ("subject", "domain", "since", "by", "reason")
    show(document, json=json, title=f"{len(found)} holds", columns=columns, rows=[list(d.values()) for d in document])


def _say(user: str, domain: str, by: str, reason: str, *, json: bool, held: bool) -> None:
    from crossdomain.governance import holds
    from crossdomain.jobs.erase import opened

    with opened(Settings.from_env()) as ground:
        subject = ground.subject(domain, user)
        say = holds.place if held else holds.release
        say(ground.lake, ground.tables, subject, ds=ground.ds, by=by, reason=reason)
    document = {"subject": subject.name, "domain": domain, "in_force": held}
    show(document, json=json, title="held" if held else "released", facts=document)


def _whoever() -> str:
    """The operating system's name of whoever runs the command."""
    import getpass

    return getpass.getuser()
