"""Interleaved lists: fair coins, the published case, and no preference between a ranker and itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from crossdomain.experiments.interleaved import coins, interleave
from crossdomain.stats.interleaving import team_draft

VECTOR = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "20_interleaving.json"
A, B = list("abcdefgh"), list("bdeahgfc")


def test_coins_are_fair_independent_and_repeatable():
    thrown = np.array([coins(f"u{number}".encode(), "test", 70) for number in range(3000)])
    assert thrown.shape == (3000, 70)
    heads = thrown.sum()
    assert stats.binomtest(int(heads), thrown.size).pvalue > 0.001
    correlations = np.corrcoef(thrown.T)[np.triu_indices(70, 1)]
    assert np.abs(correlations).max() < 0.1
    assert coins(b"u1", "test", 70) == thrown[1].tolist()
    assert coins(b"u1", "other", 70) != thrown[1].tolist()


def test_a_units_list_is_the_team_draft_of_its_coins():
    for number in range(50):
        unit = f"u{number}".encode()
        found = interleave(unit, "day", A, B, length=6)
        assert found == team_draft(A, B, coins(unit, "day", 16), length=6)
        counts = [found.teams[:end].count("A") - found.teams[:end].count("B") for end in range(7)]
        assert max(map(abs, counts)) <= 1


def test_a_ranker_does_not_beat_itself():
    """Each unit clicks one item at random; with equal rankers both sides win as often."""
    rng = np.random.default_rng(2)
    won = [interleave(f"u{n}".encode(), "same", A, A, length=5).teams[rng.integers(5)] for n in range(2000)]
    assert stats.binomtest(won.count("A"), 2000).pvalue > 0.001


@pytest.mark.skipif(not VECTOR.exists(), reason=f"{VECTOR} is not there")
def test_the_published_case():
    for case in json.loads(VECTOR.read_text(encoding="utf-8"))["cases"]:
        found = team_draft(case["A"], case["B"], case["coins"], length=case["k"])
        assert (list(found.ranking), list(found.teams)) == (case["ranking"], case["teams"])
