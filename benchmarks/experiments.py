"""Simulates experiments without an effect, and with a known one: errors, coverage, power of every method.

Each row is a method over many synthetic experiments, analysed by the library's own functions from the moments or
values that it gets in use. Seeds are fixed below. With --fast, a hundredth of the experiments, to try the script.

Usage: python benchmarks/experiments.py [--experiments N] [--only NAME ...] [--fast] [--into FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import stdtr, stdtrit
from stages import RESULTS, commit, machine

from crossdomain.stats.always_valid import always_valid, mixing_variance
from crossdomain.stats.blocks import BlockedSums, compare_blocks
from crossdomain.stats.clusters import ClusteredMean, compare_clustered_means, compare_in_strata
from crossdomain.stats.comparison import Comparison
from crossdomain.stats.cuped import (
    MeanAndCovariate,
    RatioAndCovariate,
    compare_adjusted_means,
    compare_adjusted_ratios,
)
from crossdomain.stats.interleaving import sign_test
from crossdomain.stats.means import compare_means
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.multiplicity import adjust_p
from crossdomain.stats.power import pairs_for_t_test, units_for_means, units_for_proportions, units_for_t_test
from crossdomain.stats.proportions import Successes, compare_proportions
from crossdomain.stats.quantiles import compare_quantiles, estimate_quantile
from crossdomain.stats.ratios import compare_ratios
from crossdomain.stats.sequential import drift_for, spending_boundaries
from crossdomain.stats.srm import sample_ratio_test
from crossdomain.stats.winsorizing import cut, pooled_caps

Floats = npt.NDArray[np.float64]
SEED = 20_260_105
CHUNK = 1000
LIFT = 1.1
DAYS = 30
BUYERS, LOG_MEAN, LOG_DEVIATION = 0.2, 3.0, 1.0
REVENUE = BUYERS * math.exp(LOG_MEAN + LOG_DEVIATION**2 / 2)
REVENUE_DEVIATION = math.sqrt(BUYERS * math.exp(2 * LOG_MEAN + 2 * LOG_DEVIATION**2) - REVENUE**2)


@dataclass
class Tally:
    """What the experiments of one row gave.

    Attributes:
        experiments: How many.
        rejected: How many rejected at 5 %.
        covered: How many intervals held the truth; None where none is known.
        relative_covered: The same of the relative effect.
        more: Other numbers of the row.
    """

    experiments: int = 0
    rejected: int = 0
    covered: int | None = None
    relative_covered: int | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def add(self, null: Comparison, other: Comparison | None = None, truth: float = 0.0, relative: float = 0.0) -> None:
        """One experiment: its comparison without an effect, and with a known one."""
        self.experiments += 1
        self.rejected += null.p < 0.05
        if other is not None:
            self.covered = (self.covered or 0) + (other.low <= truth <= other.high)
            low, high = other.relative.low, other.relative.high
            if low is not None and high is not None:
                self.relative_covered = (self.relative_covered or 0) + (low <= relative <= high)

    def row(self) -> dict[str, Any]:
        """Shares of the experiments, with the simulation's own standard error in points."""
        n = self.experiments
        found: dict[str, Any] = {"experiments": n, "rejected": self.rejected / n}
        found["se"] = math.sqrt(max(found["rejected"] * (1 - found["rejected"]), 1e-9) / n)
        for name, count in (("coverage", self.covered), ("relative_coverage", self.relative_covered)):
            if count is not None:
                found[name] = count / n
        return found | self.more


@dataclass(frozen=True)
class Statistics:
    """Comparisons of many experiments at once: estimate, its variance and the degrees of freedom of t, one each."""

    estimate: Floats
    variance: Floats
    df: Floats

    @property
    def p(self) -> Floats:
        """Two-sided p-values."""
        return np.asarray(2 * stdtr(self.df, -np.abs(self.estimate) / np.sqrt(self.variance)))


def chunks(experiments: int, seed: int) -> Iterator[tuple[np.random.Generator, int]]:
    """Generators for each chunk of experiments, so that memory stays small."""
    for place in range(math.ceil(experiments / CHUNK)):
        yield np.random.default_rng([SEED, seed, place]), min(CHUNK, experiments - place * CHUNK)


