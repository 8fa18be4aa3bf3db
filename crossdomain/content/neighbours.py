"""The exact nearest items under a blend of similarities, through an inverted index.

For each item that asks, the posting lists of its terms are walked and the blend is added up for all items of
a block at once, so that the sums stay in the processor's cache; a heap for each item keeps the strongest. No
pair is left out and nothing is approximate: the cost is the number of shared terms over all pairs, about a
nanosecond each. An item is always worked on by one thread, in one order: the result does not depend on how
many threads there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

from crossdomain.content.features import Features, Floats, Ints

COMPONENTS = ("cosine", "ngram", "jaccard", "topic", "behaviour")
"""Parts of the blend, in the order of its weights."""
DIGITS = 6
"""Similarities are compared, ranked and stored with so many digits."""

SCALE = 10.0**DIGITS
"""Units of the last digit in 1."""
_BLOCK = 1 << 14
"""Items whose sums are held at once: three arrays of doubles, well inside a core's second cache."""
_PAIRS = 1 << 17
"""Pairs scored at once in a thread."""
_ROWS = 1 << 11
"""Items that ask at once in a thread."""


class Index(NamedTuple):
    """Sparse rows as plain arrays."""

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    data: Floats


@dataclass(frozen=True)
class Neighbours:
    """The strongest others of each row.

    Attributes:
        row: Position in the rows that asked; ascending.
        other: Position in the others; within a row the strongest first, equal ones ascending.
    """

    row: Ints
    other: Ints


@dataclass(frozen=True)
class Scores:
    """Similarity of pairs and its parts, rounded to ``DIGITS``.

    Attributes:
        micros: (pairs, 1 + components), in units of the last digit: the blend, then ``COMPONENTS`` in their order.
            Whole numbers compare exactly, and take half the room.
    """

    micros: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.micros)

    @property
    def similarity(self) -> Floats:
        """The blend of each pair."""
        return self.column(0)

    def part(self, name: str) -> Floats:
        """One of ``COMPONENTS`` of each pair."""
        return self.column(1 + COMPONENTS.index(name))

    def column(self, number: int) -> Floats:
        """The blend (0) or a component (from 1) of each pair."""
        values: Floats = self.micros[:, number] / SCALE
        return values

    def take(self, which: npt.NDArray[Any]) -> Scores:
        """Scores of some of the pairs, by mask or position."""
        return Scores(self.micros[which])


def nearest(
    data: Features,
    rows: Ints,
    others: Ints,
    *,
    weights: Sequence[float],
    count: int,
    least: float | Floats,
    behaviour: sparse.csr_matrix | None = None,
    threads: int = 2,
) -> Neighbours:
    """The ``count`` strongest of ``others`` for each of ``rows``, by rounded similarity, then position.

    Args:
        data: Features of all items.
        rows: Items that ask.
        others: Items that may be the answer, ascending; an item is never its own answer.
        weights: Weight of each of ``COMPONENTS``, adding up to 1.
        count: Most answers of a row.
        least: Weaker pairs are no answer; for all rows, or for each.
        behaviour: (items, items) co-behaviour of pairs; None counts as zero everywhere.
        threads: Threads; without influence on the result.
    """
    floor = np.maximum(1, np.broadcast_to(to_micros(least), len(rows)))
    weighed = np.asarray(weights, dtype=np.float64)
    best = np.zeros((len(rows), count), dtype=np.int64)
    place = np.full((len(rows), count), -1, dtype=np.int64)
    filled = np.zeros(len(rows), dtype=np.int64)
    asked = _Asking.of(data, rows)
    with ThreadPoolExecutor(threads) as pool:
        for start, lists in _blocks(data, rows, others, behaviour):

            def work(part: slice, start: int = start, lists: _Lists = lists) -> None:
                _ask(
                    part.start, part.stop, rows, *asked, *lists, weighed, start, floor, best, place, filled
                )  # fmt: skip

            for _ in pool.map(work, _parts(len(rows))):
                pass
    # Within a row by strength, then place; what was not filled comes last.
    strength = np.where(place >= 0, (10**DIGITS - best) * (len(others) + 1) + place, np.iinfo(np.int64).max)
    place = np.take_along_axis(place, np.argsort(strength, axis=1), axis=1)
    row, slot = np.nonzero(place >= 0)
    return Neighbours(row=row, other=place[row, slot])


