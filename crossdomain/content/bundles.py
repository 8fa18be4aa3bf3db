"""Bundles: items of both domains around one thing, from the pairs with S_ij above a threshold.

Greedy from the strongest pair on: a pair of items that no bundle has yet opens one, further items join
while they are close enough to the other side's members. An item is in one bundle at most. Fewer and right
beats many.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from crossdomain.errors import InputError
from crossdomain.text.normalise import normalise

BUNDLE_SCHEMA = pa.schema(
    [
        ("bundle_id", pa.string()),
        ("topic", pa.int32()),
        ("title", pa.string()),
        ("blurb", pa.string()),
        ("knowledge_items", pa.list_(pa.string())),
        ("beauty_items", pa.list_(pa.string())),
        ("strength", pa.float64()),
    ]
)

_FIELDS = ("topic_words", "first_count", "second_count", "first_title", "second_title", "lowest", "highest", "creators")

_CREATORS = 2
"""Creators of each side that a blurb names."""


@dataclass(frozen=True)
class Bundle:
    """Members of a bundle.

    Attributes:
        first: Item ids of the first domain, the one that joined first at the front.
        second: Item ids of the second domain.
        strength: Mean similarity of the pairs across the domains, a pair that is not known counting zero.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    strength: float

    @property
    def bundle_id(self) -> str:
        """Hash of the members, whatever their order."""
        members = "\x1f".join([*sorted(self.first), "\x1e", *sorted(self.second)])
        return "b" + hashlib.sha256(members.encode()).hexdigest()[:15]


@dataclass(frozen=True)
class Wording:
    """Templates of a bundle's texts, from an editable file.

    Attributes:
        title: Template of the title.
        blurbs: Templates of the blurb, one a language, in order; the blurb has a line of each.
        without_price: The same for bundles with an item without a price.
    """

    title: str
    blurbs: tuple[str, ...]
    without_price: tuple[str, ...]