def revenue(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Revenue of people of whom a fifth buy, for a log-normal amount: skewness about 11."""
    amount = np.exp(LOG_MEAN + LOG_DEVIATION * rng.standard_normal(shape, dtype=np.float32))
    return np.where(rng.random(shape, dtype=np.float32) < BUYERS, amount, 0).astype(np.float64)


def scaled(x: Floats, n: int, by: float = 1.0) -> list[Moments]:
    """Moments of the rows of values, each times a factor."""
    totals, squares = x.sum(axis=1) * by, (x * x).sum(axis=1) * by * by
    return [Moments(n, float(t), float(s)) for t, s in zip(totals, squares, strict=True)]


def welch_revenue(n_c: int, n_t: int) -> Callable[[int, int], Tally]:
    """Revenue of arms of given sizes: Welch's test and each tail of it, Fieller's interval, t corrected for skewness.

    In numpy; an experiment of each chunk is held against the library.
    """

    def run(experiments: int, seed: int) -> Tally:
        tally, more = Tally(covered=0, relative_covered=0), dict.fromkeys(_SKEWED, 0)
        for rng, size in chunks(experiments, seed):
            arms = [revenue(rng, (size, n)) for n in (n_c, n_t)]
            means = [arm.mean(axis=1) for arm in arms]
            rest = [arm - mean[:, None] for arm, mean in zip(arms, means, strict=True)]
            parts = [(one**2).sum(axis=1) / (one.shape[1] - 1) / one.shape[1] for one in rest]
            thirds = [(one**3).mean(axis=1) for one in rest]
            null = _welch(means, parts, (n_c, n_t))
            up = _welch([means[0], means[1] * LIFT], [parts[0], parts[1] * LIFT**2], (n_c, n_t))
            half = -stdtrit(up.df, 0.025)
            low, high = _relative_ends(means, parts, half)
            for name, found in (
                ("rejected", null.p < 0.05),
                ("covered", np.abs(up.estimate - REVENUE * (LIFT - 1)) <= half * np.sqrt(up.variance)),
                ("relative_covered", (low <= LIFT - 1) & (high >= LIFT - 1)),
            ):
                setattr(tally, name, getattr(tally, name) + int(found.sum()))
            tally.experiments += size
            t, pooled = null.estimate / np.sqrt(null.variance), (n_c * thirds[0] + n_t * thirds[1]) / (n_c + n_t)
            # Fieller's interval holds a ratio exactly where the difference of one arm and the other times it is small.
            apart = means[1] * LIFT - LIFT * means[0]
            own, of_pooled = (
                _hall(t, (of_t / n_t**2 - of_c / n_c**2) / null.variance**1.5)
                for of_c, of_t in ((thirds[0], thirds[1]), (pooled, pooled))
            )
            z = 1.959963984540054
            for name, flags in zip(
                _SKEWED,
                (
                    (null.p < 0.05) & (t < 0),
                    (null.p < 0.05) & (t > 0),
                    np.abs(apart) <= half * np.sqrt(LIFT**2 * (parts[0] + parts[1])),
                    np.abs(of_pooled) > z,
                    np.abs(own) > z,
                ),
                strict=True,
            ):
                more[name] += int(flags.sum())
            _hold_against_the_library(arms, null, up, (low, high), half, apart)
        tally.more = {name: count / experiments for name, count in more.items()}
        return tally

    return run


_SKEWED = ("worse", "better", "fieller_covers", "hall_of_pooled_skewness", "hall_of_own_skewness")


def _welch(means: list[Floats], parts: list[Floats], sizes: tuple[int, int]) -> Statistics:
    df = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    return Statistics(means[1] - means[0], np.asarray(sum(parts)), np.asarray(df))


def _relative_ends(means: list[Floats], parts: list[Floats], half: Floats) -> tuple[Floats, Floats]:
    """The delta method's relative interval of the lifted treatment."""
    c, t = means[0], means[1] * LIFT
    spread = half * np.sqrt(parts[1] * LIFT**2 / c**2 + t**2 * parts[0] / c**4)
    return t / c - 1 - spread, t / c - 1 + spread


def _hold_against_the_library(
    arms: list[Floats], null: Statistics, up: Statistics, ends: tuple[Floats, Floats], half: Floats, apart: Floats
) -> None:
    c, t = (scaled(arm[:1], arm.shape[1])[0] for arm in arms)
    lifted = scaled(arms[1][:1], arms[1].shape[1], LIFT)[0]
    plain, other, fieller = compare_means(c, t), compare_means(c, lifted), compare_means(c, lifted, relative="fieller")
    pairs = [(plain.p, null.p[0]), (other.low, up.estimate[0] - half[0] * math.sqrt(up.variance[0]))]
    pairs += [(other.relative.low, ends[0][0]), (other.relative.high, ends[1][0])]
    if not all(one is not None and math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9) for one, two in pairs):
        raise AssertionError(f"the vectorised numbers are not the library's: {pairs}")
    held = fieller.relative.low is not None and fieller.relative.low <= LIFT - 1 <= (fieller.relative.high or math.inf)
    spread = half[0] * LIFT * math.sqrt(c.mean_variance + t.mean_variance)
    if held != (abs(apart[0]) <= spread):
        raise AssertionError("Fieller's interval is not the library's")


def _hall(t: Floats, skewness: Floats) -> Floats:
    """Hall's monotone transformation of a studentised statistic (1992), for two samples by Zhou and Dinh (2005)."""
    return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6


def unequal_arms_capped(experiments: int, seed: int, n_c: int = 4000, n_t: int = 1000) -> Tally:
    tally, tails = Tally(), [0, 0]
    for rng, size in chunks(experiments, seed):
        a, b = revenue(rng, (size, n_c)), revenue(rng, (size, n_t))
        for i in range(size):
            caps = pooled_caps([a[i], b[i]], upper=0.99)
            null = compare_means(scaled(cut(a[i], caps)[None, :], n_c)[0], scaled(cut(b[i], caps)[None, :], n_t)[0])
            tally.add(null)
            tails[null.statistic > 0] += null.p < 0.05
    tally.more = {"worse": tails[0] / experiments, "better": tails[1] / experiments}
    return tally


