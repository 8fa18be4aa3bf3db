"""A weighted sum of the sources' scores and places, fitted as a choice among candidates: what few labels can carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crossdomain.recommend.interactions import Floats, Ints
from crossdomain.recommend.offline.features import TIMED_ITEM, Values

_MOST_ROWS = 400_000
_STEPS = 200
_CLIP = 5.0


@dataclass(frozen=True)
class Linear:
    """Weights of one domain.

    Attributes:
        centre: Mean of each feature over the candidates that were learned from.
        spread: Its standard deviation; 1 for a constant feature.
        weight: Per standard deviation.
    """

    centre: Values
    spread: Values
    weight: Values

    def scaled(self, values: Values) -> Values:
        """Features in standard deviations, at most ``_CLIP`` of them; an unknown one counts as the mean."""
        scaled: Values = np.clip((values - self.centre) / self.spread, -_CLIP, _CLIP)
        return np.nan_to_num(scaled, copy=False, nan=0.0)


@dataclass(frozen=True)
class Blend:
    """A score from features that differ between the candidates of a query.

    Attributes:
        columns: Which features are used.
        domains: Weights of each domain.
    """

    columns: Ints
    domains: Mapping[int, Linear]

    def score(self, values: Values, domain: int) -> Values:
        """One score a candidate; zeros in a domain that was not learned."""
        linear = self.domains.get(domain)
        if linear is None:
            return np.zeros(len(values), dtype=np.float32)
        scores: Values = linear.scaled(values[:, self.columns]) @ linear.weight
        return scores


def blended(names: Sequence[str]) -> Ints:
    """Columns of the features that tell candidates of a query apart: scores as shares, places, the item's counts."""
    about_item = {"item_total", *TIMED_ITEM}
    return np.flatnonzero([name.endswith(("_share", "_place")) or name in about_item for name in names])


def fit_linear(values: Values, label: npt.NDArray[np.int8], sizes: Ints, *, ridge: float) -> Linear:
    """Maximum likelihood of the true candidates under a softmax over each query's candidates.

    McFadden's conditional logit (1974): the sum over true candidates of ``score - log sum exp(scores of the query)``,
    minus ``ridge / 2`` times the squared weights. Of more than ``_MOST_ROWS`` candidates the first queries are used.

    Args:
        values: Candidates × features, by query.
        label: 1 for true candidates.
        sizes: Candidates of each query.
        ridge: Penalty.
    """
    from scipy.optimize import minimize

    ends = np.cumsum(sizes)
    queries = max(1, int(np.searchsorted(ends, _MOST_ROWS, side="right")))
    sizes, rows = sizes[:queries], int(ends[queries - 1])
    values, true = values[:rows], (label[:rows] > 0).astype(np.float32)
    begin = np.concatenate(([0], ends[: queries - 1])).astype(np.int64)
    known = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    centre = np.nansum(values, axis=0, dtype=np.float64) / known
    spread = np.sqrt(np.nansum((values - centre.astype(np.float32)) ** 2, axis=0, dtype=np.float64) / known)
    linear = Linear(
        centre.astype(np.float32),
        np.where(spread > 1e-9, spread, 1).astype(np.float32),
        np.zeros(values.shape[1], dtype=np.float32),
    )
    scaled = linear.scaled(values)
    positives = np.add.reduceat(true, begin)

    def loss(weight: Floats) -> tuple[float, Floats]:
        score = (scaled @ weight.astype(np.float32)).astype(np.float64)
        score -= np.repeat(np.maximum.reduceat(score, begin), sizes)
        share = np.exp(score)
        total = np.add.reduceat(share, begin)
        value = positives @ np.log(total) - true @ score + ridge / 2 * float(weight @ weight)
        pull = np.repeat(positives / total, sizes) * share - true
        return float(value), scaled.T @ pull.astype(np.float32) + ridge * weight

    found: Any = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return Linear(linear.centre, linear.spread, found.x.astype(np.float32))
