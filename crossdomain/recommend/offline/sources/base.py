"""The one interface of all sources, and how a history is weighed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from crossdomain.recommend.folding import REASONS
from crossdomain.recommend.interactions import Bools, Ints
from crossdomain.recommend.offline.log import Codes, Log, Names
from crossdomain.recommend.offline.protocols import DAY

Block = npt.NDArray[np.float32]
_MOST_PEOPLE = 8_000
_MOST_ITEMS = 14_000


@dataclass(frozen=True)
class Asked:
    """A block of people who are asked about in one domain.

    Attributes:
        history: What is known about people.
        domain: Target domain.
        user: Person of each row.
        moment: Time of each row in seconds.
    """

    history: Log
    domain: int
    user: Codes
    moment: Ints

    @property
    def span(self) -> slice:
        """Where the target domain's items lie."""
        return self.history.names.span(self.domain)

    def weighed(
        self, *, place_decay: float = 1.0, half_life_days: float = 0.0, across: float = 1.0, view: str = "all"
    ) -> sp.csr_matrix:
        """Histories as rows × all items.

        Args:
            place_decay: Weight of an interaction falls by this factor with each later one of the person.
            half_life_days: Age at which an interaction weighs half; 0 for no decay, as for a log without times.
            across: Weight of an interaction with another domain than the target.
            view: ``all``; ``within`` or ``across``: only the target domain, or only the others; ``last``: only the
                last interaction; ``day``: only those of the day of the last one.

        Returns:
            float32; interactions with one item add up.
        """
        log = self.history
        begin, end = log.indptr[self.user], log.indptr[self.user + 1]
        lengths = end - begin
        rows = np.repeat(np.arange(len(self.user)), lengths)
        at = np.arange(lengths.sum()) + np.repeat(begin - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        weight = log.weight[at].astype(np.float64)
        if place_decay != 1:
            weight *= np.power(place_decay, log.from_end[at])
        if half_life_days and log.timed:
            weight *= np.power(0.5, np.maximum(self.moment[rows] - log.ts[at], 0) / (DAY * half_life_days))
        if across != 1:
            weight[log.domain[at] != self.domain] *= across
        keep = self._view(log, at, rows, end, view)
        shape = (len(self.user), len(log.names.item_ids))
        found = sp.csr_matrix((weight[keep].astype(np.float32), (rows[keep], log.item[at[keep]])), shape=shape)
        found.sum_duplicates()
        return found

    def _view(self, log: Log, at: Ints, rows: Ints, end: Ints, view: str) -> Any:
        if view == "within":
            return log.domain[at] == self.domain
        if view == "across":
            return log.domain[at] != self.domain
        if view == "last":
            return log.from_end[at] == 0
        if view == "day":
            return log.ts[at] // DAY == log.ts[np.maximum(end - 1, 0)][rows] // DAY
        return slice(None)


class Source:
    """Settings of a source; ``learn`` gives what it knows, ``score`` uses that.

    Attributes:
        name: Name in settings, tables and features.
        learned_by: Settings that ``learn`` depends on; the others only change scores.
        space: Values of each setting that a search may try.
        costly: Values that it may try at the end, for the best settings only.
        views: Histories it may be asked with; see ``Asked.weighed``.
        explains: Whether ``explain`` names items.
    """

    name: ClassVar[str]
    learned_by: ClassVar[tuple[str, ...]] = ()
    space: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    costly: ClassVar[Mapping[str, tuple[float, ...]]] = {}
    views: ClassVar[tuple[str, ...]] = ("all",)
    explains: ClassVar[bool] = False

    def applies(self, train: Log) -> bool:
        """Whether the source makes sense, and is affordable, on this log."""
        return len(train) > 0

    def learn(self, train: Log, *, seed: int, threads: int) -> Any:
        """What the source knows from a log; holds no reference to the truth."""
        raise NotImplementedError

    def score(self, state: Any, asked: Asked, view: str = "all") -> Block:
        """Scores of all items of the target domain, people × items, higher is better; finite."""
        raise NotImplementedError

    def explain(self, state: Any, asked: Asked, item: Codes) -> Codes:
        """The items of each history that add most to the scores of some items.

        Args:
            state: What ``learn`` gave.
            asked: People.
            item: People × k items of the target domain; -1 for none.

        Returns:
            People × k × ``REASONS`` items, the strongest first, ties to the earlier item; -1 where fewer add anything,
            and for all of a source whose scores are no sum over the history.
        """
        return np.full((*item.shape, REASONS), -1, dtype=np.int32)

    def key(self) -> tuple[Any, ...]:
        """Names what ``learn`` gives: sources with the same key share it."""
        return (self.name, *(getattr(self, name) for name in self.learned_by))

    def as_settings(self) -> dict[str, Any]:
        """Settings by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


def few_people(log: Log) -> bool:
    """Whether a matrix over the people who met anything can be inverted: the time grows with their third power."""
    return 0 < int((np.diff(log.indptr) > 0).sum()) <= _MOST_PEOPLE


def few_items(log: Log) -> bool:
    """Whether a matrix over the items that were met can be inverted: the time grows with their third power."""
    return 0 < int((log.counts > 0).sum()) <= _MOST_ITEMS


def person_weights(matrix: sp.csr_matrix, power: float) -> Block:
    """Weight of each person's row as evidence: the number of items to the power ``-power``."""
    size = np.maximum(np.diff(matrix.indptr), 1)
    weight: Block = np.power(size.astype(np.float64), -power).astype(np.float32)
    return weight


def known_sides(names: Names, matrix: sp.csr_matrix) -> Bools:
    """People × domains: in which of them each row has cells."""
    sides = [np.diff(matrix[:, names.span(domain)].indptr) > 0 for domain in range(len(names.domains))]
    return np.stack(sides, axis=1)


def sided(names: Names, matrix: sp.csr_matrix) -> list[tuple[Ints, tuple[int, ...]]]:
    """Rows by the set of domains they have cells in, each with these domains; rows without cells apart."""
    known = known_sides(names, matrix)
    groups, which = np.unique(known, axis=0, return_inverse=True)
    out = []
    for number, group in enumerate(groups):
        if group.any():
            domains = tuple(int(domain) for domain in np.flatnonzero(group))
            out.append((np.flatnonzero(which.ravel() == number), domains))
    return out