def proportions(experiments: int, seed: int, n: int = 5000, p: float = 0.08) -> Tally:
    tally = Tally()
    for rng, size in chunks(experiments, seed):
        counts = rng.binomial(n, p, (size, 2)), rng.binomial(n, p * LIFT, size)
        for (c, t), lifted in zip(counts[0].tolist(), counts[1].tolist(), strict=True):
            control = Successes(c, n)
            tally.add(
                compare_proportions(control, Successes(t, n)),
                compare_proportions(control, Successes(lifted, n)),
                p * (LIFT - 1),
                LIFT - 1,
            )
    return tally


def _orders(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
    """Revenue and orders of people, and how much they ordered before."""
    habit = rng.standard_exponential(shape) + rng.standard_exponential(shape)
    before, orders = (rng.poisson(habit).astype(np.float64) for _ in range(2))
    price = np.exp(3 + 0.5 * rng.standard_normal(shape) + 0.1 * habit)
    return orders * price, orders, before


def ratios(experiments: int, seed: int, n: int = 1000) -> Tally:
    tally = Tally()
    # E[orders price] / E[orders], with habit ~ gamma(2, 1): E[h e^{h/10}] = 2 / 0.9^3.
    truth = math.exp(3 + 0.125) * 2 / 0.9**3 / 2
    for rng, size in chunks(experiments, seed):
        arms = [_orders(rng, (size, n)) for _ in range(2)]
        pairs = [[_pair(n, x[i], y[i], 1.0) for i in range(size)] for x, y, _ in arms]
        lifted = [_pair(n, arms[1][0][i], arms[1][1][i], LIFT) for i in range(size)]
        for c, t, up in zip(*pairs, lifted, strict=True):
            tally.add(compare_ratios(c, t), compare_ratios(c, up), truth * (LIFT - 1), LIFT - 1)
    return tally


def _pair(n: int, x: Floats, y: Floats, by: float) -> PairMoments:
    return PairMoments(n, float(x.sum()) * by, float(y.sum()), float(x @ x) * by * by, float(y @ y), float(x @ y) * by)


def cuped_means(experiments: int, seed: int, n: int = 1000) -> Tally:
    tally, shares = Tally(), []
    rho = 1.5 / math.sqrt(1.5**2 + 2)
    for rng, size in chunks(experiments, seed):
        before = [rng.standard_exponential((size, n)) for _ in range(2)]
        noise = [rng.standard_exponential((size, n)) + rng.standard_exponential((size, n)) for _ in range(2)]
        after = [1.5 * one + other for one, other in zip(before, noise, strict=True)]
        for i in range(size):
            c, t = (_joint(MeanAndCovariate, y[i], x[i]) for y, x in zip(after, before, strict=True))
            up = _joint(MeanAndCovariate, after[1][i] + 0.35, before[1][i])
            null = compare_adjusted_means(c, t)
            tally.add(null, compare_adjusted_means(c, up), 0.35, 0.1)
            plain = compare_means(*(Moments(n, one.sums[0], one.products[0]) for one in (c, t)))
            shares.append((null.se / plain.se) ** 2)
    tally.more = {"variance_left": float(np.mean(shares)), "one_minus_squared_correlation": 1 - rho**2}
    return tally


def cuped_ratios(experiments: int, seed: int, n: int = 1000) -> Tally:
    tally = Tally()
    for rng, size in chunks(experiments, seed):
        (x_c, y_c, b_c), (x_t, y_t, b_t) = (_orders(rng, (size, n)) for _ in range(2))
        for i in range(size):
            c, t = (_joint(RatioAndCovariate, *one) for one in ((x_c[i], y_c[i], b_c[i]), (x_t[i], y_t[i], b_t[i])))
            tally.add(compare_adjusted_ratios(c, t))
    return tally


def _joint(kind: type, *columns: Floats) -> Any:
    products = [float(a @ b) for i, a in enumerate(columns) for b in columns[i:]]
    return kind(len(columns[0]), tuple(float(one.sum()) for one in columns), tuple(products))


def quantiles(experiments: int, seed: int, n: int = 2000) -> Tally:
    tally, truth = Tally(), math.exp(3 + 1.2815515655446004)
    for rng, size in chunks(experiments, seed):
        a, b = (np.exp(3 + rng.standard_normal((size, n))) for _ in range(2))
        for i in range(size):
            c, t = estimate_quantile(a[i], 0.9), estimate_quantile(b[i], 0.9)
            up = estimate_quantile(b[i] * LIFT, 0.9)
            tally.add(compare_quantiles(c, t), compare_quantiles(c, up), truth * (LIFT - 1), LIFT - 1)
    return tally


def clustered_quantiles(experiments: int, seed: int, people: int = 500, each: int = 4) -> Tally:
    tally, who = Tally(), np.repeat(np.arange(people), each)
    for rng, size in chunks(experiments, seed):
        arms = [
            np.exp(rng.standard_normal((size, people, 1)) + 0.5 * rng.standard_normal((size, people, each)))
            for _ in range(2)
        ]
        for i in range(size):
            c, t = (estimate_quantile(arm[i].ravel(), 0.75, clusters=who) for arm in arms)
            tally.add(compare_quantiles(c, t))
    return tally


def winsorized(experiments: int, seed: int, n: int = 2000) -> Tally:
    tally = Tally()
    for rng, size in chunks(experiments, seed):
        a, b = (revenue(rng, (size, n)) for _ in range(2))
        for i in range(size):
            caps = pooled_caps([a[i], b[i]], upper=0.99)
            c, t = (scaled(cut(one[i], caps)[None, :], n)[0] for one in (a, b))
            tally.add(compare_means(c, t))
    return tally


def clusters(experiments: int, seed: int, count: int = 40) -> Tally:
    """Clusters of unequal size, in numpy; an experiment of each chunk is held against the library."""
    tally = Tally(covered=0, relative_covered=0)
    for rng, size in chunks(experiments, seed):
        sizes = rng.integers(10, 40, (2, size, count)).astype(np.float64)
        level = rng.normal(0, 0.5, (2, size, count))
        sums = sizes * (5 + level) + np.sqrt(sizes) * rng.standard_normal((2, size, count))
        every = np.ones((size, count), dtype=bool)
        (c, var_c, n), (t, var_t, _) = (_ratios(x, y, every) for x, y in zip(sums, sizes, strict=True))
        df = (var_c + var_t) ** 2 / (var_c**2 / (n - 1) + var_t**2 / (n - 1))
        null = Statistics(t - c, var_c + var_t, df)
        # An effect of 0.3 moves the treatment's mean and nothing else.
        half, lifted = -stdtrit(df, 0.025), t + 0.3
        covered = np.abs(lifted - c - 0.3) <= half * np.sqrt(null.variance)
        spread = half * np.sqrt(var_t / c**2 + lifted**2 * var_c / c**4)
        tally.experiments += size
        tally.rejected += int((null.p < 0.05).sum())
        tally.covered = (tally.covered or 0) + int(covered.sum())
        tally.relative_covered = (tally.relative_covered or 0) + int((np.abs(lifted / c - 1 - 0.06) <= spread).sum())
        arms = [_cluster(x[0], y[0], every[0]) for x, y in zip(sums, sizes, strict=True)]
        up = _cluster(sums[1][0] + 0.3 * sizes[1][0], sizes[1][0], every[0])
        plain, other = compare_clustered_means(*arms), compare_clustered_means(arms[0], up)
        pairs = [(plain.p, null.p[0]), (other.relative.high, lifted[0] / c[0] - 1 + spread[0])]
        if not all(one is not None and math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9) for one, two in pairs):
            raise AssertionError(f"the vectorised numbers are not the library's: {pairs}")
    return tally


