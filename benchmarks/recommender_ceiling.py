"""What a ranker could reach at most on the validation of a case: its candidates, and an oracle over its sources.

With the settings of the newest result of the case. For each domain: the share of the true items that the training knows
at all, the share that is among the candidates (nothing outside of them can be ranked), the best source alone, and what
an oracle would reach that knows which source serves each person best. The test is not looked at.

Usage: python benchmarks/recommender_ceiling.py CASE [CASE ...] [--data DIR] [--work DIR] [--threads N]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from recommender import CASES, RESULTS, ROOT, WITH_TEST, write
from recommender_data import write_set
from stages import commit, machine

from crossdomain.recommend.offline.evaluation import plan_of
from crossdomain.recommend.offline.metrics import per_person
from crossdomain.recommend.offline.protocols import Queries
from crossdomain.recommend.offline.ranker import candidates
from crossdomain.recommend.offline.ranker_search import Prepared, prepared
from crossdomain.recommend.offline.ranking import rank_source
from crossdomain.recommend.offline.reading import read_events, read_items
from crossdomain.recommend.offline.training import Recipe

METRICS = ("recall@10", "recall@20", "ndcg@10")


def main() -> None:
    """Writes a result file for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="+", choices=CASES)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--work", type=Path, default=Path("/tmp/crossdomain-recommender"))  # noqa: S108 - the user's choice
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for case in options.cases:
        measured_with = sorted(RESULTS.glob(f"recommender-{case}-2*.json"))[-1]
        found = ceilings(case, json.loads(measured_with.read_text(encoding="utf-8"))["settings"], options)
        head = {"case": case, "machine": machine(), "commit": commit(), "settings_of": measured_with.name}
        write(f"ceiling-{case}", {**head, "domains": found})
        print(json.dumps(found, indent=1))


def ceilings(case: str, settings: dict[str, Any], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What is reachable in each domain of a case's validation."""
    name, request = CASES[case]
    files = write_set(name, options.data, options.work)
    items = read_items(files["items"]) if "items" in files else None
    test = read_events(files["test"]) if case in WITH_TEST else None
    plan = plan_of(read_events(files["events"]), items, test, request)
    recipe = Recipe.from_document(settings, where=case)
    ranker = replace(recipe.ranker, threads=options.threads)
    found = {}
    for stage in plan.validation:
        ready = prepared(stage, recipe.sources, ranker)
        for queries in stage.queries:
            found[stage.train.names.domains[queries.domain]] = reachable(
                ready, queries, ranker.per_source, ranker.threads
            )
    return found


def reachable(ready: Prepared, queries: Queries, per_source: int, threads: int) -> dict[str, Any]:
    """Shares of the true items, the best source alone, and the oracle."""
    among = candidates(ready.features(per_source=per_source), queries, threads=threads)
    true = queries.truth.nnz
    values = {
        one.source.name: per_person(rank_source(one.source, one.state, ready.stage, queries, threads=threads))
        for one in ready.fitted
    }
    best = max(sorted(values), key=lambda name: values[name]["ndcg@10"].mean())
    return {
        "people": len(queries),
        "true_items": true,
        "known_in_training": round(float((ready.stage.train.counts[queries.truth.indices] > 0).mean()), 4),
        "among_candidates": round(int(among.label.sum()) / true, 4),
        "candidates_a_person": round(len(among.item) / len(queries), 1),
        "best_source": best,
        "best": {metric: round(float(values[best][metric].mean()), 4) for metric in METRICS},
        "oracle": {
            metric: round(float(np.max([one[metric] for one in values.values()], axis=0).mean()), 4)
            for metric in METRICS
        },
    }


if __name__ == "__main__":
    main()
