"""Clusters that training starts from."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from crossdomain.content.clusters import spherical_kmeans


def rows() -> sparse.csr_matrix:
    """Three plain groups of ten rows, each with a direction of its own."""
    rng = np.random.default_rng(0)
    dense = np.repeat(np.eye(3), 10, axis=0) + rng.random((30, 3)) * 0.2
    return sparse.csr_matrix(dense / np.linalg.norm(dense, axis=1, keepdims=True))


def test_plain_groups_are_found_and_found_again() -> None:
    labels = spherical_kmeans(rows(), 3, seed=1)
    assert [len(set(labels[start : start + 10])) for start in (0, 10, 20)] == [1, 1, 1]
    assert len(set(labels)) == 3
    assert (spherical_kmeans(rows(), 3, seed=1) == labels).all()


def test_equal_rows_do_not_stop_it() -> None:
    same = sparse.csr_matrix(np.tile([1.0, 0.0], (5, 1)))
    assert set(spherical_kmeans(same, 3, seed=1)) <= {0, 1, 2}