def to_micros(values: float | Floats) -> npt.NDArray[np.int32]:
    """Similarities in units of the last digit."""
    return np.round(np.asarray(values) * SCALE).astype(np.int32)


def histogram(
    data: Features,
    rows: Ints,
    others: Ints,
    *,
    weights: Sequence[float],
    bins: int,
    behaviour: sparse.csr_matrix | None = None,
    threads: int = 2,
) -> Ints:
    """How many pairs of ``rows`` and ``others`` have a similarity in each of ``bins`` equal steps from 0 to 1.

    A bin holds its lower edge, the last one also 1; an item with itself is no pair. See :func:`nearest`.
    """
    weighed = np.asarray(weights, dtype=np.float64)
    parts = _parts(len(rows))
    counts = np.zeros((len(parts), bins), dtype=np.int64)
    asked = _Asking.of(data, rows)
    with ThreadPoolExecutor(threads) as pool:
        for _, lists in _blocks(data, rows, others, behaviour):

            def work(number: int, lists: _Lists = lists) -> None:
                _count(parts[number].start, parts[number].stop, rows, *asked, *lists, weighed, counts[number])

            for _ in pool.map(work, range(len(parts))):
                pass
    total: Ints = counts.sum(axis=0)
    return total


def score_pairs(
    data: Features,
    first: Ints,
    second: Ints,
    *,
    weights: Sequence[float],
    behaviour: sparse.csr_matrix | None = None,
    threads: int = 1,
) -> Scores:
    """Similarity of given pairs, with its parts.

    The blend is added up from the rounded parts: what is stored explains the score to the last digit.

    Args:
        data: Features of all items.
        first: Row of each pair's first item.
        second: Row of each pair's second item.
        weights: Weight of each of ``COMPONENTS``, adding up to 1.
        behaviour: (items, items) co-behaviour of pairs.
        threads: Threads; without influence on the result.
    """
    indices = [_index(part) for part in (data.words, data.grams, data.topics)]
    micros = np.zeros((len(first), 1 + len(COMPONENTS)), dtype=np.int32)

    def work(start: int) -> None:
        chunk = slice(start, start + _PAIRS)
        parts = np.zeros((len(COMPONENTS), len(first[chunk])))
        _score(data.sizes, first[chunk], second[chunk], indices, parts)
        if behaviour is not None:
            parts[4] = np.asarray(behaviour[first[chunk], second[chunk]]).ravel()
        rounded = np.round(np.minimum(parts, 1.0) * SCALE)
        blend = np.zeros(rounded.shape[1])
        for weight, part in zip(weights, rounded, strict=True):
            blend += weight * part
        micros[chunk, 0] = np.round(blend)
        micros[chunk, 1:] = rounded.T

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(0, len(first), _PAIRS)):
            pass
    return Scores(micros)


def _score(sizes: Floats, first: Ints, second: Ints, indices: Sequence[Index], parts: Floats) -> None:
    """Cosines, Jaccard index and topic similarity of pairs, into the rows of ``parts``."""
    cosine, ngram, jaccard, topic, _ = parts
    unused = np.zeros(len(first))
    _pair_sums(first, second, indices[0], cosine, jaccard)
    _pair_sums(first, second, indices[1], ngram, unused)
    _pair_sums(first, second, indices[2], topic, unused)
    np.divide(jaccard, sizes[first] + sizes[second] - jaccard, out=jaccard, where=jaccard > 0)
    np.subtract(1.0, np.sqrt(np.maximum(1.0 - topic, 0.0)), out=topic)


