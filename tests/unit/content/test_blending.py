"""Weights by choices: planted ones are found, stated ones stay without evidence, nothing is negative."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from crossdomain.content.blending import LEARNED, NO_BETTER, TOO_FEW, fit, learn_blend, won

STATED = (0.5, 0.3, 0.1, 0.1, 0.0)


def choices(weights: tuple[float, ...], count: int, seed: int) -> np.ndarray:
    """Differences of parts of what was taken and passed over, by people who choose with the given weights."""
    rng = np.random.default_rng(seed)
    one, two = rng.beta(0.5, 3.0, size=(2, count, 5))
    likes_one = rng.random(count) < 1 / (1 + np.exp(-(one - two) @ np.array(weights) * 12))
    return np.where(likes_one[:, None], one - two, two - one)


def test_planted_weights_are_found() -> None:
    planted = (0.2, 0.0, 0.1, 0.1, 0.6)
    found = fit(choices(planted, 20_000, 1), STATED, most_behaviour=1.0)
    assert found == pytest.approx(planted, abs=0.04)
    assert sum(found) == pytest.approx(1.0)


def test_without_a_pull_it_is_logistic_regression() -> None:
    differences = choices((0.3, 0.2, 0.1, 0.1, 0.3), 5_000, 2)
    rows = np.concatenate([differences, -differences])
    label = np.repeat([1, 0], len(differences))
    oracle = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-9).fit(rows, label).coef_[0]
    assert (oracle > 0).all()
    assert fit(differences, STATED, pull=1e-9) == pytest.approx(oracle / oracle.sum(), abs=2e-3)


def test_no_weight_is_negative_though_the_part_speaks_against() -> None:
    found = fit(choices((1.0, -1.0, 0.0, 0.0, 1.0), 5_000, 3), STATED)
    assert min(found) == 0.0
    assert found[1] == 0.0


def test_little_evidence_moves_the_stated_weights_little() -> None:
    planted = (0.0, 0.0, 0.0, 0.0, 1.0)
    few, many = (fit(choices(planted, count, 4), STATED, most_behaviour=1.0)[4] for count in (10, 10_000))
    assert few < 0.3
    assert many > 0.9
    assert fit(np.zeros((0, 5)), STATED) == STATED
    assert fit(-np.ones((50, 5)), STATED) == STATED, "no part speaks for what was taken"


def test_learned_weights_count_only_if_later_days_bear_them_out() -> None:
    planted, others = (0.0, 0.0, 0.0, 0.2, 0.8), (1.0, 0.0, 0.0, 0.0, 0.0)
    good = learn_blend(choices(planted, 4_000, 5), choices(planted, 4_000, 6), STATED, least=500)
    assert good.why == LEARNED
    assert good.learned_right is not None
    assert good.stated_right is not None
    assert good.learned_right > good.stated_right + 0.05
    bad = learn_blend(choices(planted, 4_000, 5), choices(others, 4_000, 6), STATED, least=500)
    assert (bad.why, bad.weights) == (NO_BETTER, STATED)
    few = learn_blend(choices(planted, 4_000, 5), choices(planted, 499, 6), STATED, least=500)
    assert (few.why, few.weights, few.learned_right) == (TOO_FEW, STATED, None)


def test_behaviour_never_outweighs_the_rest() -> None:
    differences = choices((0.1, 0.0, 0.0, 0.1, 0.8), 5_000, 7)
    found = fit(differences, STATED)
    assert found[4] == pytest.approx(0.5, abs=1e-4)
    without = differences.copy()
    without[:, 4] = 0.0
    assert np.array(found[:4]) * 2 == pytest.approx(fit(without, STATED)[:4], abs=2e-4)


def test_a_tie_counts_half() -> None:
    assert won(np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]]), (1.0, 0.0)).tolist() == [1.0, 0.5, 0.0]
