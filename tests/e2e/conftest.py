"""A small demo world on which the chain is run by its jobs, without Airflow."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from crossdomain.demo.truth import WorldTruth, read_truth
from crossdomain.demo.world import WorldSummary, write_world
from crossdomain.jobs.model import JobResult
from crossdomain.jobs.registry import NAMES, job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.keys import create_keys
from crossdomain.tables import registry

START = date(2026, 1, 5)
CONSENTED = ("people", "together", "similar", "bundles", "pages", "train", "score", "recommendation_drift")
"""Jobs whose days a later withdrawal makes stale."""


@dataclass(frozen=True)
class World:
    """A world that was laid out, its truth and the settings to run it with."""

    settings: Settings
    summary: WorldSummary
    truth: WorldTruth

    @property
    def days(self) -> list[date]:
        """Delivery days, the history's first."""
        first, last = self.summary.first_delivery, self.summary.last_delivery
        return [first + timedelta(days=step) for step in range((last - first).days + 1)]

    def copy(self, home: Path) -> Settings:
        """Another home with the same deliveries and keys, and nothing built."""
        for name in ("landing", "keys"):
            shutil.copytree(self.settings.home / name, home / name)
        return replace(self.settings, home=home)


def lay_world(home: Path, *, users: int = 240, items: int = 120, days: int = 2, seed: int = 11) -> World:
    """A world in a home. DuckDB counts the gate's rules: Great Expectations is tested with the gate, and in Airflow."""
    summary = write_world(home, users=users, items=items, days=days, start=START, seed=seed)
    create_keys(Home(home))
    settings = Settings(home=home, start=summary.first_delivery, threads=2, memory_limit="2GB", gate_frame_rows=0)
    return World(settings, summary, read_truth(home))


def run(settings: Settings, names: Iterable[str], days: Iterable[date]) -> list[JobResult]:
    """Runs jobs for days, all jobs of a day before the next."""
    return [run_job(job(name), day, settings) for day in days for name in names]


def live(settings: Settings, days: Iterable[date]) -> None:
    """Runs deliveries as Airflow does: every day that a delivery touched is cleaned, and what hangs on it follows."""
    for day in days:
        for touched in run_job(job("ingest"), day, settings).keys:
            run(settings, NAMES[1:], [touched])


def settle(settings: Settings, days: Iterable[date]) -> None:
    """Builds what rests on consent again, as a backfill does: days before a withdrawal were not up to date."""
    run(settings, CONSENTED, days)


def checksums(
    settings: Settings, layers: tuple[str, ...] = ("clean", "derived", "serving")
) -> dict[tuple[str, ...], str]:
    """Checksum of every live partition."""
    with open_lake(settings) as lake:
        return {
            (spec.full_name, *partition.values.values()): partition.checksum
            for spec in registry(settings.include)
            if spec.layer in layers
            for partition in lake.partitions(spec)
        }


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world of which nothing is built yet: copy its home before running jobs."""
    return lay_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same world with every job run for every day, in order; do not write to it."""
    settings = world.copy(tmp_path_factory.mktemp("built"))
    live(settings, world.days)
    settle(settings, world.days)
    return settings
