"""What people met, regressed on whom they resemble: exact where people are few, however many items there are."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from crossdomain.recommend.interactions import Bools, Floats
from crossdomain.recommend.offline.log import Log, Names
from crossdomain.recommend.offline.sources.base import Asked, Block, Source, few_people, known_sides, person_weights


@dataclass(frozen=True)
class PersonRidge(Source):
    """Saunders, Gammerman, Vovk, Ridge Regression Learning Algorithm in Dual Variables (1998), of items on people.

    The kernel of two people is the cosine of their histories. People known in the target domain are compared by
    everything they met with everybody known there; the others by the other domains, with everybody known there and in
    the target domain: so nobody's unknown side counts as a no. A person's own history has no say in what is new to the
    person: scores of unmet items are proportional to those without the person's own row.

    Attributes:
        ridge: Added to the kernel's diagonal, which is 1.
        item_power: An item's weight in the kernel is its number of people to the power ``-item_power``.
        person_power: What a person met weighs the number of items to the power ``-person_power``.
        popularity_power: Scores are multiplied by the number of people who met the item to this power.
        place_decay: See ``Asked.weighed``; for the person who is asked about.
    """

    ridge: float = 1.0
    item_power: float = 0.5
    person_power: float = 0.0
    popularity_power: float = 0.0
    place_decay: float = 1.0

    name: ClassVar[str] = "person_ridge"
    learned_by: ClassVar[tuple[str, ...]] = ("ridge", "item_power", "person_power")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "ridge": (0.1, 0.3, 1, 3, 10, 30),
        "item_power": (0, 0.25, 0.5, 0.75),
        "person_power": (0, 0.25, 0.5),
        "popularity_power": (-0.25, 0, 0.25, 0.5),
        "place_decay": (1, 0.95, 0.9, 0.8),
    }

    def applies(self, train: Log) -> bool:
        """Affordable where people are few: the time grows with their third power."""
        return few_people(train)

    def learn(self, train: Log, *, seed: int, threads: int) -> Any:
        """Weights of items, people who met each item, and a solver for each domain and side."""
        matrix = train.matrix
        items = np.power(np.maximum(train.counts, 1), -self.item_power)
        known = known_sides(train.names, matrix)
        wanted = [(domain, side) for domain in range(known.shape[1]) for side in ("known", "new")]

        def solver(one: tuple[int, str]) -> _Solver | None:
            domain, side = one
            people = known[:, domain].copy()
            if side == "new":
                people &= np.delete(known, domain, axis=1).any(axis=1)
            if not people.any():
                return None
            return _Solver.of(train, people, domain, self._seen(train.names, items, domain, side), self)

        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            solvers = dict(zip(wanted, pool.map(solver, wanted), strict=True))
        return items, train.counts, solvers

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Sums over people of their coefficient, where they met an item."""
        items, counts, solvers = state
        weighed = asked.weighed(place_decay=self.place_decay, view=view)
        warm = known_sides(asked.history.names, weighed)[:, asked.domain]
        out = np.zeros((len(asked.user), asked.span.stop - asked.span.start), dtype=np.float32)
        for side, chosen in (("known", warm), ("new", ~warm)):
            rows, solver = np.flatnonzero(chosen), solvers[asked.domain, side]
            if len(rows) and solver is not None:
                seen = self._seen(asked.history.names, items, asked.domain, side)
                out[rows] = solver.scores(_unit_rows(weighed[rows], seen))
        if self.popularity_power:
            out *= np.power(counts[asked.span] + 1, self.popularity_power).astype(np.float32)
        return out

    def _seen(self, names: Names, items: Floats, domain: int, side: str) -> Floats:
        """Weights of the items that people are compared by."""
        return items if side == "known" else np.where(names.item_domain == domain, 0, items)


@dataclass(frozen=True)
class _Solver:
    """The regression for one domain.

    Attributes:
        compared: Items × people of the regression, unit columns.
        factor: Cholesky factor of the kernel with its ridge.
        met: Items of the domain × people, weighed by person.
    """

    compared: sp.csr_matrix
    factor: Any
    met: sp.csr_matrix

    @classmethod
    def of(cls, train: Log, people: Bools, domain: int, seen: Floats, settings: PersonRidge) -> _Solver:
        rows = train.matrix[np.flatnonzero(people)]
        unit = _unit_rows(rows, seen)
        kernel = (unit @ unit.T).toarray()
        kernel[np.diag_indices_from(kernel)] += np.float32(settings.ridge)
        factor = scipy.linalg.cho_factor(kernel, lower=True, overwrite_a=True, check_finite=False)
        here = rows[:, train.names.span(domain)]
        weights = sp.diags_array(person_weights(here, settings.person_power)).tocsr()
        return cls(unit.T.tocsr(), factor, (weights @ here).T.tocsr().astype(np.float32))

    def scores(self, unit: sp.csr_matrix) -> Block:
        """People × items of the domain."""
        alike = (unit @ self.compared).toarray()
        share = scipy.linalg.cho_solve(self.factor, alike.T, overwrite_b=True, check_finite=False)
        scores: Block = np.ascontiguousarray((self.met @ share).T)
        return scores


def _unit_rows(matrix: sp.csr_matrix, items: Floats) -> sp.csr_matrix:
    """Rows with weighed columns, of length 1; rows without weight stay empty."""
    weighed = (matrix @ sp.diags_array(items)).tocsr()
    weighed.eliminate_zeros()
    length = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    unit = sp.diags_array(1 / np.maximum(length, 1e-12)).tocsr() @ weighed
    return sp.csr_matrix(unit, dtype=np.float32)
