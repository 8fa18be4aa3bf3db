"""How often drift cries wolf on quiet tables, and how surely it sees what was planted.

Lives through simulated tables whose noise is known (and, with --home, through the days of a demo world whose clean
tables are built), judges every day against its own history as job `watch` does, and plants shifts into some of the
days without remembering them. Rows are over-dispersed (a gamma-mixed Poisson, so negative binomial), with days of the
week and growth; shares stray from day to day beside their binomial noise.

Usage: python benchmarks/drift_calibration.py [--tables N] [--days N] [--first-seed N] [--workers N] [--home DIR …]

The seeds below 1000 were used to choose the constants of crossdomain/quality/drift.py; report on others.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from stages import RESULTS, ROOT, commit, machine

from crossdomain.quality.drift import judge
from crossdomain.quality.drift_results import ALARM, LEARNING
from crossdomain.quality.measures import (
    COUNTS,
    FEED_ROWS,
    LATE_SHARE,
    LEVEL,
    NULL_SHARE,
    ROWS,
    SHARE,
    SHARES,
    SILENT_MINUTES,
    SPREAD,
    Key,
    Measure,
)
from crossdomain.quality.quiet_days import Histories, remember

FIRST = date(2026, 1, 5)
WEEK = (0.95, 0.93, 0.94, 0.97, 1.04, 1.11, 1.06)
GROWTH = 0.003
NULLS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.9, 1.0)
CATEGORIES = (
    (0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.015, 0.005),
    (0.6, 0.25, 0.1, 0.05),
    (0.4, 0.3, 0.2, 0.1),
    (0.05, 0.1, 0.2, 0.2, 0.25, 0.2),
)
NUMBERS = 3
VOLUME, NULL_POINTS = 0.3, 0.05
Day = list[Measure]


@dataclass(frozen=True)
class Noise:
    """How a simulated table strays.

    Attributes:
        rows: Mean rows of a day.
        straying: Standard deviation of a day's log rows beside Poisson noise, its day of the week and its growth.
        points: Standard deviation of a null share of one half from day to day, in points, beside binomial noise;
            smaller towards 0 and 1 in proportion to p (1 - p).
        tail: Degrees of freedom of the t distribution that days stray by; None for the normal one.
        memory: Correlation of a day's straying with the day before.
        wandering: Standard deviation of the daily step of a level that never comes back.
    """

    rows: int = 10_000
    straying: float = 0.03
    points: float = 0.5
    tail: float | None = None
    memory: float = 0.0
    wandering: float = 0.0


NOISES: Mapping[str, Noise] = {
    **{f"rows stray by {percent} %": Noise(straying=percent / 100) for percent in (1, 2, 3, 4, 5, 6, 8, 10, 30)},
    **{f"null shares stray by {points} points": Noise(points=points) for points in (0.0, 0.25, 0.75, 1.0, 2.0)},
    **{f"{rows:,} rows a day": Noise(rows=rows) for rows in (300, 1_000, 3_000, 100_000, 1_000_000)},
    "heavy tails (t, 5 degrees of freedom)": Noise(tail=5),
    "half of a day's straying stays the next day": Noise(memory=0.5),
    "the level wanders by 1 % a day": Noise(straying=0.02, wandering=0.01),
}


class Table:
    """A table that is lived through day by day."""

    def __init__(self, noise: Noise, seed: int) -> None:
        self.noise, self.rng = noise, np.random.default_rng(seed)
        self.wandered = self.stray = 0.0
        self.mixes = [self.rng.normal(0, 0.05, (7, len(shares))) for shares in CATEGORIES]

    def standard(self, size: int | None = None) -> Any:
        """Draws with mean 0 and variance 1."""
        tail = self.noise.tail
        if tail is None:
            return self.rng.normal(size=size)
        return self.rng.standard_t(tail, size) / np.sqrt(tail / (tail - 2))

    def live(self, day: date) -> Day:
        """The measures of a day."""
        rows = self.draw_rows(day)
        found = [Measure(Key(ROWS), rows, rows)]
        first = int(self.rng.binomial(rows, np.clip(0.6 + 0.005 * self.standard(), 0, 1)))
        found += [Measure(Key(FEED_ROWS, "feed", name), n, rows) for name, n in (("a", first), ("b", rows - first))]
        for place, share in enumerate(NULLS):
            found.append(Measure(Key(NULL_SHARE, f"n{place}"), self.draw_nulls(rows, share), rows))
        for place, shares in enumerate(CATEGORIES):
            logits = np.log(shares) + self.mixes[place][day.weekday()] + 0.02 * self.standard(len(shares))
            weights = np.exp(logits)
            for name, count in enumerate(self.rng.multinomial(rows, weights / weights.sum())):
                found.append(Measure(Key(SHARE, f"c{place}", str(name)), int(count), rows))
        found = [measure for measure in found if measure.key.measure != SHARE or measure.value]
        for place in range(NUMBERS):
            filled = int(self.rng.binomial(rows, 0.4))
            if filled > 1:
                level = 3.5 + 0.02 * self.standard() + 1.2 * self.rng.normal() / np.sqrt(filled)
                spread = 1.2 * np.exp(0.02 * self.standard() + self.rng.normal() / np.sqrt(2 * filled))
                found += [
                    Measure(Key(LEVEL, f"x{place}"), level, filled),
                    Measure(Key(SPREAD, f"x{place}"), spread, filled),
                ]
        if rows:
            found.append(Measure(Key(SILENT_MINUTES, "ts"), self.rng.exponential(3 * 1440 / rows), rows))
        found.append(Measure(Key(LATE_SHARE), int(self.rng.binomial(rows, 0.02 * np.exp(0.1 * self.standard()))), rows))
        return found

    def draw_rows(self, day: date) -> int:
        """Rows of a day."""
        noise = self.noise
        self.wandered += noise.wandering * self.rng.normal()
        mean = noise.rows * WEEK[day.weekday()] * np.exp(GROWTH * (day - FIRST).days + self.wandered)
        if noise.tail is None and not noise.memory:
            shape = 1 / noise.straying**2
            return int(self.rng.poisson(mean * self.rng.gamma(shape, 1 / shape)))
        fresh = np.sqrt(1 - noise.memory**2) * self.standard() * noise.straying
        self.stray = noise.memory * self.stray + fresh
        return int(self.rng.poisson(mean * np.exp(self.stray)))

    def draw_nulls(self, rows: int, share: float) -> int:
        """Rows without a value in a column that lacks it in that share of the rows."""
        moved = share + self.noise.points / 100 * self.standard() * 4 * share * (1 - share)
        return int(self.rng.binomial(rows, np.clip(moved, 0, 1)))


def plant(day: Day) -> Iterator[tuple[str, Key, Day]]:
    """Shifted copies of a day: what was done, the measure that must alarm, the day."""
    for factor in (1 - VOLUME, 1 + VOLUME):
        yield f"volume {factor - 1:+.0%}", Key(ROWS), [_times(measure, factor) for measure in day]
    for measure in day:
        if measure.key.measure != NULL_SHARE or not measure.rows:
            continue
        share = measure.value / measure.rows
        for step in (NULL_POINTS, -NULL_POINTS):
            if 0 <= share + step <= 1:
                moved = Measure(measure.key, round(measure.value + step * measure.rows), measure.rows)
                yield f"null share {_rounded(share)} {step:+.0%}", measure.key, _with(day, moved)
    largest = max((m for m in day if m.key.measure == SHARE), key=lambda m: (m.value, m.key), default=None)
    if largest is not None:
        renamed = Key(SHARE, largest.key.column, "renamed")
        others = [measure for measure in day if measure.key != largest.key]
        yield "category renamed", renamed, [*others, Measure(renamed, largest.value, largest.rows)]


def _times(measure: Measure, factor: float) -> Measure:
    counted = measure.key.measure in (*COUNTS, *SHARES)
    return Measure(
        measure.key, round(measure.value * factor) if counted else measure.value, round(measure.rows * factor)
    )


def _with(day: Day, changed: Measure) -> Day:
    return [changed if measure.key == changed.key else measure for measure in day]


def _rounded(share: float) -> str:
    return f"{min(NULLS, key=lambda known: abs(known - share)):.0%}"


@dataclass
class Tally:
    """What was counted.

    Attributes:
        judged: Table-days with a measure that was judged.
        alarmed: Those on which one alarmed or more.
        alarms: Table-days on which a measure of a kind alarmed.
        planted: Shifts that were planted, by kind and phase of the history.
        caught: Those that alarmed.
    """

    judged: int
    alarmed: int
    alarms: Counter[str]
    planted: Counter[str]
    caught: Counter[str]

    @classmethod
    def none(cls) -> Tally:
        """Nothing counted yet."""
        return cls(0, 0, Counter(), Counter(), Counter())

    def add(self, other: Tally) -> None:
        """Adds what was counted elsewhere."""
        self.judged, self.alarmed = self.judged + other.judged, self.alarmed + other.alarmed
        self.alarms += other.alarms
        self.planted += other.planted
        self.caught += other.caught

    def report(self) -> dict[str, Any]:
        """Rates and the counts behind them."""
        caught = {name: round(self.caught[name] / count, 4) for name, count in sorted(self.planted.items())}
        return {
            "table_days": self.judged,
            "false_alarm_days": self.alarmed,
            "false_alarms_per_100_table_days": round(100 * self.alarmed / max(self.judged, 1), 3),
            "by_measure": dict(sorted(self.alarms.items())),
            "planted": dict(sorted(self.planted.items())),
            "caught": caught,
        }


def live_through(days: Iterable[tuple[date, Day]], *, every: int, least_rows: int = 0) -> Tally:
    """Judges days in their order and plants shifts into every so-manieth that is judged."""
    tally, known = Tally.none(), {}
    histories: Histories = known
    for number, (day, measures) in enumerate(days):
        found = judge(day, measures, histories)
        alarmed = {drift.key for drift in found if drift.status == ALARM}
        if any(drift.status != LEARNING for drift in found):
            tally.judged += 1
            tally.alarmed += bool(alarmed)
            tally.alarms.update({key.measure for key in alarmed})
            rows = max((measure.rows for measure in measures), default=0)
            if number % every == 0 and rows >= least_rows:
                _try_shifts(tally, day, measures, histories)
        histories = remember(day, measures, alarmed, histories, quiet=True)
    return tally


def _try_shifts(tally: Tally, day: date, measures: Day, histories: Histories) -> None:
    learned = len(histories[Key(ROWS)].days) if Key(ROWS) in histories else 0
    phase = "14 to 27 days" if learned < 28 else "28 to 55 days" if learned < 55 else "8 weeks"
    for name, key, shifted in plant(measures):
        drift = next(drift for drift in judge(day, shifted, histories) if drift.key == key)
        if drift.status != LEARNING:
            tally.planted[f"{name}, {phase}"] += 1
            tally.caught[f"{name}, {phase}"] += drift.status == ALARM


def simulate(job: tuple[str, int], days: int) -> tuple[str, Tally]:
    name, seed = job
    table = Table(NOISES[name], seed)
    lived = ((day, table.live(day)) for day in (FIRST + timedelta(days=step) for step in range(days)))
    return name, live_through(lived, every=6)


def replay(home: Path, least_rows: int) -> dict[str, Tally]:
    """The clean tables of a home, by table."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.quality.measures import measure_day
    from crossdomain.quality.suites import WATCHED
    from crossdomain.settings import Settings
    from crossdomain.tables import registry

    settings = Settings(home=home)
    tables, found = registry(settings.include), {}
    with open_lake(settings) as lake:
        for name, watched in WATCHED.items():
            spec = tables.get(name)
            partitions = lake.partitions(spec)
            lake.view(spec, partitions, schema="clean")
            days = [partition.ds for partition in partitions][1:]  # the first holds history
            measured = [(day, measure_day(lake.con, spec, watched, day, settings.zone)) for day in days]
            found[name] = live_through(measured, every=2, least_rows=least_rows)
    return found


