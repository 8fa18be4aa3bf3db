from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from crossdomain.recommend import topk
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


@pytest.mark.parametrize("spread", [0.0, 2.0], ids=["alike", "few long vectors"])
@pytest.mark.parametrize("k", [1, 10, 100, 700])
def test_tiles_and_slices_do_not_show(monkeypatch, spread, k):
    monkeypatch.setattr(topk, "_TILE", 16)
    monkeypatch.setattr(topk, "_SLICE", 96)
    rng = np.random.default_rng(k)
    length = np.exp(spread * rng.standard_normal(601)).astype(np.float32)
    people, items = rng.integers(-2, 3, (70, 3)), rng.integers(-2, 3, (601, 3)) * np.round(length)[:, None]
    excluded = sp.random(70, 601, density=0.2, format="csr", random_state=2)
    blocks = list(rank_blocks(people.astype(np.float32), items.astype(np.float32), excluded, k, block_cells=601 * 33))
    scores = (people @ items.T).astype(np.float64)  # whole numbers: exact, with ties everywhere
    scores[excluded.nonzero()] = -np.inf
    expected, values = brute_force(scores, min(k, 601))
    free = ~np.isneginf(values)
    found = np.vstack([block.item for block in blocks])[:, : expected.shape[1]]
    np.testing.assert_array_equal(found, np.where(free, expected, -1))
    np.testing.assert_array_equal(np.vstack([block.score for block in blocks])[:, : expected.shape[1]], values)


def test_whoever_is_done_costs_no_more_products(monkeypatch):
    slices = []
    offer = topk.Selection.offer
    monkeypatch.setattr(
        topk.Selection, "offer", lambda self, *given: (slices.append(len(given[-1])), offer(self, *given))
    )
    items = np.ones((10 * 2048, 2), dtype=np.float32)
    items[2048:] *= 0.01
    (block,) = rank_blocks(np.ones((5, 2), dtype=np.float32), items, sp.csr_matrix((5, len(items))), 3)
    assert block.item.tolist() == [[0, 1, 2]] * 5
    assert slices == [5], "the first slice tells it all"


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
