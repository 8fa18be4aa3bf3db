"""Clustered randomisation: error under the null, against units taken as independent."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.clusters import ClusteredMean, compare_clustered_means, design_effect
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.means import compare_means
from crossdomain.stats.moments import Moments, PairMoments


def _arm(rng, clusters=15):
    sizes = rng.integers(5, 40, clusters)
    level = rng.normal(0, 0.5, clusters)
    values = [level[i] + rng.normal(5, 1, size) for i, size in enumerate(sizes)]
    pairs = PairMoments.of([one.sum() for one in values], [len(one) for one in values])
    return values, ClusteredMean(pairs, int(sizes.sum()))


def test_error_under_the_null():
    rng = np.random.default_rng(51)
    clustered = naive = 0
    for _ in range(300):
        (v_c, c), (v_t, t) = _arm(rng), _arm(rng)
        got = compare_clustered_means(c, t)
        clustered += got.p < 0.05
        flat = [Moments(len(x), float(x.sum()), float((x * x).sum())) for x in map(np.concatenate, (v_c, v_t))]
        naive += compare_means(*flat).p < 0.05
        assert got.mean == pytest.approx(flat[1].mean)
    assert 0.02 <= clustered / 300 <= 0.085
    assert naive / 300 > 0.3


def test_clusters_of_one_are_units():
    y_c, y_t = [1, 2, 4, 7], [3, 3, 5, 9]
    got = compare_clustered_means(*(ClusteredMean(PairMoments.of(y, [1] * 4), 4) for y in (y_c, y_t)))
    want = compare_means(Moments.of(y_c), Moments.of(y_t))
    assert (got.estimate, got.se, got.p) == pytest.approx((want.estimate, want.se, want.p), rel=1e-9)


def test_few_clusters_of_unequal_size_have_the_variance_that_leaving_one_out_shows():
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 60, 12).astype(float)
    sums = sizes * rng.normal(5, 1, 12)
    arm = ClusteredMean.of(sums, sizes, int(sizes.sum()))
    left = [np.delete(sums, i).sum() / np.delete(sizes, i).sum() for i in range(12)]
    want = 11 / 12 * sum((one - sums.sum() / sizes.sum()) ** 2 for one in left)
    assert arm.variance == pytest.approx(want, rel=1e-9)
    assert arm.variance > arm.moments.ratio_variance
    alike = ClusteredMean.of(sums, np.full(12, 10.0), 120)
    assert alike.variance == pytest.approx(alike.moments.ratio_variance, rel=1e-9)
    order = rng.permutation(12)
    assert ClusteredMean.of(sums[order], sizes[order], 1).variance == arm.variance
    with pytest.raises(Unmeasurable, match="the same mean"):
        compare_clustered_means(*(ClusteredMean.of(3 * np.arange(1.0, 5), np.arange(1.0, 5), 10) for _ in range(2)))
    with pytest.raises(Unmeasurable, match="no units"):
        compare_clustered_means(*(ClusteredMean.of(np.zeros(3), np.zeros(3), 0) for _ in range(2)))
    # One cluster has all units: leaving it out leaves nothing, and says nothing.
    assert ClusteredMean.of(np.array([4.0, 0.0]), np.array([2.0, 0.0]), 2).variance is None


def test_design_effect():
    assert design_effect(1, 0.3) == 1.0
    assert design_effect(20, 0.05) == pytest.approx(1.95)
    assert design_effect(20, 1.0) == 20.0
    assert design_effect(20, 0.05, variation=0.5) > design_effect(20, 0.05)
    with pytest.raises(InputError):
        design_effect(0, 0.1)


@pytest.mark.parametrize(
    ("xs", "ys", "verdict"),
    [([1], [1], "too_few_units"), ([0, 0], [0, 0], "zero_denominator"), ([1, 2], [1, 2], "zero_variance")],
)
def test_no_test_where_there_is_none(xs, ys, verdict):
    with pytest.raises(Unmeasurable) as refusal:
        compare_clustered_means(
            ClusteredMean(PairMoments.of(xs, ys), 2), ClusteredMean(PairMoments.of([2, 2], [2, 2]), 2)
        )
    assert refusal.value.verdict == verdict