def sample_ratio(experiments: int, seed: int, n: int = 20_000) -> Tally:
    tally, weights = Tally(), [0.5, 0.3, 0.2]
    strict = 0
    for rng, size in chunks(experiments, seed):
        for counts in rng.multinomial(n, weights, size).tolist():
            p = sample_ratio_test(counts, weights).p
            tally.experiments += 1
            tally.rejected += p < 0.05
            strict += p < 0.001
    tally.more = {"rejected_at_0.001": strict / tally.experiments}
    return tally


def interleaving(experiments: int, seed: int, n: int = 1000) -> Tally:
    tally, p = Tally(), [sign_test(wins, n - wins) for wins in range(n + 1)]
    for rng, size in chunks(experiments, seed):
        for wins in rng.binomial(n, 0.5, size).tolist():
            tally.experiments += 1
            tally.rejected += p[wins] < 0.05
    return tally


def family(method: str) -> Callable[[int, int], Tally]:
    """Any rejection among twenty metrics, half of them correlated, none with an effect."""

    def run(experiments: int, seed: int) -> Tally:
        tally = Tally()
        for rng, size in chunks(experiments, seed):
            z = rng.standard_normal((size, 20))
            z[:, 10:] = 0.7 * z[:, :1] + math.sqrt(1 - 0.49) * z[:, 10:]
            for p in np.vectorize(math.erfc)(np.abs(z) / math.sqrt(2)):
                tally.experiments += 1
                tally.rejected += min(adjust_p(p.tolist(), method=method)) < 0.05  # type: ignore[arg-type]
        return tally

    return run


def daily_z(rng: np.random.Generator, size: int, per_day: int) -> tuple[Floats, Floats]:
    """Welch's statistic at the end of each day, and the estimate's truth error, of arms that grow every day."""
    moments = []
    for _ in range(2):
        x = revenue(rng, (size, DAYS, per_day))
        moments.append((np.cumsum(x.sum(axis=2), axis=1), np.cumsum((x * x).sum(axis=2), axis=1)))
    n = per_day * np.arange(1, DAYS + 1)
    means = [total / n for total, _ in moments]
    variances = [(squares - n * mean**2) / (n - 1) / n for (_, squares), mean in zip(moments, means, strict=True)]
    z = (means[1] - means[0]) / np.sqrt(variances[0] + variances[1])
    place = int(rng.integers(size)), int(rng.integers(DAYS))
    one = compare_means(
        *(Moments(int(n[place[1]]), float(total[place]), float(squares[place])) for total, squares in moments)
    )
    if not math.isclose(one.statistic, z[place], rel_tol=1e-6, abs_tol=1e-9):
        raise AssertionError(f"the vectorised statistic {z[place]} is not the library's, {one.statistic}")
    return z, n


