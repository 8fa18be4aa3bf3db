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

from crossdomain.recommend.als import AlsModel, Folder
from crossdomain.recommend.arms import ARM_SOURCES, CHAMPION, POPULARITY, Arms
from crossdomain.recommend.champion import POPULAR
from crossdomain.recommend.evaluate import boosted
from crossdomain.recommend.folding import Factors
from crossdomain.recommend.interactions import Bools, Floats, Ints, Items, Known, People, hide
from crossdomain.recommend.list_rows import SOURCES, Encoder, Lists
from crossdomain.recommend.offline.answering import Pool
from crossdomain.recommend.offline.log import Log
from crossdomain.recommend.offline.training import Recommender
from crossdomain.recommend.popularity import boost, popular_lists
from crossdomain.recommend.ranked import KIND as RANKER
from crossdomain.recommend.ranked import OWN_SIDE as RANKER_OWN_SIDE
from crossdomain.recommend.ranked import RankedServer
from crossdomain.recommend.reranking.diversity import Vectors, diversify
from crossdomain.recommend.reranking.lists import are_in, cap_groups, merge, put_first, put_last
from crossdomain.recommend.reranking.promotions import Promotions, keep_room, keep_to_rules, placed_pins, rules_of
from crossdomain.recommend.settings import RecommendSettings
from crossdomain.recommend.topk import rank_blocks

PEOPLE_BLOCK = 10_000
_POOL = 4
"""Times ``top_k`` items are ranked where the list is ranked again."""


@dataclass(frozen=True)
class Served:
    """The champion of a target domain.

    Attributes:
        version: Its version.
        model: Its model; None if popularity is the champion, or a ranker.
        serves: By segment (``warm``: with evidence in the target domain; ``cold``: without) what is shown to it:
            the kind of the champion, the same with ``_own_side``, or popularity's name; the champion where nothing is
            said.
        ranker: The ranker, if it is one.
    """

    version: str
    model: AlsModel | None
    serves: Mapping[str, str] = field(default_factory=dict)
    ranker: Recommender | None = None

    @property
    def kind(self) -> str:
        """``als``, ``ranker``, or popularity's name."""
        if self.ranker is not None:
            return RANKER
        return POPULAR if self.model is None else "als"


class Histories(Protocol):
    """Where the histories of a block of persons come from."""

    def of(self, persons: slice) -> Known:
        """What is known of them."""


class Shown(Protocol):
    """Where what persons were shown on the days before comes from."""

    def of(self, persons: slice) -> sp.csr_matrix:
        """Persons × all items; a stored cell is an item that the person has been shown often enough."""


class Due(Protocol):
    """Where what persons are due to buy again comes from."""

    def of(self, persons: slice, target: int) -> tuple[Ints, Floats]:
        """Items on sale of a domain, persons × most rows, -1 where there are fewer; and how long they waited, in gaps.

        Items are owned and not rejected, the one that is due nearest first.
        """


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
        mixtures: Vectors of all items whose products are similarities; None where being alike does not count.
        fresh: What the scores of all items are multiplied by because they are new; None where age does not count.
        promotions: Rules of the day; None where none is in force.
        due: What is due to be bought again; None where that does not count.
        log: Everybody's evidence; None where no ranker serves.
        moment: When the day ended, in seconds since 1970.
    """

    people: People
    items: Items
    histories: Histories
    decayed: Floats
    topic: Ints | None = None
    shown: Shown | None = None
    mixtures: Vectors | None = None
    fresh: Floats | None = None
    promotions: Promotions | None = None
    due: Due | None = None
    log: Log | None = None
    moment: int = 0

    @cached_property
    def offered(self) -> Bools:
        """Items that may be recommended: on sale, and blocked by no rule."""
        on_sale = self.items.on_sale
        return on_sale if self.promotions is None else on_sale & ~self.promotions.blocked


@dataclass(frozen=True)
class _Target:
    """A target domain's champion, ready to score.

    Attributes:
        place: Place of the domain among the names.
        domain: Index of the domain.
        served: The champion.
        candidates: Items on sale that the model knows.
        factors: Their vectors, boosted.
        raised: Whether a rule raises them.
    """

    place: int
    domain: int
    served: Served
    candidates: Ints
    factors: Factors
    raised: Bools


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
    due: dict[int, tuple[Ints, Floats]] = field(default_factory=dict)

    def due_in(self, domain: int, due: Due) -> tuple[Ints, Floats]:
        """What the block's persons are due to buy again in a domain, read once."""
        if domain not in self.due:
            self.due[domain] = due.of(self.persons, domain)
        return self.due[domain]


