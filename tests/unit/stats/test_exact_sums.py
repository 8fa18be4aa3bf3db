"""Order-free sums: exact rational moments as oracle, large means, order."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.exact_sums import joint_moments, moments, pair_moments
from crossdomain.stats.moments import Moments, PairMoments


def test_exact_moments_give_the_same():
    rng = np.random.default_rng(81)
    x, y = rng.gamma(2, 10, 500), rng.poisson(3, 500).astype(float)
    one, want = moments(x), Moments.of(x)
    assert (one.n, one.mean, one.variance) == (500, pytest.approx(want.mean, rel=1e-14), pytest.approx(want.variance))
    pair, exact = pair_moments(x, y), PairMoments.of(x, y)
    assert (pair.ratio, pair.ratio_variance) == pytest.approx((exact.ratio, exact.ratio_variance), rel=1e-12)


def test_a_large_mean_hides_no_variance():
    values = np.array([1.0, 2, 3, 4]) + 1e12
    assert moments(values).variance == pytest.approx(5 / 3, rel=1e-12)


def test_order_changes_nothing():
    rng = np.random.default_rng(82)
    x, y = rng.lognormal(0, 3, 1000), rng.normal(size=1000)
    order = rng.permutation(1000)
    assert joint_moments(x, y) == joint_moments(x[order], y[order])


def test_bad_input_is_refused():
    assert joint_moments(np.zeros(0), np.zeros(0)).products == (0, 0, 0)
    with pytest.raises(InputError, match="do not pair"):
        joint_moments(np.zeros(2), np.zeros(3))
    with pytest.raises(InputError, match="finite"):
        moments(np.array([1.0, np.inf]))
