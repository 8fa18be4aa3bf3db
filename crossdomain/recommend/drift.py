"""Drift of the recommender: how far models, scores, coverage and exposure moved from one day to the next.

A drift never stops anything: lists are written by then. Thresholds are constants that quiet days of synthetic worlds
stay below (``docs/recommender.md`` has what was measured).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.linalg import orthogonal_procrustes

from crossdomain.recommend.als import AlsModel
from crossdomain.recommend.evaluate import rounded
from crossdomain.recommend.interactions import Floats, Ints

Status = Literal["ok", "alarm", "nothing_to_compare", "too_few"]
FACTORS = "factors"
SCORES = "scores"
LEVELS: Mapping[str, str] = {
    "share": "people_share",
    "catalogue_share": "catalogue_share",
    "creator_gini": "creator_gini",
}
"""Columns of ``serving.recommendation_coverage`` that are followed, and their names as measures."""
THRESHOLDS: Mapping[str, float] = {
    FACTORS: 0.5, SCORES: 0.1, "people_share": 0.05, "catalogue_share": 0.1, "creator_gini": 0.1,
}  # fmt: skip
"""Greater drifts alarm: relative distance; population stability index; differences of shares."""
LEAST: Mapping[str, int] = {FACTORS: 20, SCORES: 1000, "people_share": 100, "catalogue_share": 100, "creator_gini": 100}
"""Fewest items, rows or people on either day that say anything."""
BINS = 10
GRID = 50
"""Steps of the histogram of scores for a factor of e: two percent a step."""
_OF = ("target_domain", "segment", "source")
FIRST_DAY = "there is no day before to compare with"
FINEST = 1e-6
"""Scores nearer to 0 than this are one step: they are rounded to so much."""


@dataclass(frozen=True)
class Drift:
    """A row of ``serving.recommendation_drift``.

    Attributes:
        target_domain: Whose items are recommended.
        segment: ``warm``, ``cold`` or ``all``.
        source: Source of the rows; ``als`` for factors.
        measure: ``factors``, ``scores``, ``people_share``, ``catalogue_share`` or ``creator_gini``.
        value: The level of the day; None where only the distance means something.
        before: The level of the day before.
        drift: How far the two are apart; None where nothing can be compared.
        threshold: A greater drift alarms.
        status: What that is.
        n: Items, rows or people, the fewer of the two days.
        model_version: Of factors the model in force; else None.
        reason: The status in a sentence.
    """

    target_domain: str
    segment: str
    source: str
    measure: str
    value: float | None
    before: float | None
    drift: float | None
    threshold: float
    status: Status
    n: int
    model_version: str | None
    reason: str


def factor_distance(before: AlsModel, now: AlsModel, domain: str) -> tuple[float | None, int]:
    """How far a domain's item vectors moved, whatever the rotation of the space.

    Two trainings may give the same scores by vectors that are turned against each other. The rotation that brings all
    items nearest (orthogonal Procrustes: Schönemann, 1966) is taken out; what is left is measured against the length of
    the vectors: ``|X R − Y| / |Y|`` (Frobenius), 0 for the same model, about 1.4 for vectors that have nothing in
    common. The shorter vectors are filled up with zeros.

    Returns:
        The distance over the domain's items that both models know, and how many these are; None without any.
    """
    places = {item: place for place, item in enumerate(_names(before))}
    names = _names(now)
    both = [(places[item], place) for place, item in enumerate(names) if item in places]
    own = np.array([names[place][0] == domain for _, place in both], dtype=bool)
    if not own.any():
        return None, 0
    width = max(before.factors.shape[1], now.factors.shape[1])
    old, new = (
        _padded(model.factors[[pair[side] for pair in both]], width) for side, model in enumerate((before, now))
    )
    rotation, _ = orthogonal_procrustes(old, new)
    length = float(np.linalg.norm(new[own]))
    distance = float(np.linalg.norm(old[own] @ rotation - new[own]))
    return (rounded(distance / length) if length else None), int(own.sum())


def histogram_sql(rows: str) -> str:
    """SQL of the histogram of scores by day, target domain and source: ds, target_domain, source, step, rows.

    A step is 1/50 of a factor of e, on both sides of 0, so that the histogram is small whatever the number of rows.

    Args:
        rows: SQL of rows with ds, target_domain, source and score.
    """
    step = f"(sign(score) * floor({GRID} * ln(1 + abs(score) / {FINEST!r})))::BIGINT"
    return (
        f"SELECT ds, target_domain, source, {step} AS step, count(*) AS rows FROM ({rows}) "  # noqa: S608 - our own text
        "GROUP BY ALL ORDER BY ALL"
    )


def score_of(step: float) -> float:
    """The score at the near end of a step."""
    return float(np.sign(step) * FINEST * np.expm1(abs(step) / GRID))


def stability_index(before: tuple[Ints, Ints], now: tuple[Ints, Ints]) -> float:
    """Population stability index of two histograms, (steps ascending, rows) each.

    ``Σ (q − p) ln(q / p)`` over the tenths of the first one, half a row added to each bin so that an empty one is no
    infinity. Equal steps are never split: fewer bins where many rows have one score.
    """
    steps, rows = before
    reached = np.cumsum(rows) / rows.sum()
    edges = np.unique(steps[np.searchsorted(reached, np.arange(1, BINS) / BINS)])
    p, q = (_shares(edges, *one) for one in (before, now))
    return float(np.sum((q - p) * np.log(q / p)))


def middle(histogram: tuple[Ints, Ints]) -> float:
    """Median score of a histogram, to the step."""
    steps, rows = histogram
    return score_of(float(steps[np.searchsorted(np.cumsum(rows), rows.sum() / 2)]))


def judged(
    measure: str,
    of: tuple[str, str, str],
    *,
    value: float | None = None,
    before: float | None = None,
    drift: float | None = None,
    n: int,
    model_version: str | None = None,
    why: str = FIRST_DAY,
) -> Drift:
    """A drift against its threshold.

    Args:
        measure: Of ``THRESHOLDS``.
        of: Target domain, segment and source.
        value: The level of the day.
        before: That of the day before.
        drift: How far they are apart; None where nothing can be compared.
        n: What it was measured on.
        model_version: Of factors the model in force.
        why: Why there is no drift.
    """
    threshold = THRESHOLDS[measure]
    status: Status = "ok"
    if drift is None:
        status, reason = "nothing_to_compare", why
    elif n < LEAST[measure]:
        status, reason = "too_few", f"measured on {n}, {LEAST[measure]} are needed"
    else:
        status = "alarm" if drift > threshold else "ok"
        reason = f"{drift:.3f} is {'more' if status == 'alarm' else 'no more'} than {threshold:g}"
    return Drift(
        *of, measure, rounded(value), rounded(before), rounded(drift), threshold, status, n, model_version, reason
    )


def level_drifts(today: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]] | None) -> list[Drift]:
    """Drift of coverage and exposure, from rows of ``serving.recommendation_coverage`` of two days.

    A source that is there on one of the days only has a share of 0 on the other.

    Args:
        today: Rows of the day.
        before: Rows of the day before; None on the first day.
    """
    days = [
        {(row["target_domain"], row["segment"], row["source"]): row for row in rows} for rows in (today, before or ())
    ]
    found = []
    for of in sorted(set(days[0]) | set(days[1])):
        rows = [day.get(of) for day in days]
        people = [0 if row is None else int(row["people"]) for row in rows]
        for column, measure in LEVELS.items():
            absent = 0.0 if measure == "people_share" else None
            value, was = (absent if row is None else row[column] for row in rows)
            if before is None:
                was = None
            if value is None and was is None:
                continue
            n = max(people) if measure == "people_share" else min(people)
            drift = abs(value - was) if value is not None and was is not None else None
            why = FIRST_DAY if before is None else "it is there on one of the days only"
            found.append(judged(measure, of, value=value, before=was, drift=drift, n=n, why=why))
    return found


def _shares(edges: Ints, steps: Ints, rows: Ints) -> Floats:
    counts = np.bincount(np.searchsorted(edges, steps, side="left"), weights=rows, minlength=len(edges) + 1) + 0.5
    shares: Floats = counts / counts.sum()
    return shares


def _names(model: AlsModel) -> list[tuple[str, str]]:
    return list(zip(model.domain.to_pylist(), model.item_id.to_pylist(), strict=True))


def _padded(vectors: Any, width: int) -> Floats:
    wide = np.zeros((len(vectors), width))
    wide[:, : vectors.shape[1]] = vectors
    return wide
