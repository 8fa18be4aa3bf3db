"""Experiments by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from crossdomain.cli import experiment_assign, experiment_promote
from crossdomain.cli.output import Json, show
from crossdomain.errors import MissingInput
from crossdomain.settings import Settings, parse_day

if TYPE_CHECKING:
    from crossdomain.experiments.design import Design

app = typer.Typer(no_args_is_help=True, help="Experiments.")
app.command()(experiment_assign.assign)
app.command()(experiment_promote.promote)


@app.callback()
def _group() -> None:
    """Experiments."""


@app.command()
def analyze(
    data: Annotated[
        list[str],
        typer.Option(help="CSV or Parquet file, or folder of them; VARIANT=FILE, repeated, for a file an arm."),
    ],
    design: Annotated[Path, typer.Option(help="YAML design whose data names the file's columns.")],
    events: Annotated[Path | None, typer.Option(help="File of events, where data are exposures.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with charts to this HTML file.")] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the text.")] = "en",
    json: Json = False,
) -> None:
    """Analyse a file of your own: checks first, then every metric and variant, then the decision."""
    from crossdomain.experiments.report import describe, summarize
    from crossdomain.jobs.experiment_files import analyze_file

    analysis = analyze_file(Settings.from_env(), design, data, events)
    summary = summarize(analysis.design, analysis.metrics, analysis.checks, analysis.decisions, analysis.parts)
    if report is not None:
        from crossdomain.experiments.page import render_page
        from crossdomain.storage.analyst_files import write_file

        write_file(report, render_page(analysis).encode())
    show(summary, json=json, title=describe(summary, language=language))


@app.command()
def plan(
    design: Annotated[Path, typer.Option(help="YAML design with expected and minimum_effect.")],
    plot: Annotated[Path | None, typer.Option(help="Write the power curve to this SVG file.")] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the plot.")] = "en",
    json: Json = False,
) -> None:
    """Show what an experiment needs: units, days, and what it then finds how probably."""
    from dataclasses import asdict

    from crossdomain.experiments.planning import make_plan

    made = make_plan(_load(design))
    if plot is not None:
        from crossdomain.experiments.plots import draw_power
        from crossdomain.storage.analyst_files import write_file

        write_file(plot, draw_power(made, language=language))
    facts = {
        "units of each variant": ", ".join(f"{name} {units:,}" for name, units in made.units_per_variant.items()),
        "days": "unknown: give expected.units_per_day" if made.days is None else made.days,
        "finds": f"{made.effect:+.4g} with {made.power:.0%} at a level of {made.alpha:.3g}",
        "a fixed analysis without CUPED needs": f"{made.fixed_units:,} units",
    }
    show(
        asdict(made) | {"power_curve": [{"effect": effect, "power": power} for effect, power in made.curve]},
        json=json,
        title=f"{made.metric}: {made.units:,} units",
        facts=facts,
        columns=("true effect", "power"),
        rows=[[f"{effect:+.4g}", f"{power:.1%}"] for effect, power in made.curve[::5]],
    )


@app.command()
def simulate(
    design: Annotated[Path, typer.Option(help="YAML design with expected and minimum_effect.")],
    experiments: Annotated[int, typer.Option(min=1, help="Synthetic experiments without, and with the effect.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 7,
    json: Json = False,
) -> None:
    """Rehearse a plan on synthetic experiments: how often it finds what is not there, and what is."""
    from dataclasses import asdict

    from crossdomain.experiments.simulating import rehearse

    found = rehearse(_load(design), experiments=experiments, seed=seed)
    facts = {
        "found without an effect": f"{found.false_positives:.2%}",
        "found with the effect": f"{found.power:.2%} of {found.plan.power:.0%} planned",
        "units when it ended": f"{found.mean_units:,.0f} of {found.plan.units:,} on average",
        "looks": found.looks,
    }
    show(asdict(found), json=json, title=f"{experiments:,} synthetic experiments of each sort", facts=facts)


def _load(path: Path) -> Design:
    from crossdomain.experiments.design import SCHEMA_FILE, load_design

    return load_design(path, schema=Settings.from_env().include / "experiments" / SCHEMA_FILE)


@app.command("show")
def show_result(
    experiment: Annotated[str, typer.Argument(help="Id of an experiment, as in include/experiments/.")],
    date: Annotated[str, typer.Option(help="Business day up to which it was measured.")],
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the text.")] = "en",
    json: Json = False,
) -> None:
    """Show what an experiment had given by a day: checks first, then the primary metric, then the others."""
    from crossdomain.experiments.design import load_designs
    from crossdomain.experiments.report import describe, results_from_rows, summarize
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings, day = Settings.from_env(), parse_day(date)
    designs = {design.experiment_id: design for design in load_designs(settings.include / "experiments")}
    if experiment not in designs:
        raise MissingInput(f"there is no experiment {experiment!r}; designs are: {', '.join(sorted(designs))}")
    with open_lake(settings) as lake:

        def rows(table: str) -> list[dict[str, Any]]:
            spec = registry(settings.include).get(table)
            of_day = [partition for partition in lake.partitions(spec) if partition.ds == day]
            found: list[dict[str, Any]] = lake.con.sql(lake.relation(spec, of_day)).to_arrow_table().to_pylist()
            return found

        measured, checked = rows("serving.experiment_metrics"), rows("serving.experiment_checks")
    metrics, checks = results_from_rows(measured, checked, experiment)
    if not metrics:
        raise MissingInput(
            f"{experiment} has no result for {day}: it had not begun, or run `crossdomain run experiments --date {day}`"
        )
    summary = summarize(designs[experiment], metrics, checks)
    show(summary, json=json, title=describe(summary, language=language))
