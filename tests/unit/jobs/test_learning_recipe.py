"""Settings of the ranker, searched on validation days and taken over by the daily jobs, through the lake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossdomain.cli.main import app
from crossdomain.errors import InputError
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.models import ModelStore
from tests.unit.jobs import test_learning_weights
from tests.unit.jobs.test_consent_chain import D1

settings = test_learning_weights.settings
"""A day of a world in which purchases follow taste and views follow nothing."""


@pytest.fixture
def own_include(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``include/``, so that a recipe can be put in force."""
    copy = tmp_path / "include"
    shutil.copytree(settings.include, copy)
    monkeypatch.setenv("CROSSDOMAIN_INCLUDE", str(copy))
    monkeypatch.setenv("CROSSDOMAIN_RECOMMEND_RANKER_PEOPLE", "20")
    return copy


def test_what_is_found_is_tested_once_and_in_force_from_then_on(own_include: Path) -> None:
    done = CliRunner().invoke(app, ["model", "tune", "--date", str(D1), "--trials", "1", "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    path = own_include / "recommendations" / "recipe.json"
    assert document["written"] == str(path)
    written = json.loads(path.read_text())
    assert written == document["recipe"]
    assert {"item_knn", "ranker"} <= set(written["validation"])
    for tested in document["test"].values():
        assert tested["low"] <= tested["difference"] <= tested["high"]
    one_source = {**written, "sources": {"item_knn": written["sources"]["item_knn"]}}
    path.write_text(json.dumps(one_source))
    here = Settings.from_env()
    run_job(job("holdings"), D1, here)
    result = run_job(job("train"), D1, here)
    assert result.notes["ranker"]["sources"] == ["item_knn"]
    (version,) = ModelStore(Home(here.home)).versions("ranker")
    again = run_job(job("train"), D1, here)
    assert again.status == "up_to_date"
    path.write_text(json.dumps({**one_source, "metric": "hr@10"}))
    assert run_job(job("train"), D1, here).status != "up_to_date", "rows depend on the recipe"
    assert version in ModelStore(Home(here.home)).versions("ranker")


def test_a_file_that_is_no_recipe_is_named(own_include: Path) -> None:
    path = own_include / "recommendations" / "recipe.json"
    path.write_text('{"sources": {"oracle": {}}}')
    run_job(job("holdings"), D1, Settings.from_env())
    with pytest.raises(InputError, match=r"recipe\.json.*oracle"):
        run_job(job("train"), D1, Settings.from_env())
    path.write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json is no recipe"):
        run_job(job("train"), D1, Settings.from_env())
