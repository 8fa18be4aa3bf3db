"""Bundles: K' = { K_i | S_ij > θ } around a topic that both sides share.

Greedy from the strongest pair on: a pair of free items that share a topic and words of it opens a bundle, further items
join while they are close enough to the other side's members and about the same topic. Fewer and right beats many.
``bundle_texts`` says what a bundle is called.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Pair = tuple[str, str]
"""An item of the first domain and one of the second."""
Topics = tuple[Mapping[str, Mapping[int, float]], Mapping[str, Mapping[int, float]]]
"""For each domain the topic weights of its items by id."""
Tokens = tuple[Mapping[str, Collection[str]], Mapping[str, Collection[str]]]
"""For each domain the words of its items by id."""


@dataclass(frozen=True, kw_only=True)
class BundleRules:
    """What may stand together.

    Attributes:
        theta: A pair counts if its similarity is greater.
        most_items: Most items of one side.
        most_bundles: Most bundles that an item is in. Two items of different sides are in one bundle together at most.
        least_topic: Least weight of the bundle's topic in each of its items, 0 to 1.
        least_words: Least number of the topic's words that the two items of a pair have in common.
    """

    theta: float
    most_items: int
    most_bundles: int
    least_topic: float
    least_words: int


@dataclass(frozen=True)
class Bundle:
    """Members of a bundle.

    Attributes:
        first: Item ids of the first domain, the one that joined first at the front.
        second: Item ids of the second domain.
        topic: The topic that they share.
        strength: Mean similarity of the pairs across the domains, a pair that is not known counting zero.
        strongest: The pair that opened it.
        similarity: Similarity of that pair.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    topic: int
    strength: float
    strongest: Pair
    similarity: float

    @property
    def bundle_id(self) -> str:
        """Hash of the members, whatever their order."""
        members = "\x1f".join([*sorted(self.first), "\x1e", *sorted(self.second)])
        return "b" + hashlib.sha256(members.encode()).hexdigest()[:15]

    @property
    def pairs(self) -> list[Pair]:
        """All pairs across the domains."""
        return [(first, second) for first in self.first for second in self.second]


@dataclass(frozen=True)
class Kept:
    """Pairs that may stand together, with what is known of their items.

    Attributes:
        similarity: Similarity of each pair.
        topics: The topics that a pair shares, the one that it shares most at the front.
    """

    similarity: Mapping[Pair, float]
    topics: Mapping[Pair, tuple[int, ...]]


def find_bundles(
    pairs: pa.Table,
    rules: BundleRules,
    *,
    topics: Topics,
    tokens: Tokens,
    words: Mapping[int, Sequence[str]],
    duplicates: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> list[Bundle]:
    """Bundles from pairs across the domains.

    Args:
        pairs: Columns first (item of the first domain), second, similarity, cosine; any order, a pair may
            come twice. Pairs without a word in common (cosine 0) are passed over.
        rules: What may stand together.
        topics: Topic weights of the items; an item without is in no bundle.
        tokens: For each domain the words of its items by id.
        words: Words of each topic, the most probable first.
        duplicates: For each domain the group of an item that is nearly the same as others; never two of one group.

    Returns:
        Bundles, the strongest first, then by id.
    """
    kept = _kept_pairs(pairs, rules, topics, tokens, words)
    assembly = _Assembly(kept, rules, duplicates)
    order = sorted(kept.similarity, key=lambda pair: (-kept.similarity[pair], pair))
    bundles = [bundle for pair in order if (bundle := assembly.open(pair)) is not None]
    return sorted(bundles, key=lambda bundle: (-bundle.strength, bundle.bundle_id))


def joined_topics(words: Mapping[int, Sequence[str]], least: float) -> dict[int, int]:
    """For each topic the one that it counts as: the lowest of those that say the same.

    A model may cut one theme in two, a topic for each domain's way of writing; both then have nearly the same words.
    Two topics say the same if the shorter list shares at least ``least`` of its words with the other, and so do topics
    that are linked by others.

    Args:
        words: Words of each topic.
        least: Share of words, 0 to 1.
    """
    name = {topic: topic for topic in words}
    for topic in sorted(words):
        for other in sorted(words):
            shorter = min(len(words[topic]), len(words[other]))
            if topic < other and len(set(words[topic]) & set(words[other])) >= least * shorter > 0:
                low, high = sorted((name[topic], name[other]))
                name = {each: low if found == high else found for each, found in name.items()}
    return name


def joined_weights(topics: Topics, name: Mapping[int, int]) -> Topics:
    """Topic weights with those of topics that count as one added up."""
    first, second = ({item: _summed(weights, name) for item, weights in side.items()} for side in topics)
    return first, second


def joined_words(words: Mapping[int, Sequence[str]], name: Mapping[int, int]) -> dict[int, list[str]]:
    """Words of topics that count as one: first ones first, each word once."""
    joined: dict[int, list[str]] = {}
    for topic in sorted(set(name.values())):
        lists = [words[each] for each in sorted(words) if name[each] == topic]
        longest = max(map(len, lists))
        ranked = [found[rank] for rank in range(longest) for found in lists if rank < len(found)]
        joined[topic] = list(dict.fromkeys(ranked))
    return joined


def tokens_of(items: tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]) -> Tokens:
    """The words of items, from their facts by id."""
    first, second = ({item: fact["tokens"] for item, fact in side.items()} for side in items)
    return first, second


