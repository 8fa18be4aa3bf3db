"""Drift of the recommender through the lake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from crossdomain.errors import NotReady
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.recommend.als import AlsModel, to_files
from crossdomain.settings import Settings
from crossdomain.storage.models import ModelStore
from tests.unit.jobs.lake_tables import put, read
from tests.unit.jobs.test_consent_chain import D1, D2

D3 = D2 + timedelta(days=1)
PEOPLE = 150


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", start=D1)


def save_model(settings: Settings, moved: float) -> str:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(50, 4)) + moved * rng.normal(size=(50, 4))
    names = pa.array(["beauty"] * 50), pa.array([f"b{n:02d}" for n in range(50)])
    model = AlsModel(*names, vectors.astype(np.float32), 1.0)
    with open_lake(settings) as lake:
        return ModelStore(lake.home).save("als", to_files("model", model), {})


def lay(settings: Settings, day: object, version: str, *, factor: float = 1.0, share: float = 1.0) -> None:
    rng = np.random.default_rng(5)
    lists = [
        {
            "person": person.to_bytes(16, "big"), "target_domain": "beauty", "rank": rank + 1,
            "item_id": f"b{rank:02d}", "score": round(factor * float(np.exp(rng.normal())), 6), "source": "als",
            "reason": '{"code":"taste"}', "model_version": version,
        }
        for person in range(PEOPLE) for rank in range(10)
    ]  # fmt: skip
    champion = {
        "target_domain": "beauty", "model_version": version, "model": "als", "metric": "ndcg@10", "n": 0,
        "decision": "kept", "reason": "none",
    }  # fmt: skip
    covered = {
        "target_domain": "beauty", "segment": "warm", "source": "als", "people": PEOPLE, "share": share,
        "falls_back": False, "items": 10, "catalogue_share": 0.2, "mean_score": 1.0, "rows": len(lists),
        "creator_gini": 0.3,
    }  # fmt: skip
    put(settings, "serving.recommendations", day, lists)  # type: ignore[arg-type]
    put(settings, "serving.champions", day, [champion])  # type: ignore[arg-type]
    put(settings, "serving.recommendation_coverage", day, [covered])  # type: ignore[arg-type]


def statuses(settings: Settings, day: object) -> dict[str, str]:
    rows = read(settings, "serving.recommendation_drift", day)  # type: ignore[arg-type]
    return {row["measure"]: row["status"] for row in rows}


def test_quiet_days_do_not_alarm_and_moved_ones_do(settings: Settings) -> None:
    first, second, third = (save_model(settings, moved) for moved in (0.0, 0.05, 3.0))
    lay(settings, D1, first)
    lay(settings, D2, second, factor=1.02)
    lay(settings, D3, third, factor=3.0, share=0.8)
    result = run_job(job("recommendation_drift"), D1, settings)
    assert result.keys == (D1, D2, D3), "the days after follow"
    assert set(statuses(settings, D1).values()) == {"nothing_to_compare"}
    assert set(statuses(settings, D2).values()) == {"ok"}
    assert statuses(settings, D3) == {
        "factors": "alarm", "scores": "alarm", "people_share": "alarm", "catalogue_share": "ok", "creator_gini": "ok",
    }  # fmt: skip
    before = read(settings, "serving.recommendation_drift", D3)
    assert run_job(job("recommendation_drift"), D3, settings).status == "up_to_date"
    assert run_job(job("recommendation_drift"), D3, settings, force=True).status == "unchanged"
    assert read(settings, "serving.recommendation_drift", D3) == before


def test_the_same_model_did_not_move_and_one_that_is_gone_is_said_to_be(settings: Settings) -> None:
    first = save_model(settings, 0.0)
    lay(settings, D1, first)
    lay(settings, D2, first)
    lay(settings, D3, save_model(settings, 0.05))
    run_job(job("recommendation_drift"), D1, settings)
    (row,) = [row for row in read(settings, "serving.recommendation_drift", D2) if row["measure"] == "factors"]
    assert (row["drift"], row["n"], row["status"]) == (0, 50, "ok")
    with open_lake(settings) as lake:
        ModelStore(lake.home).remove("als", first)
    run_job(job("recommendation_drift"), D3, settings, force=True)
    (row,) = [row for row in read(settings, "serving.recommendation_drift", D3) if row["measure"] == "factors"]
    assert row["status"] == "nothing_to_compare"
    assert first in row["reason"]


def test_a_day_waits_for_the_one_before(settings: Settings) -> None:
    version = save_model(settings, 0.0)
    lay(settings, D2, version)
    with pytest.raises(NotReady, match="missing"):
        run_job(job("recommendation_drift"), D2, settings)
