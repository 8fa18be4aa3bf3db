"""Event weights learned on validation days, through the lake."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdomain.cli.main import app
from crossdomain.jobs.learning_weights import learn_weights
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import run_job
from crossdomain.settings import Settings
from tests.unit.jobs.lake_tables import put
from tests.unit.jobs.test_consent_chain import D1, TABLES, account, moment, word

PEOPLE, ITEMS = 60, 20


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A day of a world in which purchases follow taste and views follow nothing."""
    small = {"FACTORS": "4", "ITERATIONS": "4", "POPULARITY_POWER": "0", "REGULARIZATION": "1", "COLD_SHARE": "0"}
    for name, value in small.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CROSSDOMAIN_START", str(D1))
    settings = Settings.from_env()
    rng = np.random.default_rng(3)
    rows: dict[str, list[dict[str, object]]] = {table: [] for table in TABLES}
    for person in range(PEOPLE):
        for side in ("knowledge", "beauty"):
            who = {"account": account(person, side), "domain": side}
            rows["clean.users"].append({**who, "registered_at": moment(D1), "consent_assumed": False})
            for purpose in ("personalisation", "cross_domain"):
                rows["clean.consents"].append(word(person, side, purpose, True))
            own = rng.permutation(np.arange(person % 2, ITEMS, 2))
            met = [("purchase", item, 15 + n) for n, item in enumerate(own[:4])]
            met += [("view", item, 15 + int(rng.integers(10))) for item in rng.integers(0, ITEMS, 30)]
            met += [("purchase", own[4], 10), ("purchase", own[5], 3)]
            for number, (kind, item, ago) in enumerate(met):
                event = {**who, "event_id": f"{person}-{side}-{number}", "item_id": f"{side[0]}{item:02d}"}
                when = moment(D1 - timedelta(days=ago), number)
                rows["clean.events"].append({**event, "event_type": kind, "ts": when, "consent_assumed": False})
        pair = {"knowledge_account": account(person, "knowledge"), "beauty_account": account(person, "beauty")}
        rows["clean.identity_links"].append({**pair, "linked_at": moment(D1)})
    for table in TABLES:
        put(settings, table, D1, rows[table])
    put(settings, "derived.duplicate_items", D1, [])
    known = {"status": "on", "content_hash": "-", "first_ds": D1, "changed_ds": D1, "as_of": D1}
    items = [{"domain": side, "item_id": f"{side[0]}{n:02d}"} for side in ("knowledge", "beauty") for n in range(ITEMS)]
    put(settings, "derived.catalogue", D1, [{**item, **known} for item in items])
    for name in ("people", "holdings"):
        run_job(job(name), D1, settings)
    return settings


def test_noise_is_weighed_less_and_the_choice_is_tested_once(settings: Settings) -> None:
    found = learn_weights(settings, D1, trials=36)
    assert found.validation > found.validation_before
    assert found.settings.weights["view"] < 0.2
    assert found.settings.weights["purchase"] >= 1.0
    assert found.trials <= 36
    for domain in ("beauty", "knowledge"):
        tested = found.test[domain]
        assert tested is not None
        assert tested["low"] <= tested["difference"] <= tested["high"]
        assert tested["difference"] == pytest.approx(tested["value"] - tested["value_before"], abs=1e-5)
    assert learn_weights(settings, D1, trials=36) == found


def test_one_trial_is_what_is_in_force(settings: Settings) -> None:
    done = CliRunner().invoke(app, ["model", "weights", "--date", str(D1), "--trials", "1", "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["trials"] == 1
    assert document["set"] == {
        "CROSSDOMAIN_RECOMMEND_HALF_LIFE_DAYS": "20", "CROSSDOMAIN_RECOMMEND_EVENT_WEIGHTS": "",
    }  # fmt: skip
    assert document["validation"]["in_force"] == document["validation"]["learned"]
    assert {one["difference"] for one in document["test"].values()} == {0}
