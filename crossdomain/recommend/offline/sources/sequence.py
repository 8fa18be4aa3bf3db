"""What comes next: a linear model of the next items from the items before them, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.linalg
from threadpoolctl import threadpool_limits

from crossdomain.recommend.interactions import Floats
from crossdomain.recommend.offline.kernels import add_dense_rows, compiled
from crossdomain.recommend.offline.log import Codes, Log
from crossdomain.recommend.offline.sources.base import Asked, Block, Source, few_items

_NEGLIGIBLE = 1e-5


@dataclass(frozen=True)
class NextItem(Source):
    """Ridge regression of what follows on what was before, at every place of every sequence.

    At each place the regressors are the items before it, ``place_decay`` less for each step back, and what is explained
    are the item there and those after it, ``ahead_decay`` less for each step on: the transition part of Choi et al.,
    Session-aware Linear Item-Item Models for Session-based Recommendation (2021), with each person's places weighed by
    the length of the history to the power ``-person_power``. Unlike ``Transitions`` it counts once what several items
    of a history say together; unlike ``Ease`` it knows the order.

    Attributes:
        ridge: Added to the diagonal, per place of weight 1.
        place_decay: Factor of each further step back, in learning and in scoring.
        ahead_decay: Factor of each further step ahead; 0 for the very next item only.
        person_power: See above.
        popularity_power: Scores are multiplied by the number of people who met the item to this power.
        most_items: The most popular items that are modelled; the others score 0.
    """

    ridge: float = 50.0
    place_decay: float = 0.8
    ahead_decay: float = 0.5
    person_power: float = 0.0
    popularity_power: float = 0.0
    most_items: int = 6000

    name: ClassVar[str] = "next_item"
    learned_by: ClassVar[tuple[str, ...]] = ("ridge", "place_decay", "ahead_decay", "person_power", "most_items")
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "ridge": (2, 10, 50, 200, 800),
        "place_decay": (0.9, 0.8, 0.65, 0.5, 0.35),
        "ahead_decay": (0, 0.3, 0.6, 0.8, 0.9),
        "person_power": (0, 0.25, 0.5, 1),
        "popularity_power": (-0.25, -0.1, 0, 0.1),
    }
    views: ClassVar[tuple[str, ...]] = ("all", "last")

    def applies(self, train: Log) -> bool:
        """Affordable where the catalogue is small: the time grows with its third power."""
        longest = int(np.diff(train.indptr).max(initial=0))
        return longest > 1 and few_items(train)

    def learn(self, train: Log, *, seed: int, threads: int) -> tuple[Any, list[Block], Floats]:
        """Modelled items, ascending; the weights of all of them on those of each domain; people who met each item."""
        counts = train.counts
        most = np.lexsort((np.arange(len(counts)), -counts))[: self.most_items]
        items = np.sort(most[counts[most] > 0])
        place = np.full(len(counts), -1, dtype=np.int32)
        place[items] = np.arange(len(items))
        lengths = np.diff(train.indptr)
        weight = np.power(np.maximum(lengths, 1).astype(np.float64), -self.person_power)
        gram, follows = pairs(train.indptr, place[train.item], len(items), weight, self.place_decay, self.ahead_decay)
        places = np.maximum(lengths - 1, 0)
        ridge = self.ridge * float(weight @ places) / max(int(places.sum()), 1)
        gram[np.diag_indices_from(gram)] += ridge
        with threadpool_limits(limits=1, user_api="blas"):
            factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
            weights = scipy.linalg.cho_solve(factor, follows, overwrite_b=True, check_finite=False)
        domain = train.names.item_domain[items]
        parts = [np.ascontiguousarray(weights[:, domain == one]) for one in range(len(train.names.domains))]
        return items, parts, counts

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """The history, weighed by place, times the weights."""
        items, parts, counts = state
        span = asked.span
        here = slice(*(int(x) for x in np.searchsorted(items, [span.start, span.stop])))
        known = asked.weighed(place_decay=self.place_decay, view=view)[:, items]
        found = np.zeros((len(asked.user), here.stop - here.start), dtype=np.float32)
        add_dense_rows(known.indptr, known.indices, known.data, parts[asked.domain], 0, found)
        if self.popularity_power:
            found *= np.power(counts[items[here]], self.popularity_power).astype(np.float32)
        out = np.zeros((len(asked.user), span.stop - span.start), dtype=np.float32)
        out[:, items[here] - span.start] = found
        return out


def pairs(
    indptr: Any, item: Codes, items: int, weight: Floats, place_decay: float, ahead_decay: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The sums over all places of the outer products of the regressors with themselves, and with what follows.

    With b for ``place_decay`` and a for ``ahead_decay``: two items that are g steps apart, the later with r items after
    it, weigh ``b^g * (1 + b^2 + ... + b^(2(r-1)))`` as regressors of the same places, and as regressor and outcome the
    sum of ``b^k a^(g-1-k)`` over k from 0 to g-1. So each pair of a sequence is visited once.

    Args:
        indptr: Where each person's sequence begins.
        item: Column of each interaction; -1 for an item that is not modelled: it takes a place all the same.
        items: Number of columns.
        weight: Weight of each person's places.
        place_decay: More than 0, at most 1.
        ahead_decay: From 0, at most 1.

    Returns:
        Items × items each: the Gram matrix, and regressors × outcomes.
    """
    longest = int(np.diff(indptr).max(initial=1))
    steps = np.arange(longest, dtype=np.float64)
    back = place_decay**steps
    together = np.concatenate(([0.0], np.cumsum(back**2)))
    between = np.zeros(longest + 1)
    for gap in range(1, longest + 1):
        between[gap] = place_decay * between[gap - 1] + ahead_decay ** (gap - 1)
    reach = int(max(np.searchsorted(-back, -_NEGLIGIBLE), np.flatnonzero(between > _NEGLIGIBLE).max() + 1))
    gram = np.zeros((items, items), dtype=np.float32)
    follows = np.zeros((items, items), dtype=np.float32)
    _add_pairs(indptr, item, weight, back, together, between, reach, gram, follows)
    return gram, follows


@compiled
def _add_pairs(
    indptr: Any, item: Any, weight: Any, back: Any, together: Any, between: Any, reach: int, gram: Any, follows: Any
) -> None:
    for row in range(len(indptr) - 1):
        end = indptr[row + 1]
        for at in range(indptr[row], end):
            first = item[at]
            if first < 0:
                continue
            gram[first, first] += weight[row] * together[end - 1 - at]
            for later in range(at + 1, min(end, at + reach)):
                second = item[later]
                if second < 0:
                    continue
                both = weight[row] * back[later - at] * together[end - 1 - later]
                gram[first, second] += both
                gram[second, first] += both
                follows[first, second] += weight[row] * between[later - at]
