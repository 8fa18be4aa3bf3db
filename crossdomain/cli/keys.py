"""Keys of a home: made, listed, rotated, retired; never shown."""

from __future__ import annotations

from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.errors import InputError
from crossdomain.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Keys of this home.")

By = Annotated[str, typer.Option(help="Who does it; the audit log keeps the name.")]
Reason = Annotated[str, typer.Option(help="Why; the audit log keeps it.")]
What = Annotated[str, typer.Option(help="Which keys: vault. The others cannot change under data that is there.")]


@app.callback()
def _group() -> None:
    """Keys of this home."""


@app.command()
def create(json: Json = False) -> None:
    """Create the key files that are missing; existing keys are never replaced."""
    from crossdomain.storage.home import Home
    from crossdomain.storage.keys import create_keys

    settings = Settings.from_env()
    created = [str(path) for path in create_keys(Home(settings.home), settings.keys)]
    show({"created": created}, json=json, title="keys", facts={"created": ", ".join(created) or "none, all are there"})


@app.command(name="list")
def list_(json: Json = False) -> None:
    """List the keys with their versions, where they lie, and how many people's keys each of the vault's wraps."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.storage.keys import list_keys
    from crossdomain.storage.person_keys import wrapped_by
    from crossdomain.tables import registry

    settings = Settings.from_env()
    with open_lake(settings) as lake:
        found = list_keys(lake.home, settings.keys)
        wraps = wrapped_by(lake, registry(settings.include))
    newest = {key.kind: key.version for key in found}
    document = [
        {
            "what": key.kind,
            "version": key.version,
            "in_force": key.version == newest[key.kind],
            "source": key.source,
            "made": key.made.isoformat(timespec="seconds") if key.made else None,
            "wraps": wraps.get(key.version, 0) if key.kind == "vault" else None,
        }
        for key in found
    ]
    rows = [["" if value is None else value for value in one.values()] for one in document]
    show(document, json=json, title="keys", columns=("what", "version", "in force", "from", "made", "wraps"), rows=rows)


@app.command()
def rotate(by: By, reason: Reason = "", what: What = "vault", json: Json = False) -> None:
    """Make the vault's next key and wrap every person's key under it, while tasks and readers go on.

    Killed half-way, run it again. Where the keys come from CROSSDOMAIN_KEYS, hand the next one over there first.
    """
    from crossdomain.jobs.runner import open_lake
    from crossdomain.storage.vault import rotate

    _refuse_lasting(what)
    settings = Settings.from_env()
    with open_lake(settings) as lake:
        done = rotate(lake, settings, by=by, reason=reason)
    show(
        {"version": done.version, "made": done.made, "rewrapped": done.rewrapped},
        json=json,
        title=f"vault-{done.version} is in force",
        facts={"made now": done.made, "keys wrapped again": done.rewrapped},
    )


@app.command()
def retire(
    version: Annotated[int, typer.Option(help="Version of the key to destroy.")],
    by: By,
    reason: Reason = "",
    what: What = "vault",
    json: Json = False,
) -> None:
    """Destroy an older key of the vault; refused while it wraps anything or a task may still use it."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.storage.vault import retire

    _refuse_lasting(what)
    settings = Settings.from_env()
    with open_lake(settings) as lake:
        retire(lake, settings, version, by=by, reason=reason)
    show({"retired": f"vault-{version}"}, json=json, title=f"vault-{version} is destroyed")


def _refuse_lasting(what: str) -> None:
    from crossdomain.storage.keys import KINDS

    if what != "vault":
        known = (
            f"the {what} key stays for as long as the data made with it" if what in KINDS else "there is no such key"
        )
        raise InputError(f"--what {what}: {known}; only the vault's keys rotate (docs/vault.md)")
