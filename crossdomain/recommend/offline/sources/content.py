"""Content neighbours: items whose texts use the same words, also items that nobody met yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from crossdomain.recommend.interactions import Ints
from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.sources.base import Asked, Block, Source
from crossdomain.recommend.offline.sources.knn import greatest, product

_ROWS = 512
_MOST_COMMON = 0.5


@dataclass(frozen=True)
class Content(Source):
    """Items whose texts (title, description, tags of the catalogue) are nearest to those of the history.

    The similarity is the cosine of TF-IDF vectors, ``(1 + log tf) * (1 + log((1 + n) / (1 + df)))``, of the words as
    the platform's tokenizer cuts them. The words of the whole catalogue count, those of items that are new at
    test time too; who met what does not.

    Attributes:
        neighbours: Nearest items of each domain that are kept of each item.
        popularity_power: Scores are multiplied by the number of people who met the item, plus one, to this power.
        place_decay: See ``Asked.weighed``.
        half_life_days: See ``Asked.weighed``.
        across: See ``Asked.weighed``.
    """

    neighbours: int = 100
    popularity_power: float = 0.0
    place_decay: float = 1.0
    half_life_days: float = 0.0
    across: float = 1.0

    name: ClassVar[str] = "content"
    learned_by: ClassVar[tuple[str, ...]] = ("neighbours",)
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "neighbours": (20, 100, 300),
        "popularity_power": (0, 0.25, 0.5, 1),
        "place_decay": (1, 0.95, 0.9, 0.8, 0.6),
        "half_life_days": (0, 30, 120, 480),
        "across": (1, 0.75, 0.5, 0.25),
    }
    views: ClassVar[tuple[str, ...]] = ("all", "across", "last")

    def applies(self, train: Log) -> bool:
        """Needs two items with texts."""
        texts = train.names.texts
        return texts is not None and _described(texts) > 1

    def learn(self, train: Log, *, seed: int, threads: int) -> tuple[sp.csr_matrix, Block]:
        """Similarities, items of the history × items that are scored, and how many people met each item."""
        assert train.names.texts is not None
        vectors = _vectors(train.names.texts)
        domains = len(train.names.domains)
        parts = [_nearest(vectors, train.names.span(domain), self.neighbours) for domain in range(domains)]
        return sp.hstack(parts, format="csr"), train.counts.astype(np.float32)

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Sum of the similarities to the weighed history."""
        similar, counts = state
        weighed = asked.weighed(
            place_decay=self.place_decay, half_life_days=self.half_life_days, across=self.across, view=view
        )
        scores = product(weighed, similar, asked.span)
        if self.popularity_power:
            scores *= np.power(counts[asked.span] + 1, np.float32(self.popularity_power))
        return scores


def _described(texts: pa.Array) -> int:
    return int(pc.sum(pc.greater(pc.utf8_length(texts), 0)).as_py() or 0)


def _vectors(texts: pa.Array) -> sp.csr_matrix:
    """Unit TF-IDF vectors; words of one item, or of more than half of all, say nothing about neighbours."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    from crossdomain.text.tokens import make_tokenizer

    cut = make_tokenizer()
    words = [cut.tokens(text) for text in texts.to_pylist()]
    known = Counter(word for text in words for word in set(text))
    most = max(2, int(_MOST_COMMON * _described(texts)))
    chosen = sorted(word for word, items in known.items() if 2 <= items <= most)
    if not chosen:
        return sp.csr_matrix((len(words), 1), dtype=np.float32)
    weigh = TfidfVectorizer(analyzer=lambda text: text, vocabulary=chosen, sublinear_tf=True, dtype=np.float32)
    return weigh.fit_transform(words).tocsr()


def _nearest(vectors: sp.csr_matrix, span: slice, count: int) -> sp.csr_matrix:
    """Cosines of every item with the nearest of a span of items, itself left out; ties to the smaller item."""
    there = vectors[span].T.tocsr()
    parts = []
    for start in range(0, vectors.shape[0], _ROWS):
        found = (vectors[start : start + _ROWS] @ there).tocsr()
        rows: Ints = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr)) + start
        found.data[rows == found.indices + span.start] = 0
        found.eliminate_zeros()
        parts.append(greatest(found, count))
    return sp.vstack(parts, format="csr")
