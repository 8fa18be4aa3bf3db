"""EASE solved over people: for catalogues of many items that few people met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from crossdomain.recommend.interactions import Floats, Ints
from crossdomain.recommend.offline.kernels import compiled
from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.sources.base import Asked, Block, Source, few_people, person_weights


@dataclass(frozen=True)
class Solved:
    """What was learned.

    Attributes:
        scaled: People × items, the scaled log.
        inverse: ``(X X' + ridge)^-1``, people × people.
        gain: For each item ``1 / (1 - M_jj)``, M being ``X' inverse X``.
        scale: Factor of each item in ``scaled``.
        size: People who met each item, at least 1.
    """

    scaled: sp.csr_matrix
    inverse: Block
    gain: Block
    scale: Block
    size: Block


@dataclass(frozen=True)
class WideEase(Source):
    """Steck, Embarrassingly Shallow Autoencoders for Sparse Data (2019), in its dual form, over all items.

    With ``M = X' (X X' + ridge)^-1 X`` (Woodbury) the weights of EASE are ``M_ij / (1 - M_jj)``: the matrix that is
    inverted has the size of the people. Columns are scaled by popularity before (Park et al., Toward a Better
    Understanding of Linear Autoencoders, 2024), so that items of the tail speak too.

    Attributes:
        ridge: Added to the diagonal, in units of its mean.
        person_power: A person's weight is the length of the history to the power ``-person_power``.
        item_power: An item's column is divided by its number of people to this power, and its score multiplied by it.
        target_power: Scores are multiplied by the number of people who met the item to this power.
        place_decay: See ``Asked.weighed``.
        half_life_days: See ``Asked.weighed``.
        across: See ``Asked.weighed``.
    """

    ridge: float = 10.0
    person_power: float = 0.5
    item_power: float = 0.0
    target_power: float = 0.0
    place_decay: float = 1.0
    half_life_days: float = 0.0
    across: float = 1.0

    name: ClassVar[str] = "wide_ease"
    learned_by: ClassVar[tuple[str, ...]] = ("ridge", "person_power", "item_power")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "ridge": (1, 3, 10, 30, 100, 300),
        "person_power": (0, 0.5, 1),
        "item_power": (0, 0.25, 0.5),
        "target_power": (-0.75, -0.5, -0.25, 0, 0.25),
        "place_decay": (1, 0.95, 0.9, 0.8),
        "half_life_days": (0, 120, 480),
        "across": (1, 0.75, 0.5, 0.25),
    }

    def applies(self, train: Log) -> bool:
        """Affordable where people are few: the time grows with their third power."""
        return few_people(train)

    def learn(self, train: Log, *, seed: int, threads: int) -> Solved:
        """The inverse over people, and each item's part in itself."""
        people = np.flatnonzero(np.diff(train.indptr))
        size = np.maximum(train.counts, 1)
        scale = np.power(size, -self.item_power).astype(np.float32)
        weight = np.sqrt(person_weights(train.matrix, self.person_power)[people])
        scaled = (sp.diags_array(weight) @ train.matrix[people] @ sp.diags_array(scale)).tocsr().astype(np.float32)
        gram = (scaled @ scaled.T).toarray()
        gram[np.diag_indices_from(gram)] += np.float32(self.ridge) * gram.diagonal().mean()
        with threadpool_limits(limits=threads, user_api="blas"):
            inverse = inverted(gram)
        by_item = scaled.tocsc()
        own = np.empty(scaled.shape[1], dtype=np.float64)
        _own_parts(by_item.indptr, by_item.indices, by_item.data, inverse, own)
        gain = (1 / np.maximum(1 - own, 1e-3)).astype(np.float32)
        return Solved(scaled, inverse, gain, scale, size.astype(np.float32))

    def score(self, state: Solved, asked: Asked, view: str = "all") -> Block:
        """The weighed history times the weights."""
        history = asked.weighed(
            place_decay=self.place_decay, half_life_days=self.half_life_days, across=self.across, view=view
        )
        span = asked.span
        met = (history @ sp.diags_array(state.scale) @ state.scaled.T).toarray().astype(np.float32)
        with threadpool_limits(limits=1, user_api="blas"):
            mixed = met @ state.inverse
        factor = state.gain[span] * np.power(state.size[span], np.float32(self.item_power + self.target_power))
        out: Block = np.ascontiguousarray(mixed @ (state.scaled[:, span] @ sp.diags_array(factor)).tocsr())
        return out.astype(np.float32, copy=False)


def inverted(gram: Block) -> Block:
    """Inverse of a symmetric positive definite matrix; ``gram`` is overwritten."""
    factor, _ = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    half, failed = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=True)
    if failed:
        raise np.linalg.LinAlgError(f"the matrix over people has no inverse ({failed})")
    whole: Block = np.tril(half) + np.tril(half, -1).T
    return np.ascontiguousarray(whole, dtype=np.float32)


@compiled
def _own_parts(indptr: Ints, people: Ints, value: npt.NDArray[np.float32], inverse: Block, out: Floats) -> None:
    """``x' inverse x`` of each column x."""
    for item in range(len(indptr) - 1):
        total = 0.0
        for one in range(indptr[item], indptr[item + 1]):
            for other in range(indptr[item], indptr[item + 1]):
                total += value[one] * value[other] * inverse[people[one], people[other]]
        out[item] = total
