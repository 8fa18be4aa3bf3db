"""Measures whether weights of the similarity that are learned from behaviour rank later behaviour better.

A demo world (synthetic) is run up to a day D and a week on. Weights are learned on D, from the choices of the week
before the last and checked on those of the last one, as the job does. What is reported are the choices of the week
after D, which nothing has seen: of (an item taken before, a new one taken, one passed over) the share in which the
item taken is the more similar one.

Usage: python benchmarks/learned_blend.py [--seeds N ...] [--users N] [--items N]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from stages import commit, machine

from crossdomain.content import documents, features, topics
from crossdomain.content.blending import won
from crossdomain.content.bundle_measures import agreement
from crossdomain.content.bundles import Bundle
from crossdomain.content.neighbours import COMPONENTS
from crossdomain.content.settings import BundleSettings
from crossdomain.content.similarity import blend_weights
from crossdomain.content.similarity_model import SimilarityModel, choice_differences
from crossdomain.demo.truth import read_truth
from crossdomain.demo.world import write_world
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.keys import create_keys
from crossdomain.storage.models import ModelStore
from crossdomain.tables import registry

RESULTS = Path(__file__).parent / "results"
LEARNED = date(2026, 1, 5)
REPORTED = LEARNED + timedelta(days=7)
STATED = {
    "stated": blend_weights(cosine=0.5, ngram=0.3, jaccard=0.1, topic=0.1),
    "stated and a fifth of behaviour": blend_weights(cosine=0.4, ngram=0.24, jaccard=0.08, topic=0.08, behaviour=0.2),
    **{f"{part} alone": blend_weights(**{part: 1.0}) for part in COMPONENTS},
}
RESAMPLES = 1000


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--items", type=int, default=800)
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "data": "synthetic: demo worlds"}
    report["worlds"] = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder) / "home", seed, options.users, options.items)
        print(json.dumps(found, indent=1), flush=True)
        report["worlds"].append(found)
    path = RESULTS / f"learned-blend-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def measure(home: Path, seed: int, users: int, items: int) -> dict[str, Any]:
    """One world: learned on its first day, which brings 70 days of history, reported on the week after it."""
    write_world(home, users=users, items=items, days=7, start=LEARNED + timedelta(days=1), seed=seed, history_days=70)
    settings = Settings(home=home, start=LEARNED)
    create_keys(Home(home))
    days = [LEARNED + timedelta(days=step) for step in range((REPORTED - LEARNED).days + 1)]
    notes, bundles = {}, {}
    for day in days:
        for name in ("ingest", "clean", "people", "catalogue", "topics"):
            run_job(job(name), day, settings)
        if day == LEARNED:
            notes = dict(run_job(job("together"), day, settings).notes)
            for name, least in (("stated", "1000000000"), ("in force", "500")):
                os.environ["CROSSDOMAIN_CONTENT_LEARN_LEAST"] = least
                run_job(job("similar"), day, settings)
                run_job(job("bundles"), day, settings)
                bundles[name] = agreed(settings)
    run_job(job("together"), REPORTED, settings)
    return {"seed": seed, "users": users, "items": items, "together": notes, "bundles": bundles, **compare(settings)}


def agreed(settings: Settings) -> dict[str, Any]:
    """The first day's bundles beside the planted ones, and the thresholds between the domains."""
    choices = BundleSettings()
    planted: dict[str, dict[str, str]] = {"knowledge": {}, "beauty": {}}
    for row in read_truth(settings.home).bundle_items.itertuples():
        planted[row.domain][row.item_id] = row.topic
    with open_lake(settings) as lake:
        for name in ("serving.bundles", "serving.similarity_thresholds"):
            spec = registry(settings.include).get(name)
            lake.view(spec, [one for one in lake.partitions(spec) if one.ds == LEARNED], schema=spec.layer)
        rows = lake.con.sql("FROM serving.bundles ORDER BY bundle_id").to_arrow_table().to_pylist()
        theta = lake.con.sql(
            "SELECT domain || ' ' || other_domain, theta FROM serving.similarity_thresholds ORDER BY ALL"
        ).fetchall()
    bundles = [
        Bundle(tuple(row["knowledge_items"]), tuple(row["beauty_items"]), row["topic"], row["strength"], ("", ""), 0.0)
        for row in rows
    ]
    found = agreement(
        bundles, (planted["knowledge"], planted["beauty"]), most_items=choices.bundle_items, most_bundles=1
    )
    return {"bundles": len(rows), "theta": dict(theta), **found._asdict()}


def compare(settings: Settings) -> dict[str, Any]:
    """Shares of right choices by pair of domains."""
    with open_lake(settings) as lake:
        tables = registry(settings.include)
        for table, day in (
            ("serving.similarity_weights", LEARNED),
            *((name, REPORTED) for name in ("derived.item_tokens", "derived.catalogue", "serving.item_topics")),
            ("derived.later_choices", REPORTED),
        ):
            spec = tables.get(table)
            lake.view(spec, [one for one in lake.partitions(spec) if one.ds == day], schema=spec.layer)
        weights = lake.con.sql("FROM serving.similarity_weights").to_arrow_table().to_pylist()
        model = SimilarityModel.from_files(ModelStore(lake.home).load("similarity", weights[0]["model_version"]))
        terms = documents.term_matrix(lake.con.sql("FROM derived.item_tokens").to_arrow_table())
        titles = dict(lake.con.sql("SELECT domain || '|' || item_id, title FROM derived.catalogue").fetchall())
        grams = features.gram_matrix([titles["|".join(key)] for key in zip(terms.domains, terms.item_ids, strict=True)])
        by_topic = topics.topic_weights(lake.con.sql("FROM serving.item_topics").to_arrow_table(), terms)
        choices = lake.con.sql("FROM derived.later_choices WHERE fold = 'check' ORDER BY choice").to_arrow_table()
    data = features.features(terms, grams, by_topic, model.terms)
    found = {}
    for domain, other in (("knowledge", "knowledge"), ("beauty", "beauty"), ("knowledge", "beauty")):
        sides = {(domain, other), (other, domain)}
        mine = choices.filter(
            pa.array(
                [
                    pair in sides
                    for pair in zip(*choices.select(["domain", "other_domain"]).to_pydict().values(), strict=True)
                ]
            )
        )
        differences = choice_differences(data, mine, 2)
        rows = [row for row in weights if (row["domain"], row["other_domain"]) == (domain, other)]
        found[f"{domain} {other}"] = {
            "why": rows[0]["why"],
            "weights": {row["part"]: row["weight"] for row in rows},
            "learned_from": rows[0]["learned_from"],
            "checked_on": rows[0]["checked_on"],
            "reported_choices": len(differences),
            "right": shares(differences, {"in force": model.blends[domain, other], **STATED}),
        }
    return {"pairs": found}


def shares(differences: np.ndarray, blends: dict[str, tuple[float, ...]]) -> dict[str, Any]:
    """Share of right choices by each blend, and the gain of the one in force with its 95 % bootstrap interval."""
    right = {name: won(differences, weights) for name, weights in blends.items()}
    gain = right["in force"] - right["stated"]
    rng = np.random.default_rng(5)
    means = [gain[rng.integers(len(gain), size=len(gain))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    result: dict[str, Any] = {name: round(float(values.mean()), 4) for name, values in right.items()}
    result["gain"] = [round(float(value), 4) for value in (gain.mean(), low, high)]
    return result


if __name__ == "__main__":
    main()
