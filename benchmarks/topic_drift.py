"""Calibrates the drift of topics: false retrains on clean demo worlds (synthetic), and new themes that are caught.

A model is trained on a part of a world's items; the others arrive in batches. Clean: the others are like the first
ones. Planted: one theme of one domain was kept from the training and makes up a share of a batch.

Usage: python benchmarks/topic_drift.py [--worlds N] [--items N]
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from stages import commit, machine

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from crossdomain.content.settings import TopicSettings  # noqa: E402
from crossdomain.content.topic_drift import drift, limit, trained_fit  # noqa: E402
from crossdomain.content.training import train_topics  # noqa: E402
from tests.unit.content.test_planted_world import world  # noqa: E402

RESULTS = Path(__file__).parent / "results"
BATCHES = (10, 20, 50, 100, 200)
SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)
DRAWS = 10
THEMES = 3
Found = dict[str, list[tuple[float, bool]]]
CHOICES = TopicSettings(topics=20)


def main() -> None:
    """Runs the calibration and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=10)
    parser.add_argument("--items", type=int, default=1500)
    options = parser.parse_args()
    clean: Found = {}
    planted: Found = {}
    for seed in range(1, options.worlds + 1):
        one_world(seed, options.items, clean, planted)
        print(f"world {seed}", flush=True)
    report: dict[str, Any] = {
        "machine": machine(),
        "commit": commit(),
        "data": "synthetic: demo worlds",
        "worlds": options.worlds,
        "items": options.items,
        "clean": told(clean),
        "planted": told(planted),
    }
    print(json.dumps({name: report[name] for name in ("clean", "planted")}, indent=1))
    path = RESULTS / f"topic-drift-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")


def told(found: Found) -> dict[str, Any]:
    """Batches, their misfits beyond chance, and the share that is called drift."""
    return {
        name: {
            "batches": len(rows),
            "drifted": round(float(np.mean([drifted for _, drifted in rows])), 4),
            "misfit_share": round(float(np.mean([share for share, _ in rows])), 4),
        }
        for name, rows in found.items()
    }


def one_world(
    seed: int, items: int, clean: dict[int, list[float]], planted: dict[tuple[int, float], list[float]]
) -> None:
    """Adds what the batches of one world say."""
    terms, texts, truth = world(items, seed)
    rng = np.random.default_rng(seed)
    for theme in (None, *rng.choice(np.unique(truth), THEMES, replace=False).tolist()):
        known = np.flatnonzero(truth != theme) if theme is not None else np.arange(len(truth))
        trained = np.sort(rng.choice(known, int(0.7 * len(known)), replace=False))
        model = train_topics(terms.of_rows(trained), texts.of_rows(trained), CHOICES, topics=CHOICES.topics)
        if model is None:
            raise SystemExit("too few items for topics")
        fit = trained_fit(model, terms.of_rows(trained), iterations=CHOICES.iterations, seed=seed)
        others, strange = np.setdiff1d(known, trained), np.flatnonzero(truth == theme)
        for size in BATCHES:
            for _ in range(DRAWS):
                for share in SHARES if theme is not None else (0.0,):
                    new = round(share * size)
                    if new > len(strange) or size - new > len(others):
                        continue
                    rows = [rng.choice(strange, new, replace=False), rng.choice(others, size - new, replace=False)]
                    batch = terms.of_rows(np.sort(np.concatenate(rows).astype(int)))
                    limits = {domain: limit(len(terms.rows_of(domain)), CHOICES) for domain in np.unique(terms.domains)}
                    found = drift(model, fit, batch, limits=limits, iterations=CHOICES.iterations)
                    name = f"{size} texts, {new} of a new theme"
                    (clean if theme is None else planted).setdefault(name, []).append(
                        (sum(found["misfits"].to_pylist()) / size, any(found["drifted"].to_pylist()))
                    )


if __name__ == "__main__":
    main()