def daily_looks(experiments: int, seed: int, per_day: int = 100) -> dict[str, Tally]:
    """Thirty daily looks at growing arms: each sequential method, and the fixed test looked at every day."""
    information = [day / DAYS for day in range(1, DAYS + 1)]
    bounds: dict[str, Floats] = {
        f"group_sequential_{shape}_30_looks": np.array(spending_boundaries(information, shape=shape).critical)
        for shape in ("obrien_fleming", "pocock")
    }
    units = 2 * per_day * np.arange(1, DAYS + 1)
    for planned in (2 * per_day * DAYS, 10_000):
        mixing = mixing_variance(planned)
        bounds[f"always_valid_30_looks_planned_{planned}"] = np.array(
            [always_valid(0.0, 1.0, float(n), mixing=mixing).high for n in units]
        )
    bounds["fixed_test_looked_at_for_30_days"] = np.full(DAYS, 1.959963984540054)
    tallies = {name: Tally() for name in bounds}
    for rng, size in chunks(experiments, seed):
        z, _ = daily_z(rng, size, per_day)
        for name, bound in bounds.items():
            tallies[name].experiments += size
            tallies[name].rejected += int((np.abs(z) > bound).any(axis=1).sum())
    return tallies


def person_days(experiments: int, seed: int, people: int = 100) -> dict[str, Tally]:
    """People who come back for thirty days: moments moved by each day's difference, against days added up."""
    names = ("moments_by_difference", "moments_of_days_added_up", "moments_by_difference_always_valid_30_looks")
    tallies = {name: Tally() for name in names}
    mixing = mixing_variance(2 * people)
    bound = always_valid(0.0, 1.0, 2.0 * people, mixing=mixing).high
    for rng, size in chunks(experiments, seed):
        moved, added, crossed = [], [], []
        for _ in range(2):
            level = rng.standard_exponential((size, people, 1), dtype=np.float32)
            days = (level * rng.standard_exponential((size, people, DAYS), dtype=np.float32)).astype(np.float64)
            totals = np.cumsum(days, axis=2)
            # Each day the squares of the totals before are taken off and those of the totals now are added.
            change = np.diff(totals**2, axis=2, prepend=0.0).sum(axis=1)
            moved.append((days.sum(axis=1).cumsum(axis=1), change.cumsum(axis=1)))
            added.append((days.sum(axis=(1, 2)), (days**2).sum(axis=(1, 2))))
        variances = [(s - t**2 / people) / (people - 1) / people for t, s in moved]
        z = (moved[1][0] - moved[0][0]) / people / np.sqrt(variances[0] + variances[1])
        crossed = (np.abs(z) > bound).any(axis=1)
        for i in range(size):
            last = [Moments(people, float(t[i, -1]), float(s[i, -1])) for t, s in moved]
            tallies[names[0]].add(compare_means(*last))
            n = people * DAYS
            tallies[names[1]].add(compare_means(*(Moments(n, float(t[i]), float(s[i])) for t, s in added)))
        tallies[names[2]].experiments += size
        tallies[names[2]].rejected += int(crossed.sum())
    return tallies


def power_proportion(experiments: int, seed: int) -> Tally:
    """Found by the plan's units: 80 % wanted."""
    tally, p, effect = Tally(more={"planned": 0.8}), 0.1, 0.02
    n = math.ceil(units_for_proportions(p, effect))
    for rng, size in chunks(experiments, seed):
        for c, t in zip(rng.binomial(n, p, size).tolist(), rng.binomial(n, p + effect, size).tolist(), strict=True):
            tally.add(compare_proportions(Successes(c, n), Successes(t, n)))
    tally.more["units_per_arm"] = n
    return tally


def power_revenue(experiments: int, seed: int) -> Tally:
    lift = 1.25
    n = math.ceil(
        units_for_means(
            REVENUE_DEVIATION, REVENUE * (lift - 1), power=0.9, deviation_treatment=lift * REVENUE_DEVIATION
        )
    )
    tally = Tally(more={"planned": 0.9, "units_per_arm": n})
    for rng, size in chunks(experiments, seed):
        a, b = (revenue(rng, (size, n)) for _ in range(2))
        for c, t in zip(scaled(a, n), scaled(b, n, lift), strict=True):
            tally.add(compare_means(c, t))
    return tally


def power_cuped(experiments: int, seed: int) -> Tally:
    variance, rho = 1.5**2 + 2, 1.5 / math.sqrt(1.5**2 + 2)
    n = math.ceil(units_for_means(math.sqrt(variance), 0.3) * (1 - rho**2))
    tally = Tally(more={"planned": 0.8, "units_per_arm": n})
    for rng, size in chunks(experiments, seed):
        before = [rng.standard_exponential((size, n)) for _ in range(2)]
        noise = [rng.standard_exponential((size, n)) + rng.standard_exponential((size, n)) for _ in range(2)]
        after = [1.5 * one + other for one, other in zip(before, noise, strict=True)]
        for i in range(size):
            c, t = (
                _joint(MeanAndCovariate, y[i] + shift, x[i])
                for y, x, shift in zip(after, before, (0.0, 0.3), strict=True)
            )
            tally.add(compare_adjusted_means(c, t))
    return tally


