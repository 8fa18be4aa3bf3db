"""Confidence-weighted alternating least squares over all domains, people folded in from their weighed history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from crossdomain.recommend.folding import REASONS, Folding
from crossdomain.recommend.offline.log import Codes, Log, Names
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
        starts: Models from random starts of their own whose scores are averaged: where data are few each finds
            another optimum.
        across: See ``Asked.weighed``; for the fold-in.
    """

    factors: int = 64
    regularization: float = 1.0
    alpha: float = 10.0
    iterations: int = 12
    person_power: float = 0.0
    popularity_power: float = 0.0
    place_decay: float = 1.0
    half_life_days: float = 0.0
    across: float = 1.0
    starts: int = 1

    name: ClassVar[str] = "als"
    learned_by: ClassVar[tuple[str, ...]] = (
        "factors", "regularization", "alpha", "iterations", "person_power", "starts"
    )  # fmt: skip
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "factors": (32, 64, 128),
        "regularization": (0.1, 1, 5, 20, 60),
        "alpha": (2, 5, 10, 20, 40),
        "iterations": (8, 15),
        "person_power": (0, 0.5),
        "popularity_power": (-0.25, 0, 0.25, 0.5),
        "place_decay": (1, 0.95, 0.9, 0.8),
        "half_life_days": (0, 60, 240),
        "across": (1, 0.75, 0.5, 0.25),
    }
    costly: ClassVar[Mapping[str, tuple[float, ...]]] = {"starts": (4,)}
    explains: ClassVar[bool] = True

    def learn(self, train: Log, *, seed: int, threads: int) -> tuple[list[Folds], Block]:
        """Item factors of each start to fold in with, and how many people met each item."""
        starts = [self.factorised(train, seed=seed + start, threads=threads) for start in range(self.starts)]
        return starts, train.counts.astype(np.float32)

    def factorised(self, train: Log, *, seed: int, threads: int) -> Folds:
        """Item factors of one start, zeros for items that nobody met."""
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
        return Folds(found, self.regularization)

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Products of the people's vectors and the items', averaged over the starts."""
        starts, counts = state
        scores: Block = np.zeros((len(asked.user), asked.span.stop - asked.span.start), dtype=np.float32)
        for folds in starts:
            scores += self.vectors(folds, asked, view) @ folds.factors[asked.span].T / np.float32(len(starts))
        if self.popularity_power:
            scores *= np.power(counts[asked.span] + 1, np.float32(self.popularity_power))
        return scores

    def explain(self, state: Any, asked: Asked, item: Codes) -> Codes:
        """What adds most to the scores of the first start."""
        starts, _ = state
        first: Folds = starts[0]
        return first.reasons(asked.history.names, self._confidence(asked, "all"), item)

    def vectors(self, folds: Folds, asked: Asked, view: str = "all") -> Block:
        """Least-squares vectors of people; what they did not meet is a weak no only in domains they are known in."""
        return folds.people(asked.history.names, self._confidence(asked, view))

    def _confidence(self, asked: Asked, view: str) -> sp.csr_matrix:
        weighed = asked.weighed(
            place_decay=self.place_decay, half_life_days=self.half_life_days, across=self.across, view=view
        )
        weighed.data *= self.alpha
        return weighed


@dataclass(frozen=True)
class Folds:
    """Item factors that people are folded in with, prepared once for each set of domains that people are known in.

    Attributes:
        factors: Items × factors.
        regularization: Ridge.
    """

    factors: Block
    regularization: float
    _prepared: dict[tuple[int, ...], Folding] = field(default_factory=dict)

    def people(self, names: Names, confidence: sp.csr_matrix) -> Block:
        """Vectors of people from their confidences, rows × factors; zeros for people without history.

        A cell weighs at least as much as one that was not met, whose confidence is 1.
        """
        out = np.zeros((confidence.shape[0], self.factors.shape[1]), dtype=np.float32)
        for people, domains in sided(names, confidence):
            found = np.zeros((len(people), out.shape[1]), dtype=np.float32)
            self._folding(names, domains).people(confidence[people], found)
            out[people] = found
        return out

    def reasons(self, names: Names, confidence: sp.csr_matrix, item: Codes) -> Codes:
        """The items of the histories that add most to the scores of some items; see ``Source.explain``."""
        out = np.full((*item.shape, REASONS), -1, dtype=np.int32)
        for people, domains in sided(names, confidence):
            out[people] = self._folding(names, domains).reasons(confidence[people], item[people].astype(np.int64))
        return out

    def _folding(self, names: Names, domains: tuple[int, ...]) -> Folding:
        if domains not in self._prepared:
            counted = np.flatnonzero(np.isin(names.item_domain, domains))
            self._prepared[domains] = Folding.of(self.factors, counted, self.regularization)
        return self._prepared[domains]
