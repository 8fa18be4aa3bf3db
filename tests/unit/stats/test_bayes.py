"""Posteriors: published numbers, random draws, limits, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.bayes import best_of_beta, best_of_normal, beta_posterior, normal_posterior, with_floor


def test_published_numbers(vector):
    cases = {case["name"]: case for case in vector("08_bayes_bandit.json")["cases"]}
    for name in ("beta_binomial_small", "beta_binomial_mid"):
        case = cases[name]
        got = beta_posterior(tuple(case["control"]), tuple(case["treatment"]))
        assert got.better == pytest.approx(case["prob_b_beats_a"], rel=1e-9)
        assert got.loss_treatment == pytest.approx(case["expected_loss_choose_b"], rel=1e-7)
        assert got.loss_control == pytest.approx(case["expected_loss_choose_a"], rel=1e-7)
    normal, beta = cases["thompson_best_arm_normal"], cases["thompson_best_arm_beta"]
    assert best_of_normal(normal["mu"], normal["sd"]) == pytest.approx(normal["best_arm_prob"], abs=1e-9)
    assert best_of_beta([tuple(arm) for arm in beta["arms"]]) == pytest.approx(beta["best_arm_prob"], abs=1e-9)


def test_draws_give_the_same():
    rng = np.random.default_rng(41)
    got = normal_posterior(0.4, 0.3, prior_mean=-0.1, prior_deviation=0.5)
    draws = rng.normal(got.mean, got.deviation, 1_000_000)
    assert got.better == pytest.approx((draws > 0).mean(), abs=2e-3)
    assert got.loss_treatment == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.02)
    assert got.loss_control == pytest.approx(np.maximum(draws, 0).mean(), rel=0.02)
    shares = np.stack([rng.beta(3, 5, 1_000_000), rng.beta(2, 2, 1_000_000), rng.beta(9, 14, 1_000_000)])
    want = np.bincount(shares.argmax(axis=0)) / 1_000_000
    assert best_of_beta([(3, 5), (2, 2), (9, 14)]) == pytest.approx(want, abs=2e-3)


def test_a_flat_prior_leaves_the_estimate():
    got = normal_posterior(2.0, 0.5)
    assert (got.mean, got.deviation) == (2.0, 0.5)
    assert got.loss_control - got.loss_treatment == pytest.approx(2.0)
    assert normal_posterior(2.0, 0.5, prior_deviation=1e-6).mean == pytest.approx(0, abs=1e-9)


def test_alike_arms_are_equally_good():
    assert best_of_normal([1, 1, 1], [2, 2, 2]) == pytest.approx((1 / 3,) * 3)
    assert best_of_beta([(5, 7)]) == (1.0,)
    assert beta_posterior((10, 20), (10, 20)).better == pytest.approx(0.5)
    assert best_of_normal([0, 1], [1e-3, 1e-3])[1] == pytest.approx(1.0)
    assert math.fsum(best_of_normal([0, 5, -3], [1, 0.01, 30])) == pytest.approx(1.0)


def test_every_arm_keeps_its_floor():
    assert with_floor([0.0, 1.0], 0.1) == pytest.approx((0.1, 0.9))
    assert math.fsum(with_floor([0.2, 0.3, 0.5], 0.05)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: normal_posterior(1, 0),
        lambda: beta_posterior((3, 2), (1, 2)),
        lambda: beta_posterior((1, 2), (1, 2), prior=(0, 1)),
        lambda: best_of_normal([1, 2], [1]),
        lambda: best_of_normal([], []),
        lambda: best_of_beta([(0, 1)]),
        lambda: with_floor([0.5, 0.5], 0.6),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