def read_wording(path: Path) -> Wording:
    """Templates of bundle texts.

    Raises:
        InputError: The file is missing or names a field that there is not.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        wording = Wording(content["title"], tuple(content["blurb"]), tuple(content["blurb_without_price"]))
        for template in (wording.title, *wording.blurbs, *wording.without_price):
            template.format(**dict.fromkeys(_FIELDS, ""))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: it holds the templates of bundle texts") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        fields = ", ".join(_FIELDS)
        raise InputError(
            f"{path}: needs title, blurb and blurb_without_price; fields are {fields}, without formats: {error}"
        ) from error
    return wording


def find_bundles(pairs: pa.Table, *, theta: float, most: int) -> list[Bundle]:
    """Bundles from pairs across the domains.

    Args:
        pairs: Columns first (item of the first domain), second, similarity, cosine; any order, a pair may
            come twice. Pairs without a word in common (cosine 0) are passed over.
        theta: A pair counts if its similarity is greater.
        most: Most items of one side.

    Returns:
        Bundles, the strongest first, then by id.
    """
    known = _edges(pairs, theta)
    of_first: defaultdict[str, list[str]] = defaultdict(list)
    of_second: defaultdict[str, list[str]] = defaultdict(list)
    order = sorted(known, key=lambda pair: (-known[pair], pair))
    for first, second in order:
        of_first[first].append(second)
        of_second[second].append(first)
    free_first, free_second = set(of_first), set(of_second)
    bundles = []
    for first, second in order:
        if first not in free_first or second not in free_second:
            continue
        firsts, seconds = [first], [second]
        free_first.discard(first)
        free_second.discard(second)
        while len(firsts) < most or len(seconds) < most:
            # The candidate with the greatest mean similarity to the other side joins, ties by id.
            options = _options(firsts, of_first, free_second, known, full=len(seconds) >= most, flip=False)
            options += _options(seconds, of_second, free_first, known, full=len(firsts) >= most, flip=True)
            options = [option for option in options if option[0] > theta]
            if not options:
                break
            _, flip, joined = min(options, key=lambda option: (-option[0], option[1], option[2]))
            (firsts if flip else seconds).append(joined)
            (free_first if flip else free_second).discard(joined)
        links = [known.get((a, b), 0.0) for a in firsts for b in seconds]
        bundles.append(Bundle(tuple(firsts), tuple(seconds), round(sum(links) / len(links), 6)))
    return sorted(bundles, key=lambda bundle: (-bundle.strength, bundle.bundle_id))


def describe_bundles(
    bundles: Sequence[Bundle],
    *,
    items: tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Mapping[str, Any]]],
    topics: tuple[Mapping[str, Mapping[int, float]], Mapping[str, Mapping[int, float]]],
    words: Mapping[int, Sequence[str]],
    wording: Wording,
) -> pa.Table:
    """Bundles with topic, title and blurb.

    Args:
        bundles: Members.
        items: For each domain the facts of its items by id: title, price, creator, tokens.
        topics: For each domain the topic weights of its items by id.
        words: Words of each topic, the most probable first.
        wording: Templates.

    Returns:
        ``BUNDLE_SCHEMA`` in the order given. The topic is the one with most weight over both sides, each side
        counting the same; null where no member has a topic. Topic words are those that a member of each side
        has, so that the texts claim nothing that the items do not say.
    """
    rows = []
    for bundle in bundles:
        first = [items[0][item] for item in bundle.first]
        second = [items[1][item] for item in bundle.second]
        topic = _main_topic(bundle, topics)
        title, blurb = _texts(first, second, words.get(topic, ()) if topic is not None else (), wording)
        rows.append(
            {
                "bundle_id": bundle.bundle_id,
                "topic": topic,
                "title": title,
                "blurb": blurb,
                "knowledge_items": list(bundle.first),
                "beauty_items": list(bundle.second),
                "strength": bundle.strength,
            }
        )
    return pa.Table.from_pylist(rows, schema=BUNDLE_SCHEMA)


def cross_pairs(similar: pa.Table, *, domains: tuple[str, str], on_sale: tuple[set[str], set[str]]) -> pa.Table:
    """Pairs across the domains with both items on sale, for :func:`find_bundles`.

    Args:
        similar: Similar items (``similarity.SIMILAR_SCHEMA``); both directions are taken.
        domains: First and second domain.
        on_sale: Ids of the items on sale, by domain.
    """
    parts = []
    for place, (domain, other) in enumerate((domains, domains[::-1])):
        found = similar.filter((pc.field("domain") == domain) & (pc.field("other_domain") == other))
        sides = (found["item_id"], found["other_item_id"])
        first, second = sides if place == 0 else sides[::-1]
        parts.append(
            pa.table({"first": first, "second": second, "similarity": found["similarity"], "cosine": found["cosine"]})
        )
    first_ids, second_ids = (pa.array(sorted(ids), pa.string()) for ids in on_sale)
    pairs = pa.concat_tables(parts)
    kept = pc.and_(pc.is_in(pairs["first"], first_ids), pc.is_in(pairs["second"], second_ids))
    return pairs.filter(kept)


def _edges(pairs: pa.Table, theta: float) -> dict[tuple[str, str], float]:
    names = ("first", "second", "similarity", "cosine")
    rows = zip(*(pairs[name].to_pylist() for name in names), strict=True)
    return {(first, second): value for first, second, value, cosine in rows if value > theta and cosine > 0}


def _options(
    near: Sequence[str],
    links: Mapping[str, Sequence[str]],
    free: set[str],
    known: Mapping[tuple[str, str], float],
    *,
    full: bool,
    flip: bool,
) -> list[tuple[float, bool, str]]:
    """Free items linked to a member of ``near``, with their mean similarity to all of ``near``."""
    if full:
        return []
    found = sorted({other for member in near for other in links[member] if other in free})
    result = []
    for other in found:
        values = [known.get((other, member) if flip else (member, other), 0.0) for member in near]
        result.append((sum(values) / len(values), flip, other))
    return result


def _main_topic(
    bundle: Bundle, topics: tuple[Mapping[str, Mapping[int, float]], Mapping[str, Mapping[int, float]]]
) -> int | None:
    weight: defaultdict[int, float] = defaultdict(float)
    for members, side in ((bundle.first, topics[0]), (bundle.second, topics[1])):
        for item in members:
            for topic, value in side.get(item, {}).items():
                weight[topic] += value / len(members)
    return min(weight, key=lambda topic: (-round(weight[topic], 9), topic)) if weight else None


def _texts(
    first: Sequence[Mapping[str, Any]],
    second: Sequence[Mapping[str, Any]],
    words: Sequence[str],
    wording: Wording,
) -> tuple[str, str]:
    in_first = {word for item in first for word in item["tokens"]}
    in_second = {word for item in second for word in item["tokens"]}
    shared = in_first & in_second
    chosen = [word for word in words if word in shared][:3]
    if not chosen:
        counts = {w: sum(w in set(item["tokens"]) for item in (*first, *second)) for w in shared}
        chosen = sorted(counts, key=lambda word: (-counts[word], word))[:3]
    prices = [item["price"] for item in (*first, *second)]
    priced = all(price is not None for price in prices)
    sides = [list(dict.fromkeys(item["creator"] for item in side if item["creator"])) for side in (first, second)]
    creators = list(dict.fromkeys(creator for side in sides for creator in side[:_CREATORS]))
    fields = {
        "topic_words": "、".join(chosen),
        "first_count": len(first),
        "second_count": len(second),
        "first_title": _short(first[0]["title"]),
        "second_title": _short(second[0]["title"]),
        "lowest": _price(min(prices)) if priced else "",
        "highest": _price(max(prices)) if priced else "",
        "creators": "、".join(creators),
    }
    blurbs = wording.blurbs if priced else wording.without_price
    return wording.title.format(**fields), "\n".join(blurb.format(**fields) for blurb in blurbs)


def _short(title: str | None, most: int = 24) -> str:
    plain = normalise(title) if title is None or "<" in title or "&" in title else " ".join(title.split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _price(price: Any) -> str:
    text = f"{price:.2f}"
    return text.removesuffix(".00")
