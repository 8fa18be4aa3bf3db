"""What follows what: pairs of items a few steps apart in people's sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.interactions import Ints
from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.protocols import DAY
from crossdomain.recommend.offline.sources.base import Asked, Block, Source
from crossdomain.recommend.offline.sources.knn import Weights, compact, greatest, product


@dataclass(frozen=True)
class Transitions(Source):
    """Items that followed those of the history, the nearer and the more often, the better.

    A pair g steps apart weighs ``step_decay^(g-1)``, halved per half-life of the time between, and nothing across a
    pause that ends a session; its sum is divided by the powers of how often the items are met.

    Attributes:
        window: Most steps between the items of a pair.
        step_decay: Factor of each further step.
        gap_days: Half-life of the time between the items of a pair; 0 for none.
        gap_minutes: Pause after which a new session begins; steps stay within one. 0: a history is one session.
        backward: Weight of a pair in the other order.
        source_power: Exponent of the item in the history.
        target_power: Exponent of the item that is scored.
        shrink: Added to the denominator.
        place_decay: See ``Asked.weighed``.
    """

    window: int = 5
    step_decay: float = 0.8
    gap_days: float = 0.0
    gap_minutes: float = 0.0
    backward: float = 0.5
    source_power: float = 0.5
    target_power: float = 0.5
    shrink: float = 0.0
    place_decay: float = 0.8

    name: ClassVar[str] = "transitions"
    learned_by: ClassVar[tuple[str, ...]] = (
        "window", "step_decay", "gap_days", "gap_minutes", "backward", "source_power", "target_power", "shrink"
    )  # fmt: skip
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "window": (3, 10, 20),
        "step_decay": (0.6, 0.8, 0.95),
        "gap_days": (0, 7, 30, 120),
        "backward": (0, 0.25, 0.5, 1),
        "source_power": (0.25, 0.5, 0.75, 1),
        "target_power": (0, 0.25, 0.5),
        "shrink": (0, 1, 10),
        "place_decay": (0.9, 0.8, 0.6, 0.4),
    }
    costly: ClassVar[Mapping[str, tuple[float, ...]]] = {"gap_minutes": (30, 1440)}
    views: ClassVar[tuple[str, ...]] = ("all", "last")

    def learn(self, train: Log, *, seed: int, threads: int) -> Weights:
        """Weights of the pairs, items of the history × items that followed."""
        items = len(train.names.item_ids)
        total = sp.csr_matrix((items, items), dtype=np.float32)
        session = self._sessions(train)
        for step in range(1, self.window + 1):
            same = session[step:] == session[:-step]
            before, after = train.item[:-step][same], train.item[step:][same]
            weight = np.full(len(before), self.step_decay ** (step - 1))
            if self.gap_days and train.timed:
                gap = (train.ts[step:] - train.ts[:-step])[same]
                weight *= np.power(0.5, gap / (DAY * self.gap_days))
            total = total + sp.csr_matrix((weight.astype(np.float32), (before, after)), shape=(items, items))
        if self.backward:
            total = (total + self.backward * total.T).tocsr()
        size = np.maximum(train.counts, 1)
        rows = np.repeat(np.arange(items), np.diff(total.indptr))
        below = size[rows] ** self.source_power * size[total.indices] ** self.target_power + self.shrink
        data = (total.data / below).astype(np.float32)
        return compact(greatest(sp.csr_matrix((data, total.indices, total.indptr), shape=total.shape), 1000))

    def _sessions(self, train: Log) -> Ints:
        """Number of each interaction's session; no two people share one."""
        begins = np.ones(len(train), dtype=bool)
        begins[1:] = train.user[1:] != train.user[:-1]
        if self.gap_minutes and train.timed:
            begins[1:] |= np.diff(train.ts) > 60 * self.gap_minutes
        return np.cumsum(begins)

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Sum over the weighed history of what followed."""
        return product(asked.weighed(place_decay=self.place_decay, view=view), state, asked.span)
