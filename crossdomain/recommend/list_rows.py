"""Lists as rows of ``serving.recommendations``: sources, versions, reasons and variants as the table has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from crossdomain.recommend import reasons
from crossdomain.recommend.arms import Arms
from crossdomain.recommend.champion import POPULAR
from crossdomain.recommend.folding import REASONS
from crossdomain.recommend.interactions import Bools, Floats, Ints, Items

SOURCES = (
    "als", "als_own_side", "popular", "fallback", "unpersonalised", "promoted", "buy_again", "ranker", "ranker_own_side"
)  # fmt: skip
"""``als``, ``ranker``: the champion's scores. ``als_own_side``, ``ranker_own_side``: its scores from what the person
did in the target domain only, because the other side does not help people like this. ``popular``: popularity, because
it is the champion, or because the other side does not help. ``fallback``: popularity, because the model knows nothing
of the person. ``unpersonalised``: the list that everybody gets, because the person does not consent to personalisation;
nothing of the person was used. Of single rows in personal lists: ``promoted``: a pin. ``buy_again``: bought before and
due again."""
MODELLED = tuple(SOURCES.index(name) for name in ("als", "als_own_side", "ranker", "ranker_own_side"))
RANKED = tuple(SOURCES.index(name) for name in ("ranker", "ranker_own_side"))
RULES = "rules"
"""What stands for the model version of a pin."""
PURCHASES = "purchases"
"""What stands for the model version of what is due again."""
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
class Lists:
    """Ranked items of a block of persons: persons × target domains × ranks, the domains by name.

    Attributes:
        item: Positions; -1 where a list ends early.
        score: Scores, rounded.
        source: Index into ``SOURCES``.
        because: One axis more: the items of the person's history that a recommendation rests on; -1 for none.
        rule: The rule that promotes the row; -1 for none.
        popular: Whether a model ranks the item for its popularity above all, and no history is to be named.
    """

    item: npt.NDArray[np.int32]
    score: Floats
    source: npt.NDArray[np.int8]
    because: npt.NDArray[np.int32]
    rule: npt.NDArray[np.int16]
    popular: npt.NDArray[np.bool_]

    @classmethod
    def empty(cls, persons: int, targets: int, k: int) -> Lists:
        """Lists without an item."""
        shape = (persons, targets, k)
        return cls(
            item=np.full(shape, -1, dtype=np.int32),
            score=np.zeros(shape),
            source=np.zeros(shape, dtype=np.int8),
            because=np.full((*shape, REASONS), -1, dtype=np.int32),
            rule=np.full(shape, -1, dtype=np.int16),
            popular=np.zeros(shape, dtype=bool),
        )


@dataclass(frozen=True)
class Encoder:
    """Turns positions into the columns of the table; texts are dictionaries.

    Attributes:
        person: Keys of all persons.
        items: All items.
        versions: Version of each target domain's ALS model, the domains by name.
        rankers: Version of each target domain's ranker; what stands for a domain without one is not looked at.
        rules: Names of the rules that promote.
        arms: Variants of persons; None without experiments.
    """

    person: pa.Array
    items: Items
    versions: list[str]
    rankers: list[str]
    rules: tuple[str, ...] = ()
    arms: Arms | None = None

    def table(self, persons: slice, lists: Lists) -> pa.Table:
        """Rows of ``SCHEMA`` for a block of persons, by person, target domain and rank."""
        filled = lists.item >= 0
        person, place, rank = (part.astype(np.int32) for part in np.nonzero(filled))
        item, source = lists.item[filled], lists.source[filled]
        names = pa.array(sorted(self.items.domains), pa.string())
        columns = [
            self.person.slice(persons.start, persons.stop - persons.start).take(pa.array(person)),
            _dictionary(place, names),
            pa.array(rank + 1),
            _dictionary(item, self.items.item_id),
            pa.array(lists.score[filled]),
            _dictionary(source, pa.array(SOURCES, pa.string())),
            self._reason(source, lists.because[filled], lists.rule[filled], lists.popular[filled]),
            self._version(source, place),
            self._variant(persons, person, source),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)

    def _version(self, source: npt.NDArray[np.int8], place: npt.NDArray[np.int32]) -> pa.DictionaryArray:
        """What gave the score: the target's model, popularity, a rule, or the purchases."""
        others = {"promoted": RULES, "buy_again": PURCHASES}
        named = [*self.versions, *self.rankers]
        of_source = np.array([len(named) + [POPULAR, *others.values()].index(others.get(name, POPULAR))
                              for name in SOURCES])  # fmt: skip
        models = place + np.where(np.isin(source, RANKED), len(self.versions), 0)
        code = np.where(np.isin(source, MODELLED), models, of_source[source])
        return _dictionary(code, pa.array([*named, POPULAR, *others.values()], pa.string()))

    def _variant(self, persons: slice, person: npt.NDArray[np.int32], source: npt.NDArray[np.int8]) -> pa.Array:
        """Variants of the rows; a list that uses nothing of the person is no variant of anything."""
        if self.arms is None:
            return pa.nulls(len(person), pa.string())
        code = self.arms.variant[persons][person]
        none = (code < 0) | (source == SOURCES.index("unpersonalised"))
        return pa.array(self.arms.names, pa.string()).take(pa.array(code, mask=none))

    def _reason(
        self,
        source: npt.NDArray[np.int8],
        because: npt.NDArray[np.int32],
        rule: npt.NDArray[np.int16],
        popular: npt.NDArray[np.bool_],
    ) -> pa.DictionaryArray:
        plain = {"popular": reasons.POPULAR, "als": reasons.TASTE, "unpersonalised": reasons.POPULAR_WITH_ALL,
                 "promoted": reasons.PROMOTED}  # fmt: skip
        texts = [reasons.encode(code) for code in plain.values()]
        of_source = {**dict.fromkeys(SOURCES, "popular"), **{name: name for name in plain}}
        of_source |= {SOURCES[modelled]: "als" for modelled in MODELLED}
        code = np.array([list(plain).index(of_source[name]) for name in SOURCES], dtype=np.int32)[source]
        code[popular & np.isin(source, MODELLED)] = list(plain).index("popular")
        again = source == SOURCES.index("buy_again")
        owing = (because[:, 0] >= 0) & ~again
        items = len(self.items)
        pairs, which = np.unique(because[owing, 0] * np.int64(items + 1) + because[owing, 1] + 1, return_inverse=True)
        code[owing] = len(texts) + which
        texts += self._because(pairs // (items + 1), pairs % (items + 1) - 1)
        if again.any():
            bought, which = np.unique(because[again, 0], return_inverse=True)
            code[again] = len(texts) + which
            texts += [reasons.again_text(self._item_texts[item]) for item in bought.tolist()]
        if (promoted := rule >= 0).any():
            names = self.rules
            both, which = np.unique(code[promoted].astype(np.int64) * len(names) + rule[promoted], return_inverse=True)
            code[promoted] = len(texts) + which
            texts += [reasons.promoted_text(texts[one // len(names)], names[one % len(names)]) for one in both.tolist()]
        return _dictionary(code, pa.array(texts, pa.string()))

    def _because(self, first: Ints, second: Ints) -> list[str]:
        """The stored reasons of one or two items (-1: none), with what two have in common."""
        columns = (first, second, _are_of_one(self.items.creator, first, second))
        texts = self._item_texts
        return [
            reasons.because_text(texts[a], texts[b], creator=alike) if b >= 0 else reasons.because_text(texts[a])
            for a, b, alike in zip(*(one.tolist() for one in columns), strict=True)
        ]

    @cached_property
    def _item_texts(self) -> list[str]:
        items = self.items
        domains = [items.domains[domain] for domain in items.domain]
        return reasons.item_texts(zip(domains, items.item_id.to_pylist(), strict=True))


def _are_of_one(group: Ints | None, first: Ints, second: Ints) -> Bools:
    """Whether both items of a pair are in one group; not where there is no second (-1)."""
    if group is None:
        return np.zeros(len(first), dtype=bool)
    alike: Bools = (second >= 0) & (group[first] >= 0) & (group[first] == group[second])
    return alike


def _dictionary(codes: npt.NDArray[np.integer], values: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32, copy=False)), values)
