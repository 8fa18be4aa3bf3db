"""How often the novelty check calls a constant effect on a proportion one that changes, and finds one that does.

Usage: python benchmarks/novelty.py [--experiments 1000]

Synthetic: 14 cohorts of 36,000 people an arm (a million in all), each person buying at a constant rate of his own, the
mean of which is 0.5 %, 3 % or 10 % a day; the check asks whether he has bought yet. The treatment multiplies every rate
by the same factor all the time (1.3, 0.8), or raises it by half at first, of which half is gone every two days.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from stages import RESULTS, ROOT, commit, machine

from crossdomain.experiments.checks import novelty_check
from crossdomain.experiments.design import Design, load_design
from crossdomain.experiments.moments import Strata, Stratum, Sums
from crossdomain.experiments.novelty import cohort_effects, novelty_checks

Shares = npt.NDArray[np.float64]

DAYS, UNITS = 14, 36_000
LAST = date(2026, 1, 18)
AGES = np.arange(DAYS) + 0.5
RATES = (0.005, 0.03, 0.1)
_LOGNORMAL = np.exp(2 * norm.ppf((np.arange(2000) + 0.5) / 2000) - 2)
PEOPLE: dict[str, Callable[[Shares], Shares]] = {
    "equal": lambda days: 1 - np.exp(-days),
    "gamma, variance 1": lambda days: 1 - 1 / (1 + days),
    "gamma, variance 3": lambda days: 1 - (1 + 3 * days) ** (-1 / 3),
    "gamma, variance 10": lambda days: 1 - (1 + 10 * days) ** (-1 / 10),
    "lognormal, sigma 2": lambda days: 1 - np.exp(-np.multiply.outer(days, _LOGNORMAL)).mean(axis=-1),
    "four of five never buy": lambda days: 0.2 * (1 - np.exp(-5 * days)),
}
"""Share of people who have bought within some days, in units of one over the mean rate."""


def main() -> None:
    """Simulates and writes one JSON file into results/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    folder = ROOT / "include" / "experiments"
    design = load_design(folder / "bundle_banner.yaml", schema=folder / "design.schema.json")
    rng = np.random.default_rng(given.seed)
    gained = np.array([np.sum(0.5 * 0.5 ** (np.arange(0, age, 0.001) / 2)) * 0.001 for age in AGES])
    worlds = {"1.3 always": 1.3 * AGES, "0.8 always": 0.8 * AGES, "fading": AGES + gained}
    found = []
    for people, shares in PEOPLE.items():
        for rate in RATES:
            for world, treated in worlds.items():
                arms = shares(rate * AGES), shares(rate * treated)
                called = [_called(design, arms, rng) for _ in range(given.experiments)]
                naive, checked = np.mean(called, axis=0)
                row = {"people": people, "rate": rate, "share_at_end": float(arms[0][-1]), "effect": world,
                       "called_by_ratio_alone": float(naive), "called": float(checked)}  # fmt: skip
                found.append(row)
                print(f"{people:24} {rate:6} {row['share_at_end']:6.1%} {world:10} {naive:7.2%} {checked:7.2%}")
    document = {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "experiments": given.experiments,
        "units": 2 * DAYS * UNITS,
        "level": 0.001,
        "rows": found,
    }
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    (RESULTS / f"novelty-{stamp}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _called(design: Design, arms: tuple[Shares, Shares], rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the ratio of the cumulated rates alone, and the check, call the effect one that changes."""
    strata: Strata = {}
    for days in range(DAYS):
        for variant, shares in zip((design.control, *design.treatments), arms, strict=True):
            bought = Decimal(int(rng.binomial(UNITS, shares[days])))
            stratum = Stratum(LAST - timedelta(days=days), variant, design.primary_metric)
            strata[stratum] = Sums(n=UNITS, x=bought, xx=bought)
    effects = cohort_effects(design, strata, design.treatments[0], LAST)
    (check,) = novelty_checks(design, strata, LAST)
    return not novelty_check(design, effects).ok, not check.ok


if __name__ == "__main__":
    main()
