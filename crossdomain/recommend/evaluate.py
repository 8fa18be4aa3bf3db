"""Measuring models on the days that follow their training, each direction and segment apart.

Temporal protocol: a twin of the model is trained up to a cut; the test is what each person meets for the
first time in the last days; all items of the target domain that were known at the cut are ranked, without
those that the person had met. Test items that nobody had met by the cut stay in the truth: nobody can rank
them, and leaving them out would flatter every model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.als import AlsModel, fold_in
from crossdomain.recommend.folding import Factors
from crossdomain.recommend.interactions import Bools, Floats, Ints, Items, People, hide
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.recommend.topk import DIGITS, rank_blocks

CUTOFFS = (10, 20)
SEGMENTS = ("all", "warm", "cold")
"""``warm``: known in the target domain. ``cold``: known in the other one only; these are people who never
met the target domain, and the share whose target side was hidden from the twin and from their own history.
``all``: everyone once, the hidden people as cold."""


@dataclass(frozen=True)
class Split:
    """What was known at the cut, and what came after.

    Attributes:
        evidence: Confidence at the cut, units × items.
        seen: Items that each unit had met before the test days, units × items.
        outcome: Items that each unit met with positive evidence in the test days, units × items.
        decayed: Decayed popularity of all items at the cut.
        popular: Popularity of all items at the cut.
        hidden: Per domain the units whose history there is hidden from the twin.
    """

    evidence: sp.csr_matrix
    seen: sp.csr_matrix
    outcome: sp.csr_matrix
    decayed: Floats
    popular: Floats
    hidden: tuple[Ints, Ints]

    def training(self, items: Items) -> sp.csr_matrix:
        """The evidence that the twin may see."""
        visible = hide(self.evidence, items, self.hidden[0], 0)
        return hide(visible, items, self.hidden[1], 1)


@dataclass(frozen=True)
class Rater:
    """Anything that scores by a product of vectors, popularity being a product of length one.

    Attributes:
        version: Version of the model, or the name of the baseline.
        name: ``als``, ``popularity`` or ``decayed_popularity``.
        factors: Items × factors, boosted.
        fold: Items × factors that people are folded in with; None if all people score alike.
        regularization: Ridge of the fold-in.
    """

    version: str
    name: str
    factors: Factors
    fold: Factors | None = None
    regularization: float = 0.0

    def people(self, evidence: sp.csr_matrix, items: Items, threads: int) -> Factors:
        """Vectors of people from their evidence."""
        if self.fold is None:
            return np.ones((evidence.shape[0], 1), dtype=np.float32)
        return fold_in(self.fold, evidence, items, self.regularization, threads=threads)


@dataclass(frozen=True)
class Metric:
    """One measured number: the mean over ``n`` test people; value None where there are none."""

    model_version: str
    model: str
    direction: str
    target_domain: str
    segment: str
    metric: str
    value: float | None
    n: int


@dataclass(frozen=True)
class _Panel:
    segment: str
    units: Ints
    hidden: Bools


def als_rater(version: str, model: AlsModel, items: Items, boosts: Floats) -> Rater:
    """A trained model as a rater of a run's items; unknown items score 0."""
    fold, _ = model.aligned(items)
    return Rater(version, "als", boosted(fold, boosts), fold, model.regularization)


def popularity_rater(name: str, scores: Floats) -> Rater:
    """A baseline that gives everybody the same scores; its version is its name."""
    return Rater(name, name, scores.astype(np.float32)[:, None])


def boosted(factors: Factors, boosts: Floats) -> Factors:
    """Item factors whose products with people carry each item's boost."""
    return (factors * boosts[:, None]).astype(np.float32)


def hidden_units(
    evidence: sp.csr_matrix, people: People, items: Items, *, share: float, seed: int
) -> tuple[Ints, Ints]:
    """Per domain the two-sided units whose history there is hidden: half the share for each domain.

    A hash of the unit's key and the seed decides, so that the same people are hidden day after day.
    """
    sides = [np.diff(evidence[:, items.span(domain)].indptr) > 0 for domain in (0, 1)]
    both = np.flatnonzero(sides[0] & sides[1])
    if not share:
        return both[:0], both[:0]
    draw = np.array([_draw(people.unit_keys[int(unit)].as_py(), seed) for unit in both])
    chosen, parity = draw < share, (draw * 1e6).astype(np.int64) % 2
    return both[chosen & (parity == 0)], both[chosen & (parity == 1)]


def evaluate(split: Split, raters: Sequence[Rater], items: Items, settings: RecommendSettings) -> list[Metric]:
    """HR, recall and NDCG at ``CUTOFFS`` of each rater, by direction and segment, full ranking.

    Order: target domain, segment, rater, metric. Values are rounded to ``DIGITS``.
    """
    rows = []
    for target in (0, 1):
        span = items.span(target)
        candidates = span.start + np.flatnonzero(split.popular[span] > 0)
        for panel in _panels(split, items, target):
            truth = _new(split, panel.units, span)
            for rater in raters:
                evidence, seen = _visible(split, panel, items, target)
                lists = _ranked(rater, evidence, seen, items, candidates, settings)
                for metric, value in measure(lists, truth).items():
                    rows.append(_metric(rater, items, target, panel, metric, value))
    return rows


