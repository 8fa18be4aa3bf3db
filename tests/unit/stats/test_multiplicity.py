"""Corrections: published numbers, statsmodels as oracle, ties, errors."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from crossdomain.errors import InputError
from crossdomain.stats.multiplicity import adjust_p

NAMES = {
    "bonferroni": "bonferroni", "holm": "holm", "simes-hochberg": "hochberg", "fdr_bh": "benjamini_hochberg",
    "fdr_by": "benjamini_yekutieli",
}  # fmt: skip


def test_published_numbers(vector):
    content = vector("06_multiple_testing.json")
    for case in content["cases"]:
        got = adjust_p(content["pvalues"], method=NAMES[case["method"]])
        assert got == pytest.approx(case["adjusted"], rel=1e-9)
        assert sum(p <= case["alpha"] for p in got) == case["n_rejected"]


@pytest.mark.parametrize(("theirs", "ours"), NAMES.items())
def test_statsmodels_gives_the_same(theirs, ours):
    rng = np.random.default_rng(3)
    for size in (1, 2, 7, 40):
        pvalues = np.round(rng.uniform(size=size) ** 3, 2)  # rounded, so that some are tied
        want = multipletests(pvalues, method=theirs)[1]
        assert adjust_p(list(pvalues), method=ours) == pytest.approx(list(want), abs=1e-12)


def test_obvious_answers():
    assert adjust_p([0.01, 0.04]) == (0.02, 0.04)
    assert adjust_p([0.04, 0.01]) == (0.04, 0.02)
    assert adjust_p([0.04, 0.01], method="none") == (0.04, 0.01)
    assert adjust_p([0.9, 0.8], method="bonferroni") == (1.0, 1.0)
    assert adjust_p([]) == ()


@pytest.mark.parametrize(("pvalues", "method"), [([1.1], "holm"), ([float("nan")], "holm"), ([0.1], "sidak")])
def test_bad_input_is_refused(pvalues, method):
    with pytest.raises(InputError):
        adjust_p(pvalues, method=method)
