"""Matching people with another company by keyed hashes; docs/matching.md says what each side learns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.errors import InputError
from crossdomain.settings import Settings, parse_day

if TYPE_CHECKING:
    from crossdomain.jobs.exchanging import Source

app = typer.Typer(no_args_is_help=True, help="Match people with another company without showing it the list.")

KeyFile = Annotated[Path, typer.Option("--key", help="Key of the exchange; see `crossdomain exchange key`.")]
By = Annotated[str, typer.Option(help="Who does it; the audit log keeps the name.")]
Reason = Annotated[str, typer.Option(help="Why; the audit log keeps it.")]
Day = Annotated[str | None, typer.Option(help="Take the accounts of this day that allow cross_domain.")]
Domain = Annotated[str | None, typer.Option(help="Side of those accounts.")]
Contacts = Annotated[
    Path | None, typer.Option(help="Or take a CSV file with columns user_id, phone, email: people who agreed to it.")
]


@app.command()
def key(out: Annotated[Path, typer.Option(help="New file, for its owner's eyes only.")], json: Json = False) -> None:
    """Make the key of one exchange. Hand it to the partner by a safe way; both destroy it afterwards."""
    from crossdomain.people.exchange import new_key, save_key

    made = new_key()
    save_key(out, made)
    show(
        {"exchange": made.exchange, "key": str(out)},
        json=json,
        title=f"key of exchange {made.exchange}",
        facts={"file": out, "next": "hand it to the partner by a safe way; use it for this exchange only"},
    )


@app.command()
def export(
    key: KeyFile,
    out: Annotated[Path, typer.Option(help="List for the partner.")],
    by: By,
    reason: Reason,
    date: Day = None,
    domain: Domain = None,
    contacts: Contacts = None,
    json: Json = False,
) -> None:
    """Write the list that the partner gets: sorted keyed hashes, filled up to a round number, and nothing else."""
    from crossdomain.jobs.exchanging import export_list
    from crossdomain.people.exchange import load_key

    source = _source(date, domain, contacts)
    done = export_list(Settings.from_env(), load_key(key), source, out, by=by, reason=reason)
    show(done, json=json, title=f"list for exchange {done['exchange']}", facts=done)


@app.command()
def match(
    key: KeyFile,
    partner: Annotated[Path, typer.Option(help="The partner's list.")],
    out: Annotated[Path, typer.Option(help="CSV of own accounts that the partner knows, each with its hash.")],
    by: By,
    reason: Reason,
    date: Day = None,
    domain: Domain = None,
    contacts: Contacts = None,
    json: Json = False,
) -> None:
    """Find which own accounts the partner's list holds too."""
    from crossdomain.jobs.exchanging import match_list
    from crossdomain.people.exchange import load_key

    source = _source(date, domain, contacts)
    done = match_list(Settings.from_env(), load_key(key), source, partner, out, by=by, reason=reason)
    show(done, json=json, title=f"exchange {done['exchange']}: {done['matched']} accounts matched", facts=done)


def _source(day: str | None, domain: str | None, file: Path | None) -> Source:
    from crossdomain.jobs.exchanging import Source

    if (file is None) == (day is None) or (day is None) != (domain is None):
        raise InputError("give --date and --domain, or --contacts")
    return Source(parse_day(day) if day else None, domain, file)
