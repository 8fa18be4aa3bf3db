"""Measures the recommender on real behaviour beside tuned baselines, protocol by protocol.

Each case is one ``crossdomain evaluate recommender``: settings are searched for on validation, the test is reported
once. The data lie outside the repository and stay there.

Usage: python benchmarks/recommender.py [CASE ...] [--data DIR] [--trials N] [--work DIR] [--tune SOURCE ...]
       python benchmarks/recommender.py --report
Without a case all of them run. Settings that a search found are kept under ``--work``, and the times of a result are
without the search. ``--report`` writes ``recommender-tables.md`` from the newest result of each case.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recommender_data import write_set
from stages import commit, machine

from crossdomain.recommend.offline.evaluation import Request, evaluate, plan_of
from crossdomain.recommend.offline.features import AGE
from crossdomain.recommend.offline.protocols import Choices
from crossdomain.recommend.offline.reading import read_events, read_items
from crossdomain.recommend.offline.search import SearchSettings
from crossdomain.recommend.offline.sources import SOURCES
from crossdomain.recommend.offline.training import Recipe, ranker_for, search_ranker, search_sources

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
SAMPLED = Choices(negatives=999, label_stages=1)
COLD = Choices(label_stages=1)
TWICE = Choices(label_stages=2)
CASES: dict[str, tuple[str, Request]] = {
    "beauty-electronics-temporal": ("beauty_electronics", Request("temporal", Choices(label_stages=1))),
    "beauty-electronics-leave-one-out": ("beauty_electronics", Request("leave-one-out", SAMPLED)),
    "beauty-electronics-last-moment": ("beauty_electronics", Request("leave-one-out", replace(SAMPLED, moment="last"))),
    "beauty-electronics-without-age": ("beauty_electronics", Request("leave-one-out", SAMPLED, without=AGE)),
    "beauty-electronics-strict": ("beauty_electronics", Request("leave-one-out", replace(SAMPLED, strict=8))),
    "phone-sport": ("phone_sport", Request("given", TWICE)),
    "phone-sport-cold": ("phone_sport", Request("domain-cold", COLD)),
    "phone-sport-cold-held-out": ("phone_sport", Request("domain-cold", COLD)),
    "mooc": ("mooc", Request("given", Choices(label_stages=0))),
    "douban-leave-one-out": ("douban_held_out", Request("given", COLD)),
    "douban-cold": ("douban", Request("domain-cold", COLD)),
}
"""Name of a case: its data set and what is asked."""
WITH_TEST = {"phone-sport", "phone-sport-cold-held-out", "mooc", "douban-leave-one-out"}
"""Cases whose truth are the held-out rows of the data set."""


def main() -> None:
    """Runs the cases and writes a result file for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="all if none is named")
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--work", type=Path, default=Path("/tmp/crossdomain-recommender"))  # noqa: S108 - the user's choice
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--people", type=int, default=500, help="of a domain, that a trial is judged by")
    parser.add_argument("--tune", nargs="+", metavar="SOURCE", help="only search these sources' settings, or all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--leave-out", nargs="+", metavar="SOURCE", default=[], help="sources to do without")
    parser.add_argument("--report", action="store_true", help="only write the tables of the results there are")
    options = parser.parse_args()
    if options.report:
        return report()
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("crossdomain").setLevel(logging.DEBUG)
    for case in options.cases or CASES:
        run(case, options)


def run(case: str, options: argparse.Namespace) -> None:
    """One case; the settings are searched for once for each data set and protocol."""
    name, request = CASES[case]
    files = write_set(name, options.data, options.work)
    events = read_events(files["events"])
    items = read_items(files["items"]) if "items" in files else None
    test = read_events(files["test"]) if case in WITH_TEST else None
    request = replace(
        request, search=SearchSettings(trials=options.trials, people=options.people, threads=options.threads)
    )
    recipe, searches = tuned(events, items, test, name, request, options)
    searched = {"trials": options.trials, "people": options.people, "parts": searches}
    if options.tune:
        return write(f"search-{case}", {"case": case, "machine": machine(), "commit": commit(), **searched})
    began, busy = time.monotonic(), time.process_time()
    document = evaluate(events, items, test, replace(request, recipe=recipe))
    seconds, busy = time.monotonic() - began, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result = {
        "case": case,
        "machine": machine(),
        "commit": commit(),
        "search": searched,
        "threads": options.threads,
        "seconds_in_all": round(seconds, 1),
        "processor_seconds_in_all": round(busy, 1),
        "peak_gib": round(memory, 2),
        **document,
    }
    write(case, result)
    print(f"{case}: {seconds:.0f} s, {memory:.1f} GiB\n{table(document)}")


