"""Measuring models on the days that follow their training, each direction and segment apart.

Temporal protocol: a twin of the model is trained up to a cut; the test is what each person meets for the
first time in the last days; all items of the target domain that were known at the cut are ranked, without
those that the person had met. Test items that nobody had met by the cut stay in the truth: nobody can rank
them, and leaving them out would flatter every model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from crossdomain.recommend.als import AlsModel, fold_in
from crossdomain.recommend.folding import Factors
from crossdomain.recommend.interactions import Bools, Floats, Ints, Items, People, hide
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.recommend.topk import DIGITS, rank_blocks
from crossdomain.stats.paired import compare_pairs, mean_interval

BASELINE = "decayed_popularity"
"""Name and version of the rater that the others are compared with, on the same people."""
OWN_SIDE = "als_own_side"
"""Name of a rater that folds people in from what they did in the target domain only."""
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
        seen: Items that each unit had met, owned or ever rejected before the test days, units × items.
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
class Question:
    """People who are asked about in one domain, and what may be used and shown.

    Attributes:
        target: Index of the domain whose items are ranked.
        units: The people.
        blind: Which of them are asked about without their history in the domain.
        evidence: Their confidences at the cut, people × items, without what is hidden.
        seen: What they had met, people × items, without what is hidden.
        candidates: Items that are ranked, ascending.
        items: All items.
        threads: Threads.
    """

    target: int
    units: Ints
    blind: Bools
    evidence: sp.csr_matrix
    seen: sp.csr_matrix
    candidates: Ints
    items: Items
    threads: int


class Rater(Protocol):
    """Anything that ranks items for people.

    Attributes:
        version: Version of the model, or the name of the baseline.
        name: What it is; ``serving.model_metrics`` says which there are.
        own_side: Whether it uses what people did in the target domain only; it is then measured on warm people.
    """

    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def own_side(self) -> bool: ...  # noqa: D102

    def lists(self, question: Question, length: int) -> Ints:
        """The best candidates that each person has not seen, people × length, best first; -1 where there are fewer."""


@dataclass(frozen=True)
class VectorRater:
    """Scores by a product of vectors, popularity being a product of length one.

    Attributes:
        version: Version of the model, or the name of the baseline.
        name: ``als``, ``als_own_side``, ``popularity`` or ``decayed_popularity``.
        factors: Items × factors, boosted.
        fold: Items × factors that people are folded in with; None if all people score alike.
        regularization: Ridge of the fold-in.
        own_side: Whether people are folded in from the target domain only; such a rater is measured on warm people.
    """

    version: str
    name: str
    factors: Factors
    fold: Factors | None = None
    regularization: float = 0.0
    own_side: bool = False

    def people(self, evidence: sp.csr_matrix, items: Items, threads: int) -> Factors:
        """Vectors of people from their evidence."""
        if self.fold is None:
            return np.ones((evidence.shape[0], 1), dtype=np.float32)
        return fold_in(self.fold, evidence, items, self.regularization, threads=threads)

    def lists(self, question: Question, length: int) -> Ints:
        """See ``Rater``; ties go to the smaller item."""
        candidates, items, evidence = question.candidates, question.items, question.evidence
        lists = np.full((len(question.units), length), -1, dtype=np.int64)
        if self.own_side:
            evidence = hide(evidence, items, np.arange(evidence.shape[0]), 1 - question.target)
        people = self.people(evidence, items, question.threads)
        excluded = question.seen[:, candidates].tocsr()
        for block in rank_blocks(people, self.factors[candidates], excluded, length, threads=question.threads):
            lists[block.rows] = np.where(block.item >= 0, candidates[np.maximum(block.item, 0)], -1)
        return lists


@dataclass(frozen=True)
class Metric:
    """One measured number, a row of ``serving.model_metrics``.

    Attributes:
        model_version: Version of the rater.
        model: Name of the rater.
        direction: ``from>to``.
        target_domain: Whose items are ranked.
        segment: One of ``SEGMENTS``.
        metric: Such as ``ndcg@10``.
        value: Mean over the test people; None where there are none.
        low: Lower end of its 95 % t interval; None with fewer than two people.
        high: Upper end.
        difference: Mean difference to the baseline on the same people; None for the baseline.
        difference_low: Lower end of its paired 95 % t interval.
        difference_high: Upper end.
        p: Two-sided p of the paired t test.
        n: Test people.
    """

    model_version: str
    model: str
    direction: str
    target_domain: str
    segment: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    n: int


@dataclass(frozen=True)
class Evaluation:
    """What raters reached.

    Attributes:
        metrics: The means, ordered by target domain, segment, rater, metric.
        values: By (version, name, target domain, segment): per metric a value for each test person; the people of a
            target domain and segment are the same and in the same order for all raters.
    """

    metrics: list[Metric] = field(default_factory=list)
    values: Mapping[tuple[str, str, str, str], Mapping[str, Floats]] = field(default_factory=dict)

    def of(self, version: str, name: str, target_domain: str, segment: str, metric: str) -> Floats | None:
        """A value for each test person; None if the rater was not measured there."""
        found = self.values.get((version, name, target_domain, segment))
        return None if found is None else found[metric]


@dataclass(frozen=True)
class _Panel:
    segment: str
    units: Ints
    hidden: Bools


def als_rater(version: str, model: AlsModel, items: Items, boosts: Floats) -> VectorRater:
    """A trained model as a rater of a run's items; unknown items score 0."""
    fold, _ = model.aligned(items)
    return VectorRater(version, "als", boosted(fold, boosts), fold, model.regularization)


