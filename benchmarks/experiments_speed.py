"""Times the analysis of many experiments from moments: comparisons, corrections, decisions.

Usage: python benchmarks/experiments_speed.py [--experiments N] [--metrics N] [--repeat N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
from stages import RESULTS, commit, machine

from crossdomain.experiments.comparing import compare_all
from crossdomain.experiments.deciding import decide
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric, Selection
from crossdomain.experiments.monitoring import measure_progress
from crossdomain.experiments.samples import Sample
from crossdomain.stats.cuped import MeanAndCovariate
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.proportions import Successes

KINDS = ("mean", "proportion", "ratio", "cuped")
SEED = 11


def make(number: int, metrics: int, analysis: str) -> tuple[Design, dict[tuple[str, str], Sample]]:
    """A design of three arms and random moments as DECIMAL sums, as the moments table has them."""
    rng = np.random.default_rng([SEED, number])
    buy = Selection(("purchase",))
    listed = tuple(
        Metric(f"m{place}", "mean" if kind == "cuped" else kind, buy, buy if kind == "ratio" else None)  # type: ignore[arg-type]
        for place in range(metrics)
        for kind in (KINDS[place % len(KINDS)],)
    )
    arms = (("control", 0.5), ("one", 0.25), ("two", 0.25))
    design = Design(
        experiment_id=f"exp{number}", name={"zh": "", "en": ""}, hypothesis={"zh": "", "en": ""}, owner="",
        unit="account", data="exposures", variants=arms, control="control", start=None, end=None, alpha=0.05,
        primary_metric="m0",
        sample_ratio_metrics=(), metrics=listed, analysis=analysis, planned_units=40_000,  # type: ignore[arg-type]
        looks=(7, 14, 21, 28) if analysis == "group_sequential" else (),
    )  # fmt: skip
    samples: dict[tuple[str, str], Sample] = {}
    for place, metric in enumerate(listed):
        for arm, weight in arms:
            n = int(20_000 * weight)
            x, y = np.round(rng.gamma(2, 10, n), 2), rng.poisson(2, n)
            sums = [Decimal(f"{value:.4f}") for value in (x.sum(), y.sum(), x @ x, x @ y, y @ y)]
            kind = KINDS[place % len(KINDS)]
            if kind == "mean":
                samples[metric.name, arm] = Moments(n, sums[0], sums[2])
            elif kind == "proportion":
                samples[metric.name, arm] = Successes(int((x > 30).sum()), n)
            elif kind == "ratio":
                samples[metric.name, arm] = PairMoments(n, sums[0], sums[1], sums[2], sums[4], sums[3])
            else:
                samples[metric.name, arm] = MeanAndCovariate(n, (sums[0], sums[1]), (sums[2], sums[3], sums[4]))
    return design, samples


def main() -> None:
    """Times it and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=50)
    parser.add_argument("--metrics", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "synthetic": True, **vars(options), "arms": 3}
    for analysis in ("fixed", "always_valid", "group_sequential"):
        made = [make(number, options.metrics, analysis) for number in range(options.experiments)]
        seconds = []
        for _ in range(options.repeat):
            start = time.process_time()
            for design, samples in made:
                progress = measure_progress(design, units=20_000, day=14)
                decide(design, compare_all(design, samples, None, progress=progress), (), progress)
            seconds.append(time.process_time() - start)
        report[analysis] = {"cpu_seconds": round(statistics.median(seconds), 3), "first": round(seconds[0], 3)}
        print(analysis, report[analysis], flush=True)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = RESULTS / f"experiments-speed-{stamp}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