def write(name: str, result: dict[str, Any]) -> None:
    """A result file named by the moment."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"recommender-{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def report() -> None:
    """Writes the tables of the newest result of each case."""
    parts = ["# Measured recommenders", "Written by `python benchmarks/recommender.py --report`; see `recommender.md`."]
    for case in CASES:
        paths = sorted(RESULTS.glob(f"recommender-{case}-2*.json"))
        if paths:
            found = json.loads(paths[-1].read_text(encoding="utf-8"))
            where = f"`{paths[-1].name}`, commit {found['commit']}, {found['machine']['cores']} cores"
            time_taken = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in found["seconds"].items())
            parts.append(
                f"## {case}\n\n{where}; {time_taken}; {found['peak_gib']} GiB.\n\n{table(found)}\n\n{ahead(found)}"
            )
    path = Path(__file__).parent / "recommender-tables.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def ahead(document: dict[str, Any]) -> str:
    """The paired differences to the best baseline of each domain, and which model answers."""
    lines = []
    for domain, gate in document["gates"].items():
        answers = "the ranker" if gate["ships"] else gate["best_source"]
        values = {model: found[domain]["ndcg@10"]["value"] for model, found in document["models"].items()}
        del values["crossdomain"]
        best = max(sorted(values), key=lambda model: values[model])
        gain = document["differences"][best][domain]["ndcg@10"]
        lines.append(
            f"- {domain}: {answers} answers; NDCG@10 over the best baseline, {best}: {gain['value']:+.4f} "
            f"({gain['low']:+.4f} to {gain['high']:+.4f}). On validation: "
            f"ranker {gate['ranker']:.4f}, best source {gate['best_source']} {gate['best']:.4f}."
        )
    return "\n".join(lines)


def tuned(
    events: Any, items: Any, test: Any, name: str, request: Request, options: argparse.Namespace
) -> tuple[Recipe, dict[str, dict[str, Any]]]:
    """What ``crossdomain tune`` finds; variants of one protocol on one data set share it.

    What was found of each source is kept: a search that was cut off goes on where it was. Without ``ranker`` its
    settings are the defaults.

    Returns:
        The recipe, and for each part of the search its commit, processor seconds, settings and metric on validation.
    """
    plain = replace(request, choices=replace(request.choices, strict=0, moment="event"))
    plan = plan_of(events, items, test, plain)
    found: list[Recipe] = []
    searches: dict[str, dict[str, Any]] = {}
    wanted = (*SOURCES, "ranker") if options.tune in (None, ["all"]) else options.tune
    for part in (one for one in wanted if one not in options.leave_out):
        path = options.work / f"settings-{name}-{request.protocol}-{options.trials}-{part}.json"
        if not path.exists():
            began = time.process_time()
            if part == "ranker":
                recipe = search_ranker(plan, _together(found), request.search)
            else:
                recipe = search_sources(plan, request.search, names=(part,))
            spent = {"commit": commit(), "seconds": round(time.process_time() - began, 1)}
            document = {**spent, **recipe.as_document()}
            path.write_text(json.dumps(document, indent=2), encoding="utf-8")
        document = json.loads(path.read_text(encoding="utf-8"))
        spent = {name: document.pop(name, None) for name in ("commit", "seconds")}
        if part in document["validation"]:
            searches[part] = {
                "commit": spent["commit"],
                "processor_seconds": spent["seconds"],
                "settings": document["ranker"] if part == "ranker" else document["sources"][part],
                request.search.metric: document["validation"][part],
            }
        found.append(Recipe.from_document(document, where=str(path)))
    recipe = _together(found)
    if "ranker" in options.leave_out:
        recipe = replace(recipe, ranker=ranker_for(plan, request.search, len(recipe.sources)))
    return replace(recipe, ranker=replace(recipe.ranker, threads=options.threads)), searches


def _together(parts: list[Recipe]) -> Recipe:
    sources = {name: one for recipe in parts for name, one in recipe.sources.items()}
    values = {name: value for recipe in parts for name, value in recipe.validation.items()}
    return replace(parts[-1], sources=sources, validation=values)


def table(document: dict[str, Any]) -> str:
    """The accuracy of every model as Markdown."""
    lines = ["| model | domain | people | HR@10 | NDCG@10 | 95 % | R@10 | R@20 |", "|---|---|---|---|---|---|---|---|"]
    for model, domains in document["models"].items():
        for domain, found in domains.items():
            ndcg = found["ndcg@10"]
            values = [f"{found[metric]['value']:.4f}" for metric in ("hr@10", "ndcg@10", "recall@10", "recall@20")]
            cells = [
                model,
                domain,
                str(ndcg["n"]),
                *values[:2],
                f"{ndcg['low']:.4f} to {ndcg['high']:.4f}",
                *values[2:],
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