def measure(lists: Ints, truth: sp.csr_matrix, cutoffs: Sequence[int] = CUTOFFS) -> Mapping[str, Floats]:
    """Per person HR, recall and NDCG of ranked lists.

    Args:
        lists: People × longest cutoff, item positions, best first; -1 for none.
        truth: People × items, at least one in each row.
        cutoffs: Lengths at which the lists are cut.

    Returns:
        ``hr@10`` and so on: one value a person. NDCG has binary gains and the ideal list of
        ``min(k, |truth|)`` items.
    """
    rows = np.arange(len(lists))[:, None] * truth.shape[1]
    wanted = np.repeat(rows[:, 0], np.diff(truth.indptr)) + truth.indices
    hits = np.isin(lists + rows, wanted) & (lists >= 0)
    size = np.diff(truth.indptr)
    gains = 1 / np.log2(np.arange(2, 2 + lists.shape[1]))
    ideal = np.cumsum(gains)
    result: dict[str, Floats] = {}
    for k in cutoffs:
        found = hits[:, :k]
        result[f"hr@{k}"] = np.asarray(found.any(axis=1), dtype=np.float64)
        result[f"recall@{k}"] = found.sum(axis=1) / size
        result[f"ndcg@{k}"] = (found * gains[:k]).sum(axis=1) / ideal[np.minimum(k, size) - 1]
    return result


def headline(metrics: Sequence[Metric], version: str, target_domain: str, metric: str) -> Metric | None:
    """The number over all test people of a target domain by which champions are chosen."""
    wanted = (version, target_domain, "all", metric)
    found = (m for m in metrics if (m.model_version, m.target_domain, m.segment, m.metric) == wanted)
    return next(found, None)


def _panels(split: Split, items: Items, target: int) -> Iterator[_Panel]:
    span, other = items.span(target), items.span(1 - target)
    tested = np.diff(split.outcome[:, span].indptr) > 0
    tested[tested] = np.diff(_new(split, np.flatnonzero(tested), span).indptr) > 0
    here = np.diff(split.evidence[:, span].indptr) > 0
    there = np.diff(split.evidence[:, other].indptr) > 0
    hidden = np.zeros(len(tested), dtype=bool)
    hidden[split.hidden[target]] = True
    warm = tested & here
    cold = tested & there & (hidden | ~here)
    for segment, chosen, blind in (
        ("all", warm | cold, hidden),
        ("warm", warm, np.zeros_like(hidden)),
        ("cold", cold, np.ones_like(hidden)),
    ):
        units = np.flatnonzero(chosen)
        yield _Panel(segment, units, blind[units])


def _new(split: Split, units: Ints, span: slice) -> sp.csr_matrix:
    """Outcome items of the span that the units had not met before, as units × all items."""
    outcome, seen = split.outcome[units], split.seen[units]
    fresh = outcome - outcome.multiply(seen)
    fresh = fresh.tocsr()
    keep = (fresh.data > 0) & (fresh.indices >= span.start) & (fresh.indices < span.stop)
    rows = np.repeat(np.arange(fresh.shape[0]), np.diff(fresh.indptr))[keep]
    truth = sp.csr_matrix((fresh.data[keep], (rows, fresh.indices[keep])), shape=fresh.shape)
    truth.sort_indices()
    return truth


def _visible(split: Split, panel: _Panel, items: Items, target: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    blind = np.flatnonzero(panel.hidden)
    return (
        hide(split.evidence[panel.units], items, blind, target),
        hide(split.seen[panel.units], items, blind, target),
    )


def _ranked(
    rater: Rater,
    evidence: sp.csr_matrix,
    seen: sp.csr_matrix,
    items: Items,
    candidates: Ints,
    settings: RecommendSettings,
) -> Ints:
    length = max(CUTOFFS)
    lists = np.full((evidence.shape[0], length), -1, dtype=np.int64)
    if not len(candidates) or not evidence.shape[0]:
        return lists
    people = rater.people(evidence, items, settings.threads)
    excluded = seen[:, candidates].tocsr()
    for block in rank_blocks(people, rater.factors[candidates], excluded, length, threads=settings.threads):
        lists[block.rows] = np.where(block.item >= 0, candidates[np.maximum(block.item, 0)], -1)
    return lists


def _metric(rater: Rater, items: Items, target: int, panel: _Panel, metric: str, values: Floats) -> Metric:
    return Metric(
        model_version=rater.version,
        model=rater.name,
        direction=f"{items.domains[1 - target]}>{items.domains[target]}",
        target_domain=items.domains[target],
        segment=panel.segment,
        metric=metric,
        value=round(float(values.mean()), DIGITS) if len(values) else None,
        n=len(values),
    )


def _draw(key: bytes, seed: int) -> float:
    digest = blake2b(key, digest_size=6, salt=seed.to_bytes(8, "big", signed=True)).digest()
    return int.from_bytes(digest, "big") / (1 << 48)