def power_sequential(experiments: int, seed: int) -> dict[str, Tally]:
    """Five looks, the largest sample grown as the boundaries ask."""
    looks, tallies = (0.2, 0.4, 0.6, 0.8, 1.0), {}
    effect = 0.1
    for place, shape in enumerate(("obrien_fleming", "pocock")):
        bounds = spending_boundaries(looks, shape=shape)
        fixed = 1.959963984540054 + 0.8416212335729143
        n = math.ceil(units_for_means(1.0, effect) * (drift_for(0.8, bounds) / fixed) ** 2 / 5) * 5
        tally = Tally(more={"planned": 0.8, "units_per_arm": n})
        used = 0.0
        for rng, size in chunks(experiments, seed + place):
            per_look = n // 5
            sums = [np.cumsum(rng.normal(0, math.sqrt(per_look), (size, 5)), axis=1) for _ in range(2)]
            units = per_look * np.arange(1, 6)
            z = ((sums[1] - sums[0]) / units + effect) / np.sqrt(2 / units)
            crossed = np.abs(z) > np.array(bounds.critical)
            tally.experiments += size
            tally.rejected += int(crossed.any(axis=1).sum())
            used += float(units[np.where(crossed.any(axis=1), crossed.argmax(axis=1), 4)].sum())
        tally.more["mean_units_per_arm"] = round(used / tally.experiments)
        tallies[f"power_group_sequential_{shape}"] = tally
    return tallies


def moved_weights(experiments: int, seed: int, n: int = 500) -> dict[str, Tally]:
    """Two days of n people whose weights and means both move: each counts by the inverse of its weight."""
    names = ("cuped_mean", "winsorized_mean", "quantile_p80", "quantile_p80_pooled")
    tallies = {name: Tally() for name in names}
    shares, levels = np.repeat([0.2, 0.7], n), np.repeat([10.0, 40.0], n)
    for rng, size in chunks(experiments, seed):
        treated = rng.random((size, 2 * n)) < shares
        before = rng.standard_gamma(2, (size, 2 * n)) * 5
        values = levels + before + 4 * rng.standard_gamma(2, (size, 2 * n))
        for i in range(size):
            arms = [~treated[i], treated[i]]
            weights = [1 / (1 - shares[arms[0]]), 1 / shares[arms[1]]]
            x, c = ([one[i][arm] for arm in arms] for one in (values, before))
            adjusted = [_adjusted(*one) for one in zip(x, weights, c, strict=True)]
            tallies["cuped_mean"].add(compare_adjusted_ratios(*adjusted))
            caps = pooled_caps(x, upper=0.9)
            capped = [_pair(len(a), w * cut(a, caps), w, 1.0) for a, w in zip(x, weights, strict=True)]
            tallies["winsorized_mean"].add(compare_ratios(*capped))
            weighted = [estimate_quantile(a, 0.8, weights=w) for a, w in zip(x, weights, strict=True)]
            tallies["quantile_p80"].add(compare_quantiles(*weighted))
            tallies["quantile_p80_pooled"].add(compare_quantiles(*(estimate_quantile(a, 0.8) for a in x)))
    return {f"moved_weights_{name}": tally for name, tally in tallies.items()}


def _adjusted(x: Floats, weights: Floats, before: Floats) -> RatioAndCovariate:
    return _joint(RatioAndCovariate, weights * x, weights, weights * before, weights)


WEEK = 7 * 24
SLOT_EFFECT = 0.3


def _waves(rng: np.random.Generator, size: int, slots: int) -> tuple[Floats, Floats]:
    """Sums and units of hourly slots: a daily cycle in both, and a level whose neighbours correlate by 0.8."""
    hours = np.arange(slots)
    sizes = rng.poisson(20 + 12 * np.sin(hours / 24 * 2 * math.pi), (size, slots)).astype(np.float64) + 1
    steps = rng.normal(0, 0.6, (size, slots))
    steps[:, 0] /= 0.6  # begins in its long-run distribution
    level = lfilter([1.0], [1.0, -0.8], steps, axis=1) + np.sin(hours / 24 * 2 * math.pi)
    return sizes * (5 + level) + np.sqrt(sizes) * rng.standard_normal((size, slots)), sizes


