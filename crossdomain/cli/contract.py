"""Data contracts."""

from __future__ import annotations

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Data contracts: generated from schemas, feeds and quality suites.")


@app.command()
def write(json: Json = False) -> None:
    """Write the contract of every canonical table (ODCS v3) and docs/data-contract.md; says what changed."""
    from crossdomain.contracts.files import write_contracts

    changed = [str(file.path) for file in write_contracts(Settings.from_env().include)]
    show(
        {"changed": changed},
        json=json,
        title=f"data contracts: {len(changed)} files changed",
        columns=("file",),
        rows=[[path] for path in changed],
    )


@app.command()
def check(json: Json = False) -> None:
    """Fail if writing the contracts again would change a file."""
    from crossdomain.contracts.files import check_contracts

    current = [str(file.path) for file in check_contracts(Settings.from_env().include)]
    show({"current": current}, json=json, title=f"data contracts: all {len(current)} files are current")
