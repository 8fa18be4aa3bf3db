"""EASE: the closed-form linear model of items from items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from crossdomain.recommend.offline.kernels import add_dense_rows
from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.sources.base import Asked, Block, Source, few_items, person_weights


@dataclass(frozen=True)
class Ease(Source):
    """Steck, Embarrassingly Shallow Autoencoders for Sparse Data (2019).

    ``B = I - P / diag(P)`` with ``P = (X'X + ridge)^-1``.

    Attributes:
        ridge: Added to the diagonal, per person of weight 1.
        person_power: See ``ItemKnn``.
        most_items: The most popular items that are modelled; the others score 0.
        place_decay: See ``Asked.weighed``.
        half_life_days: See ``Asked.weighed``.
        across: See ``Asked.weighed``.
    """

    ridge: float = 200.0
    person_power: float = 0.0
    most_items: int = 6000
    place_decay: float = 1.0
    half_life_days: float = 0.0
    across: float = 1.0

    name: ClassVar[str] = "ease"
    learned_by: ClassVar[tuple[str, ...]] = ("ridge", "person_power", "most_items")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "ridge": (10, 50, 200, 800),
        "person_power": (0, 0.5),
        "place_decay": (1, 0.95, 0.9, 0.8),
        "half_life_days": (0, 120, 480),
        "across": (1, 0.75, 0.5, 0.25),
    }

    def applies(self, train: Log) -> bool:
        """Affordable where the catalogue is small: the time grows with its third power."""
        return few_items(train)

    def learn(self, train: Log, *, seed: int, threads: int) -> tuple[Any, list[Block]]:
        """Modelled items, ascending, and the weights of all of them on those of each domain."""
        counts = train.counts
        most = np.lexsort((np.arange(len(counts)), -counts))[: self.most_items]
        items = np.sort(most[counts[most] > 0])
        matrix = train.matrix[:, items]
        people = person_weights(train.matrix, self.person_power)
        gram = (matrix.T @ (sp.diags_array(people) @ matrix)).toarray().astype(np.float32)
        ridge = self.ridge * float(np.mean(people[np.diff(train.indptr) > 0]))
        with threadpool_limits(limits=1, user_api="blas"):
            weights = closed_form(gram, ridge)
        domain = train.names.item_domain[items]
        return items, [np.ascontiguousarray(weights[:, domain == one]) for one in range(len(train.names.domains))]

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """The weighed history times the weights."""
        items, parts = state
        history = asked.weighed(
            place_decay=self.place_decay, half_life_days=self.half_life_days, across=self.across, view=view
        )
        span = asked.span
        out = np.zeros((len(asked.user), span.stop - span.start), dtype=np.float32)
        here = slice(*(int(x) for x in np.searchsorted(items, [span.start, span.stop])))
        known = history[:, items]
        found = np.zeros((len(out), here.stop - here.start), dtype=np.float32)
        add_dense_rows(known.indptr, known.indices, known.data, parts[asked.domain], 0, found)
        out[:, items[here] - span.start] = found
        return out


def closed_form(gram: Block, ridge: float) -> Block:
    """Weights of items on items, zero on the diagonal; ``gram`` is overwritten."""
    gram[np.diag_indices_from(gram)] += ridge
    factor, low = scipy.linalg.cho_factor(gram, overwrite_a=True, check_finite=False)
    inverse, failed = scipy.linalg.lapack.spotri(factor, lower=low, overwrite_c=True)
    if failed:
        raise np.linalg.LinAlgError(f"the Gram matrix has no inverse ({failed})")
    upper = np.tril(inverse) if low else np.triu(inverse)
    inverse = upper + upper.T
    diagonal = np.diag(inverse) / 2
    np.fill_diagonal(inverse, diagonal)
    weights: Block = (inverse / -diagonal).astype(np.float32)
    np.fill_diagonal(weights, 0)
    return weights
