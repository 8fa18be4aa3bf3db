"""Texts as the words that were read from them, in reading order: what phrases and coherence look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Texts:
    """Words of texts one after the other.

    Attributes:
        vocabulary: Different words, in code point order.
        words: Number of each word in the vocabulary, text by text.
        starts: Where each text begins in ``words``, and the end of the last one.
    """

    vocabulary: np.ndarray
    words: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, tokens: Sequence[Sequence[str]]) -> Texts:
        """The texts of lists of words; a text may have none."""
        codes, vocabulary = pd.factorize(np.array([word for text in tokens for word in text], dtype=object), sort=True)
        starts = np.concatenate([[0], np.cumsum([len(text) for text in tokens])]).astype(np.int64)
        return cls(np.asarray(vocabulary, dtype=object), codes.astype(np.int64), starts)

    def of_rows(self, rows: np.ndarray) -> Texts:
        """Some of the texts, with the whole vocabulary."""
        lengths = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(starts[-1])
        return Texts(self.vocabulary, self.words[places], starts)
