"""Coherence of topics over texts: do the first words of a topic stand near each other?

The measures are gensim's ``c_npmi`` and ``c_v`` (Röder, Both and Hinneburg 2015), which are its oracle in the tests;
counted here by one sparse product for all topics, so that a model can be measured each time it is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from crossdomain.content.reading import Texts

NPMI_WINDOW, CV_WINDOW = 10, 110
"""Words of a window, as gensim has them for ``c_npmi`` and ``c_v``."""
_EPSILON = 1e-12


@dataclass(frozen=True)
class Nearness:
    """How often words stand in a window alone and together.

    Attributes:
        place: Column of each word that was asked for.
        together: Share of windows that have both words; on the diagonal the share that has the word.
    """

    place: dict[str, int]
    together: np.ndarray

    def npmi(self, words: Sequence[str]) -> np.ndarray:
        """Normalised pointwise mutual information of each pair of words, (words, words); unseen words are near none."""
        rows = np.array([self.place.get(word, -1) for word in words])
        known = np.flatnonzero(rows >= 0)
        both = np.zeros((len(words), len(words)))
        both[np.ix_(known, known)] = self.together[np.ix_(rows[known], rows[known])]
        alone = np.diag(both)
        by_chance = np.outer(alone, alone)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.log((both + _EPSILON) / by_chance) / -np.log(both + _EPSILON)
        return np.where(by_chance > 0, value, 0.0)


def nearness(texts: Texts, words: Sequence[str], window: int) -> Nearness:
    """Counts windows of words that slide over each text by one; a text shorter than the window is one window.

    Args:
        texts: The texts.
        words: Words of interest; others only take room.
        window: Words of a window.
    """
    wanted = sorted(set(words) & set(texts.vocabulary.tolist()))
    column = np.full(len(texts.vocabulary), -1, dtype=np.int64)
    column[np.searchsorted(texts.vocabulary, wanted)] = np.arange(len(wanted))
    lengths = np.diff(texts.starts)
    windows = np.maximum(lengths - window + 1, 1)
    first = np.concatenate([[0], np.cumsum(windows)])
    text = np.repeat(np.arange(len(lengths)), lengths)
    kept = np.flatnonzero(column[texts.words] >= 0)
    text, word = text[kept], column[texts.words[kept]]
    position = kept - texts.starts[text]
    # A word at position p lies in the windows that begin at p - window + 1 to p.
    low = np.maximum(position - window + 1, 0)
    high = np.minimum(position, windows[text] - 1)
    spans = high - low + 1
    row = np.repeat(first[text] + low - np.cumsum(spans) + spans, spans) + np.arange(spans.sum())
    has = sparse.csr_matrix(
        (np.ones(len(row), dtype=np.float32), (row, np.repeat(word, spans))), shape=(first[-1], len(wanted))
    )
    has.sum_duplicates()
    has.data[:] = 1.0
    together = (has.T @ has).toarray().astype(np.float64) / max(1, first[-1])
    return Nearness({word: place for place, word in enumerate(wanted)}, together)


def npmi(topics: Sequence[Sequence[str]], texts: Texts) -> np.ndarray:
    """``c_npmi`` of each topic: the mean NPMI of the pairs of its words in windows of ten.

    Args:
        topics: First words of each topic.
        texts: Texts to count in: those of the training, or better ones that the model has not seen.

    Returns:
        (topics,), -1 to 1, rounded to 6 digits. A pair that never meets counts about -0.5; so it is in gensim.
    """
    near = nearness(texts, [word for words in topics for word in words], NPMI_WINDOW)
    values = [near.npmi(words)[np.triu_indices(len(words), k=1)].mean() for words in topics]
    return np.round(np.array(values), 6)


def c_v(topics: Sequence[Sequence[str]], texts: Texts) -> np.ndarray:
    """``c_v`` of each topic: how alike the NPMI vectors of its words and of all of them are, in windows of 110.

    Args:
        topics: First words of each topic.
        texts: Texts to count in.

    Returns:
        (topics,), 0 to 1, rounded to 6 digits.
    """
    near = nearness(texts, [word for words in topics for word in words], CV_WINDOW)
    values = []
    for words in topics:
        vectors = near.npmi(words)
        total = vectors.sum(axis=0)
        length = np.linalg.norm(vectors, axis=1) * np.linalg.norm(total)
        values.append(float(np.mean(np.divide(vectors @ total, length, out=np.zeros(len(words)), where=length > 0))))
    return np.round(np.array(values), 6)
