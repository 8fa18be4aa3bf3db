"""Recommenders on any log of interactions: search their settings, and measure them beside simpler methods."""

from __future__ import annotations

import inspect
import json as json_module
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from crossdomain.cli.output import Json, progress, show
from crossdomain.errors import InputError
from crossdomain.settings import Settings

_FILE = "CSV, Parquet or JSON lines"
Events = Annotated[
    Path, typer.Option("--events", help=f"{_FILE}: user_id, domain, item_id, maybe ts, event_type, value.")
]
Items = Annotated[
    Path | None,
    typer.Option(
        "--items",
        help=f"{_FILE}: item_id, domain, maybe type, title, description, tags, listed_at. Else the items met.",
    ),
]
Test = Annotated[Path | None, typer.Option("--test", help="A fixed test set in the columns of the events.")]
Protocol = Annotated[str, typer.Option(help="temporal, leave-one-out, domain-cold or given.")]
Negatives = Annotated[
    int, typer.Option(min=0, help="Rank the true item among so many sampled ones; 0: among all items.")
]
TestDays = Annotated[int, typer.Option(min=1, help="temporal: days of the test, the last of the log.")]
GapDays = Annotated[int, typer.Option(min=0, help="temporal: days between training and test.")]
ColdShare = Annotated[float, typer.Option(help="domain-cold: share of people whose target domain is hidden.")]
Moment = Annotated[
    str, typer.Option(help="Time that is known when asked: event, that of the true event; last, the last known one.")
]
Strict = Annotated[
    int, typer.Option(min=0, help="leave-one-out: groups of moments, each learned for from what was before; 0: off.")
]
LabelStages = Annotated[
    int, typer.Option(min=0, help="Earlier stages that label the ranker; 0: half of the validation's people do.")
]
Trials = Annotated[
    int, typer.Option(min=1, help="Settings that are tried for each source; a quarter as many for the ranker.")
]
Budget = Annotated[
    float, typer.Option(min=0, help="Seconds for the search; 0: all trials, the same result on any machine.")
]


@dataclass(frozen=True)
class Question:
    """What both commands are asked: the tables, and the protocol with its choices and its search.

    Attributes:
        events: File of the events.
        tables: Events, catalogue and test set as ``reading`` gives them.
        request: See ``evaluation.Request``.
    """

    events: Path
    tables: tuple[Any, Any, Any]
    request: Any


def _question(
    *,
    events: Events,
    protocol: Protocol = "temporal",
    items: Items = None,
    test: Test = None,
    negatives: Negatives = 0,
    test_days: TestDays = 90,
    gap_days: GapDays = 0,
    cold_share: ColdShare = 0.2,
    moment: Moment = "event",
    strict: Strict = 0,
    label_stages: LabelStages = 2,
    trials: Trials = 24,
    budget: Budget = 0,
) -> Question:
    from crossdomain.recommend.offline.evaluation import Request
    from crossdomain.recommend.offline.protocols import Choices
    from crossdomain.recommend.offline.reading import read_events, read_items
    from crossdomain.recommend.offline.search import SearchSettings
    from crossdomain.recommend.settings import RecommendSettings

    settings = Settings.from_env()
    choices = Choices(
        negatives=negatives, test_days=test_days, gap_days=gap_days, cold_share=cold_share, moment=moment,
        strict=strict, label_stages=label_stages, seed=settings.seed,
    )  # fmt: skip
    search = SearchSettings(trials=trials, seconds=budget, seed=settings.seed, threads=settings.threads)
    weights = RecommendSettings.from_env().weights
    tables = (
        read_events(events, weights),
        read_items(items) if items else None,
        read_events(test, weights) if test else None,
    )
    return Question(events, tables, Request(protocol, choices, search))


def _asks(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of ``_question`` beside its own, and as its first argument what they make.

    Both take minutes: meanwhile standard error tells how far they are.
    """
    shared = inspect.signature(_question, eval_str=True).parameters
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @wraps(command)
    def run(**given: Any) -> None:
        with progress():
            command(_question(**{name: given.pop(name) for name in shared}), **given)

    parameters = [*shared.values(), *own]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


@_asks
def evaluate(
    question: Question,
    *,
    settings: Annotated[Path | None, typer.Option(help="What `crossdomain tune` wrote; else search now.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Features that the ranker must not use.")] = None,
    json: Json = False,
) -> None:
    """Measure the recommender on any log beside simple methods, all tuned alike: popularity, neighbours, ALS, EASE."""
    from crossdomain.recommend.offline.evaluation import evaluate as run
    from crossdomain.recommend.offline.training import Recipe

    given = Recipe.from_document(_read(settings), where=str(settings)) if settings else None
    request = replace(question.request, recipe=given, without=tuple(without or ()))
    document = {"events": str(question.events), **run(*question.tables, request)}
    show(
        document,
        json=json,
        title=f"{request.protocol} on {question.events.name}",
        facts=_facts(document),
        columns=("model", "domain", "people", "HR@10", "NDCG@10", "95 %", "recall@20", "MRR@10"),
        rows=_table(document),
    )


@_asks
def tune(
    question: Question,
    *,
    out: Annotated[Path, typer.Option("--out", help="Settings file to write (JSON).")],
    json: Json = False,
) -> None:
    """Search the settings of every source and of the ranker on validation; write them for `evaluate recommender`."""
    from crossdomain.recommend.offline.evaluation import plan_of
    from crossdomain.recommend.offline.training import search
    from crossdomain.storage.analyst_files import check_writable, write_file

    check_writable(out)  # before the search, which may take hours
    recipe = search(plan_of(*question.tables, question.request), question.request.search)
    document = recipe.as_document()
    write_file(out, (json_module.dumps(document, indent=2, sort_keys=True) + "\n").encode())
    chosen = {**document["sources"], "ranker": document["ranker"]}
    show(
        document,
        json=json,
        title=f"settings for {question.events.name} in {out}",
        columns=("source", f"{recipe.metric} on validation", "settings"),
        rows=[[name, value, chosen[name]] for name, value in document["validation"].items()],
    )


def _read(path: Path) -> Any:
    try:
        return json_module.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: write it with crossdomain tune --out {path}") from error
    except json_module.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}; give what crossdomain tune --out wrote") from error


def _facts(document: Any) -> dict[str, Any]:
    gates = {
        f"answers for {domain}": "the ranker" if gate["ships"] else _why_alone(gate)
        for domain, gate in document["gates"].items()
    }
    leaks = {f"look at {leak['kind']}": f"{leak['count']}: {', '.join(leak['examples'])}" for leak in document["leaks"]}
    left_out = {f"not asked for, {why}": count for why, count in document["left_out"].items()}
    return {**gates, **leaks, **left_out, "seconds": document["seconds"]}


def _why_alone(gate: Any) -> str:
    better = "than which the ranker is not clearly better" if gate["ranker"] > gate["best"] else "which is better"
    return f"{gate['best_source']} alone, {better}"


def _table(document: Any) -> list[list[object]]:
    rows: list[list[object]] = []
    for model, domains in document["models"].items():
        for domain, metrics in domains.items():
            ndcg = metrics["ndcg@10"]
            rows.append([
                model, domain, ndcg["n"], metrics["hr@10"]["value"], ndcg["value"],
                f"{ndcg['low']} to {ndcg['high']}", metrics["recall@20"]["value"], metrics["mrr@10"]["value"],
            ])  # fmt: skip
    return rows
