"""Group sequential boundaries: published tables, simulation, inverse functions, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.sequential import (
    classical_boundaries,
    crossing_probabilities,
    drift_for,
    repeated_p,
    spending_boundaries,
    spent_by,
)

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


# Jennison and Turnbull (2000), tables 2.1 and 2.3: constants at alpha .05.
@pytest.mark.parametrize(
    ("shape", "looks", "constant"),
    [("pocock", 2, 2.178), ("pocock", 5, 2.413), ("pocock", 10, 2.555),
     ("obrien_fleming", 2, 1.977), ("obrien_fleming", 5, 2.040), ("obrien_fleming", 10, 2.087)],
)  # fmt: skip
def test_classical_constants(shape, looks, constant):
    assert classical_boundaries(looks, shape=shape).critical[-1] == pytest.approx(constant, abs=6e-4)


# Lan-DeMets boundaries of five equal looks at two-sided alpha .05, as the R package ldbounds prints them.
@pytest.mark.parametrize(
    ("shape", "critical"),
    [
        ("obrien_fleming", (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_spending_boundaries_as_published(shape, critical):
    got = spending_boundaries(FIVE, shape=shape)
    assert got.critical == pytest.approx(critical, abs=2e-3)
    assert got.spent[-1] == pytest.approx(0.05, abs=1e-9)


def test_one_look_is_the_fixed_test():
    for shape in ("pocock", "obrien_fleming"):
        assert spending_boundaries([1.0], shape=shape).critical[0] == pytest.approx(1.959964, abs=1e-5)
        assert repeated_p([1.0], 2.5, shape=shape) == pytest.approx(0.012419, abs=1e-5)


def test_brownian_paths_cross_as_often():
    rng = np.random.default_rng(21)
    looks = (0.1, 0.15, 0.5, 0.7, 1.0)
    steps = rng.normal(size=(200_000, 5)) * np.sqrt(np.diff((0.0, *looks)))
    for shape in ("pocock", "obrien_fleming"):
        bounds = spending_boundaries(looks, shape=shape)
        for drift in (0.0, 2.5):
            z = np.cumsum(steps + drift * np.diff((0.0, *looks)), axis=1) / np.sqrt(looks)
            crossed = np.maximum.accumulate(np.abs(z) > bounds.critical, axis=1).mean(axis=0)
            want = crossing_probabilities(looks, bounds.critical, drift=drift)
            assert crossed == pytest.approx(want, abs=0.004)


def test_thirty_daily_looks():
    looks = [day / 30 for day in range(1, 31)]
    for shape in ("pocock", "obrien_fleming"):
        got = spending_boundaries(looks, shape=shape)
        assert got.spent == pytest.approx([spent_by(t, alpha=0.05, shape=shape) for t in looks], abs=1e-9)


def test_power_grows_the_sample_by_the_published_factor():
    # Jennison and Turnbull (2000), tables 2.2 and 2.4: alpha .05, power .8, five looks.
    fixed = 1.959964 + 0.841621
    for shape, factor in (("pocock", 1.229), ("obrien_fleming", 1.028)):
        drift = drift_for(0.8, classical_boundaries(5, shape=shape))
        assert (drift / fixed) ** 2 == pytest.approx(factor, abs=1.5e-3)


def test_repeated_p_is_the_level_whose_boundary_is_met():
    for shape in ("pocock", "obrien_fleming"):
        bound = spending_boundaries(FIVE[:3], alpha=0.03, shape=shape).critical[-1]
        assert repeated_p(FIVE[:3], -bound, shape=shape) == pytest.approx(0.03, rel=1e-4)
    assert repeated_p(FIVE, 0.0, shape="pocock") == 1.0


def test_what_is_spent_before_it_counts_costs_nothing():
    assert math.isinf(spending_boundaries([0.001, 1.0], shape="obrien_fleming").critical[0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: spending_boundaries([], shape="pocock"),
        lambda: spending_boundaries([0.5, 0.5], shape="pocock"),
        lambda: spending_boundaries([0.0, 0.5], shape="pocock"),
        lambda: spending_boundaries([0.5, 1.5], shape="pocock"),
        lambda: spending_boundaries([0.5], shape="triangular"),
        lambda: spending_boundaries([0.5], alpha=2, shape="pocock"),
        lambda: classical_boundaries(0, shape="pocock"),
        lambda: crossing_probabilities([0.5, 1], [2.0]),
        lambda: drift_for(0.01, classical_boundaries(2, shape="pocock")),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