class _Asking(NamedTuple):
    """The items that ask: number of words, and their terms."""

    sizes: Floats
    words: Index
    grams: Index
    topics: Index

    @classmethod
    def of(cls, data: Features, rows: Ints) -> _Asking:
        return cls(data.sizes[rows], *(_index(part[rows]) for part in (data.words, data.grams, data.topics)))


class _Lists(NamedTuple):
    """A block of items that may answer: themselves, number of words, posting lists, co-behaviour with who asks."""

    items: Ints
    sizes: Floats
    words: Index
    grams: Index
    topics: Index
    behaviour: Index


def _blocks(
    data: Features, rows: Ints, others: Ints, behaviour: sparse.csr_matrix | None
) -> Iterator[tuple[int, _Lists]]:
    asking = behaviour[rows] if behaviour is not None else None
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK]
        words, grams, topics = (_postings(part[block]) for part in (data.words, data.grams, data.topics))
        known = asking[:, block].tocsr() if asking is not None else sparse.csr_matrix((len(rows), len(block)))
        yield start, _Lists(block, data.sizes[block], words, grams, topics, _index(known))


def _parts(rows: int) -> list[slice]:
    return [slice(start, min(start + _ROWS, rows)) for start in range(0, rows, _ROWS)]


def _index(matrix: sparse.csr_matrix) -> Index:
    return Index(
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float64, copy=False),
    )


def _postings(rows: sparse.csr_matrix) -> Index:
    """The rows of a block by term, small: it is their volume that the processor waits for."""
    lists = rows.T.tocsr()
    return Index(lists.indptr.astype(np.int64), lists.indices.astype(np.uint16), lists.data.astype(np.float32))


def _compiled(function: Any) -> Any:
    return numba.njit(nogil=True, error_model="numpy")(function)


@_compiled
def _worse(key: int, place: int, other_key: int, other_place: int) -> bool:
    return key < other_key or (key == other_key and place > other_place)


@_compiled
def _sift_up(keys: Any, places: Any, at: int) -> None:
    while at > 0:
        above = (at - 1) >> 1
        if not _worse(keys[at], places[at], keys[above], places[above]):
            return
        keys[at], keys[above] = keys[above], keys[at]
        places[at], places[above] = places[above], places[at]
        at = above


@_compiled
def _sift_down(keys: Any, places: Any, size: int) -> None:
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            return
        if below + 1 < size and _worse(keys[below + 1], places[below + 1], keys[below], places[below]):
            below += 1
        if not _worse(keys[below], places[below], keys[at], places[at]):
            return
        keys[at], keys[below] = keys[below], keys[at]
        places[at], places[below] = places[below], places[at]
        at = below


@_compiled
def _add(query: Any, row: int, lists: Any, weight: float, into: Any) -> None:
    for term in range(query.indptr[row], query.indptr[row + 1]):
        column = query.indices[term]
        value = weight * query.data[term]
        for posting in range(lists.indptr[column], lists.indptr[column + 1]):
            into[lists.indices[posting]] += value * lists.data[posting]


@_compiled
def _add_words(query: Any, row: int, lists: Any, weight: float, into: Any) -> None:
    """Adds to pairs of (weighted product, shared words), which lie side by side: one line of the cache each."""
    for term in range(query.indptr[row], query.indptr[row + 1]):
        column = query.indices[term]
        value = weight * query.data[term]
        for posting in range(lists.indptr[column], lists.indptr[column + 1]):
            other = lists.indices[posting]
            into[other, 0] += value * lists.data[posting]
            into[other, 1] += 1.0