def own_side_rater(rater: VectorRater) -> VectorRater:
    """The same vectors without what people did in the other domain."""
    return replace(rater, name=OWN_SIDE, own_side=True)


def popularity_rater(name: str, scores: Floats) -> VectorRater:
    """A baseline that gives everybody the same scores; its version is its name."""
    return VectorRater(name, name, scores.astype(np.float32)[:, None])


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


def evaluate(split: Split, raters: Sequence[Rater], items: Items, settings: RecommendSettings) -> Evaluation:
    """HR, recall and NDCG at ``CUTOFFS`` of each rater, by direction and segment, full ranking.

    Means and intervals are rounded to ``DIGITS``. Differences are to the rater whose version is ``BASELINE``.
    """
    values: dict[tuple[str, str, str, str], Mapping[str, Floats]] = {}
    metrics = []
    for target in (0, 1):
        name, span = items.domains[target], items.span(target)
        candidates = span.start + np.flatnonzero(split.popular[span] > 0)
        panels = {panel.segment: panel for panel in _panels(split, items, target)}
        truth = {segment: _new(split, panel.units, span) for segment, panel in panels.items()}
        measured: dict[str, list[Rater]] = {segment: [] for segment in panels}
        for rater in raters:
            asked = [panel for panel in panels.values() if panel.segment == "warm" or not rater.own_side]
            lists = _lists(rater, split, asked, items, target, candidates, settings.threads)
            for panel, found in zip(asked, lists, strict=True):
                measured[panel.segment].append(rater)
                values[rater.version, rater.name, name, panel.segment] = measure(found, truth[panel.segment])
        for segment, panel in panels.items():
            base = values.get((BASELINE, BASELINE, name, segment))
            for rater in measured[segment]:
                own = values[rater.version, rater.name, name, segment]
                metrics += [_metric(rater, items, target, panel, metric, found, base) for metric, found in own.items()]
    return Evaluation(metrics, values)


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


def _lists(
    rater: Rater, split: Split, panels: Sequence[_Panel], items: Items, target: int, candidates: Ints, threads: int
) -> list[Ints]:
    """A rater's lists for the people of each panel; whoever is asked in the same way in several is asked once."""
    keys = [2 * panel.units + panel.hidden for panel in panels]
    asked = np.unique(np.concatenate(keys))
    lists = np.full((len(asked), max(CUTOFFS)), -1, dtype=np.int64)
    if len(asked) and len(candidates):
        units, blind = asked // 2, asked % 2 == 1
        hidden = np.flatnonzero(blind)
        evidence, seen = (hide(matrix[units], items, hidden, target) for matrix in (split.evidence, split.seen))
        question = Question(target, units, blind, evidence, seen, candidates, items, threads)
        lists = rater.lists(question, max(CUTOFFS))
    return [lists[np.searchsorted(asked, key)] for key in keys]


def _metric(
    rater: Rater,
    items: Items,
    target: int,
    panel: _Panel,
    metric: str,
    values: Floats,
    baseline: Mapping[str, Floats] | None,
) -> Metric:
    n = len(values)
    _, low, high = mean_interval(values) if n > 1 else (None, None, None)
    compared = compare_pairs(baseline[metric], values) if baseline and n > 1 and rater.version != BASELINE else None
    return Metric(
        model_version=rater.version,
        model=rater.name,
        direction=f"{items.domains[1 - target]}>{items.domains[target]}",
        target_domain=items.domains[target],
        segment=panel.segment,
        metric=metric,
        value=rounded(float(values.mean())) if n else None,
        low=rounded(low),
        high=rounded(high),
        difference=rounded(compared.estimate) if compared else None,
        difference_low=rounded(compared.low) if compared else None,
        difference_high=rounded(compared.high) if compared else None,
        p=rounded(compared.p) if compared else None,
        n=n,
    )


def rounded(value: float | None) -> float | None:
    """A measured number as it is stored."""
    return None if value is None else round(value, DIGITS) + 0.0


def _draw(key: bytes, seed: int) -> float:
    digest = blake2b(key, digest_size=6, salt=seed.to_bytes(8, "big", signed=True)).digest()
    return int.from_bytes(digest, "big") / (1 << 48)