def shared_words(bundle: Bundle, tokens: Tokens, words: Mapping[int, Sequence[str]]) -> list[str]:
    """Words of the bundle's topic that a member of each side has: what most members have first, then by the topic."""
    sides = [
        [set(tokens[side][item]) for item in members] for side, members in enumerate((bundle.first, bundle.second))
    ]
    # The mean of the sides' shares: a side with more items has no more say.
    share = {
        word: tuple(sum(word in item for item in side) / len(side) for side in sides)
        for word in words.get(bundle.topic, ())
    }
    shared = [word for word, (first, second) in share.items() if first and second]
    return sorted(shared, key=lambda word: -round(sum(share[word]), 9))


def _kept_pairs(
    pairs: pa.Table,
    rules: BundleRules,
    topics: Topics,
    tokens: Tokens,
    words: Mapping[int, Sequence[str]],
) -> Kept:
    """Pairs above θ that share a topic and enough of its words."""
    strong = pairs.filter((pc.field("similarity") > rules.theta) & (pc.field("cosine") > 0))
    about = [_about(topics[side], tokens[side], words, rules.least_topic) for side in (0, 1)]
    similarity, shared = {}, {}
    for first, second, value in zip(
        _texts(strong["first"]), _texts(strong["second"]), strong["similarity"].to_pylist(), strict=True
    ):
        mine, others = about[0].get(first, {}), about[1].get(second, {})
        found = [
            topic for topic, had in mine.items() if topic in others and len(had & others[topic]) >= rules.least_words
        ]
        if found:
            pair = (first, second)
            similarity[pair] = value
            shared[pair] = _most_shared(found, topics[0][first], topics[1][second])
    return Kept(similarity, shared)


