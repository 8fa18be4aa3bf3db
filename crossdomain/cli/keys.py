"""Keys of a home."""

from __future__ import annotations

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Keys of this home.")


@app.callback()
def _group() -> None:
    """Keys of this home."""


@app.command()
def create(json: Json = False) -> None:
    """Create the key files that are missing; existing keys are never replaced."""
    from crossdomain.storage.home import Home
    from crossdomain.storage.keys import create_keys

    created = [str(path) for path in create_keys(Home(Settings.from_env().home))]
    show({"created": created}, json=json, title="keys", facts={"created": ", ".join(created) or "none, all are there"})
