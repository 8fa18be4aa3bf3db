"""Uplift curves: by hand, against brute force, errors."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.uplift import measure_uplift


def test_by_hand():
    # Two people who buy only if treated come first, then two who never buy.
    got = measure_uplift(np.array([2.0, 2, 1, 1]), np.array([1.0, 0, 0, 0]), np.array([True, False, True, False]))
    assert got.share.tolist() == [0, 0.5, 1]
    assert got.gain.tolist() == [0, 0.25, 0.25]
    assert got.qini == pytest.approx(0.25 * 0.25 + 0.5 * 0.25 - 0.125)
    assert got.effect == 0.5


def _world(seed=71, n=20_000):
    rng = np.random.default_rng(seed)
    helps = rng.uniform(0, 0.4, n)
    treated = rng.random(n) < 0.3
    outcome = (rng.random(n) < 0.2 + helps * treated).astype(float)
    return helps, outcome, treated, rng


def test_the_truth_beats_chance_and_its_reverse():
    helps, outcome, treated, rng = _world()
    truth, chance, reverse = (measure_uplift(one, outcome, treated) for one in (helps, rng.random(len(helps)), -helps))
    assert truth.qini > 3 * abs(chance.qini)
    assert reverse.qini < -3 * abs(chance.qini)
    assert truth.auuc > chance.auuc > reverse.auuc
    assert truth.gain[-1] == pytest.approx(reverse.gain[-1])


def test_brute_force_gives_the_same():
    helps, outcome, treated, rng = _world(n=300)
    score = np.round(helps, 1)  # many ties
    got = measure_uplift(score, outcome, treated)
    for at, gain in zip(sorted(set(score), reverse=True), got.gain[1:], strict=True):
        taken = score >= at
        n_t, n_c = (taken & treated).sum(), (taken & ~treated).sum()
        want = outcome[taken & treated].sum() - outcome[taken & ~treated].sum() * n_t / n_c
        assert gain == pytest.approx(want / 300)
    order = rng.permutation(300)
    again = measure_uplift(score[order], outcome[order], treated[order])
    assert (again.qini, again.auuc) == (got.qini, got.auuc)


def test_bad_input_is_refused():
    with pytest.raises(Unmeasurable):
        measure_uplift(np.ones(3), np.ones(3), np.array([True] * 3))
    with pytest.raises(InputError):
        measure_uplift(np.ones(3), np.ones(2), np.array([True, False, True]))
    with pytest.raises(InputError):
        measure_uplift(np.array([np.nan, 1]), np.ones(2), np.array([True, False]))
