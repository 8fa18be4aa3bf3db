from __future__ import annotations

import numpy as np
import pytest

from crossdomain.recommend.reranking.freshness import fresh_factors


def test_the_boost_halves_with_age_and_unknown_ages_have_none():
    age = np.array([0, 14, 28, 10_000, -1])
    assert fresh_factors(age, 0.4, 14.0) == pytest.approx([1.4, 1.2, 1.1, 1.0, 1.0])
    assert fresh_factors(age, 0.0, 14.0).tolist() == [1] * 5
