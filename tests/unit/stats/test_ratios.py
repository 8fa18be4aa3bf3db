"""Ratios: the delta method against its linearised form, and against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.comparison import Unmeasurable
from crossdomain.stats.moments import PairMoments
from crossdomain.stats.ratios import compare_ratios


def _arm(rng, n, value):
    orders = rng.poisson(2, n)
    return rng.gamma(2, value, n) * orders, orders


def test_linearised_values_give_the_same():
    rng = np.random.default_rng(1)
    arms = [_arm(rng, 300, 10), _arm(rng, 500, 12)]
    control, treatment = (PairMoments.of(x, (int(v) for v in y)) for x, y in arms)
    got = compare_ratios(control, treatment)
    ratios = [x.sum() / y.sum() for x, y in arms]
    variances = [((x - r * y) / y.mean()).var(ddof=1) / len(y) for (x, y), r in zip(arms, ratios, strict=True)]
    assert got.estimate == pytest.approx(ratios[1] - ratios[0], rel=1e-9)
    assert got.se == pytest.approx(sum(variances) ** 0.5, rel=1e-9)


def test_coverage_under_the_null():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        pair = []
        for x, y in (_arm(rng, 200, 10), _arm(rng, 200, 10)):
            sums = (x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())
            pair.append(PairMoments(len(x), *(float(value) for value in sums)))
        got = compare_ratios(*pair)
        inside += got.low <= 0 <= got.high
    assert 0.91 <= inside / 300 <= 0.985


@pytest.mark.parametrize(
    ("xs", "ys", "verdict"),
    [([1], [1], "too_few_units"), ([1, 2], [0, 0], "zero_denominator"), ([1, 2], [1, 2], "zero_variance")],
)
def test_no_test_where_there_is_none(xs, ys, verdict):
    with pytest.raises(Unmeasurable) as refusal:
        compare_ratios(PairMoments.of(xs, ys), PairMoments.of([2, 2], [2, 2]))
    assert refusal.value.verdict == verdict


def test_pairs_must_pair():
    with pytest.raises(InputError, match="do not pair"):
        PairMoments.of([1, 2], [1])
