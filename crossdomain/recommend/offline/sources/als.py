"""Confidence-weighted alternating least squares over all domains, people folded in from their weighed history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.sources.base import Asked, Block, Source, person_weights, sided


@dataclass(frozen=True)
class Als(Source):
    """Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets (2008).

    Attributes:
        factors: Length of the vectors.
        regularization: Ridge, per observed cell of an average person.
        alpha: Confidence of an observed cell; that of the others is 1.
        iterations: Sweeps.
        person_power: Confidences are divided by the length of a person's history to this power, relative to the
            average person: the ridge then grows with the history.
        popularity_power: Scores are multiplied by the number of people who met the item to this power.
        place_decay: See ``Asked.weighed``; for the fold-in.
        half_life_days: See ``Asked.weighed``; for the fold-in.
    """

    factors: int = 64
    regularization: float = 1.0
    alpha: float = 10.0
    iterations: int = 12
    person_power: float = 0.0
    popularity_power: float = 0.0
    place_decay: float = 1.0
    half_life_days: float = 0.0

    name: ClassVar[str] = "als"
    learned_by: ClassVar[tuple[str, ...]] = ("factors", "regularization", "alpha", "iterations", "person_power")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "factors": (32, 64, 128),
        "regularization": (0.1, 1, 5, 20, 60),
        "alpha": (2, 5, 10, 20, 40),
        "iterations": (8, 15),
        "person_power": (0, 0.5),
        "popularity_power": (-0.25, 0, 0.25, 0.5),
        "place_decay": (1, 0.95, 0.9, 0.8),
        "half_life_days": (0, 60, 240),
    }

    def learn(self, train: Log, *, seed: int, threads: int) -> tuple[Block, Block]:
        """Item factors, zeros for items that nobody met, and how many people met each item."""
        matrix = train.matrix
        people = np.flatnonzero(np.diff(matrix.indptr))
        columns = np.unique(matrix.indices)
        weights = person_weights(matrix, self.person_power)
        weights = weights / max(float(weights[people].mean()), 1e-12)
        compact = (sp.diags_array(weights[people] * np.float32(self.alpha)) @ matrix[people][:, columns]).tocsr()
        found = np.zeros((matrix.shape[1], self.factors), dtype=np.float32)
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.factors, regularization=self.regularization, alpha=1.0, iterations=self.iterations,
                random_state=seed, num_threads=threads,
            )  # fmt: skip
            model.fit(sp.csr_matrix(compact, dtype=np.float32), show_progress=False)
        found[columns] = model.item_factors
        return found, train.counts.astype(np.float32)

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Products of the people's vectors and the items'."""
        factors, counts = state
        scores: Block = self.vectors(factors, asked, view) @ factors[asked.span].T
        if self.popularity_power:
            scores *= np.power(counts[asked.span] + 1, np.float32(self.popularity_power))
        return scores

    def vectors(self, factors: Block, asked: Asked, view: str = "all") -> Block:
        """Least-squares vectors of people; what they did not meet is a weak no only in domains they are known in."""
        weighed = asked.weighed(place_decay=self.place_decay, half_life_days=self.half_life_days, view=view)
        weighed.data *= self.alpha
        return folded(factors, weighed, asked, self.regularization)


def folded(factors: Block, confidence: sp.csr_matrix, asked: Asked, regularization: float) -> Block:
    """Vectors of people from their confidences, rows × factors; zeros for people without history."""
    out = np.zeros((confidence.shape[0], factors.shape[1]), dtype=np.float32)
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=factors.shape[1], regularization=regularization, alpha=1.0, num_threads=1
        )
        for people, items in sided(asked.history.names, confidence):
            model.item_factors = factors[items]
            model._YtY = None
            out[people] = model.recalculate_user(np.arange(len(people)), confidence[people][:, items].tocsr())
    return out
