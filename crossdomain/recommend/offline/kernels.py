"""Compiled loops over blocks of scores."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


def compiled(function: Any) -> Any:
    """Compiled on first use, without the interpreter's lock."""
    return numba.njit(nogil=True, error_model="numpy")(function)


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