@dataclass(frozen=True)
class Scorer:
    """Champions and items of a day, prepared once for all blocks.

    Attributes:
        audience: People, items and what is known of them.
        champions: By target domain.
        settings: ``top_k``, ``popularity_power``, ``threads``, ``creator_cap``, ``topic_cap`` and ``mmr_lambda`` are
            used; the others of a list's look are in the audience.
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
        on sale, without what the person owns or rejected, but for what is due to be bought again; ranks go from 1
        without gaps, ties in score to the smaller item_id where nothing ranks the list again. Who does not consent to
        personalisation gets the same list as everybody in that case, owned items or not.
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
    def _rankers(self) -> dict[str, RankedServer]:
        audience, width = self.audience, 2 * self._width
        return {
            served.version: RankedServer(served.ranker, audience.log, audience.offered, audience.moment, width)
            for served in self.champions.values()
            if served.ranker is not None and audience.log is not None
        }

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
    def _encoder(self) -> Encoder:
        audience = self.audience
        return Encoder(
            person=audience.people.person,
            items=audience.items,
            versions=[target.served.version for target in self._trials],
            rankers=[target.served.version for target in self._targets],
            rules=() if audience.promotions is None else audience.promotions.names,
            arms=self.arms,
        )

    def _target(self, place: int, name: str, served: Served) -> _Target:
        items = self.audience.items
        domain = items.domains.index(name)
        if served.model is None:
            nothing = np.zeros(0, dtype=np.int64)
            return _Target(place, domain, served, nothing, np.zeros((0, 0), dtype=np.float32), nothing > 0)
        span, model = items.span(domain), self._models[served.version]
        candidates = span.start + np.flatnonzero(self.audience.offered[span] & model.known[span])
        factors = boosted(model.fold, self._boosts)[candidates]
        return _Target(place, domain, served, candidates, factors, self._raised[candidates])

    @cached_property
    def _boosts(self) -> Floats:
        """Factors of the items' scores: popularity, freshness, promotions."""
        return boost(self.audience.decayed, self.settings.popularity_power) * self._raises

    @cached_property
    def _raises(self) -> Floats:
        """Factors of the items' scores that no model knows of: freshness, promotions."""
        audience = self.audience
        factor = np.ones(len(audience.items)) if audience.fresh is None else audience.fresh
        return factor if audience.promotions is None else factor * audience.promotions.factor

    @cached_property
    def _raised(self) -> Bools:
        promotions = self.audience.promotions
        if promotions is None:
            return np.zeros(len(self.audience.items), dtype=bool)
        return promotions.boosted >= 0

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
        if target.served.kind == POPULAR:
            self._popular(block, target, np.flatnonzero(members), "popular")
            return
        warm = np.diff(block.known.evidence[:, self.audience.items.span(target.domain)].indptr) > 0
        for segment, part in (("warm", members & warm), ("cold", members & ~warm)):
            serves = target.served.serves.get(segment, target.served.kind)
            if serves == POPULAR:
                self._popular(block, target, np.flatnonzero(part), "popular")
            elif target.served.kind == RANKER:
                self._ranking(block, target, part, serves)
            else:
                self._modelled(block, target, part, serves)

    def _ranking(self, block: _Block, target: _Target, members: Bools, source: str) -> None:
        """Lists by the ranker, and by popularity for whom nothing is known of that it may use."""
        ranker, own_side = self._rankers[target.served.version], source == RANKER_OWN_SIDE
        units = np.arange(block.persons.start, block.persons.stop)
        informed = ranker.informed(target.domain, units, own_side=own_side)
        self._popular(block, target, np.flatnonzero(members & ~informed), "fallback")
        rows = np.flatnonzero(members & informed)
        if not len(rows):
            return
        unwanted = block.known.unwanted[rows]
        pool, queries = ranker.pool(target.domain, units[rows], unwanted, self._raises, own_side=own_side)
        item, score = self._of_pool(pool)
        item, score = self._reranked(block, rows, item, score)
        self._write(block, target, rows, item, score, source)
        shown = block.lists.item[rows, target.place].astype(np.int64)
        own = block.lists.source[rows, target.place] == SOURCES.index(source)
        because, popular = ranker.because(queries, np.where(own, shown, -1), pool, own_side=own_side)
        kept = block.lists.because[rows, target.place]
        block.lists.because[rows, target.place] = np.where(own[:, :, None], because, kept)
        block.lists.popular[rows, target.place] = popular & own

    def _of_pool(self, pool: Pool) -> tuple[Ints, Floats]:
        """The best by score; of what rules raise no more than they allow."""
        width = self._width
        promotions, raised = self.audience.promotions, self._raised[pool.item]
        item, score = pool.best(~raised, width)
        if promotions is None or not raised.any():
            return item, score
        return _with_raised(item, score, pool.best(raised, width * _POOL), promotions)

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
        model = self._models[target.served.version]
        known = self._evidence(block, target, source)
        name = (target.served.version, source if source == "als" else f"{source} {target.domain}")
        if name not in block.vectors:
            block.vectors[name] = model.folder.people(known)
        item, score = self._ranked(block.vectors[name][rows], target, block.known.unwanted[rows])
        item, score = self._reranked(block, rows, item, score)
        self._write(block, target, rows, item, score, source)
        because = model.folder.reasons(known[rows], block.lists.item[rows, target.place].astype(np.int64))
        if self._places:
            own = block.lists.source[rows, target.place] == SOURCES.index(source)
            because = np.where(own[:, :, None], because, block.lists.because[rows, target.place])
        block.lists.because[rows, target.place] = because

    def _ranked(self, vectors: Factors, target: _Target, unwanted: sp.csr_matrix) -> tuple[Ints, Floats]:
        """The best by score; of what rules raise no more than they allow, so that there is enough of the rest."""
        width = self._width
        promotions = self.audience.promotions
        if promotions is None or not target.raised.any():
            return self._best(vectors, target.candidates, target.factors, unwanted, width)
        item, score = self._best(
            vectors, target.candidates[~target.raised], target.factors[~target.raised], unwanted, width
        )
        other = self._best(
            vectors, target.candidates[target.raised], target.factors[target.raised], unwanted, width * _POOL
        )
        return _with_raised(item, score, other, promotions)

    def _best(
        self, vectors: Factors, candidates: Ints, factors: Factors, unwanted: sp.csr_matrix, width: int
    ) -> tuple[Ints, Floats]:
        item = np.empty((len(vectors), width), dtype=np.int64)
        score = np.empty((len(vectors), width))
        excluded = unwanted[:, candidates].tocsr()
        for ranked in rank_blocks(vectors, factors, excluded, width, threads=self.settings.threads):
            here = ranked.item >= 0
            item[ranked.rows] = np.where(here, candidates[np.where(here, ranked.item, 0)], -1) if here.any() else -1
            score[ranked.rows] = ranked.score
        return item, score

    @cached_property
    def _caps(self) -> list[tuple[Ints, int]]:
        """Groups of items and how many of a group come first; the last one is kept where not all can be."""
        caps = [
            (self.audience.topic, self.settings.topic_cap),
            (self.audience.items.creator, self.settings.creator_cap),
        ]
        return [(group, most) for group, most in caps if group is not None and most]

    @property
    def _width(self) -> int:
        """Items that a list is made from."""
        return self.settings.top_k * (_POOL if self._ranks_again else 1)

    @cached_property
    def _ranks_again(self) -> bool:
        """Whether the list as a whole counts, so that more items than it has must be looked at."""
        audience = self.audience
        return bool(self._caps) or audience.shown is not None or audience.mixtures is not None

    @cached_property
    def _places(self) -> bool:
        """Whether rows may be there for another reason than their score."""
        return self.audience.promotions is not None or self.audience.due is not None

    def _reranked(self, block: _Block, rows: Ints, item: Ints, score: Floats) -> tuple[Ints, Floats]:
        """Being unlike each other first, then what was shown too often, then caps: the last one is kept for sure."""
        if self.audience.mixtures is not None:
            most = 2 * self.settings.top_k
            item, score = diversify(item, score, self.audience.mixtures, self.settings.mmr_lambda, most)
        pool = item.shape[1]
        if block.shown is not None:
            item, score = put_last(item, score, are_in(item, block.shown[rows]), pool)
        for group, most in self._caps:
            item, score = cap_groups(item, score, group, most, pool)
        return item, score

    def _popular(self, block: _Block, target: _Target, rows: Ints, source: str) -> None:
        audience, unwanted, k = self.audience, block.known.unwanted[rows], self.settings.top_k
        if source == "unpersonalised":  # what they own or rejected is behaviour too
            nothing = sp.csr_matrix(unwanted.shape, dtype=unwanted.dtype)
            item, score = _popular_best(audience, audience.decayed, audience.offered, target.domain, nothing, k)
            self._set(block, target, rows, item, score, np.full(item.shape, SOURCES.index(source)))
            return
        if audience.promotions is None:
            item, score = _popular_best(audience, audience.decayed, audience.offered, target.domain, unwanted, k)
        else:
            decayed = audience.decayed * audience.promotions.factor
            plain, raised = audience.offered & ~self._raised, audience.offered & self._raised
            item, score = _popular_best(audience, decayed, plain, target.domain, unwanted, k)
            other = _popular_best(audience, decayed, raised, target.domain, unwanted, k * _POOL)
            item, score = _with_raised(item, score, other, audience.promotions)
        self._write(block, target, rows, item, score, source)

    def _write(self, block: _Block, target: _Target, rows: Ints, item: Ints, score: Floats, source: str) -> None:
        """Puts personal lists in their place, behind pins and what is due again."""
        code = SOURCES.index(source)
        if not self._places:
            k = self.settings.top_k
            self._set(block, target, rows, item[:, :k], score[:, :k], np.full((len(rows), k), code))
            return
        k, promotions = self.settings.top_k, self.audience.promotions
        pins = due = np.zeros((len(rows), 0), dtype=np.int64)
        wait: Floats = np.zeros(due.shape)
        if self.audience.due is not None:
            items, waits = block.due_in(target.domain, self.audience.due)
            due, wait = items[rows], waits[rows]
        if promotions is not None:
            pins = placed_pins(promotions, self._pins(promotions, target.domain), block.known.unwanted[rows])
            item, score = keep_room(item, score, promotions, pins)
        first, first_score = np.concatenate([pins, due], axis=1), np.concatenate([np.zeros(pins.shape), wait], axis=1)
        item, score = put_first(item, score, first, first_score, k)
        again = (item >= 0) & (item[:, :, None] == due[:, None, :]).any(axis=2)
        pinned = (item >= 0) & (item[:, :, None] == pins[:, None, :]).any(axis=2)
        sources = np.where(again, SOURCES.index("buy_again"), np.where(pinned, SOURCES.index("promoted"), code))
        self._set(block, target, rows, item, score, sources)
        block.lists.because[rows, target.place, :, 0] = np.where(again, item, -1)
        if promotions is not None:
            block.lists.rule[rows, target.place] = np.where(again, -1, rules_of(item, promotions))

    def _pins(self, promotions: Promotions, domain: int) -> Ints:
        """Pinned items of a domain that may be recommended, in order."""
        span, pins = self.audience.items.span(domain), promotions.pins
        chosen: Ints = pins[(pins >= span.start) & (pins < span.stop) & self.audience.offered[pins]]
        return chosen

    def _set(
        self, block: _Block, target: _Target, rows: Ints, item: Ints, score: Floats, sources: npt.NDArray[np.integer]
    ) -> None:
        block.lists.item[rows, target.place] = item
        block.lists.score[rows, target.place] = np.where(item >= 0, score, 0)
        block.lists.source[rows, target.place] = sources


