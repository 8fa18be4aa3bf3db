"""Confidence sequences: formulas against each other, and paths that never leave."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from crossdomain.errors import InputError
from crossdomain.stats.always_valid import always_valid, mixing_variance


def test_the_mixing_variance_makes_the_interval_narrowest():
    for planned in (100, 5000):
        for alpha in (0.05, 0.01):

            def width(log_r: float, planned: int = planned, alpha: float = alpha) -> float:
                got = always_valid(0.0, planned**-0.5, planned, mixing=np.exp(log_r), alpha=alpha)
                return got.high - got.low

            best = optimize.minimize_scalar(width, bounds=(-15, 0), method="bounded", options={"xatol": 1e-10})
            assert mixing_variance(planned, alpha=alpha) == pytest.approx(np.exp(best.x), rel=1e-3)


def test_p_is_the_level_whose_interval_ends_at_zero():
    mixing = mixing_variance(1000)
    got = always_valid(0.3, 0.08, 700, mixing=mixing)
    at = always_valid(0.3, 0.08, 700, mixing=mixing, alpha=got.p)
    assert at.low == pytest.approx(0.0, abs=1e-12)
    assert always_valid(0.0, 0.08, 700, mixing=mixing).p == 1.0


def test_paths_stay_inside_on_every_day():
    rng = np.random.default_rng(31)
    days, per_day, paths = 30, 100, 4000
    units = per_day * np.arange(1, days + 1)
    means = np.cumsum(rng.normal(size=(paths, days)) * per_day**0.5, axis=1) / units
    mixing = mixing_variance(units[-1])
    half = np.array([always_valid(0.0, n**-0.5, n, mixing=mixing).high for n in units])
    left = (np.abs(means) > half).any(axis=1).mean()
    assert left <= 0.05
    assert (np.abs(means) > 1.96 * units**-0.5).any(axis=1).mean() > 0.2  # the fixed interval does not hold


@pytest.mark.parametrize(
    "call",
    [
        lambda: always_valid(1, 0, 10, mixing=1),
        lambda: always_valid(1, 1, 0, mixing=1),
        lambda: always_valid(1, 1, 10, mixing=1, alpha=0),
        lambda: mixing_variance(0),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
