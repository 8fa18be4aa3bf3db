"""Arms within blocks: the paired t test where each block has one unit of each arm, errors under dependence in time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.stats.blocks import BlockedSums, compare_blocks
from crossdomain.stats.clusters import compare_in_strata
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.moments import PairMoments


def _arm(x, y=None) -> BlockedSums:
    x = np.asarray(x, dtype=float)
    y = np.ones(len(x)) if y is None else np.asarray(y, dtype=float)
    return BlockedSums(x, y, int(y.sum()))


def test_one_unit_of_each_arm_in_every_block_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    c = rng.normal(10, 3, 25)
    t = c + rng.normal(0.5, 1, 25)
    got, want = compare_blocks(_arm(c), _arm(t)), stats.ttest_rel(t, c)
    assert (got.p, got.statistic, got.df) == pytest.approx((want.pvalue, want.statistic, 24), rel=1e-12)
    assert (got.low, got.high) == pytest.approx(tuple(want.confidence_interval(0.95)), rel=1e-12)
    assert (got.mean, got.mean_control, got.method) == (pytest.approx(t.mean()), pytest.approx(c.mean()), "blocked_t")


def test_ratios_have_the_variance_that_leaving_out_a_block_shows():
    rng = np.random.default_rng(2)
    blocks = 40
    y_c, y_t = rng.integers(5, 60, (2, blocks)).astype(float)
    level = rng.normal(3, 1, blocks)
    x_c, x_t = y_c * level + rng.normal(0, 3, blocks), y_t * (level + 0.2) + rng.normal(0, 3, blocks)
    got = compare_blocks(_arm(x_c, y_c), _arm(x_t, y_t))
    r_c, r_t = x_c.sum() / y_c.sum(), x_t.sum() / y_t.sum()
    kept = [np.arange(blocks) != out for out in range(blocks)]
    left = np.array([(x_t[k].sum() / y_t[k].sum(), x_c[k].sum() / y_c[k].sum()) for k in kept])
    factor = (blocks - 1) / blocks
    assert got.estimate == pytest.approx(r_t - r_c, rel=1e-12)
    moved = left[:, 0] - left[:, 1] - (r_t - r_c)
    assert got.se == pytest.approx(np.sqrt(factor * (moved**2).sum()), rel=1e-9)
    # Near the linearised differences' own: these know nothing of large blocks.
    u = (x_t - r_t * y_t) / y_t.mean() - (x_c - r_c * y_c) / y_c.mean()
    assert 1 < got.se / (u.std(ddof=1) / np.sqrt(blocks)) < 1.05
    # The relative effect t / c - 1 to first order.
    v = (left[:, 0] - r_t) / r_c - r_t / r_c**2 * (left[:, 1] - r_c)
    half = stats.t.ppf(0.975, blocks - 1) * np.sqrt(factor * (v**2).sum())
    assert (got.relative.low, got.relative.high) == pytest.approx(
        (r_t / r_c - 1 - half, r_t / r_c - 1 + half), rel=1e-9
    )


def test_an_arm_that_misses_a_block_is_compared_on_what_there_is():
    got = compare_blocks(_arm([10, 20, 0], [1, 2, 0]), _arm([11, 23, 13], [1, 2, 1]))
    assert (got.mean, got.mean_control) == (47 / 4, 10.0)


def test_slots_that_depend_on_each_other_reject_as_often_as_they_may_and_find_more_in_blocks():
    """Slots follow a slow cycle; given the values, only the coin of each pair varies."""
    rng = np.random.default_rng(3)
    level = 5 * np.sin(np.arange(200) / 7) + rng.normal(0, 1, 200)
    found = {0.0: 0, 1.0: 0}
    for _ in range(600):
        first = rng.integers(0, 2, 100)
        treated = np.stack([first, 1 - first], axis=1).ravel().astype(bool)
        for effect in found:
            values = level + effect * treated
            found[effect] += compare_blocks(_arm(values[~treated]), _arm(values[treated])).p < 0.05
    assert 0.02 <= found[0.0] / 600 <= 0.085
    assert found[1.0] / 600 > 0.95


def test_no_test_where_there_is_none():
    with pytest.raises(Unmeasurable) as refusal:
        compare_blocks(_arm([1]), _arm([2]))
    assert refusal.value.verdict == "too_few_units"
    with pytest.raises(Unmeasurable) as refusal:
        compare_blocks(_arm([0, 0], [0, 0]), _arm([1, 2]))
    assert refusal.value.verdict == "zero_denominator"
    with pytest.raises(Unmeasurable) as refusal:
        compare_blocks(_arm([1, 5]), _arm([2, 6]))
    assert refusal.value.verdict == "zero_variance"
    with pytest.raises(InputError, match="do not pair"):
        compare_blocks(_arm([1, 2]), _arm([1, 2, 3]))


def test_strata_count_alike():
    rng = np.random.default_rng(4)
    groups = [rng.normal(mean, 1, n) for mean, n in ((0, 12), (1, 9), (10, 30), (10.5, 7))]
    moments = [PairMoments.of(group.tolist(), [1] * len(group)) for group in groups]
    got = compare_in_strata([(moments[0], moments[1]), (moments[2], moments[3])])
    means = [group.mean() for group in groups]
    parts = [group.var(ddof=1) / len(group) for group in groups]
    assert got.estimate == pytest.approx((means[1] - means[0] + means[3] - means[2]) / 2)
    assert got.se == pytest.approx(np.sqrt(sum(parts)) / 2)
    df = sum(parts) ** 2 / sum(v**2 / (len(g) - 1) for v, g in zip(parts, groups, strict=True))
    assert got.p == pytest.approx(2 * stats.t.sf(abs(got.estimate / got.se), df))
    one = compare_in_strata([(moments[0], moments[1])])
    assert one.p == pytest.approx(stats.ttest_ind(groups[1], groups[0], equal_var=False).pvalue)
    with pytest.raises(Unmeasurable):
        compare_in_strata([])
