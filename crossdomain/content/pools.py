"""Neighbours of many items in flat arrays, and how a day is merged into those of the day before, in one pass.

Everything is in the order in which it is kept, and stays so: nothing is sorted that was sorted before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from crossdomain.content.neighbours import DIGITS

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]

_STEPS = 10**DIGITS


@dataclass(frozen=True)
class Lists:
    """Neighbours of the rows of one direction, the strongest first, equal ones by the other.

    Attributes:
        start: Where each row's neighbours begin, and the end of all.
        other: Row of each neighbour.
        micros: (1 + components, neighbours): blend and parts in units of the last digit.
        floor: For each row, above which blend every pair is there; 0 where every pair that counts is.
    """

    start: Ints
    other: Numbers
    micros: Numbers
    floor: Numbers

    def __len__(self) -> int:
        return len(self.floor)


@dataclass(frozen=True)
class Kept:
    """Neighbours of the day before that may stay.

    Attributes:
        begin: For each row that asks, where its own lie in ``other``.
        end: And where they end.
        other: Number of each neighbour on the day before.
        micros: Columns of the scores, as long as ``other``.
        now: For each number of the day before, today's row of the item if it may stay, else -1.
    """

    begin: Ints
    end: Ints
    other: Numbers
    micros: Sequence[Numbers]
    now: Numbers


def listed(row: Ints, other: Ints, micros: Numbers, rows: int, size: int) -> Lists:
    """The ``size`` strongest of each row; where some are cut off, the last kept is the floor.

    Args:
        row: Number of each pair's row, ascending.
        other: Row of the other item.
        micros: (pairs, 1 + components).
        rows: Number of rows.
        size: Most neighbours of a row.
    """
    order = _by_strength(row, other, micros[:, 0])
    found = Lists(
        _starts(np.bincount(row, minlength=rows)),
        other[order].astype(np.int32),
        np.ascontiguousarray(micros[order].T),
        np.zeros(rows, dtype=np.int32),
    )
    nothing = np.zeros(0, dtype=np.int32)
    none = np.zeros(rows, dtype=np.int64)
    columns = [nothing] * len(found.micros)
    return merge(Kept(none, none, nothing, columns, nothing), found, found.floor, size)


def merge(kept: Kept, fresh: Lists, floor: Numbers, size: int) -> Lists:
    """The ``size`` strongest of what stays of each row and what is new; no other stands in both.

    Args:
        kept: Of the day before.
        fresh: What is new.
        floor: Floors of the day before; where neighbours are cut off, the last kept is the floor.
        size: Most neighbours of a row.
    """
    columns = tuple(kept.micros)
    counts = np.diff(fresh.start)
    _count_kept(kept.begin, kept.end, kept.other, kept.now, counts)
    cut = counts > size
    start = _starts(np.minimum(counts, size))
    other = np.empty(start[-1], dtype=np.int32)
    micros = np.empty((len(columns), start[-1]), dtype=np.int32)
    _merge(
        kept.begin, kept.end, kept.other, columns, kept.now, fresh.start, fresh.other, fresh.micros,
        start, other, micros,
    )  # fmt: skip
    floor = floor.astype(np.int32)
    floor[cut] = micros[0, start[1:][cut] - 1]
    return Lists(start, other, micros, floor)


def above_floor(lists: Lists) -> Ints:
    """Number of neighbours of each row that are stronger than its floor."""
    counts = np.zeros(len(lists), dtype=np.int64)
    _count_above(lists.start, lists.micros[0], lists.floor, counts)
    return counts


def replaced(lists: Lists, which: npt.NDArray[np.bool_], anew: Lists) -> Lists:
    """The lists with those of some rows (``which``) instead of theirs."""
    counts = np.diff(lists.start)
    counts[which] = np.diff(anew.start)
    start = _starts(counts)
    other = np.empty(start[-1], dtype=np.int32)
    micros = np.empty((len(lists.micros), start[-1]), dtype=np.int32)
    for source, rows in ((lists, np.flatnonzero(~which)), (anew, np.flatnonzero(which))):
        chosen = rows if source is lists else np.arange(len(rows))
        _copy(source.start, source.other, source.micros, chosen, start[rows], other, micros)
    floor = lists.floor.copy()
    floor[which] = anew.floor
    return Lists(start, other, micros, floor)


def side_by_side(sides: Sequence[Lists], other: Numbers, micros: Numbers, at: int) -> Ints:
    """Writes the sides of each row one after the other from ``at`` on; the length of each row's sides, in this order.

    Args:
        sides: Lists of the same rows.
        other: Written to.
        micros: (1 + components, …), written to.
        at: Where to begin.
    """
    counts = np.stack([np.diff(side.start) for side in sides], axis=1)
    begin = at + _starts(counts.ravel())[:-1].reshape(counts.shape)
    for number, side in enumerate(sides):
        rows = np.arange(len(side))
        _copy(side.start, side.other, side.micros, rows, np.ascontiguousarray(begin[:, number]), other, micros)
    return np.asarray(counts.ravel())


def ranks(counts: Ints) -> Numbers:
    """1, 2, … for each of the groups that follow each other."""
    result = np.empty(int(counts.sum()), dtype=np.int32)
    _rank(counts, result)
    return result


def served_ranks(counts: Ints, item: Numbers, other: Numbers, group: Numbers, most: int) -> Numbers:
    """Rank among the others of another group than the item's own; 0 for those that are not served."""
    result = np.zeros(len(item), dtype=np.int32)
    _rank_served(counts, item, other, group, most, result)
    return result


