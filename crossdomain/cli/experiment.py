"""Experiments by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crossdomain.cli import experiment_assign, experiment_columns, experiment_promote
from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings, parse_day

if TYPE_CHECKING:
    from crossdomain.experiments.design import Design
    from crossdomain.experiments.results import Analysis

app = typer.Typer(no_args_is_help=True, help="Experiments.")
app.command()(experiment_assign.assign)
app.command()(experiment_promote.promote)
app.command()(experiment_columns.uplift)
app.command()(experiment_columns.interleaving)


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
    from crossdomain.jobs.experiment_files import analyze_file

    _report(analyze_file(Settings.from_env(), design, data, events), report, language, json=json)


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

    loaded = _load(design)
    made = make_plan(loaded)
    what, saved = ("units", "CUPED") if loaded.switchback is None else ("slots", "blocks and CUPED")
    if plot is not None:
        from crossdomain.experiments.plots import draw_power
        from crossdomain.storage.analyst_files import write_file

        write_file(plot, draw_power(made, language=language))
    facts = {
        f"{what} of each variant": ", ".join(f"{name} {units:,}" for name, units in made.units_per_variant.items()),
        "days": "unknown: give expected.units_per_day" if made.days is None else made.days,
        "finds": f"{made.effect:+.4g} with {made.power:.0%} at a level of {made.alpha:.3g}",
        f"a fixed analysis without {saved} needs": f"{made.fixed_units:,} {what}",
    }
    show(
        asdict(made) | {"power_curve": [{"effect": effect, "power": power} for effect, power in made.curve]},
        json=json,
        title=f"{made.metric}: {made.units:,} {what}",
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
    report: Annotated[Path | None, typer.Option(help="Write a page with charts to this HTML file.")] = None,
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the text.")] = "en",
    json: Json = False,
) -> None:
    """Show what an experiment had given by a day: checks first, then the primary metric, then the others."""
    from crossdomain.jobs.experiment_results import read_analysis

    _report(read_analysis(Settings.from_env(), experiment, parse_day(date)), report, language, json=json)


def _report(analysis: Analysis, page: Path | None, language: Literal["en", "zh"], *, json: bool) -> None:
    """Prints an analysis, and writes its page where one is wanted."""
    from crossdomain.experiments.page import render_page
    from crossdomain.experiments.report import describe, summarize
    from crossdomain.storage.analyst_files import write_file

    summary = summarize(
        analysis.design, analysis.metrics, analysis.checks, analysis.decisions, analysis.parts, analysis.warnings
    )
    if page is not None:
        write_file(page, render_page(analysis).encode())
    show(summary, json=json, title=describe(summary, language=language))
