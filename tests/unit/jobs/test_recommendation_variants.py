"""Variants of the recommendations through the lake: what the days before gave is kept, and no day waits for itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crossdomain.experiments.assignment import assign, plan_of
from crossdomain.experiments.design import load_design
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
from tests.unit.jobs.lake_tables import put, read
from tests.unit.jobs.test_consent_chain import D1, D2, PEOPLE, key, lay, moment, run, world
from tests.unit.recommend.test_arms import DESIGN

OTHER = {"plain": "model", "model": "plain"}


@pytest.fixture(autouse=True)
def _small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"FACTORS": "4", "ITERATIONS": "5", "POPULARITY_POWER": "0", "TOP_K": "3", "MIN_TEST_PEOPLE": "1000"}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)


def variants(settings: Settings, day: object) -> dict[bytes, str | None]:
    return {row["person"]: row["variant"] for row in read(settings, "serving.recommendations", day)}


def test_a_day_keeps_what_the_days_before_gave_and_does_not_wait_for_its_own(tmp_path: Path) -> None:
    include = tmp_path / "include"
    shutil.copytree(Settings().include, include)
    path = include / "experiments" / "models.yaml"
    path.write_text(DESIGN, encoding="utf-8")
    settings = Settings(home=tmp_path / "home", start=D1, include=include)
    design = load_design(path, schema=include / "experiments" / "design.schema.json")
    persons = [key(person) for person in range(PEOPLE)]
    dealt = dict(zip(persons, assign(persons, plan_of(design), day=D1).variants, strict=True))
    lay(settings, world(), [])
    run(settings, D1, D2)
    assert variants(settings, D1) == variants(settings, D2) == dealt
    assert run_job(job("score"), D2, settings).status == "up_to_date"

    seen = {"experiment_id": "models", "unit_type": "account", "unit": key(3), "variant": OTHER[dealt[key(3)]]}
    put(settings, "clean.exposures", D1, [{**seen, "ts": moment(D1)}])
    put(settings, "clean.exposures", D2, [])
    run(settings, D1, D2, jobs=("experiment_state",))
    assert run_job(job("score"), D1, settings).status == "up_to_date", "its own day's state is not read"
    assert run_job(job("score"), D2, settings).status == "done"
    assert variants(settings, D2) == {**dealt, key(3): OTHER[dealt[key(3)]]}
