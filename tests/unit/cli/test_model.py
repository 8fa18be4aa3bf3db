from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from crossdomain.cli.main import app
from crossdomain.jobs.runner import open_lake
from crossdomain.recommend.champion import POPULAR, Rated, decide
from crossdomain.settings import Settings
from crossdomain.storage.models import ModelStore
from crossdomain.tables import registry

DAY = date(2026, 1, 5)
METADATA = {
    "model": "als", "trained_to": "2026-01-05", "window_from": "2025-12-01", "twin_trained_to": "2025-12-29",
    "domains": ["knowledge", "beauty"], "people": 1234, "items": 56, "pairs": 7890, "iterations": 3, "device": "cpu",
    "settings": {"factors": 16, "max_items": 500, "popularity_power": 0.75}, "libraries": {"implicit": "0"},
}  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path))
    settings = Settings.from_env()
    with open_lake(settings) as lake:
        version = ModelStore(lake.home).save("als", {"model_factors.npy": b""}, METADATA)
        rows = [
            asdict(decide(domain, None, [Rated(model, name)], n=0, min_people=10))
            for domain, model, name in (("beauty", "als", version), ("knowledge", POPULAR, POPULAR))
        ]
        spec = registry(settings.include).get("serving.champions")
        staged = lake.stage(spec, pa.Table.from_pylist(rows), {"ds": str(DAY)}, made_by={})
        lake.commit(spec, [staged], replace={"ds": [str(DAY)]})
    return version


def test_cards_of_the_days_champions(home):
    found = CliRunner().invoke(app, ["model", "card", "--date", str(DAY)])
    assert found.exit_code == 0, found.output
    assert "1,234 people, 56 items, 7,890 pairs" in found.stdout
    assert "Everybody is shown what is popular." in found.stdout
    assert "| beauty | first | the only model on the first day |" in found.stdout
    cards = json.loads(CliRunner().invoke(app, ["model", "card", "--date", str(DAY), "--json"]).stdout)
    assert {card["model_version"]: card["metadata"] for card in cards} == {home: METADATA, POPULAR: None}


def test_a_day_without_champions_is_named(home):
    found = CliRunner().invoke(app, ["model", "card", "--date", "2026-01-06"])
    assert found.exit_code != 0
    assert "crossdomain run train --date 2026-01-06" in str(found.exception)
