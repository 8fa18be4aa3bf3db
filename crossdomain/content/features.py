"""What similarity reads of an item: TF-IDF of its words and of its title's character n-grams, topics.

An item's features depend on the item and on the term weights (idf) alone. Term weights are learned once and
kept until they are learned again, so that the similarity of two items that did not change stays the same to
the last bit while others come and go. That is what makes an increment exact.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from crossdomain.content.documents import TermMatrix
from crossdomain.text.normalise import normalise

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GRAM_LENGTHS = (2, 3)
"""Lengths of the character n-grams: two carry most Chinese words, three tell Latin names apart."""
_BITS = 21
"""Bits of a Unicode code point, so that three fit one integer."""


@dataclass(frozen=True)
class GramMatrix:
    """Counts of character n-grams by item.

    Attributes:
        vocabulary: N-grams (columns) as integers, ascending.
        counts: How often the item's title has the n-gram; columns sorted within a row.
    """

    vocabulary: npt.NDArray[np.uint64]
    counts: sparse.csr_matrix


@dataclass(frozen=True)
class TermWeights:
    """In how many items a term is, as of the day on which the weights were learned.

    Attributes:
        items: Number of items.
        words: Words in code point order, and ``word_items`` in how many items each is.
        word_items: Items with the word.
        grams: N-grams ascending.
        gram_items: Items with the n-gram.
    """

    items: int
    words: npt.NDArray[np.object_]
    word_items: Ints
    grams: npt.NDArray[np.uint64]
    gram_items: Ints

    def to_files(self) -> dict[str, bytes]:
        """The weights as files of a model."""
        numbers = io.BytesIO()
        np.savez(
            numbers,
            items=np.array([self.items]),
            word_items=self.word_items,
            grams=self.grams,
            gram_items=self.gram_items,
        )
        return {"terms.npz": numbers.getvalue(), "words.txt": "\n".join(self.words).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> TermWeights:
        """The weights back from their files."""
        with np.load(io.BytesIO(files["terms.npz"]), allow_pickle=False) as numbers:
            words = files["words.txt"].decode()
            return cls(
                items=int(numbers["items"][0]),
                words=np.array(words.split("\n") if words else [], dtype=object),
                word_items=numbers["word_items"],
                grams=numbers["grams"],
                gram_items=numbers["gram_items"],
            )


@dataclass(frozen=True)
class Features:
    """What similarity is computed from; rows are items, columns of a row ascend.

    Attributes:
        domains: Domain of each item.
        item_ids: Id of each item; rows are ordered by domain, then id.
        words: TF-IDF rows of length one, or empty for an item without words.
        grams: The same of character n-grams.
        topics: Square roots of the topic weights, rows of length one or empty.
    """

    domains: npt.NDArray[np.object_]
    item_ids: npt.NDArray[np.object_]
    words: sparse.csr_matrix
    grams: sparse.csr_matrix
    topics: sparse.csr_matrix

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def sizes(self) -> Floats:
        """Number of different words of each item."""
        sizes: Floats = np.diff(self.words.indptr).astype(np.float64)
        return sizes

    def rows_of(self, domain: str) -> Ints:
        """Row numbers of one domain's items, in id order."""
        return np.flatnonzero(self.domains == domain)

    def described(self) -> npt.NDArray[np.bool_]:
        """Whether an item has words: without any, nothing is similar to it."""
        described: npt.NDArray[np.bool_] = np.diff(self.words.indptr) > 0
        return described


def gram_matrix(titles: Sequence[str | None], lengths: Sequence[int] = GRAM_LENGTHS) -> GramMatrix:
    """Character n-grams of up to three characters of the normalised titles without white space, none across two."""
    plain = [normalise(title).replace(" ", "") for title in titles]
    sizes = np.array([len(text) for text in plain], dtype=np.int64)
    points = np.frombuffer("".join(plain).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(plain)), sizes)
    keys, rows = [], []
    for length in lengths:
        count = max(0, len(points) - length + 1)
        within = owner[:count] == owner[length - 1 :][:count]
        key = np.zeros(count, dtype=np.uint64)
        for place in range(length):
            key = (key << np.uint64(_BITS)) | points[place : place + count]
        keys.append(key[within])
        rows.append(owner[:count][within])
    vocabulary, column = np.unique(np.concatenate(keys), return_inverse=True)
    shape = (len(plain), len(vocabulary))
    counts = sparse.csr_matrix((np.ones(len(column)), (np.concatenate(rows), column)), shape=shape)
    counts.sum_duplicates()
    counts.sort_indices()
    return GramMatrix(vocabulary=vocabulary, counts=counts)


def learn_weights(terms: TermMatrix, grams: GramMatrix) -> TermWeights:
    """Term weights of a catalogue, both domains together."""
    return TermWeights(
        items=terms.counts.shape[0],
        words=terms.vocabulary,
        word_items=np.bincount(terms.counts.indices, minlength=len(terms.vocabulary)),
        grams=grams.vocabulary,
        gram_items=np.bincount(grams.counts.indices, minlength=len(grams.vocabulary)),
    )


def features(terms: TermMatrix, grams: GramMatrix, topic_weights: np.ndarray, weights: TermWeights) -> Features:
    """Features of all items of the term matrix.

    The weight of a term is (1 + ln count) × idf, the idf ln((1 + n) / (1 + items with it)) + 1, as in
    scikit-learn with ``sublinear_tf``; a term that the weights do not know is in no item.

    Args:
        terms: Words by item.
        grams: Character n-grams of the same items' titles.
        topic_weights: (items, topics), zeros for an item without topics.
        weights: Term weights in force.
    """
    known = _counts_of(terms.vocabulary, weights.words, weights.word_items)
    known_grams = _counts_of(grams.vocabulary, weights.grams, weights.gram_items)
    roots = sparse.csr_matrix(topic_weights, dtype=np.float64)
    total = np.bincount(_row_of(roots), weights=roots.data, minlength=roots.shape[0])
    roots.data = np.sqrt(roots.data / total[_row_of(roots)])
    return Features(
        domains=terms.domains,
        item_ids=terms.item_ids,
        words=_weighted(terms.counts, known, weights.items),
        grams=_weighted(grams.counts, known_grams, weights.items),
        topics=roots,
    )


def _counts_of(vocabulary: np.ndarray, known: np.ndarray, counts: Ints) -> Ints:
    """Items with each term of the vocabulary by the learned counts; both vocabularies ascend."""
    if not len(known):
        return np.zeros(len(vocabulary), dtype=np.int64)
    place = np.minimum(np.searchsorted(known, vocabulary), len(known) - 1)
    found: Ints = np.where(known[place] == vocabulary, counts[place], 0)
    return found


def _weighted(counts: sparse.csr_matrix, items_with: Ints, items: int) -> sparse.csr_matrix:
    idf = np.log((1 + items) / (1 + items_with)) + 1
    values = (1 + np.log(counts.data)) * idf[counts.indices]
    row = _row_of(counts)
    # bincount adds in the order of the terms, whatever the other rows are.
    length = np.sqrt(np.bincount(row, weights=values * values, minlength=counts.shape[0]))
    return sparse.csr_matrix((values / length[row], counts.indices, counts.indptr), shape=counts.shape)


def _row_of(matrix: sparse.csr_matrix) -> Ints:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
