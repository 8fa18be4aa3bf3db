"""Recommendations of a day: each domain's items for everyone who is known in the other one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from crossdomain.recommend import reasons
from crossdomain.recommend.als import AlsModel, Factors, explain, fold_in
from crossdomain.recommend.champion import POPULAR
from crossdomain.recommend.evaluate import boosted
from crossdomain.recommend.interactions import Bools, Floats, Ints, Items, People
from crossdomain.recommend.popularity import boost, popular_lists
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.recommend.topk import rank_blocks

SOURCES = ("als", "popular", "fallback")
"""``als``: the champion's scores. ``popular``: without personalisation, because the person did not consent
or because popularity is the champion. ``fallback``: popularity, because the model knows nothing of the person."""
PEOPLE_BLOCK = 50_000
SCHEMA = pa.schema(
    [
        ("person", pa.binary()),
        ("target_domain", pa.dictionary(pa.int32(), pa.string())),
        ("rank", pa.int32()),
        ("item_id", pa.dictionary(pa.int32(), pa.string())),
        ("score", pa.float64()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("model_version", pa.dictionary(pa.int32(), pa.string())),
        ("variant", pa.string()),
    ]
)


@dataclass(frozen=True)
class Served:
    """The champion of a target domain: its version, and its model unless popularity is the champion."""

    version: str
    model: AlsModel | None


@dataclass(frozen=True)
class Audience:
    """What scoring knows of people and items on a day.

    Attributes:
        people: Who may be processed.
        items: All items.
        evidence: Confidence, persons × items, consented evidence of joined persons only.
        unwanted: Items that are owned or rejected, persons × items.
        decayed: Decayed popularity of all items.
    """

    people: People
    items: Items
    evidence: sp.csr_matrix
    unwanted: sp.csr_matrix
    decayed: Floats


@dataclass(frozen=True)
class _Rows:
    person: Ints
    item: Ints
    rank: Ints
    score: Floats
    source: Ints
    because: Ints


def recommend(
    audience: Audience, champions: Mapping[str, Served], settings: RecommendSettings
) -> Iterator[pa.RecordBatch]:
    """Rows of ``serving.recommendations`` for a day, by target domain and block of people.

    Each person who is known outside a target domain gets up to ``top_k`` of its items on sale, without what
    the person owns or rejected; ranks go from 1 without gaps, ties in score to the smaller item_id.

    Args:
        audience: People, items and what is known of them.
        champions: By target domain.
        settings: ``top_k``, ``popularity_power`` and ``threads`` are used.
    """
    for target, name in enumerate(audience.items.domains):
        served = champions[name]
        persons = np.flatnonzero(audience.people.known_in(1 - target))
        encoder = _Encoder.of(audience, name, served)
        if served.model is None:
            source = np.full(len(persons), SOURCES.index("popular"))
            yield from _popular(audience, target, persons, source, settings, encoder)
            continue
        fold, _ = served.model.aligned(audience.items)
        informed = _informed(audience.evidence, served.model, audience.items)[persons]
        consented = audience.people.may_personalise(target)[persons]
        known = consented & informed
        yield from _personal(audience, target, persons[known], fold, served.model, settings, encoder)
        source = np.where(consented[~known], SOURCES.index("fallback"), SOURCES.index("popular"))
        yield from _popular(audience, target, persons[~known], source, settings, encoder)


def _informed(evidence: sp.csr_matrix, model: AlsModel, items: Items) -> Bools:
    """Per person, whether the model knows an item of the history."""
    _, known = model.aligned(items)
    counts = np.concatenate([[0], np.cumsum(known[evidence.indices])])
    informed: Bools = np.diff(counts[evidence.indptr]) > 0
    return informed


def _personal(
    audience: Audience,
    target: int,
    persons: Ints,
    fold: Factors,
    model: AlsModel,
    settings: RecommendSettings,
    encoder: _Encoder,
) -> Iterator[pa.RecordBatch]:
    span = audience.items.span(target)
    _, known = model.aligned(audience.items)
    candidates = span.start + np.flatnonzero(audience.items.on_sale[span] & known[span])
    if not len(candidates):
        source = np.full(len(persons), SOURCES.index("fallback"))
        yield from _popular(audience, target, persons, source, settings, encoder)
        return
    item_factors = boosted(fold, boost(audience.decayed, settings.popularity_power))[candidates]
    for start in range(0, len(persons), PEOPLE_BLOCK):
        block = persons[start : start + PEOPLE_BLOCK]
        evidence = audience.evidence[block]
        vectors = fold_in(fold, evidence, audience.items, model.regularization, threads=settings.threads)
        excluded = audience.unwanted[block][:, candidates].tocsr()
        for ranked in rank_blocks(vectors, item_factors, excluded, settings.top_k, threads=settings.threads):
            chosen = np.where(ranked.item >= 0, candidates[np.maximum(ranked.item, 0)], -1)
            because = explain(fold, evidence[ranked.rows], audience.items, model.regularization, chosen)
            row, place = np.nonzero(chosen >= 0)
            yield encoder.batch(
                _Rows(
                    person=block[ranked.rows][row],
                    item=chosen[row, place],
                    rank=place + 1,
                    score=ranked.score[row, place],
                    source=np.full(len(row), SOURCES.index("als")),
                    because=because[row, place],
                )
            )


def _popular(
    audience: Audience, target: int, persons: Ints, source: Ints, settings: RecommendSettings, encoder: _Encoder
) -> Iterator[pa.RecordBatch]:
    items = audience.items
    for start in range(0, len(persons), PEOPLE_BLOCK):
        block = persons[start : start + PEOPLE_BLOCK]
        row, item, rank, score = popular_lists(
            audience.decayed, items.on_sale, items.span(target), audience.unwanted[block], settings.top_k
        )
        because = np.full(len(row), -1, dtype=np.int64)
        yield encoder.batch(_Rows(block[row], item, rank, score, source[start : start + PEOPLE_BLOCK][row], because))


@dataclass(frozen=True)
class _Encoder:
    """Turns positions into the columns of the table; texts are dictionaries, made once a domain."""

    person: pa.Array
    item_id: pa.Array
    reason: pa.Array
    target_domain: pa.Array
    version: pa.Array

    @classmethod
    def of(cls, audience: Audience, target_domain: str, served: Served) -> _Encoder:
        items = audience.items
        names = [items.domains[domain] for domain in items.domain]
        texts = [reasons.encode(reasons.BECAUSE, [item]) for item in zip(names, items.item_id.to_pylist(), strict=True)]
        texts += [reasons.encode(reasons.TASTE), reasons.encode(reasons.POPULAR)]
        return cls(
            person=audience.people.person,
            item_id=items.item_id,
            reason=pa.array(texts, pa.string()),
            target_domain=pa.array([target_domain], pa.string()),
            version=pa.array([served.version, POPULAR], pa.string()),
        )

    def batch(self, rows: _Rows) -> pa.RecordBatch:
        personal = rows.source == SOURCES.index("als")
        taste, popular = len(self.reason) - 2, len(self.reason) - 1
        reason = np.where(personal, np.where(rows.because >= 0, rows.because, taste), popular)
        columns = [
            self.person.take(pa.array(rows.person)),
            _dictionary(np.zeros(len(rows.rank), dtype=np.int32), self.target_domain),
            pa.array(rows.rank.astype(np.int32)),
            _dictionary(rows.item, self.item_id),
            pa.array(rows.score),
            _dictionary(rows.source, pa.array(SOURCES, pa.string())),
            _dictionary(reason, self.reason),
            _dictionary(np.where(personal, 0, 1), self.version),
            pa.nulls(len(rows.rank), pa.string()),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _dictionary(codes: np.ndarray, values: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), values)
