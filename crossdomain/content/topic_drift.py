"""Whether texts that came after the training still fit the topics: what retraining is decided by.

The fit of a text is its mean log-likelihood per word by document completion (Wallach et al. 2009): the topics are read
off one half of its words and the other half is scored, and the other way round. Words that the model does not know
are scored as one of the unknown words of the training, so that a new theme with words of its own fits badly. A new
text is a *misfit* if it fits worse than all but a hundredth of the training's texts of its domain. Without drift a few
in a hundred new texts are misfits; when the misfits beyond that are enough for a topic of their own, the topics have
drifted. One odd text, however odd, is one misfit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from crossdomain.content.documents import TermMatrix
from crossdomain.content.settings import TopicSettings
from crossdomain.content.topics import TopicModel, infer, known_terms

Floats = npt.NDArray[np.float64]

DRIFT_SCHEMA = pa.schema(
    [
        ("domain", pa.string()),
        ("texts", pa.int64()),
        ("misfits", pa.int64()),
        ("chance_misfits", pa.float64()),
        ("limit", pa.float64()),
        ("drifted", pa.bool_()),
        ("fit", pa.float64()),
        ("trained_fit", pa.float64()),
        ("trained_low_fit", pa.float64()),
        ("model_version", pa.string()),
    ]
)
_EVEN = 0.001
"""Chance that is spread over all words, since a word may be in none of an item's topics."""
_SAMPLE = 2000
"""Most texts of a domain by which the fit of the training is told."""
_STEP = 4096
_LOW = 0.01
"""Share of the training's texts that fit worse than a misfit does at best."""
_CHANCE = 0.05
"""Share of new texts that are misfits without drift, at most about: the topics know the training's texts better."""
_SURE = 3.0
"""Standard deviations of chance (Poisson) that misfits must be beyond it."""
_DIGITS = 6


