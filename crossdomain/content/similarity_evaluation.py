"""How good the similarity of a corpus is: against exact search, against chance, and against its tags."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from crossdomain.content.calibration import calibrate, shuffled_features
from crossdomain.content.documents import TermMatrix
from crossdomain.content.features import Features, Ints, features, gram_matrix, learn_weights
from crossdomain.content.neighbours import COMPONENTS, Scores, nearest, score_pairs

NEAREST = 10
"""Neighbours whose tags are compared."""
_RECALL_SAMPLE = 100
_TAGGED = 3000
_RESAMPLES = 1000


def evaluate_similarity(
    terms: TermMatrix,
    titles: Sequence[str | None],
    topic_weights: np.ndarray,
    tags: Sequence[Collection[str]],
    *,
    weights: tuple[float, ...],
    neighbours: int,
    least: float,
    fdr: float,
    sample: int,
    seed: int,
    threads: int,
) -> dict[str, Any]:
    """Measures of a corpus, ready for JSON.

    Args:
        terms: Words by item.
        titles: Titles of the same items.
        topic_weights: (items, topics).
        tags: Tags of the items; items without any are left out of what is measured by them.
        weights: Weights of the blend.
        neighbours: Neighbours of the search.
        least: Least similarity.
        fdr: Rate for θ.
        sample: Most items of a side for θ.
        seed: Of samples and resamples.
        threads: Threads; without influence on the result.

    Returns:
        ``recall`` of the search against scoring every pair of sampled items; ``theta`` by direction;
        ``precision_at_10``: of the ten nearest tagged items, the share with a tag in common, by component and for
        the blend, with a 95 % bootstrap interval over items, and ``chance``, the share among all pairs.
    """
    grams = gram_matrix(titles)
    learned = learn_weights(terms, grams)
    data = features(terms, grams, topic_weights, learned)
    rng = np.random.default_rng(seed)
    domains = sorted(set(terms.domains))
    mixed = shuffled_features(terms, grams, topic_weights, learned, seed=seed)
    theta = [
        _theta(data, mixed, domain, other, weights, fdr, sample, seed, threads)
        for domain in domains
        for other in domains
    ]
    return {
        "items": len(data),
        "domains": {domain: len(data.rows_of(domain)) for domain in domains},
        "recall": _recall(data, weights, neighbours, least, rng, threads),
        "theta": theta,
        "precision_at_10": _precision(data, tags, weights, rng, threads),
    }


def _theta(
    data: Features,
    mixed: Features,
    domain: str,
    other: str,
    weights: tuple[float, ...],
    fdr: float,
    sample: int,
    seed: int,
    threads: int,
) -> dict[str, Any]:
    found = calibrate(
        data, mixed, data.rows_of(domain), data.rows_of(other),
        weights=weights, fdr=fdr, sample=sample, seed=seed, threads=threads,
    )  # fmt: skip
    return {
        "domain": domain,
        "other_domain": other,
        "theta": found.theta,
        "fdr": fdr,
        "pairs": found.pairs,
        "pairs_above": found.above,
        "null_pairs_above": found.null_above,
    }


def _recall(
    data: Features, weights: tuple[float, ...], neighbours: int, least: float, rng: np.random.Generator, threads: int
) -> dict[str, Any]:
    rows = np.flatnonzero(data.described())
    asked = np.sort(rng.choice(rows, min(_RECALL_SAMPLE, len(rows)), replace=False))
    found = nearest(data, asked, rows, weights=weights, count=neighbours, least=least, threads=threads)
    hits = wanted = 0
    for number, item in enumerate(asked):
        others = rows[rows != item]
        similarity = score_pairs(data, np.full(len(others), item), others, weights=weights).similarity
        best = np.lexsort((others, -similarity))[:neighbours]
        best = best[similarity[best] >= least]
        wanted += len(best)
        hits += len(np.intersect1d(others[best], rows[found.other[found.row == number]]))
    return {"value": round(hits / wanted, 6) if wanted else None, "pairs": wanted, "items": len(asked)}


def _precision(
    data: Features, tags: Sequence[Collection[str]], weights: tuple[float, ...], rng: np.random.Generator, threads: int
) -> dict[str, Any] | None:
    tagged = np.flatnonzero([bool(own) for own in tags] & data.described())
    if len(tagged) <= NEAREST:
        return None
    if len(tagged) > _TAGGED:
        tagged = np.sort(rng.choice(tagged, _TAGGED, replace=False))
    first, second = (side.ravel() for side in np.meshgrid(tagged, tagged, indexing="ij"))
    scores = score_pairs(data, first, second, weights=weights, threads=threads)
    shared = _shared_tags([frozenset(tags[item]) for item in tagged.tolist()])
    resamples = rng.integers(len(tagged), size=(_RESAMPLES, len(tagged)))
    result: dict[str, Any] = {"items": len(tagged)}
    others = len(tagged) * (len(tagged) - 1)
    result["chance"] = round(float((shared.sum() - np.trace(shared)) / others), 4)
    for number, name in enumerate(("blend", *COMPONENTS)):
        if name != "behaviour":
            result[name] = _interval(_hits(scores, number, shared), resamples)
    return result


def _hits(scores: Scores, number: int, shared: np.ndarray) -> np.ndarray:
    """Of each item, the share of its nearest that share a tag."""
    values = scores.column(number).reshape(shared.shape).copy()
    np.fill_diagonal(values, -1.0)
    best = np.argsort(-values, axis=1, kind="stable")[:, :NEAREST]
    hits: np.ndarray = np.take_along_axis(shared, best, axis=1).mean(axis=1)
    return hits


def _interval(hits: np.ndarray, resamples: Ints) -> dict[str, float]:
    low, high = np.quantile(hits[resamples].mean(axis=1), [0.025, 0.975])
    return {"value": round(float(hits.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _shared_tags(tags: Sequence[frozenset[str]]) -> np.ndarray:
    names = {name: column for column, name in enumerate(sorted(set().union(*tags)))}
    has = np.zeros((len(tags), len(names)), dtype=np.float32)
    for row, own in enumerate(tags):
        has[row, [names[name] for name in own]] = 1
    shared: np.ndarray = (has @ has.T) > 0
    return shared
