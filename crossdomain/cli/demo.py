"""The demo world, and the whole chain on it."""

from __future__ import annotations

from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings, parse_day

app = typer.Typer(no_args_is_help=True, help="A synthetic world, and the whole chain on it.")


@app.command()
def world(
    users: Annotated[int, typer.Option(help="People.")] = 3000,
    items: Annotated[int, typer.Option(help="Items of both domains together.")] = 1200,
    days: Annotated[int, typer.Option(help="Daily deliveries after the history.")] = 5,
    start: Annotated[str, typer.Option(help="First day of the daily deliveries, YYYY-MM-DD.")] = "2026-01-05",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    events_per_day: Annotated[int | None, typer.Option(help="Events a day; default 10 per person.")] = None,
    json: Json = False,
) -> None:
    """Write a synthetic world as landing files under CROSSDOMAIN_HOME, and its truth beside them."""
    from dataclasses import asdict

    from crossdomain.demo.world import write_world

    summary = write_world(
        Settings.from_env().home,
        users=users,
        items=items,
        days=days,
        start=parse_day(start),
        seed=seed,
        events_per_day=events_per_day,
    )
    document = asdict(summary)
    show(document, json=json, title="synthetic demo world", facts=document)
