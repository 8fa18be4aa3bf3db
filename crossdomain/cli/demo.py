"""The demo world, and the whole chain on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossdomain.cli.output import Json, show, wide_console
from crossdomain.settings import Settings, parse_day

if TYPE_CHECKING:
    from crossdomain.demo.world import WorldSummary

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


@app.command()
def run(
    users: Annotated[int, typer.Option(help="People.")] = 2000,
    items: Annotated[int, typer.Option(help="Items of both domains together.")] = 800,
    days: Annotated[int, typer.Option(help="Daily deliveries after the history.")] = 4,
    start: Annotated[str, typer.Option(help="First day of the daily deliveries, YYYY-MM-DD.")] = "2026-01-05",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
) -> None:
    """Write a synthetic world and run the whole chain on it through Airflow, then report."""
    from crossdomain.cli.report import print_report
    from crossdomain.demo.chain import run_days
    from crossdomain.demo.world import write_world
    from crossdomain.storage.home import Home
    from crossdomain.storage.keys import create_keys

    settings, console = Settings.from_env(), wide_console()
    create_keys(Home(settings.home), settings.keys)
    console.print(f"1/3 writing a synthetic world of {users:,} people and {items:,} items")
    summary = write_world(settings.home, users=users, items=items, days=days, start=parse_day(start), seed=seed)
    dirt = ", ".join(f"{count:,} {kind}" for kind, count in summary.dirt.items())
    rows = f"{sum(summary.rows.values()):,} rows in {len(summary.rows)} feeds"
    console.print(f"    {rows}; planted dirt: {dirt}", highlight=False)
    first, last = summary.first_delivery, summary.last_delivery
    title = f"2/3 running {first} to {last} through Airflow"
    chain = run_days(settings, first, last, title=title)
    console.print(f"    {chain.runs} DAG runs, started by `{chain.command}`", highlight=False)
    console.print("3/3 report (every number comes from the synthetic world)\n")
    print_report(settings, chain.days)
    console.print(_closing(settings, summary), highlight=False, markup=False)


def _closing(settings: Settings, summary: WorldSummary) -> str:
    """What the report's experiment must find, and where a newcomer goes on."""
    truth = summary.experiment
    return f"""
the world's truth about exp_bundle_banner until {truth.day}: {truth.control_rate:.4f} of the people buy without
the banner and {truth.treatment_rate:.4f} with it, a difference of {truth.difference:+.4f} in purchase_rate

where to look next: `make up` for the DAGs and the status page, docs/guide.md for how a day runs, and by hand
  export CROSSDOMAIN_HOME={settings.home} CROSSDOMAIN_START={summary.first_delivery}
  {sys.argv[0]} --help"""


@app.command()
def real(data: Annotated[Path, typer.Option(help="Folder with the real data.", exists=True, file_okay=False)]) -> None:
    """Run the chain on real catalogues, behaviour and an experiment; print what came out as Markdown."""
    from crossdomain.cli.real import run_real

    run_real(Settings.from_env(), data)


@app.command()
def up(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8080) -> None:
    """Start Airflow's UI on loopback over this home, until Ctrl-C."""
    from crossdomain.demo.chain import BY_HAND, CONSUMERS, GOVERNANCE, PRODUCER, first_delivery, session
    from crossdomain.storage.home import Home
    from crossdomain.storage.keys import create_keys

    settings, console = Settings.from_env(), wide_console()
    create_keys(Home(settings.home), settings.keys)
    start = settings.start or first_delivery(settings)
    with session(settings, start=start, port=port) as airflow:
        airflow.unpause([*CONSUMERS, GOVERNANCE, *BY_HAND, PRODUCER])
        user, password = airflow.login
        console.print(
            f"Airflow: {airflow.address}  user {user}  password {password}  (Ctrl-C ends it)", highlight=False
        )
        try:
            airflow.watch()
        except KeyboardInterrupt:
            console.print("ending Airflow")
