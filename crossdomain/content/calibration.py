"""θ by measure: from which similarity on a pair means something, against the same items with their words shuffled.

Shuffling gives every item of a domain as many words as it had, drawn from all that the domain's items have
together, the topics of another item, and what would be taken together if everybody had as many items, drawn from all
that was taken. What two shuffled items have in common they have by chance. θ is the least similarity from which on at
most the wished share of the pairs would be there by chance: the false-discovery rate, estimated by target and decoy as
(1 + pairs above θ among the shuffled) / pairs above θ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from scipy import sparse

from crossdomain.content.documents import TermMatrix
from crossdomain.content.features import Features, GramMatrix, Ints, TermWeights, features
from crossdomain.content.neighbours import histogram

THRESHOLDS_SCHEMA = pa.schema(
    [
        ("domain", pa.string()),
        ("other_domain", pa.string()),
        ("theta", pa.float64()),
        ("fdr", pa.float64()),
        ("pairs", pa.int64()),
        ("pairs_above", pa.int64()),
        ("null_pairs_above", pa.int64()),
        ("counts", pa.list_(pa.int64())),
        ("null_counts", pa.list_(pa.int64())),
        ("calibrated_ds", pa.date32()),
        ("model_version", pa.string()),
    ]
)

BINS = 200
"""Steps from 0 to 1 in which similarities are counted; θ is an edge between two."""


@dataclass(frozen=True)
class Threshold:
    """θ of one direction.

    Attributes:
        theta: The least similarity that means something; None where none reaches the rate.
        pairs: Pairs looked at, as many shuffled ones.
        above: Pairs with at least θ; 0 without θ.
        null_above: Shuffled pairs with at least θ.
        counts: Pairs by step of similarity (``BINS``).
        null_counts: Shuffled pairs by step.
    """

    theta: float | None
    pairs: int
    above: int
    null_above: int
    counts: Ints
    null_counts: Ints


def shuffled_features(
    terms: TermMatrix, grams: GramMatrix, topic_weights: np.ndarray, weights: TermWeights, *, seed: int
) -> Features:
    """Features of the items with words, n-grams and topics shuffled among the items of each domain."""
    rng = np.random.default_rng(seed)
    domains = sorted(set(terms.domains))
    groups = [np.flatnonzero(terms.domains == domain) for domain in domains]
    order = np.arange(len(terms.domains))
    for rows in groups:
        order[rows] = rng.permutation(rows)
    words = TermMatrix(terms.domains, terms.item_ids, terms.vocabulary, _shuffled(terms.counts, groups, rng))
    spelling = GramMatrix(grams.vocabulary, _shuffled(grams.counts, groups, rng))
    return features(words, spelling, topic_weights[order], weights)


def calibrate(
    data: Features,
    shuffled: Features,
    rows: Ints,
    others: Ints,
    *,
    weights: Sequence[float],
    fdr: float,
    sample: int,
    seed: int,
    behaviour: sparse.csr_matrix | None = None,
    by_chance: sparse.csr_matrix | None = None,
    threads: int = 2,
) -> Threshold:
    """θ of a direction.

    Args:
        data: Features of all items.
        shuffled: ``shuffled_features`` of the same items.
        rows: Items of the one side.
        others: Items of the other side.
        weights: Weights of the blend.
        fdr: Wished false-discovery rate.
        sample: Most of ``rows`` that are looked at, each with all ``others``.
        seed: Of the sample.
        behaviour: Co-behaviour of pairs.
        by_chance: Co-behaviour of shuffled behaviour, for the shuffled items.
        threads: Threads; without influence on the result.
    """
    chosen = rows
    if len(rows) > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    counts = histogram(data, chosen, others, weights=weights, bins=BINS, behaviour=behaviour, threads=threads)
    null = histogram(shuffled, chosen, others, weights=weights, bins=BINS, behaviour=by_chance, threads=threads)
    return threshold(counts, null, fdr=fdr)


def threshold(counts: Ints, null_counts: Ints, *, fdr: float) -> Threshold:
    """θ from the pairs and the shuffled pairs by step of similarity.

    θ is the lower edge of the lowest step such that the rate is kept there and at every higher edge that any pair
    reaches.
    """
    above, null_above = (np.cumsum(values[::-1])[::-1] for values in (counts, null_counts))
    broken = np.flatnonzero((1 + null_above > fdr * above) & (above > 0))
    # Far up there are too few pairs for the estimate's 1 to be small: the rate counts below the last kept edge.
    kept = np.flatnonzero((1 + null_above <= fdr * above) & (above > 0))
    if not len(kept):
        return Threshold(None, int(counts.sum()), 0, 0, counts, null_counts)
    highest = int(kept.max())
    below = broken[broken < highest]
    edge = int(below.max()) + 1 if len(below) else int(kept.min())
    return Threshold(
        edge / len(counts), int(counts.sum()), int(above[edge]), int(null_above[edge]), counts, null_counts
    )


def threshold_row(
    found: Threshold, domain: str, other_domain: str, fdr: float, ds: date, version: str
) -> dict[str, object]:
    """A row of ``THRESHOLDS_SCHEMA``."""
    return {
        "domain": domain,
        "other_domain": other_domain,
        "theta": found.theta,
        "fdr": fdr,
        "pairs": found.pairs,
        "pairs_above": found.above,
        "null_pairs_above": found.null_above,
        "counts": found.counts.tolist(),
        "null_counts": found.null_counts.tolist(),
        "calibrated_ds": ds,
        "model_version": version,
    }


def _shuffled(counts: sparse.csr_matrix, groups: Sequence[Ints], rng: np.random.Generator) -> sparse.csr_matrix:
    """The columns of each group's entries in another order; an item that gets a column twice has it once."""
    owner = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    columns = counts.indices.copy()
    for rows in groups:
        entries = np.flatnonzero(np.isin(owner, rows))
        columns[entries] = columns[rng.permutation(entries)]
    mixed = sparse.csr_matrix((counts.data, (owner, columns)), shape=counts.shape)
    mixed.sum_duplicates()
    mixed.sort_indices()
    return mixed
