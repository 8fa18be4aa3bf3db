"""Compiled loops over blocks of scores."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


def compiled(function: Any) -> Any:
    """Compiled on first use, without the interpreter's lock, and kept for later processes."""
    return numba.njit(nogil=True, error_model="numpy", cache=True)(function)


@compiled
def best_columns(scores: Any, count: int) -> Any:
    """The greatest ``count`` columns of each row, best first, ties to the smaller column; -1 where none is finite."""
    rows, columns = scores.shape
    out = np.full((rows, count), -1, dtype=np.int32)
    value = np.empty(count, dtype=np.float32)
    for row in range(rows):
        filled = 0
        for column in range(columns):
            score = scores[row, column]
            if score == -np.inf or (filled == count and score <= value[count - 1]):
                continue
            at = filled if filled < count else count - 1
            while at > 0 and value[at - 1] < score:
                value[at] = value[at - 1]
                out[row, at] = out[row, at - 1]
                at -= 1
            value[at] = score
            out[row, at] = column
            if filled < count:
                filled += 1
    return out


@compiled
def expected_ranks(scores: Any, indptr: Any, columns: Any) -> Any:
    """Rank of each wanted column, 1 the best; those that tie share the middle of their places.

    A wanted column that cannot be shown (-inf) gets inf.
    """
    out = np.empty(len(columns), dtype=np.float64)
    for row in range(len(indptr) - 1):
        for at in range(indptr[row], indptr[row + 1]):
            own = scores[row, columns[at]]
            if own == -np.inf:
                out[at] = np.inf
                continue
            greater, equal = 0, 0
            for column in range(scores.shape[1]):
                if scores[row, column] > own:
                    greater += 1
                elif scores[row, column] == own:
                    equal += 1
            out[at] = 1 + greater + 0.5 * (equal - 1)
    return out


@compiled
def unions(lists: Any, columns: int) -> Any:
    """Union of the columns that each row's lists name, ascending: (indptr, columns); -1 names nothing."""
    rows, width = lists.shape
    mark = np.full(columns, -1, dtype=np.int64)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    found = np.empty(rows * width, dtype=np.int32)
    filled = 0
    for row in range(rows):
        begin = filled
        for at in range(width):
            column = lists[row, at]
            if column >= 0 and mark[column] != row:
                mark[column] = row
                found[filled] = column
                filled += 1
        found[begin:filled].sort()
        indptr[row + 1] = filled
    return indptr, found[:filled].copy()


@compiled
def add_sparse_rows(
    left_ptr: Any, left_at: Any, left: Any, right_ptr: Any, right_at: Any, right: Any, start: int, out: Any
) -> None:
    """Adds the product of two CSR matrices to ``out``, whose first column is ``start`` of the right one."""
    for row in range(len(left_ptr) - 1):
        for cell in range(left_ptr[row], left_ptr[row + 1]):
            item, weight = left_at[cell], left[cell]
            for other in range(right_ptr[item], right_ptr[item + 1]):
                column = right_at[other] - start
                if 0 <= column < out.shape[1]:
                    out[row, column] += weight * right[other]


@compiled
def add_dense_rows(left_ptr: Any, left_at: Any, left: Any, right: Any, start: int, out: Any) -> None:
    """Adds the product of a CSR matrix and a dense one to ``out``, whose first column is ``start`` of the right one."""
    for row in range(len(left_ptr) - 1):
        for cell in range(left_ptr[row], left_ptr[row + 1]):
            item, weight = left_at[cell], left[cell]
            for column in range(out.shape[1]):
                out[row, column] += weight * right[item, start + column]


@compiled
def pair_cosines(lists: Any, indptr: Any, people: Any, rows: int) -> Any:
    """Sums of the cosines of all pairs in each list's beginnings: the first item, the first two, and so on.

    Args:
        lists: Lists × items, -1 where a list has ended.
        indptr: Where each item's people begin.
        people: People of each item.
        rows: Number of people.
    """
    out = np.zeros(lists.shape, dtype=np.float64)
    total = np.zeros(rows, dtype=np.float64)
    for row in range(lists.shape[0]):
        found = 0.0
        for place in range(lists.shape[1]):
            item = lists[row, place]
            if item >= 0:
                begin, end = indptr[item], indptr[item + 1]
                unit = 1 / np.sqrt(max(end - begin, 1))
                for at in range(begin, end):
                    found += unit * total[people[at]]
                    total[people[at]] += unit
            out[row, place] = found
        for item in lists[row]:
            if item >= 0:
                total[people[indptr[item] : indptr[item + 1]]] = 0
    return out


@compiled
def draw_unseen(seed: Any, items: Any, met_ptr: Any, met: Any, columns: int, out: Any) -> None:
    """Fills each row with distinct items that the row did not meet, uniformly, by SplitMix64 and rejection.

    Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators (2014): the same on every machine.
    """
    mark = np.full(columns, -1, dtype=np.int64)
    state, size = np.uint64(seed), np.uint64(len(items))
    for row in range(out.shape[0]):
        mark[met[met_ptr[row] : met_ptr[row + 1]]] = row
        filled = 0
        while filled < out.shape[1]:
            state += np.uint64(0x9E3779B97F4A7C15)
            mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            item = items[np.int64((mixed ^ (mixed >> np.uint64(31))) % size)]
            if mark[item] != row:
                mark[item] = row
                out[row, filled] = item
                filled += 1
