"""Groups of items by their words: where the training of topics starts from."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def spherical_kmeans(
    rows: sparse.csr_matrix, clusters: int, *, seed: int, tries: int = 5, steps: int = 12
) -> np.ndarray:
    """Clusters of rows by cosine; the best of several starts.

    Each start draws its centres from the rows, far ones with more chance (k-means++, Arthur and
    Vassilvitskii 2007, on one minus the cosine). One thread and a fixed seed: the same rows give the same
    clusters.

    Args:
        rows: Rows of length one or zero.
        clusters: Number of clusters, at most the number of rows.
        seed: Seed of the draws.
        tries: Starts.
        steps: Most rounds of a start.

    Returns:
        Cluster of each row, from 0; a cluster may be empty.
    """
    rng = np.random.default_rng(seed)
    best, best_fit = np.zeros(rows.shape[0], dtype=np.int64), -np.inf
    for _ in range(tries):
        labels, fit = _one_start(rows, _far_rows(rows, clusters, rng), steps)
        if fit > best_fit + 1e-9:
            best, best_fit = labels, fit
    return best


def _far_rows(rows: sparse.csr_matrix, clusters: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(rows.shape[0]))]
    distance = np.ones(rows.shape[0])
    while len(chosen) < clusters:
        cosine = (rows @ rows[chosen[-1]].T).toarray().ravel()
        distance = np.minimum(distance, np.maximum(1 - cosine, 0.0) ** 2)
        total = distance.sum()
        chance = distance / total if total > 0 else np.full(len(distance), 1 / len(distance))
        chosen.append(int(rng.choice(len(chance), p=chance)))
    centres: np.ndarray = rows[chosen].toarray()
    return centres


def _one_start(rows: sparse.csr_matrix, centres: np.ndarray, steps: int) -> tuple[np.ndarray, float]:
    labels = np.full(rows.shape[0], -1, dtype=np.int64)
    fit = -np.inf
    for _ in range(steps):
        cosine = rows @ centres.T
        nearest = cosine.argmax(axis=1)
        fit = float(cosine[np.arange(len(nearest)), nearest].sum())
        if (nearest == labels).all():
            break
        labels = nearest
        member = sparse.csr_matrix(
            (np.ones(len(labels)), (labels, np.arange(len(labels)))), shape=(len(centres), len(labels))
        )
        centres = (member @ rows).toarray()
        length = np.linalg.norm(centres, axis=1, keepdims=True)
        centres /= np.where(length > 0, length, 1)
    return labels, fit
