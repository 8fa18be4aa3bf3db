"""Recommendations of a day: each domain's items for everyone who is known in the other one.

People are scored a block at a time; of everybody only keys and consents are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sp

from crossdomain.recommend import reasons
from crossdomain.recommend.als import AlsModel, Folder
from crossdomain.recommend.arms import ARM_SOURCES, CHAMPION, POPULARITY, Arms
from crossdomain.recommend.champion import POPULAR
from crossdomain.recommend.evaluate import boosted
from crossdomain.recommend.folding import REASONS, Factors
from crossdomain.recommend.interactions import Bools, Floats, Ints, Items, Known, People, hide
from crossdomain.recommend.popularity import boost, popular_lists
from crossdomain.recommend.rerank import are_in, cap_groups, put_last
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.recommend.topk import rank_blocks

SOURCES = ("als", "als_own_side", "popular", "fallback", "unpersonalised")
"""``als``: the champion's scores. ``als_own_side``: its scores from what the person did in the target domain only,
because the other side does not help people like this. ``popular``: popularity, because it is the champion, or because
the other side does not help. ``fallback``: popularity, because the model knows nothing of the person.
``unpersonalised``: the list that everybody gets, because the person does not consent to personalisation; nothing of the
person was used."""
MODELLED = tuple(SOURCES.index(name) for name in ("als", "als_own_side"))
PEOPLE_BLOCK = 10_000
_POOL = 4
"""Times ``top_k`` items are ranked where the list is ranked again."""
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
    """The champion of a target domain.

    Attributes:
        version: Its version.
        model: Its model; None if popularity is the champion.
        serves: By segment (``warm``: with evidence in the target domain; ``cold``: without) what is shown to it:
            ``als``, ``als_own_side`` or popularity's name; ``als`` where nothing is said.
    """

    version: str
    model: AlsModel | None
    serves: Mapping[str, str] = field(default_factory=dict)


class Histories(Protocol):
    """Where the histories of a block of persons come from."""

    def of(self, persons: slice) -> Known:
        """What is known of them."""


class Shown(Protocol):
    """Where what persons were shown on the days before comes from."""

    def of(self, persons: slice) -> sp.csr_matrix:
        """Persons × all items; a stored cell is an item that the person has been shown often enough."""


@dataclass(frozen=True)
class Audience:
    """What scoring knows of people and items on a day.

    Attributes:
        people: Who may be processed.
        items: All items.
        histories: What is known of persons.
        decayed: Decayed popularity of all items.
        topic: The greatest topic of each item; -1 where none is known. None where topics do not count.
        shown: What was shown too often; None where repeats do not count.
    """

    people: People
    items: Items
    histories: Histories
    decayed: Floats
    topic: Ints | None = None
    shown: Shown | None = None


@dataclass(frozen=True)
class Lists:
    """Ranked items of a block of persons: persons × target domains × ranks, the domains by name.

    Attributes:
        item: Positions; -1 where a list ends early.
        score: Scores, rounded.
        source: Index into ``SOURCES``.
        because: One axis more: the items of the person's history that a recommendation rests on; -1 for none.
    """

    item: npt.NDArray[np.int32]
    score: Floats
    source: npt.NDArray[np.int8]
    because: npt.NDArray[np.int32]

    @classmethod
    def empty(cls, persons: int, targets: int, k: int) -> Lists:
        """Lists without an item."""
        shape = (persons, targets, k)
        return cls(
            item=np.full(shape, -1, dtype=np.int32),
            score=np.zeros(shape),
            source=np.zeros(shape, dtype=np.int8),
            because=np.full((*shape, REASONS), -1, dtype=np.int32),
        )


@dataclass(frozen=True)
class _Target:
    """A target domain's champion, ready to score.

    Attributes:
        place: Place of the domain among the names.
        domain: Index of the domain.
        served: The champion.
        candidates: Items on sale that the model knows.
        factors: Their vectors, boosted.
    """

    place: int
    domain: int
    served: Served
    candidates: Ints
    factors: Factors


@dataclass(frozen=True)
class _Model:
    """A model's vectors of a run's items, and which items it knows."""

    fold: Factors
    known: Bools
    folder: Folder


@dataclass
class _Block:
    """A block of persons while it is scored."""

    persons: slice
    known: Known
    lists: Lists
    shown: sp.csr_matrix | None = None
    vectors: dict[tuple[str, str], Factors] = field(default_factory=dict)


@dataclass(frozen=True)
class Scorer:
    """Champions and items of a day, prepared once for all blocks.

    Attributes:
        audience: People, items and what is known of them.
        champions: By target domain.
        settings: ``top_k``, ``popularity_power`` and ``threads`` are used.
        arms: What persons are shown instead, under experiments; None: there are none.
        trials: By target domain the model that arms name, the champion or where popularity is champion another one.
    """

    audience: Audience
    champions: Mapping[str, Served]
    settings: RecommendSettings
    arms: Arms | None = None
    trials: Mapping[str, Served] = field(default_factory=dict)

    def blocks(self) -> Iterator[slice]:
        """Persons in blocks; one without persons where there are none."""
        persons = len(self.audience.people.person)
        for start in range(0, max(persons, 1), PEOPLE_BLOCK):
            yield slice(start, min(start + PEOPLE_BLOCK, persons))

    def rows(self, persons: slice) -> pa.Table:
        """Rows of ``serving.recommendations`` for a block of persons, in the table's order.

        Each person who is known outside a target domain and grants ``cross_domain`` gets up to ``top_k`` of its items
        on sale, without what the person owns or rejected; ranks go from 1 without gaps, ties in score to the smaller
        item_id. Who does not consent to personalisation gets the same list as everybody in that case, owned items or
        not.
        """
        items = self.audience.items
        lists = Lists.empty(persons.stop - persons.start, len(items.domains), self.settings.top_k)
        shown = None if self.audience.shown is None else self.audience.shown.of(persons)
        block = _Block(persons, self.audience.histories.of(persons), lists, shown)
        for target in self._targets:
            self._fill(block, target)
        return self._encoder.table(persons, lists)

    @cached_property
    def _models(self) -> dict[str, _Model]:
        items, threads = self.audience.items, self.settings.threads
        models: dict[str, _Model] = {}
        for served in (*self.champions.values(), *self.trials.values()):
            if served.model is not None and served.version not in models:
                fold, known = served.model.aligned(items)
                folder = Folder(fold, items, served.model.regularization, threads)
                models[served.version] = _Model(fold, known, folder)
        return models

    @cached_property
    def _targets(self) -> list[_Target]:
        names = enumerate(sorted(self.audience.items.domains))
        return [self._target(place, name, self.champions[name]) for place, name in names]

    @cached_property
    def _trials(self) -> list[_Target]:
        """Of each target what arms that name a model are served by: the champion, where it is a model."""
        names = sorted(self.audience.items.domains)
        return [
            champion
            if champion.served.model is not None or name not in self.trials
            else self._target(champion.place, name, self.trials[name])
            for name, champion in zip(names, self._targets, strict=True)
        ]

    @cached_property
    def _encoder(self) -> _Encoder:
        return _Encoder(self.audience, [target.served.version for target in self._trials], self.arms)

    def _target(self, place: int, name: str, served: Served) -> _Target:
        items = self.audience.items
        domain = items.domains.index(name)
        if served.model is None:
            return _Target(place, domain, served, np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32))
        span, model = items.span(domain), self._models[served.version]
        candidates = span.start + np.flatnonzero(items.on_sale[span] & model.known[span])
        factors = boosted(model.fold, boost(self.audience.decayed, self.settings.popularity_power))[candidates]
        return _Target(place, domain, served, candidates, factors)

    def _fill(self, block: _Block, target: _Target) -> None:
        people = self.audience.people
        personal = people.may_personalise(target.domain)[block.persons]
        reached = people.may_reach(target.domain)[block.persons]
        self._popular(block, target, np.flatnonzero(reached & ~personal), "unpersonalised")
        for source, members in self._by_arm(block.persons, personal):
            if source == CHAMPION:
                self._champion(block, target, members)
            elif source == POPULARITY:
                self._popular(block, target, np.flatnonzero(members), "popular")
            else:
                self._modelled(block, self._trials[target.place], members, source)

    def _by_arm(self, persons: slice, personal: Bools) -> Iterator[tuple[str, Bools]]:
        """Where lists come from, and the persons of a block whose lists do."""
        if self.arms is None:
            yield CHAMPION, personal
            return
        source = self.arms.source[persons]
        for code in np.unique(source):
            yield ARM_SOURCES[code], personal & (source == code)

    def _champion(self, block: _Block, target: _Target, members: Bools) -> None:
        if target.served.model is None:
            self._popular(block, target, np.flatnonzero(members), "popular")
            return
        warm = np.diff(block.known.evidence[:, self.audience.items.span(target.domain)].indptr) > 0
        for segment, part in (("warm", members & warm), ("cold", members & ~warm)):
            serves = target.served.serves.get(segment, "als")
            if serves == POPULAR:
                self._popular(block, target, np.flatnonzero(part), "popular")
            else:
                self._modelled(block, target, part, serves)

    def _modelled(self, block: _Block, target: _Target, members: Bools, source: str) -> None:
        """Lists by the model, and by popularity for whom it knows nothing of; so too where there is no model."""
        informed = np.zeros(len(members), dtype=bool)
        if target.served.model is not None:
            evidence = self._evidence(block, target, source)
            informed = self._informed(evidence, target.served.version) & bool(len(target.candidates))
            self._personal(block, target, np.flatnonzero(members & informed), source)
        self._popular(block, target, np.flatnonzero(members & ~informed), "fallback")

    def _evidence(self, block: _Block, target: _Target, source: str) -> sp.csr_matrix:
        if source == "als":
            return block.known.evidence
        everybody = np.arange(block.known.evidence.shape[0])
        return hide(block.known.evidence, self.audience.items, everybody, 1 - target.domain)

    def _informed(self, evidence: sp.csr_matrix, version: str) -> Bools:
        """Per person, whether the model knows an item of the history."""
        counts = np.concatenate([[0], np.cumsum(self._models[version].known[evidence.indices])])
        informed: Bools = np.diff(counts[evidence.indptr]) > 0
        return informed

    def _personal(self, block: _Block, target: _Target, rows: Ints, source: str) -> None:
        threads, model = self.settings.threads, self._models[target.served.version]
        known = self._evidence(block, target, source)
        name = (target.served.version, source if source == "als" else f"{source} {target.domain}")
        if name not in block.vectors:
            block.vectors[name] = model.folder.people(known)
        vectors = block.vectors[name][rows]
        excluded = block.known.unwanted[rows][:, target.candidates].tocsr()
        k = self.settings.top_k
        pool = k * _POOL if self._caps or block.shown is not None else k
        chosen = np.full((len(rows), k), -1, dtype=np.int64)
        for ranked in rank_blocks(vectors, target.factors, excluded, pool, threads=threads):
            item, score = self._reranked(block, target, rows[ranked.rows], ranked.item, ranked.score)
            here = item >= 0
            chosen[ranked.rows][here] = target.candidates[item[here]]
            block.lists.score[rows[ranked.rows], target.place] = np.where(here, score, 0)
        because = model.folder.reasons(known[rows], chosen)
        block.lists.item[rows, target.place] = chosen
        block.lists.source[rows, target.place] = SOURCES.index(source)
        block.lists.because[rows, target.place] = because

    @cached_property
    def _caps(self) -> list[tuple[Ints, int]]:
        """Groups of items and how many of a group come first; the last one is kept where not all can be."""
        caps = [
            (self.audience.topic, self.settings.topic_cap),
            (self.audience.items.creator, self.settings.creator_cap),
        ]
        return [(group, most) for group, most in caps if group is not None and most]

    def _reranked(self, block: _Block, target: _Target, rows: Ints, item: Ints, score: Floats) -> tuple[Ints, Floats]:
        pool, k = item.shape[1], self.settings.top_k
        if block.shown is not None:
            late = are_in(item, block.shown[rows][:, target.candidates].tocsr())
            item, score = put_last(item, score, late, pool)
        for group, most in self._caps:
            item, score = cap_groups(item, score, group[target.candidates], most, pool)
        return item[:, :k], score[:, :k]

    def _popular(self, block: _Block, target: _Target, rows: Ints, source: str) -> None:
        items, excluded = self.audience.items, block.known.unwanted[rows]
        if source == "unpersonalised":  # what they own or rejected is behaviour too
            excluded = sp.csr_matrix(excluded.shape, dtype=excluded.dtype)
        row, item, rank, score = popular_lists(
            self.audience.decayed, items.on_sale, items.span(target.domain), excluded, self.settings.top_k
        )
        block.lists.item[rows[row], target.place, rank - 1] = item
        block.lists.score[rows[row], target.place, rank - 1] = score
        block.lists.source[rows, target.place] = SOURCES.index(source)


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


@dataclass(frozen=True)
class _Encoder:
    """Turns positions into the columns of the table; texts are dictionaries."""

    audience: Audience
    versions: list[str]
    arms: Arms | None

    def table(self, persons: slice, lists: Lists) -> pa.Table:
        filled = lists.item >= 0
        person, place, rank = (part.astype(np.int32) for part in np.nonzero(filled))
        source = lists.source[filled]
        personal = np.isin(source, MODELLED)
        names = pa.array(sorted(self.audience.items.domains), pa.string())
        columns = [
            self.audience.people.person.slice(persons.start, persons.stop - persons.start).take(pa.array(person)),
            _dictionary(place, names),
            pa.array(rank + 1),
            _dictionary(lists.item[filled], self.audience.items.item_id),
            pa.array(lists.score[filled]),
            _dictionary(source, pa.array(SOURCES, pa.string())),
            self._reason(source, lists.because[filled]),
            _dictionary(np.where(personal, place, len(names)), pa.array([*self.versions, POPULAR], pa.string())),
            self._variant(persons, person, source),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)

    def _variant(self, persons: slice, person: npt.NDArray[np.int32], source: npt.NDArray[np.int8]) -> pa.Array:
        """Variants of the rows; a list that uses nothing of the person is no variant of anything."""
        if self.arms is None:
            return pa.nulls(len(person), pa.string())
        code = self.arms.variant[persons][person]
        none = (code < 0) | (source == SOURCES.index("unpersonalised"))
        return pa.array(self.arms.names, pa.string()).take(pa.array(code, mask=none))

    def _reason(self, source: npt.NDArray[np.int8], because: npt.NDArray[np.int32]) -> pa.DictionaryArray:
        plain = [reasons.encode(code) for code in (reasons.TASTE, reasons.POPULAR, reasons.POPULAR_WITH_ALL)]
        code = np.full(len(source), plain.index(reasons.encode(reasons.POPULAR)), dtype=np.int32)
        code[np.isin(source, MODELLED)] = plain.index(reasons.encode(reasons.TASTE))
        code[source == SOURCES.index("unpersonalised")] = plain.index(reasons.encode(reasons.POPULAR_WITH_ALL))
        owing = because[:, 0] >= 0
        items = len(self.audience.items)
        pairs, which = np.unique(because[owing, 0] * np.int64(items + 1) + because[owing, 1] + 1, return_inverse=True)
        code[owing] = len(plain) + which
        both = self._because(pairs // (items + 1), pairs % (items + 1) - 1)
        return _dictionary(code, pa.array([*plain, *both], pa.string()))

    def _because(self, first: Ints, second: Ints) -> list[str]:
        """The stored reasons of one or two items (-1: none), with what two have in common."""
        creator, topic = self.audience.items.creator, self.audience.topic
        columns = (first, second, _shared(creator, first, second), _shared(topic, first, second))
        texts = self._item_texts
        return [
            reasons.because_text(texts[a], texts[b], creator=by >= 0, topic=of if of >= 0 else None)
            if b >= 0
            else reasons.because_text(texts[a])
            for a, b, by, of in zip(*(one.tolist() for one in columns), strict=True)
        ]

    @cached_property
    def _item_texts(self) -> list[str]:
        items = self.audience.items
        domains = [items.domains[domain] for domain in items.domain]
        return reasons.item_texts(zip(domains, items.item_id.to_pylist(), strict=True))


def _shared(group: Ints | None, first: Ints, second: Ints) -> Ints:
    """The group that both items of a pair are in; -1 where they are not, or where there is no second (-1)."""
    if group is None:
        return np.full(len(first), -1, dtype=np.int64)
    return np.where((second >= 0) & (group[first] == group[second]), group[first], -1)


def _dictionary(codes: npt.NDArray[np.integer], values: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32, copy=False)), values)