@_compiled
def _blend(
    row: int, words: Any, grams: Any, topics: Any, size: float, block_sizes: Any,
    word_lists: Any, gram_lists: Any, topic_lists: Any, behaviour: Any, weights: Any,
    total: Any, root: Any, by_words: Any,
) -> None:  # fmt: skip
    """Leaves the blend of a row with every item of the block in ``total``."""
    total[:] = 0.0
    by_words[:] = 0.0
    root[:] = 0.0
    _add_words(words, row, word_lists, weights[0], by_words)
    _add(grams, row, gram_lists, weights[1], total)
    _add(topics, row, topic_lists, 1.0, root)
    for known in range(behaviour.indptr[row], behaviour.indptr[row + 1]):
        total[behaviour.indices[known]] += weights[4] * behaviour.data[known]
    for other in range(len(total)):
        both = by_words[other, 1]
        jaccard = both / (size + block_sizes[other] - both)
        topic = 1.0 - np.sqrt(max(1.0 - root[other], 0.0))
        total[other] += by_words[other, 0] + weights[2] * jaccard + weights[3] * topic


@_compiled
def _ask(
    begin: int, end: int, rows: Any, row_sizes: Any, words: Any, grams: Any, topics: Any,
    block: Any, block_sizes: Any, word_lists: Any, gram_lists: Any, topic_lists: Any, behaviour: Any,
    weights: Any, offset: int, floors: Any, best: Any, place: Any, filled: Any,
) -> None:  # fmt: skip
    width, count = len(block), best.shape[1]
    total, root, by_words = np.empty(width), np.empty(width), np.empty((width, 2))
    for row in range(begin, end):
        _blend(
            row, words, grams, topics, row_sizes[row], block_sizes, word_lists, gram_lists, topic_lists, behaviour,
            weights, total, root, by_words,
        )  # fmt: skip
        floor = floors[row]
        bar = best[row, 0] if filled[row] == count else floor - 1
        limit = (bar + 0.4) / SCALE
        for other in range(width):
            if total[other] <= limit or block[other] == rows[row]:
                continue
            key = int(np.floor(total[other] * SCALE + 0.5))
            if filled[row] < count:
                if key < floor:
                    continue
                at = filled[row]
                best[row, at], place[row, at] = key, offset + other
                filled[row] += 1
                _sift_up(best[row], place[row], at)
            else:
                if key <= best[row, 0]:
                    continue
                best[row, 0], place[row, 0] = key, offset + other
                _sift_down(best[row], place[row], count)
            if filled[row] == count:
                limit = (best[row, 0] + 0.4) / SCALE


@_compiled
def _pair_sums(first: Any, second: Any, rows: Any, product: Any, shared: Any) -> None:
    """Inner product and number of shared terms of each pair; the terms of a row ascend."""
    for pair in range(len(first)):
        a, a_end = rows.indptr[first[pair]], rows.indptr[first[pair] + 1]
        b, b_end = rows.indptr[second[pair]], rows.indptr[second[pair] + 1]
        total, both = 0.0, 0.0
        while a < a_end and b < b_end:
            if rows.indices[a] == rows.indices[b]:
                total += rows.data[a] * rows.data[b]
                both += 1.0
                a += 1
                b += 1
            elif rows.indices[a] < rows.indices[b]:
                a += 1
            else:
                b += 1
        product[pair] = total
        shared[pair] = both


@_compiled
def _count(
    begin: int, end: int, rows: Any, row_sizes: Any, words: Any, grams: Any, topics: Any,
    block: Any, block_sizes: Any, word_lists: Any, gram_lists: Any, topic_lists: Any, behaviour: Any,
    weights: Any, counts: Any,
) -> None:  # fmt: skip
    width, bins = len(block), len(counts)
    total, root, by_words = np.empty(width), np.empty(width), np.empty((width, 2))
    for row in range(begin, end):
        _blend(
            row, words, grams, topics, row_sizes[row], block_sizes, word_lists, gram_lists, topic_lists, behaviour,
            weights, total, root, by_words,
        )  # fmt: skip
        for other in range(width):
            if block[other] != rows[row]:
                key = int(np.floor(total[other] * SCALE + 0.5))
                counts[min(key * bins // int(SCALE), bins - 1)] += 1
