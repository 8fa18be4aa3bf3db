from __future__ import annotations

import pytest

from crossdomain.jobs import train
from crossdomain.recommend.card import FILE, describe, results
from tests.unit.recommend.world import blocks_world, connect, context


@pytest.fixture
def trained(tmp_path, monkeypatch):
    for name, value in {"FACTORS": "4", "REGULARIZATION": "0.5", "ITERATIONS": "15"}.items():
        monkeypatch.setenv(f"CROSSDOMAIN_RECOMMEND_{name}", value)
    ctx, written = context(connect(*blocks_world()), tmp_path)
    train.build(ctx)
    return ctx, {name: table.to_pylist() for name, table in written.items()}


def test_a_stored_model_has_its_card_beside_it(trained):
    ctx, written = trained
    version = written["serving.champions"][0]["model_version"]
    card = ctx.models.load("als", version)[FILE].decode()
    assert card == describe(ctx.models.metadata("als", version))
    assert "60 people, 16 items" in card
    assert "factors 4, regularization 0.5" in card
    assert "Events from 2025-11-03 to 2026-01-31; the twin that is measured to 2026-01-24." in card


def test_results_are_the_tables_rows(trained):
    _, written = trained
    version = written["serving.champions"][0]["model_version"]
    tables = [written[f"serving.{name}"] for name in ("model_metrics", "champions", "transfer")]
    text = results(version, *tables)
    (row,) = [
        row
        for row in tables[0]
        if (row["model"], row["target_domain"], row["segment"], row["metric"]) == ("als", "beauty", "all", "ndcg@10")
    ]
    line = f"| knowledge>beauty | all | als | ndcg@10 | {row['n']} | {row['value']:.4f} ({row['low']:.4f} to "
    assert line in text
    assert "measured beside it: decayed_popularity, popularity" in text
    assert all(one["reason"] in text for one in tables[2])


def test_nothing_measured_is_said():
    assert "None." in results("v", [], [], [])
    row = {"target_domain": "beauty", "decision": "kept", "reason": "a | b", "model_version": "v"}
    assert "a \\| b" in results("v", [], [row], [])