def _with_raised(item: Ints, score: Floats, raised: tuple[Ints, Floats], promotions: Promotions) -> tuple[Ints, Floats]:
    """Lists with as much of what rules raise as they allow, by score."""
    kept, kept_score = keep_to_rules(*raised, promotions)
    return merge(item, score, kept[:, : promotions.room], kept_score[:, : promotions.room])


def _popular_best(
    audience: Audience, scores: Floats, offered: Bools, domain: int, excluded: sp.csr_matrix, width: int
) -> tuple[Ints, Floats]:
    """The most popular items of a domain for each row of ``excluded``: items and scores, rows × width."""
    row, found, rank, value = popular_lists(scores, offered, audience.items.span(domain), excluded, width)
    item = np.full((excluded.shape[0], width), -1, dtype=np.int64)
    score = np.full(item.shape, -np.inf)
    item[row, rank - 1], score[row, rank - 1] = found, value
    return item, score


def popular_items(audience: Audience, settings: RecommendSettings) -> pa.Table:
    """The list of each domain that everybody may be shown, as rows of ``serving.popular_items``.

    Up to ``top_k`` items on sale, blocked by no rule, by decayed popularity; ranks from 1, ties to the smaller item_id.
    Nothing is promoted in it.
    """
    items = audience.items
    nothing = sp.csr_matrix((1, len(items)), dtype=np.float32)
    parts = []
    for target, name in enumerate(items.domains):
        _, item, rank, score = popular_lists(
            audience.decayed, audience.offered, items.span(target), nothing, settings.top_k
        )
        columns = {
            "target_domain": pa.repeat(name, len(item)),
            "rank": pa.array(rank.astype(np.int32)),
            "item_id": items.item_id.take(pa.array(item)),
            "score": score,
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)
