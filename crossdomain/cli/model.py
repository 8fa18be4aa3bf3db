"""Models: what they were made from and what they reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdomain.cli.output import Json, progress, show
from crossdomain.errors import MissingInput
from crossdomain.settings import Settings, parse_day

app = typer.Typer(no_args_is_help=True, help="Models of the recommender.")


@app.callback()
def _group() -> None:
    """Models of the recommender."""


@app.command("weights")
def weights(
    date: Annotated[str, typer.Option(help="Business day whose inputs of training are read.")],
    trials: Annotated[int, typer.Option(min=1, help="Most settings that are tried; each trains a model.")] = 30,
    json: Json = False,
) -> None:
    """Learn event weights and half-life on validation days, and measure the choice once on the test days."""
    from crossdomain.jobs.learning_weights import learn_weights

    found = learn_weights(Settings.from_env(), parse_day(date), trials=trials)
    chosen = {
        "CROSSDOMAIN_RECOMMEND_HALF_LIFE_DAYS": f"{found.settings.half_life_days:g}",
        "CROSSDOMAIN_RECOMMEND_EVENT_WEIGHTS": found.settings.event_weights,
    }
    document = {
        "set": chosen,
        "trials": found.trials,
        "validation": {"in_force": round(found.validation_before, 6), "learned": round(found.validation, 6)},
        "test": found.test,
    }
    facts = {
        **chosen,
        "NDCG@10 on validation, in force": f"{found.validation_before:.4f}, the domains added up",
        "NDCG@10 on validation, learned": f"{found.validation:.4f}",
        "take them over": "where an interval below lies above 0; where 0 lies in it, nothing is shown",
    }
    show(
        document,
        json=json,
        title=f"event weights learned for {date}, {found.trials} trials",
        facts=facts,
        columns=("target", "test people", "NDCG@10 in force", "learned", "difference, 95 %"),
        rows=_tested(found.test),
    )


def _tested(test: Mapping[str, Mapping[str, Any] | None]) -> list[list[Any]]:
    """Rows of a choice beside what is in force, of the domains in which somebody could be tested."""
    return [
        [domain, one["people"], one["value_before"], one["value"], f"{one['low']} to {one['high']}"]
        for domain, one in test.items()
        if one is not None
    ]


@app.command("tune")
def tune(
    date: Annotated[str, typer.Option(help="Business day whose inputs of training are read.")],
    trials: Annotated[int, typer.Option(min=1, help="Settings that are tried for each source.")] = 24,
    budget: Annotated[float, typer.Option(min=0, help="Seconds after which no trial starts; 0 for no limit.")] = 0.0,
    out: Annotated[
        Path | None, typer.Option(help="File to write; else include/recommendations/recipe.json, which is in force.")
    ] = None,
    json: Json = False,
) -> None:
    """Search the settings of the ranker and its sources on validation days, and measure them once on the test days."""
    import json as json_module

    from crossdomain.jobs.behaviour import recipe_path
    from crossdomain.jobs.learning_recipe import learn_recipe
    from crossdomain.recommend.ranked import recipe_document
    from crossdomain.storage.analyst_files import check_writable, write_file

    settings = Settings.from_env()
    path = out or recipe_path(settings)
    check_writable(path)  # before the search, which may take hours
    with progress():
        found = learn_recipe(settings, parse_day(date), trials=trials, budget=budget)
    recipe = recipe_document(found.recipe)
    write_file(path, (json_module.dumps(recipe, indent=1, sort_keys=True) + "\n").encode())
    show(
        {"written": str(path), "recipe": recipe, "test": found.test},
        json=json,
        title=f"settings of the ranker for {date}, in {path}",
        facts={
            **{f"NDCG@10 on validation, {name}": f"{value:.4f}" for name, value in recipe["validation"].items()},
            "keep them": "where an interval below lies above 0; else delete the file",
        },
        columns=("target", "test people", "NDCG@10 in force", "found", "difference, 95 %"),
        rows=_tested(found.test),
    )


@app.command("card")
def card(
    date: Annotated[str, typer.Option(help="Business day whose champions are described.")],
    json: Json = False,
) -> None:
    """Print the model cards of a day's champions, as Markdown: data, settings, use, limits, results, drift."""
    import json as json_module

    from crossdomain.jobs.runner import open_lake
    from crossdomain.recommend.card import describe, results
    from crossdomain.storage.home import Home
    from crossdomain.storage.models import ModelStore
    from crossdomain.tables import registry

    settings, day = Settings.from_env(), parse_day(date)
    with open_lake(settings) as lake:

        def rows(table: str) -> list[dict[str, Any]]:
            spec = registry(settings.include).get(table)
            of_day = [partition for partition in lake.partitions(spec) if partition.ds == day]
            found: list[dict[str, Any]] = lake.con.sql(lake.relation(spec, of_day)).to_arrow_table().to_pylist()
            return found

        metrics, champions, transfer, drift = (
            rows(f"serving.{name}") for name in ("model_metrics", "champions", "transfer", "recommendation_drift")
        )
    if not champions:
        raise MissingInput(f"there is no champion of {day}: run `crossdomain run train --date {day}`")
    store = ModelStore(Home(settings.home))
    kinds = {row["model_version"]: row["model"] for row in champions}
    cards = []
    for version, kind in sorted(kinds.items()):
        metadata = store.metadata(kind, version) if version in store.versions(kind) else None
        head = describe(metadata) if metadata else f"# Model card: {kind}\n\nEverybody is shown what is popular.\n"
        text = f"{head}\n{results(version, metrics, champions, transfer, drift)}"
        cards.append({"model": kind, "model_version": version, "metadata": metadata, "card": text})
    if json:
        print(json_module.dumps(cards, ensure_ascii=False, default=str))
    else:
        print("\n\n".join(one["card"] for one in cards))