@dataclass(frozen=True)
class TrainedFit:
    """How well the texts of the training fit.

    Attributes:
        by_domain: (median, hundredth, texts) of the texts' fit.
        unknown_share: Share of words that the model does not know.
        unknown_kinds: Number of different unknown words.
    """

    by_domain: Mapping[str, tuple[float, float, int]]
    unknown_share: float
    unknown_kinds: int

    def as_facts(self) -> dict[str, Any]:
        """For the model's metadata."""
        return {
            "by_domain": {domain: list(found) for domain, found in sorted(self.by_domain.items())},
            "unknown_share": self.unknown_share,
            "unknown_kinds": self.unknown_kinds,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Back from the metadata."""
        by_domain = {domain: (row[0], row[1], row[2]) for domain, row in facts["by_domain"].items()}
        return cls(by_domain, facts["unknown_share"], facts["unknown_kinds"])


def trained_fit(model: TopicModel, terms: TermMatrix, *, iterations: int, seed: int) -> TrainedFit:
    """The fit of the texts that the model was trained on.

    Args:
        model: The topics.
        terms: Words of the training's items.
        iterations: Most steps of the inference of one item.
        seed: Of the sample of a domain with many texts.
    """
    counts = known_terms(model, terms)
    words = float(terms.counts.sum())
    unknown = words - float(counts.sum())
    kinds = max(1, len(terms.vocabulary) - len(set(terms.vocabulary) & set(model.vocabulary)))
    found = TrainedFit({}, round((unknown + 1) / (words + 2), _DIGITS), kinds)
    by_domain = {}
    rng = np.random.default_rng(seed)
    for domain in np.unique(terms.domains):
        rows = terms.rows_of(domain)
        if len(rows) > _SAMPLE:
            rows = np.sort(rng.choice(rows, _SAMPLE, replace=False))
        fits = text_fit(model, terms.of_rows(rows), found, iterations=iterations)
        fits = fits[~np.isnan(fits)]
        if len(fits) > 1:
            median, low = (round(float(value), _DIGITS) for value in np.quantile(fits, [0.5, _LOW]))
            by_domain[str(domain)] = (median, low, len(fits))
    return TrainedFit(by_domain, found.unknown_share, found.unknown_kinds)


def text_fit(model: TopicModel, terms: TermMatrix, trained: TrainedFit, *, iterations: int) -> Floats:
    """Mean log-likelihood per word of each item; NaN for items with fewer than two known words and none unknown.

    The words of an item are dealt to its halves in turn, in the order of the vocabulary.
    """
    counts = known_terms(model, terms)
    known = np.asarray(counts.sum(axis=1)).ravel()
    unknown = np.asarray(terms.counts.sum(axis=1)).ravel() - known
    place = np.arange(counts.nnz) - np.repeat(counts.indptr[:-1], np.diff(counts.indptr))
    total = np.zeros(counts.shape[0])
    for half in (0, 1):
        read = _part(counts, place % 2 == half)
        scored = _part(counts, place % 2 != half)
        for start in range(0, counts.shape[0], _STEP):
            rows = slice(start, start + _STEP)
            total[rows] += _likelihood(model, read[rows], scored[rows], iterations)
    total += known * np.log(1.0 - trained.unknown_share)
    total += unknown * np.log(trained.unknown_share / trained.unknown_kinds)
    kinds = np.diff(counts.indptr)
    enough = (kinds >= 2) | (unknown > 0)
    fits = np.full(len(total), np.nan)
    fits[enough] = total[enough] / (known + unknown)[enough]
    return fits


def drift(
    model: TopicModel,
    trained: TrainedFit,
    terms: TermMatrix,
    *,
    limits: Mapping[str, float],
    iterations: int,
    version: str | None = None,
) -> pa.Table:
    """How many new texts do not fit, beside what chance gives.

    Args:
        model: The topics.
        trained: Fit of the training's texts.
        terms: Words of the new texts' items.
        limits: Misfits beyond chance and three of its standard deviations from which on a domain has drifted.
        iterations: Most steps of the inference of one item.
        version: Version of the model.

    Returns:
        ``DRIFT_SCHEMA``, a row for each domain of the training, by name; fit is null where there is no new text.
    """
    fits = text_fit(model, terms, trained, iterations=iterations)
    rows = []
    for domain, (median, low, _) in sorted(trained.by_domain.items()):
        mine = fits[(terms.domains == domain) & ~np.isnan(fits)]
        misfits, chance = int((mine < low).sum()), _CHANCE * len(mine)
        limit = limits.get(domain, np.inf)
        rows.append(
            {
                "domain": domain,
                "texts": len(mine),
                "misfits": misfits,
                "chance_misfits": round(chance, _DIGITS),
                "limit": limit,
                "drifted": bool(misfits - chance - _SURE * np.sqrt(chance) >= limit),
                "fit": round(float(np.median(mine)), _DIGITS) if len(mine) else None,
                "trained_fit": median,
                "trained_low_fit": low,
                "model_version": version,
            }
        )
    return pa.Table.from_pylist(rows, schema=DRIFT_SCHEMA)


def limit(items: int, settings: TopicSettings) -> float:
    """Misfits of a domain that are enough for a topic of their own.

    Args:
        items: Items of the domain.
        settings: Least items of a topic, and least share of the domain.
    """
    return float(max(settings.items_per_topic, settings.retrain_misfits * items))


def _part(counts: sparse.csr_matrix, which: npt.NDArray[np.bool_]) -> sparse.csr_matrix:
    part = sparse.csr_matrix((counts.data * which, counts.indices, counts.indptr), shape=counts.shape, copy=True)
    part.eliminate_zeros()
    return part


def _likelihood(model: TopicModel, read: sparse.csr_matrix, scored: sparse.csr_matrix, iterations: int) -> Floats:
    """Log-likelihood of the scored words of each item, by the topics of the words that were read."""
    weights = infer(model.topic_word, model.alpha, read, iterations) if read.shape[0] else np.zeros((0, len(model.ids)))
    row = np.repeat(np.arange(scored.shape[0]), np.diff(scored.indptr))
    chance = np.einsum("ij,ij->i", weights[row], model.topic_word.T[scored.indices])
    chance = (1.0 - _EVEN) * chance + _EVEN / len(model.vocabulary)
    logs = scored.data * np.log(chance)
    summed: Floats = np.bincount(row, weights=logs, minlength=scored.shape[0]).astype(np.float64)
    return summed