def _by_strength(row: Ints, other: Ints, blend: Numbers) -> Ints:
    """Order by row, the strongest first, equal ones by the other: one key, so that what is in order costs little."""
    width = int(other.max(initial=0)) + 1
    order: Ints = np.argsort((row * (_STEPS + 1) + (_STEPS - blend.astype(np.int64))) * width + other, kind="stable")
    return order


def _starts(counts: Ints) -> Ints:
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _compiled(function: Any) -> Any:
    return numba.njit(nogil=True)(function)


@_compiled
def _count_kept(begin: Any, end: Any, other: Any, now: Any, counts: Any) -> None:
    for row in range(len(counts)):
        for at in range(begin[row], end[row]):
            if now[other[at]] >= 0:
                counts[row] += 1


@_compiled
def _merge(
    begin: Any, end: Any, other: Any, columns: Any, now: Any, fresh_start: Any, fresh_other: Any, fresh_micros: Any,
    start: Any, out_other: Any, out_micros: Any,
) -> None:  # fmt: skip
    first = columns[0]
    for row in range(len(begin)):
        old, new = begin[row], fresh_start[row]
        for to in range(start[row], start[row + 1]):
            while old < end[row] and now[other[old]] < 0:
                old += 1
            take_new = old >= end[row]
            if not take_new and new < fresh_start[row + 1]:
                take_new = fresh_micros[0, new] > first[old] or (
                    fresh_micros[0, new] == first[old] and fresh_other[new] < now[other[old]]
                )
            if take_new:
                out_other[to] = fresh_other[new]
                for part in range(len(columns)):
                    out_micros[part, to] = fresh_micros[part, new]
                new += 1
            else:
                out_other[to] = now[other[old]]
                for part in range(len(columns)):
                    out_micros[part, to] = columns[part][old]
                old += 1


@_compiled
def _count_above(start: Any, blend: Any, floor: Any, counts: Any) -> None:
    for row in range(len(floor)):
        for at in range(start[row], start[row + 1]):
            if blend[at] > floor[row]:
                counts[row] += 1


@_compiled
def _copy(start: Any, other: Any, micros: Any, rows: Any, to: Any, out_other: Any, out_micros: Any) -> None:
    for number in range(len(rows)):
        at = to[number]
        for place in range(start[rows[number]], start[rows[number] + 1]):
            out_other[at] = other[place]
            for part in range(len(micros)):
                out_micros[part, at] = micros[part, place]
            at += 1


@_compiled
def _rank(counts: Any, result: Any) -> None:
    at = 0
    for count in counts:
        for rank in range(count):
            result[at] = rank + 1
            at += 1


@_compiled
def _rank_served(counts: Any, item: Any, other: Any, group: Any, most: int, result: Any) -> None:
    at = 0
    for count in counts:
        rank = 0
        for _ in range(count):
            if group[item[at]] != group[other[at]] and rank < most:
                rank += 1
                result[at] = rank
            at += 1