def main() -> None:
    """Runs the calibration and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=20, help="simulated tables of each kind of noise; 0: only homes")
    parser.add_argument("--days", type=int, default=140, help="days that each is lived through")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--home", type=Path, nargs="*", default=[], help="homes of demo worlds with clean tables")
    parser.add_argument("--least-rows", type=int, default=2000, help="plant only into larger days of a home's tables")
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "synthetic": True}
    report["options"] = {**vars(options), "home": [path.name for path in options.home]}
    report["simulated"] = {}
    jobs = [(name, options.first_seed + seed) for name in NOISES for seed in range(options.tables)]
    tallies = {name: Tally.none() for name, _ in jobs}
    with Pool(options.workers) as pool:
        for name, tally in pool.imap(partial(simulate, days=options.days), jobs, chunksize=4):
            tallies[name].add(tally)
    for name, tally in tallies.items():
        report["simulated"][name] = {"noise": asdict(NOISES[name]), **tally.report()}
        print(f"{name:<45} {report['simulated'][name]['false_alarms_per_100_table_days']:6.2f} false alarms per 100")
    worlds: dict[str, Tally] = {}
    for home in options.home:
        for table, tally in replay(home, options.least_rows).items():
            worlds.setdefault(table, Tally.none()).add(tally)
    total = Tally.none()
    for tally in worlds.values():
        total.add(tally)
    report["demo_worlds"] = {"all tables": total.report(), **{name: tally.report() for name, tally in worlds.items()}}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"drift-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"\nwritten to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
