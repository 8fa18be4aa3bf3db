from __future__ import annotations

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from crossdomain.demo.experiment import VARIANTS, assign
from crossdomain.demo.truth import WorldTruth, read_truth
from crossdomain.demo.world import write_world


def _exposures(folder: Path) -> pd.DataFrame:
    return pd.concat(pd.read_csv(path, dtype=str) for path in sorted((folder / "landing/exposures").glob("*/*.csv")))


def _purchases(folder: Path) -> pd.DataFrame:
    paths = sorted((folder / "landing/knowledge_events").glob("*/*.csv"))
    events = pd.concat(pd.read_csv(path, dtype=str) for path in paths)
    return events[events.event.eq("purchase") & events.time.ne("2026-02-30 12:00:00")]


def test_variants_follow_from_the_hash_and_stay(folder: Path) -> None:
    exposures = _exposures(folder)
    expected = [VARIANTS[assign(f"knowledge:{user}")] for user in exposures.unit_id]
    assert exposures.variant.tolist() == expected
    assert exposures.groupby("unit_id").variant.nunique().eq(1).all()


def test_hash_splits_in_halves() -> None:
    treated = sum(assign(f"knowledge:u{number}") for number in range(20_000))
    assert treated == pytest.approx(10_000, abs=300)


def test_files_show_the_rates_of_the_truth(folder: Path, truth: WorldTruth) -> None:
    first = _exposures(folder).groupby("unit_id").agg(variant=("variant", "first"), shown=("shown_at", "min"))
    bought = _purchases(folder).merge(first, left_on="user_id", right_index=True)
    buyers = bought[bought.time > bought.shown].user_id.unique()
    last = truth.experiment.iloc[-1]
    for variant in VARIANTS:
        units = first.index[first.variant == variant]
        assert len(units) == last[f"{variant}_units"]
        # dirty copies of purchases and undelivered late ones may move an account or two
        assert units.isin(buyers).sum() == pytest.approx(last[f"{variant}_bought"], abs=3)
        rate = last[f"{variant}_rate"]
        assert units.isin(buyers).mean() == pytest.approx(rate, abs=4 * (rate * (1 - rate) / len(units)) ** 0.5)
    assert last.difference == pytest.approx(last.treatment_rate - last.control_rate)
    assert last.difference > 0.05


def test_without_lift_there_is_no_effect(tmp_path: Path) -> None:
    options = {"users": 100, "items": 80, "days": 2, "start": date(2026, 1, 5), "seed": 1, "history_days": 2}
    write_world(tmp_path, **options, experiment_lift=0.0)
    assert read_truth(tmp_path).experiment.difference.eq(0).all()
