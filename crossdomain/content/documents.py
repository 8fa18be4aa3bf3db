"""Items as documents: their words, and the sparse matrix of words by item that everything else reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from crossdomain.content.reading import Texts
from crossdomain.text.tokens import Tokenizer

TEXT_COLUMNS = ("title", "tags", "description", "text")
"""Columns of the catalogue that carry an item's text, in reading order."""

TOKEN_SCHEMA = pa.schema(
    [
        ("domain", pa.string()),
        ("item_id", pa.string()),
        ("content_hash", pa.string()),
        ("tokenizer", pa.string()),
        ("tokens", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True)
class Tokenised:
    """Tokens of a catalogue.

    Attributes:
        items: One row an item (``TOKEN_SCHEMA``), by domain and item id.
        read: Texts that were tokenised now; the rest came from the day before.
    """

    items: pa.Table
    read: int


@dataclass(frozen=True)
class TermMatrix:
    """Counts of words by item.

    Attributes:
        domains: Domain of each item (row).
        item_ids: Id of each item; rows are ordered by domain, then id.
        vocabulary: Words (columns), in code point order.
        counts: How often the item has the word; float64, columns sorted within a row.
    """

    domains: np.ndarray
    item_ids: np.ndarray
    vocabulary: np.ndarray
    counts: sparse.csr_matrix

    def rows_of(self, domain: str) -> np.ndarray:
        """Row numbers of one domain's items, in id order."""
        return np.flatnonzero(self.domains == domain)

    def of_rows(self, rows: np.ndarray) -> TermMatrix:
        """Some of the items, with the whole vocabulary."""
        return TermMatrix(
            self.domains[rows], self.item_ids[rows], self.vocabulary, sparse.csr_matrix(self.counts[rows])
        )


def tokenise(catalogue: pa.Table, previous: pa.Table, tokenizer: Tokenizer) -> Tokenised:
    """Tokens of every item of the catalogue; only texts that are new or changed are read.

    Args:
        catalogue: Columns domain, item_id, content_hash and ``TEXT_COLUMNS``; tags is a list. Any order.
        previous: Tokens of the day before (``TOKEN_SCHEMA``); empty on the first day.
        tokenizer: A row of ``previous`` counts only if its tokenizer is of the same version.

    Returns:
        Tokens by domain and item id.
    """
    catalogue = catalogue.sort_by([("domain", "ascending"), ("item_id", "ascending")])
    known = previous.filter(pc.equal(previous["tokenizer"], tokenizer.version))
    place = {key: row for row, key in enumerate(known["content_hash"].to_pylist())}
    hashes = catalogue["content_hash"].to_pylist()
    missing = [row for row, key in enumerate(hashes) if key not in place]
    new_texts = catalogue.select(TEXT_COLUMNS).take(pa.array(missing, pa.int64())).to_pylist()
    new_tokens = [tokenizer.tokens(_text(item)) for item in new_texts]
    for offset, row in enumerate(missing):
        place.setdefault(hashes[row], len(known) + offset)
    tokens = pa.chunked_array(
        [*known["tokens"].chunks, pa.array(new_tokens, pa.list_(pa.string()))], pa.list_(pa.string())
    )
    items = pa.table(
        {
            "domain": catalogue["domain"],
            "item_id": catalogue["item_id"],
            "content_hash": catalogue["content_hash"],
            "tokenizer": pa.array([tokenizer.version] * len(hashes), pa.string()),
            "tokens": tokens.take(pa.array([place[key] for key in hashes], pa.int64())),
        },
        schema=TOKEN_SCHEMA,
    )
    return Tokenised(items=items, read=len(missing))


def texts_of(items: pa.Table) -> Texts:
    """Words of items in reading order, the items as :func:`term_matrix` has them."""
    items = items.sort_by([("domain", "ascending"), ("item_id", "ascending")])
    return Texts.of(items["tokens"].to_pylist())


def term_matrix(items: pa.Table) -> TermMatrix:
    """Counts of words by item.

    Args:
        items: Columns domain, item_id, tokens (list of strings); any order.

    Returns:
        All words of all items, none left out.
    """
    items = items.select(["domain", "item_id", "tokens"]).sort_by([("domain", "ascending"), ("item_id", "ascending")])
    tokens = items["tokens"].combine_chunks()
    if isinstance(tokens, pa.ChunkedArray):
        tokens = pa.concat_arrays(tokens.chunks) if tokens.num_chunks else pa.array([], pa.list_(pa.string()))
    words = pc.list_flatten(tokens).dictionary_encode()
    rows = pc.list_parent_indices(tokens).to_numpy(zero_copy_only=False)
    codes, vocabulary = pd.factorize(words.to_pandas().astype(str), sort=True)
    counts = sparse.csr_matrix(
        (np.ones(len(codes)), (rows, codes)), shape=(len(items), len(vocabulary)), dtype=np.float64
    )
    counts.sum_duplicates()
    counts.sort_indices()
    return TermMatrix(
        domains=np.array(items["domain"].to_pylist(), dtype=object),
        item_ids=np.array(items["item_id"].to_pylist(), dtype=object),
        vocabulary=np.array(vocabulary, dtype=object),
        counts=counts,
    )


def tfidf(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """TF-IDF rows of length one (zero for an item without words): (1 + ln count) × idf.

    The idf of a word is ln((1 + n) / (1 + items with it)) + 1, as in scikit-learn with ``sublinear_tf``.
    """
    items = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log((1 + counts.shape[0]) / (1 + items)) + 1
    values = (1 + np.log(counts.data)) * idf[counts.indices]
    weighted = sparse.csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.where(length > 0, length, 1)) @ weighted)


def item_facts(
    items: pa.Table, *, domains: tuple[str, str]
) -> tuple[dict[str, dict[str, object]], dict[str, dict[str, object]]]:
    """For each domain what bundles say of an item, by item id.

    Args:
        items: Columns domain, item_id, title, creator, price, tokens.
        domains: The two domains in their order; items of others are refused.

    Returns:
        Mappings with the columns of the item's row.
    """
    sides: tuple[dict[str, dict[str, object]], dict[str, dict[str, object]]] = ({}, {})
    for fact in items.to_pylist():
        sides[domains.index(fact["domain"])][fact["item_id"]] = fact
    return sides


def _text(item: dict[str, object]) -> str:
    parts: list[str] = []
    for column in TEXT_COLUMNS:
        value = item[column]
        if isinstance(value, Sequence) and not isinstance(value, str):
            parts.extend(str(part) for part in value if part)
        elif value:
            parts.append(str(value))
    return "\n".join(parts)
