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

SOURCES = ("als", "popular", "fallback", "unpersonalised")
"""``als``: the champion's scores. ``popular``: popularity, because it is the champion. ``fallback``: popularity,
because the model knows nothing of the person. ``unpersonalised``: the list that everybody gets, because the person does
not consent to personalisation; nothing of the person was used."""
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

    Each person who is known outside a target domain and grants ``cross_domain`` gets up to ``top_k`` of its items on
    sale, without what the person owns or rejected; ranks go from 1 without gaps, ties in score to the smaller item_id.
    Who does not consent to personalisation gets the same list as everybody in that case, owned items or not.

    Args:
        audience: People, items and what is known of them.
        champions: By target domain.
        settings: ``top_k``, ``popularity_power`` and ``threads`` are used.
    """
    for target, name in enumerate(audience.items.domains):
        served = champions[name]
        people = audience.people
        encoder = _Encoder.of(audience, name, served)
        personal = people.may_personalise(target)
        persons = np.flatnonzero(personal)
        yield from _popular(
            audience, target, np.flatnonzero(people.may_reach(target) & ~personal), "unpersonalised", settings, encoder
        )
        if served.model is None:
            yield from _popular(audience, target, persons, "popular", settings, encoder)
            continue
        fold, _ = served.model.aligned(audience.items)
        known = _informed(audience.evidence, served.model, audience.items)[persons]
        yield from _personal(audience, target, persons[known], fold, served.model, settings, encoder)
        yield from _popular(audience, target, persons[~known], "fallback", settings, encoder)


def popular_items(audience: Audience, settings: RecommendSettings) -> pa.Table:
    """The list of each domain that everybody may be shown, as rows of ``serving.popular_items``.

    Up to ``top_k`` items on sale by decayed popularity; ranks from 1, ties to the smaller item_id.
    """
    items = audience.items
    nothing = sp.csr_matrix((1, len(items)), dtype=np.float32)
    parts = []
    for target, name in enumerate(items.domains):
        _, item, rank, score = popular_lists(
            audience.decayed, items.on_sale, items.span(target), nothing, settings.top_k
        )
        columns = {
            "target_domain": pa.repeat(name, len(item)),
            "rank": pa.array(rank.astype(np.int32)),
            "item_id": items.item_id.take(pa.array(item)),
            "score": score,
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


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
        yield from _popular(audience, target, persons, "fallback", settings, encoder)
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
    audience: Audience, target: int, persons: Ints, source: str, settings: RecommendSettings, encoder: _Encoder
) -> Iterator[pa.RecordBatch]:
    items = audience.items
    code = SOURCES.index(source)
    for start in range(0, len(persons), PEOPLE_BLOCK):
        block = persons[start : start + PEOPLE_BLOCK]
        excluded = audience.unwanted[block]
        if source == "unpersonalised":  # what they own or rejected is behaviour too
            excluded = sp.csr_matrix(excluded.shape, dtype=excluded.dtype)
        row, item, rank, score = popular_lists(
            audience.decayed, items.on_sale, items.span(target), excluded, settings.top_k
        )
        because = np.full(len(row), -1, dtype=np.int64)
        yield encoder.batch(_Rows(block[row], item, rank, score, np.full(len(row), code), because))


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
        texts += [reasons.encode(code) for code in (reasons.TASTE, reasons.POPULAR, reasons.POPULAR_WITH_ALL)]
        return cls(
            person=audience.people.person,
            item_id=items.item_id,
            reason=pa.array(texts, pa.string()),
            target_domain=pa.array([target_domain], pa.string()),
            version=pa.array([served.version, POPULAR], pa.string()),
        )

    def batch(self, rows: _Rows) -> pa.RecordBatch:
        personal = rows.source == SOURCES.index("als")
        taste, popular, with_all = len(self.reason) + np.arange(-3, 0)
        plain = np.where(rows.source == SOURCES.index("unpersonalised"), with_all, popular)
        reason = np.where(personal, np.where(rows.because >= 0, rows.because, taste), plain)
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
