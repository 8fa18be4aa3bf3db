"""How alike two items are: TF-IDF cosine, Jaccard of the token sets, topic similarity, and their blend.

All pairs are looked at, in blocks of rows, so that memory does not grow with the square of the catalogue;
the strongest pairs of each item stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import sparse

from crossdomain.content.documents import TermMatrix, tfidf
from crossdomain.content.settings import SimilaritySettings

SIMILAR_SCHEMA = pa.schema(
    [
        ("domain", pa.string()),
        ("item_id", pa.string()),
        ("other_domain", pa.string()),
        ("rank", pa.int32()),
        ("other_item_id", pa.string()),
        ("similarity", pa.float64()),
        ("cosine", pa.float64()),
        ("jaccard", pa.float64()),
        ("topic", pa.float64()),
    ]
)

_BLOCK_CELLS = 1 << 18
"""Pairs looked at at once: the arrays of a block should fit the processor's cache."""
_DIGITS = 6


@dataclass(frozen=True)
class Features:
    """What similarity is computed from; rows as in the term matrix.

    Attributes:
        tfidf: TF-IDF rows of length one, or zero for an item without words.
        has: 1 where the item has the word.
        sizes: Number of different words of each item.
        root: Square roots of the topic weights, rows of length one or zero.
    """

    tfidf: sparse.csr_matrix
    has: sparse.csr_matrix
    sizes: np.ndarray
    root: np.ndarray


@dataclass(frozen=True)
class Block:
    """Similarities of some items (rows) with all candidates (columns), each a dense array."""

    similarity: np.ndarray
    cosine: np.ndarray
    jaccard: np.ndarray
    topic: np.ndarray


def features(terms: TermMatrix, topic_weights: np.ndarray) -> Features:
    """Features of all items; the idf is that of both domains together.

    Args:
        terms: Words by item.
        topic_weights: (items, topics), zeros for an item without topics.
    """
    counts = terms.counts
    has = sparse.csr_matrix((np.ones(counts.nnz), counts.indices, counts.indptr), shape=counts.shape)
    total = topic_weights.sum(axis=1, keepdims=True)
    root = np.sqrt(topic_weights / np.where(total > 0, total, 1))
    return Features(tfidf=tfidf(counts), has=has, sizes=np.diff(counts.indptr).astype(np.float64), root=root)


def blocks(data: Features, rows: np.ndarray, others: np.ndarray, settings: SimilaritySettings) -> Iterator[Block]:
    """Similarities of ``rows`` with ``others``, a block of rows at a time, in order.

    Topic similarity is one minus the Hellinger distance of the topic weights, zero where one side has none.
    The blend is the weighted mean of the three by the settings' weights.
    """
    words, has = sparse.csr_matrix(data.tfidf[others].T), sparse.csr_matrix(data.has[others].T)
    roots = np.ascontiguousarray(data.root[others].T)
    with_topics = data.root[others].any(axis=1)
    weights = np.array([settings.cosine_weight, settings.jaccard_weight, settings.topic_weight])
    weights = weights / weights.sum()
    step = max(1, _BLOCK_CELLS // max(1, len(others)))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        cosine = np.minimum((data.tfidf[part] @ words).toarray(), 1.0)
        jaccard = (data.has[part] @ has).toarray()
        union = data.sizes[part][:, None] + data.sizes[others][None, :] - jaccard
        np.divide(jaccard, union, out=jaccard, where=union > 0)
        topic = np.minimum(data.root[part] @ roots, 1.0)
        np.subtract(1.0, topic, out=topic)
        np.subtract(1.0, np.sqrt(topic, out=topic), out=topic)
        topic *= data.root[part].any(axis=1)[:, None] & with_topics[None, :]
        similarity = weights[0] * cosine + weights[1] * jaccard + weights[2] * topic
        yield Block(similarity, cosine, jaccard, topic)


def similar_items(
    terms: TermMatrix,
    topic_weights: np.ndarray,
    *,
    on_sale: np.ndarray,
    domains: tuple[str, ...],
    settings: SimilaritySettings,
) -> pa.Table:
    """The most similar items of each item, for each domain of the other.

    Args:
        terms: Words by item.
        topic_weights: (items, topics).
        on_sale: Whether the item is on sale; others are asked about, but never the answer.
        domains: Domains in their order.
        settings: Weights, number of neighbours, least similarity.

    Returns:
        ``SIMILAR_SCHEMA`` by domain, item id, other domain, rank (1 = most similar); equal similarities by
        the other item's id; never the item itself; values rounded to 6 digits.
    """
    data = features(terms, topic_weights)
    tables = []
    for domain in domains:
        for other in domains:
            rows, others = terms.rows_of(domain), terms.rows_of(other)
            others = others[on_sale[others] & (data.sizes[others] > 0)]
            rows = rows[data.sizes[rows] > 0]
            if len(rows) and len(others):
                tables.append(_strongest(terms, data, rows, others, (domain, other), settings))
    if not tables:
        return SIMILAR_SCHEMA.empty_table()
    order = [("domain", "ascending"), ("item_id", "ascending"), ("other_domain", "ascending"), ("rank", "ascending")]
    return pa.concat_tables(tables).sort_by(order)


def _strongest(
    terms: TermMatrix,
    data: Features,
    rows: np.ndarray,
    others: np.ndarray,
    domains: tuple[str, str],
    settings: SimilaritySettings,
) -> pa.Table:
    found: list[tuple[np.ndarray, ...]] = []
    start = 0
    for block in blocks(data, rows, others, settings):
        part = rows[start : start + len(block.similarity)]
        start += len(part)
        if domains[0] == domains[1]:
            block.similarity[part[:, None] == others[None, :]] = -1.0
        row, column, rank = _top(block.similarity, settings.neighbours, settings.min_similarity)
        strengths = (array[row, column] for array in (block.similarity, block.cosine, block.jaccard, block.topic))
        found.append((part[row], others[column], rank, *strengths))
    item, other, rank, *values = [np.concatenate(column) for column in zip(*found, strict=True)]
    columns = {
        "domain": pa.array([domains[0]] * len(item), pa.string()),
        "item_id": pa.array(terms.item_ids[item], pa.string()),
        "other_domain": pa.array([domains[1]] * len(item), pa.string()),
        "rank": pa.array(rank, pa.int32()),
        "other_item_id": pa.array(terms.item_ids[other], pa.string()),
    }
    for name, value in zip(("similarity", "cosine", "jaccard", "topic"), values, strict=True):
        columns[name] = pa.array(np.round(value, _DIGITS) + 0.0, pa.float64())
    return pa.table(columns, schema=SIMILAR_SCHEMA)


def _top(similarity: np.ndarray, count: int, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and rank of each row's strongest cells, by rounded value, then column (which is id order)."""
    width = similarity.shape[1]
    keep = min(count, width)
    # Everything that may round to the last place's value is a candidate; then the order is settled exactly.
    last = np.partition(similarity, width - keep, axis=1)[:, width - keep]
    row, column = np.nonzero(similarity >= np.maximum(last - 2 * 10.0**-_DIGITS, 0.0)[:, None])
    value = np.round(similarity[row, column], _DIGITS)
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row) + 1
    kept = (rank <= keep) & (value >= least)
    return row[kept], column[kept], rank[kept]