def _dealt(rng: np.random.Generator, size: int, slots: int, scheme: str) -> npt.NDArray[np.bool_]:
    """Which slots have the treatment."""
    if scheme == "independent":
        return rng.random((size, slots)) < 0.5
    length = WEEK if scheme == "weekdays" else 1
    first = rng.random((size, slots // (2 * length), 1, length)) < 0.5
    return np.concatenate([first, ~first], axis=2).reshape(size, slots)


def _by_block(values: Floats, scheme: str) -> Floats:
    length = WEEK if scheme == "weekdays" else 1
    size, slots = values.shape
    return values.reshape(size, slots // (2 * length), 2, length).sum(axis=2).reshape(size, slots // 2)


def _ratios(x: Floats, y: Floats, chosen: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Ratio of the chosen slots of each row, its jackknife variance, and how many they are."""
    n, below = chosen.sum(axis=1), np.where(chosen, y, 0).sum(axis=1)
    ratio = np.where(chosen, x, 0).sum(axis=1) / below
    moved = np.where(chosen, (x - ratio[:, None] * y) / (below[:, None] - y), 0)
    return ratio, (moved**2).sum(axis=1) * (n - 1) / n, n


def _linearised(x: Floats, y: Floats, chosen: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """As ``_ratios``, with the delta method's variance."""
    n, below = chosen.sum(axis=1), np.where(chosen, y, 0).sum(axis=1)
    ratio = np.where(chosen, x, 0).sum(axis=1) / below
    rest = np.where(chosen, x - ratio[:, None] * y, 0)
    return ratio, (rest**2).sum(axis=1) / (n - 1) / n / (below / n) ** 2, n


def _compared(x: Floats, y: Floats, treated: npt.NDArray[np.bool_], scheme: str) -> Statistics:
    """What the library's clustered and blocked comparisons give, in numpy; one row a chunk is held against it."""
    if scheme == "independent":
        (c, var_c, n_c), (t, var_t, n_t) = (_ratios(x, y, chosen) for chosen in (~treated, treated))
        df = (var_c + var_t) ** 2 / (var_c**2 / (n_c - 1) + var_t**2 / (n_t - 1))
        found = Statistics(t - c, var_c + var_t, df)
        one = compare_clustered_means(*(_cluster(x[0], y[0], chosen) for chosen in (~treated[0], treated[0])))
    else:
        columns = [_by_block(np.where(chosen, one, 0), scheme) for chosen in (~treated, treated) for one in (x, y)]
        x_c, y_c, x_t, y_t = columns
        blocks = x_c.shape[1]
        c, t = (top.sum(axis=1) / below.sum(axis=1) for top, below in ((x_c, y_c), (x_t, y_t)))
        moved_c, moved_t = (
            (top - ratio[:, None] * below) / (below.sum(axis=1, keepdims=True) - below)
            for top, below, ratio in ((x_c, y_c, c), (x_t, y_t, t))
        )
        variance = ((moved_t - moved_c) ** 2).sum(axis=1) * (blocks - 1) / blocks
        found = Statistics(t - c, variance, np.full(len(t), blocks - 1.0))
        one = compare_blocks(BlockedSums(x_c[0], y_c[0], blocks), BlockedSums(x_t[0], y_t[0], blocks))
    if not math.isclose(one.p, found.p[0], rel_tol=1e-6, abs_tol=1e-9):
        raise AssertionError(f"the vectorised p {found.p[0]} is not the library's, {one.p}")
    return found


def _cluster(x: Floats, y: Floats, chosen: npt.NDArray[np.bool_]) -> ClusteredMean:
    return ClusteredMean.of(x[chosen], y[chosen], int(chosen.sum()))


def switchback(scheme: str, slots: int) -> Callable[[int, int], Tally]:
    """Switchbacks over slots that depend on their neighbours; a new schedule for each experiment.

    An effect moves estimate and interval by itself, so that the interval covers it exactly where no effect is found.
    """

    def run(experiments: int, seed: int) -> Tally:
        tally, errors = Tally(covered=0), 0.0
        for rng, size in chunks(experiments, seed):
            x, y = _waves(rng, size, slots)
            found = _compared(x, y, _dealt(rng, size, slots, scheme), scheme)
            rejected = int((found.p < 0.05).sum())
            tally.experiments += size
            tally.rejected += rejected
            tally.covered = (tally.covered or 0) + size - rejected
            errors += float(np.sqrt(found.variance).sum())
        tally.more = {"mean_standard_error": errors / experiments}
        return tally

    return run


def carry_over(scheme: str, slots: int = 4 * WEEK) -> Callable[[int, int], Tally]:
    """The check whether a slot acts in the next, with an effect of the slot itself: without and with carry-over."""

    def run(experiments: int, seed: int) -> Tally:
        tally, counted = Tally(), {0.0: 0, SLOT_EFFECT: 0}
        for rng, size in chunks(experiments, seed):
            x, y = _waves(rng, size, slots)
            treated = _dealt(rng, size, slots, scheme)
            before = np.roll(treated, 1, axis=1)
            # In blocks of two only the first slot was dealt apart from the one before it.
            known = np.zeros_like(treated)
            known[:, 2 if scheme == "blocks" else 1 :: 2 if scheme == "blocks" else 1] = True
            groups = [known & (treated == own) & (before == prior) for own in (False, True) for prior in (False, True)]
            for carried in counted:
                values = x + y * (SLOT_EFFECT * treated + carried * before)
                parts = [_linearised(values, y, group) for group in groups]
                estimate = (parts[1][0] - parts[0][0] + parts[3][0] - parts[2][0]) / 2
                total = sum(part[1] for part in parts)
                df = total**2 / sum(part[1] ** 2 / (part[2] - 1) for part in parts)
                p = Statistics(estimate, total / 4, df).p
                pairs = [_cluster(values[0], y[0], group[0]).moments for group in groups]
                one = compare_in_strata([(pairs[0], pairs[1]), (pairs[2], pairs[3])])
                if not math.isclose(one.p, p[0], rel_tol=1e-6, abs_tol=1e-9):
                    raise AssertionError(f"the vectorised p {p[0]} is not the library's, {one.p}")
                counted[carried] += int((p < 0.01).sum())
                if not carried:
                    tally.experiments += size
                    tally.rejected += int((p < 0.05).sum())
        alarms, found = (count / experiments for count in counted.values())
        tally.more = {"found_at_0.01": alarms, "carry_over_of_0.3_found_at_0.01": found}
        return tally

    return run


def power_switchback(experiments: int, seed: int) -> dict[str, Tally]:
    """Found by the plan's slots: 80 % wanted, of independent slots and of pairs that correlate by 0.6."""
    tallies, effect, within = {}, 0.5, 0.6
    control = math.ceil(units_for_t_test(effect))
    pairs = math.ceil(pairs_for_t_test(effect / math.sqrt(2 * (1 - within))))
    for place, (scheme, slots) in enumerate((("independent", 2 * control), ("blocks", 2 * pairs))):
        tally = Tally(more={"planned": 0.8, "slots": slots})
        for rng, size in chunks(experiments, seed + place):
            shared = np.repeat(rng.normal(0, math.sqrt(within), (size, slots // 2)), 2, axis=1)
            values = shared + rng.normal(0, math.sqrt(1 - within), (size, slots))
            treated = _dealt(rng, size, slots, scheme)
            found = _compared(values + effect * treated, np.ones_like(values), treated, scheme)
            tally.experiments += size
            tally.rejected += int((found.p < 0.05).sum())
        tallies[f"power_switchback_{scheme}"] = tally
    return tallies


SCENARIOS: dict[str, tuple[int, Callable[[int, int], Tally | dict[str, Tally]]]] = {
    "welch_skewed_revenue": (1, welch_revenue(2000, 2000)),
    "welch_arms_of_4000_and_1000": (2, welch_revenue(4000, 1000)),
    "winsorized_arms_of_4000_and_1000": (21, unequal_arms_capped),
    "proportions": (3, proportions),
    "ratios_delta": (4, ratios),
    "cuped_means": (5, cuped_means),
    "cuped_ratios": (6, cuped_ratios),
    "quantile_p90": (7, quantiles),
    "quantile_p75_clustered": (8, clustered_quantiles),
    "winsorized_pooled_p99": (9, winsorized),
    "clustered_randomisation": (10, clusters),
    "sample_ratio_three_arms": (11, sample_ratio),
    "interleaving_sign_test": (12, interleaving),
    "holm_20_metrics": (13, family("holm")),
    "benjamini_hochberg_20_metrics": (14, family("benjamini_hochberg")),
    "daily_looks": (15, daily_looks),
    "person_days": (16, person_days),
    "power_proportion": (17, power_proportion),
    "power_skewed_revenue": (18, power_revenue),
    "power_cuped": (19, power_cuped),
    "power_group_sequential": (20, power_sequential),
    "moved_weights": (22, moved_weights),
    "switchback_independent_672_slots": (23, switchback("independent", 4 * WEEK)),
    "switchback_blocks_672_slots": (24, switchback("blocks", 4 * WEEK)),
    "switchback_weekdays_672_slots": (25, switchback("weekdays", 4 * WEEK)),
    "switchback_independent_28_slots": (26, switchback("independent", 28)),
    "switchback_blocks_28_slots": (27, switchback("blocks", 28)),
    "switchback_carry_over_check_independent": (28, carry_over("independent")),
    "switchback_carry_over_check_blocks": (30, carry_over("blocks")),
    "switchback_carry_over_check_weekdays": (31, carry_over("weekdays")),
    "power_switchback": (29, power_switchback),
}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Rows of a result file as Markdown; shares in percent."""
    lines = [
        "| method | experiments | found at 5 % | ± | interval covers | relative interval covers | more |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        known = {"experiments", "rejected", "se", "coverage", "relative_coverage"}
        more = ", ".join(f"{key} {value:.5g}" for key, value in row.items() if key not in known)
        shares = [f"{100 * row[key]:.2f}" if key in row else "" for key in ("rejected", "se", "coverage")]
        relative = f"{100 * row['relative_coverage']:.2f}" if "relative_coverage" in row else ""
        lines.append(f"| {name} | {row['experiments']:,} | {' | '.join(shares)} | {relative} | {more} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the simulations and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", choices=sorted(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--into", type=Path, help="result file to add the rows to, so that a run can be cut in parts")
    parser.add_argument("--table", type=Path, help="print the rows of a result file as a table, and simulate nothing")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text(encoding="utf-8"))["rows"]))
        return
    experiments = options.experiments // 100 if options.fast else options.experiments
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "synthetic": True, "seed": SEED, "rows": {}}
    for name in options.only:
        seed, run = SCENARIOS[name]
        start = time.perf_counter()
        found = run(experiments, seed)
        tallies = found if isinstance(found, dict) else {name: found}
        for one, tally in tallies.items():
            report["rows"][one] = tally.row()
            print(f"{one:55} {json.dumps(report['rows'][one])}", flush=True)
        print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
    if not options.fast:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = options.into or RESULTS / f"experiments-{stamp}.json"
        if path.exists():
            report["rows"] = json.loads(path.read_text(encoding="utf-8"))["rows"] | report["rows"]
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
