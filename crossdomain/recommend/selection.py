"""The best k of scores that come a slice of columns at a time, compiled.

For each row a short buffer holds the columns that may still be among the best. Scores below the row's bar are passed
over, sixteen at a time, at the speed of reading; what passes is appended, and when the buffer is full its best k stay
and the worst of them becomes the bar. The bar starts at what the greatest of each eight of the first slice promise:
the k-th greatest of these maxima is at most the k-th greatest score.

Scores are compared as they are stored, rounded to ``DIGITS``, ties to the smaller id: the result is that of sorting
whole rows, whatever the order and width of the slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from crossdomain.recommend.interactions import Floats, Ints

DIGITS = 6
"""Scores are rounded to this many digits before they are compared and stored."""
_SCALE = 10.0**DIGITS
_LANE = 16
"""Scores that are held against the bar at once: a register of float32."""
_GROUP = 8
"""Scores whose greatest stands for them when the first bar is found."""
_SPARE = 192
"""Least room of a buffer beyond k: what passes the bar before the buffer is sorted out."""

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Selection:
    """The best of each row so far.

    Attributes:
        k: How many are wanted.
        units: Rows × room, scores in units of the last digit, in no order.
        ids: Their ids.
        count: How much of each row is filled.
        bar: Per row: a score below it cannot be among the best k.
        hidden: Columns of each row that must not be chosen, in the order in which they are offered.
        begin: Per row, where in ``hidden`` the first column lies that has not been offered.
    """

    k: int
    units: Floats
    ids: Ids
    count: Ints
    bar: Scores
    hidden: sp.csr_matrix
    begin: Ints

    @classmethod
    def of(cls, hidden: sp.csr_matrix, k: int) -> Selection:
        """Nothing chosen yet.

        Args:
            hidden: Rows × columns in the order in which they will be offered, indices sorted.
            k: How many are wanted.
        """
        rows = hidden.shape[0]
        room = k + max(_SPARE, k) + _LANE
        return cls(
            k=k,
            units=np.empty((rows, room)),
            ids=np.empty((rows, room), dtype=np.int32),
            count=np.zeros(rows, dtype=np.int64),
            bar=np.full(rows, -np.inf, dtype=np.float32),
            hidden=hidden,
            begin=hidden.indptr[:-1].astype(np.int64),
        )

    def offer(self, scores: Scores, first: int, ids: Ids, rows: Ints) -> None:
        """Takes in the next slice of columns.

        Args:
            scores: One line for each of ``rows``; -inf for what must not be chosen. Hidden cells are overwritten.
            first: Place of the slice's first column in the order of all.
            ids: Id of each column; none is offered twice.
            rows: The lines' rows; a row that misses a slice must miss all that follow.
        """
        bounds = self.hidden.indptr
        _hide(scores, first, rows, self.hidden.indices, self.begin, bounds)
        _offer(scores, ids, rows, self.k, self.units, self.ids, self.count, self.bar)

    def best(self) -> tuple[Ints, Floats]:
        """Ids and scores, rows × k, best first, ties to the smaller id; -1 and -inf where a row ends early."""
        item = np.full((len(self.count), self.k), -1, dtype=np.int64)
        score = np.full(item.shape, -np.inf)
        _finish(self.k, self.units, self.ids, self.count, item, score)
        return item, score


def _compiled(function: Any, **options: Any) -> Any:
    return numba.njit(nogil=True, error_model="numpy", **options)(function)


_compiled_wide = partial(_compiled, fastmath={"nnan", "nsz"})  # so that maxima are taken sixteen at a time


@_compiled_wide
def _group_maxima(line: Scores, maxima: Scores) -> None:
    for group in range(len(maxima)):
        start = group * _GROUP
        top = line[start]
        for place in range(start + 1, start + _GROUP):
            top = max(top, line[place])
        maxima[group] = top


@_compiled
def _kth_greatest(values: Scores, k: int) -> np.float32:
    """By quickselect; reorders the values."""
    low, high, wanted = 0, len(values) - 1, k - 1
    while low < high:
        pivot = values[(low + high) >> 1]
        left, right = low, high
        while left <= right:
            while values[left] > pivot:
                left += 1
            while pivot > values[right]:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            break
    found: np.float32 = values[wanted]
    return found


@_compiled
def _bar_of(units: float) -> np.float32:
    """What every float32 reaches that rounds to so many units or more."""
    if units == -np.inf:
        return np.float32(-np.inf)
    edge = (units - 0.5) / _SCALE
    return np.float32(edge - 2e-7 * abs(edge))  # the float32 next to the edge may lie above it


@_compiled
def _before(units: float, place: int, other_units: float, other_place: int) -> bool:
    return units > other_units or (units == other_units and place < other_place)


@_compiled
def _keep_best(units: Floats, ids: Ids, rounded: int, filled: int, k: int) -> tuple[int, np.float32]:
    """Rounds what is new and moves the best k to the front, by quickselect; how many there are, and their bar."""
    for place in range(rounded, filled):
        units[place] = np.rint(units[place] * _SCALE)
    if filled < k:
        return filled, np.float32(-np.inf)
    low, high, wanted = 0, filled - 1, k - 1
    while low < high:
        pivot, own = units[(low + high) >> 1], ids[(low + high) >> 1]
        left, right = low, high
        while left <= right:
            while _before(units[left], ids[left], pivot, own):
                left += 1
            while _before(pivot, own, units[right], ids[right]):
                right -= 1
            if left <= right:
                units[left], units[right] = units[right], units[left]
                ids[left], ids[right] = ids[right], ids[left]
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            break
    least = units[0]
    for place in range(1, k):
        least = min(least, units[place])
    return k, _bar_of(least)


@_compiled
def _hide(scores: Scores, first: int, rows: Ints, hidden: Ids, begin: Ints, bounds: Ids) -> None:
    last = first + scores.shape[1]
    for line in range(len(rows)):
        row = rows[line]
        place = begin[row]
        while place < bounds[row + 1] and hidden[place] < last:
            scores[line, hidden[place] - first] = -np.inf
            place += 1
        begin[row] = place


@_compiled_wide
def _offer(
    scores: Scores, ids: Ids, rows: Ints, k: int, all_units: Floats, all_ids: Ids, count: Ints, bars: Scores
) -> None:
    width = scores.shape[1]
    whole = width - width % _LANE
    full = all_units.shape[1] - _LANE
    maxima = np.empty(whole // _GROUP, dtype=np.float32)
    for number in range(len(rows)):
        row = rows[number]
        line, units, chosen = scores[number], all_units[row], all_ids[row]
        rounded = filled = count[row]
        bar = bars[row]
        if bar == -np.inf and filled == 0 and len(maxima) >= k:
            _group_maxima(line, maxima)
            bar = _bar_of(np.rint(np.float64(_kth_greatest(maxima, k)) * _SCALE))
        for start in range(0, whole, _LANE):
            top = line[start]
            for place in range(start + 1, start + _LANE):
                top = max(top, line[place])
            if top < bar or top == -np.inf:
                continue
            for place in range(start, start + _LANE):  # written in any case, kept if it passes: no branch
                units[filled] = line[place]
                chosen[filled] = ids[place]
                filled += line[place] >= bar
            if filled > full:
                filled, bar = _keep_best(units, chosen, rounded, filled, k)
                rounded = filled
        for place in range(whole, width):
            units[filled] = line[place]
            chosen[filled] = ids[place]
            filled += line[place] >= bar
        if filled >= k + k // 2 or filled > full:
            filled, bar = _keep_best(units, chosen, rounded, filled, k)
        else:
            for place in range(rounded, filled):
                units[place] = np.rint(units[place] * _SCALE)
        count[row], bars[row] = filled, bar


@_compiled
def _sort(units: Floats, ids: Ids, filled: int) -> None:
    """Shell's sort: what is sorted is short, and no two entries are equal."""
    gap = 1
    while gap < filled // 3:
        gap = 3 * gap + 1
    while gap:
        for start in range(gap, filled):
            own, name = units[start], ids[start]
            place = start
            while place >= gap and _before(own, name, units[place - gap], ids[place - gap]):
                units[place], ids[place] = units[place - gap], ids[place - gap]
                place -= gap
            units[place], ids[place] = own, name
        gap //= 3


@_compiled
def _finish(k: int, units: Floats, ids: Ids, count: Ints, item: Ints, score: Floats) -> None:
    for row in range(len(count)):
        filled = count[row]
        if filled > k:
            filled, _ = _keep_best(units[row], ids[row], filled, filled, k)
        _sort(units[row], ids[row], filled)
        for place in range(filled):
            if units[row, place] == -np.inf:
                break
            item[row, place] = ids[row, place]
            score[row, place] = units[row, place] / _SCALE + 0.0  # no negative zero
