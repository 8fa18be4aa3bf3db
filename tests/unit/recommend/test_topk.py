from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from crossdomain.recommend.topk import DIGITS, rank_blocks, top_k


def brute_force(scores, k):
    rounded = np.round(scores.astype(np.float64), DIGITS) + 0.0
    columns = np.argsort(-rounded, axis=1, kind="stable")[:, :k]
    return columns, np.take_along_axis(rounded, columns, axis=1)


@pytest.mark.parametrize("candidates", [3, 10, 17, 300, 2_003])
@pytest.mark.parametrize("levels", [2, 30, 0])
def test_equal_to_brute_force_including_ties(candidates, levels):
    rng = np.random.default_rng(candidates + levels)
    scores = rng.standard_normal((200, candidates)).astype(np.float32)
    if levels:
        scores = np.round(scores * levels / 4).astype(np.float32)  # few values: many ties at the border
    scores[:, ::7] -= np.float32(3e-7)  # ties only after rounding
    k = min(10, candidates)
    columns, values = top_k(scores, k)
    expected_columns, expected_values = brute_force(scores, k)
    np.testing.assert_array_equal(columns, expected_columns)
    np.testing.assert_array_equal(values, expected_values)


def test_short_lists_end_with_minus_one():
    scores = np.array([[1, -np.inf, 2], [-np.inf, -np.inf, -np.inf]], dtype=np.float32)
    columns, _ = top_k(scores, 4)
    assert columns.tolist() == [[2, 0, -1, -1], [-1, -1, -1, -1]]


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_cover_everybody_without_excluded_cells(threads):
    rng = np.random.default_rng(5)
    people, items = rng.standard_normal((53, 4)).astype(np.float32), rng.standard_normal((40, 4)).astype(np.float32)
    excluded = sp.random(53, 40, density=0.4, format="csr", random_state=1)
    blocks = list(rank_blocks(people, items, excluded, 10, threads=threads, block_cells=40 * 7))
    assert [block.rows.start for block in blocks] == list(range(0, 53, 7))
    scores = people @ items.T
    scores[excluded.nonzero()] = -np.inf
    expected, _ = brute_force(scores, 10)
    np.testing.assert_array_equal(np.vstack([block.item for block in blocks]), expected)