def _texts(column: pa.ChunkedArray) -> list[str]:
    """The texts, equal ones as one object: they are hashed once and compared by identity, millions of times."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    return [texts[place] for place in encoded.indices.to_pylist()]


def _about(
    topics: Mapping[str, Mapping[int, float]],
    tokens: Mapping[str, Collection[str]],
    words: Mapping[int, Sequence[str]],
    least: float,
) -> dict[str, dict[int, frozenset[str]]]:
    """For each item the topics that it has with enough weight, and the words of them that it has."""
    wanted = {topic: frozenset(found) for topic, found in words.items()}
    return {
        item: {
            topic: wanted.get(topic, frozenset()).intersection(tokens.get(item, ()))
            for topic, weight in weights.items()
            if weight >= least
        }
        for item, weights in topics.items()
    }


def _most_shared(found: Sequence[int], first: Mapping[int, float], second: Mapping[int, float]) -> tuple[int, ...]:
    """Topics by the geometric mean of their weights in both items, ties by id."""
    if len(found) == 1:
        return tuple(found)
    return tuple(sorted(found, key=lambda topic: (-round(first[topic] * second[topic], 9), topic)))


def _summed(weights: Mapping[int, float], name: Mapping[int, int]) -> dict[int, float]:
    total: defaultdict[int, float] = defaultdict(float)
    for topic, weight in weights.items():
        total[name.get(topic, topic)] += weight
    return dict(total)


@dataclass
class _Assembly:
    """Puts bundles together, one after the other, and remembers who is in how many."""

    kept: Kept
    rules: BundleRules
    duplicates: tuple[Mapping[str, str], Mapping[str, str]]
    uses: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    together: set[Pair] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.links: tuple[defaultdict[str, list[str]], defaultdict[str, list[str]]] = (
            defaultdict(list),
            defaultdict(list),
        )
        for first, second in sorted(self.kept.similarity):
            self.links[0][first].append(second)
            self.links[1][second].append(first)

    def open(self, pair: Pair) -> Bundle | None:
        """The bundle that a pair opens; null where one of its items is not free or they are nearly the same."""
        if pair in self.together or not (self._free(0, pair[0]) and self._free(1, pair[1])):
            return None
        if self._group(0, pair[0]) == self._group(1, pair[1]):
            return None
        topic = self.kept.topics[pair][0]
        members = ([pair[0]], [pair[1]])
        while (best := self._next(members, topic)) is not None:
            side, item = best
            members[side].append(item)
        for side in (0, 1):
            self.uses[side].update(members[side])
        links = [self.kept.similarity.get((a, b), 0.0) for a in members[0] for b in members[1]]
        bundle = Bundle(
            tuple(members[0]),
            tuple(members[1]),
            topic,
            round(sum(links) / len(links), 6),
            pair,
            self.kept.similarity[pair],
        )
        self.together.update(bundle.pairs)
        return bundle

    def _next(self, members: tuple[list[str], list[str]], topic: int) -> tuple[int, str] | None:
        """The free item with the greatest mean similarity to the other side's members, if that is above θ."""
        options = []
        taken = {self._group(place, member) for place in (0, 1) for member in members[place]}
        for side in (0, 1):
            near = members[1 - side]
            if len(members[side]) >= self.rules.most_items:
                continue
            for item in sorted({other for member in near for other in self.links[1 - side][member]}):
                if self._fits(side, item, near, taken):
                    mean = sum(self._value(side, item, member, topic) for member in near) / len(near)
                    options.append((-mean, side, item))
        if not options or -min(options)[0] <= self.rules.theta:
            return None
        _, side, item = min(options)
        return side, item

    def _fits(self, side: int, item: str, near: Sequence[str], taken: Collection[tuple[str, ...]]) -> bool:
        """Whether an item is free, no member or nearly the same as one, and with none of the other side's already."""
        if not self._free(side, item) or self._group(side, item) in taken:
            return False
        return not any(_pair(side, item, member) in self.together for member in near)

    def _value(self, side: int, item: str, member: str, topic: int) -> float:
        """Similarity of a pair; zero where it is not about the topic."""
        pair = _pair(side, item, member)
        return self.kept.similarity[pair] if topic in self.kept.topics.get(pair, ()) else 0.0

    def _free(self, side: int, item: str) -> bool:
        return self.uses[side][item] < self.rules.most_bundles

    def _group(self, side: int, item: str) -> tuple[str, ...]:
        """Names what an item is nearly the same as: its group, or itself alone."""
        group = self.duplicates[side].get(item)
        return (str(side), item) if group is None else (group,)


def _pair(side: int, item: str, other: str) -> Pair:
    """The pair of an item of a side and one of the other, in the order of the domains."""
    return (item, other) if side == 0 else (other, item)
