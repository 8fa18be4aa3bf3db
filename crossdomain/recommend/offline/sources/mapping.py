"""Vectors mapped between domains, for people who are known on one side only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.sources.als import Als
from crossdomain.recommend.offline.sources.base import Asked, Block, Source, known_sides


@dataclass(frozen=True)
class VectorMapping(Source):
    """Man et al., Cross-Domain Recommendation: An Embedding and Mapping Approach (2017).

    Each domain has factors of its own; a network of one hidden layer, learned on people known on both sides, gives
    a person's vector in the target domain from the vector in the other.

    Attributes:
        factors: Length of each domain's vectors.
        regularization: Ridge of each domain.
        alpha: Confidence of an observed cell.
        hidden: Width of the hidden layer.
        decay: Penalty of the network's weights.
        popularity_power: See ``Als``.
    """

    factors: int = 32
    regularization: float = 5.0
    alpha: float = 10.0
    hidden: int = 64
    decay: float = 0.01
    popularity_power: float = 0.0

    name: ClassVar[str] = "vector_mapping"
    learned_by: ClassVar[tuple[str, ...]] = ("factors", "regularization", "alpha", "hidden", "decay")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "factors": (16, 32),
        "regularization": (1, 5, 20),
        "alpha": (5, 10, 20),
        "decay": (0.01, 1),
        "popularity_power": (0, 0.25, 0.5),
    }

    def applies(self, train: Log) -> bool:
        """Needs two domains and people known in both."""
        return len(train.names.domains) == 2 and len(_shared(train)) > 4 * self.factors

    def learn(self, train: Log, *, seed: int, threads: int) -> Any:
        """Each domain's factors and popularity, and a network for each direction, by target domain."""
        from sklearn.neural_network import MLPRegressor

        als = Als(self.factors, self.regularization, self.alpha)
        parts = [als.factorised(train.where(train.domain == domain), seed=seed, threads=threads) for domain in (0, 1)]
        shared = _shared(train).astype(np.int32)
        moment = np.zeros(len(shared), dtype=np.int64)
        vectors = [als.vectors(parts[side], Asked(train, side, shared, moment), "within") for side in (0, 1)]
        networks = {}
        for target in (0, 1):
            network = MLPRegressor(
                hidden_layer_sizes=(self.hidden,),
                activation="tanh",
                alpha=self.decay,
                early_stopping=True,
                max_iter=200,
                random_state=seed,
            )
            networks[target] = network.fit(vectors[1 - target], vectors[target])
        return parts, networks, train.counts.astype(np.float32)

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Products of the mapped vectors and the target domain's factors; zeros without history on the other side."""
        parts, networks, counts = state
        als = Als(self.factors, self.regularization, self.alpha)
        here = als.vectors(
            parts[1 - asked.domain], Asked(asked.history, asked.domain, asked.user, asked.moment), "across"
        )
        mapped = networks[asked.domain].predict(here).astype(np.float32)
        mapped[~here.any(axis=1)] = 0
        scores: Block = mapped @ parts[asked.domain].factors[asked.span].T
        if self.popularity_power:
            scores *= np.power(counts[asked.span] + 1, np.float32(self.popularity_power))
        return scores


def _shared(train: Log) -> Any:
    return np.flatnonzero(known_sides(train.names, train.matrix)[:, :2].all(axis=1))
