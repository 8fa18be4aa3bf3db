"""What a bundle is called: title, blurb and reason from editable templates, topic words and facts of its items.

Nothing is said that the items' texts do not hold, and nothing that advertising law forbids: a template with a forbidden
word is refused; of an item's title the parts with one are left out, and so are words and names with one; a bundle whose
finished text still holds one is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import yaml

from crossdomain.content.bundles import Bundle, shared_words, tokens_of
from crossdomain.errors import InputError
from crossdomain.text.advertising import ForbiddenWords
from crossdomain.text.normalise import normalise

BUNDLE_SCHEMA = pa.schema(
    [
        ("bundle_id", pa.string()),
        ("topic", pa.int32()),
        ("title", pa.string()),
        ("blurb", pa.string()),
        ("reason", pa.string()),
        ("knowledge_items", pa.list_(pa.string())),
        ("beauty_items", pa.list_(pa.string())),
        ("strength", pa.float64()),
        ("shared_words", pa.list_(pa.string())),
        ("strongest_knowledge_item", pa.string()),
        ("strongest_beauty_item", pa.string()),
        ("strongest_similarity", pa.float64()),
        ("price_min", pa.decimal128(12, 2)),
        ("price_max", pa.decimal128(12, 2)),
        ("price_sum", pa.decimal128(14, 2)),
        ("lecturers", pa.list_(pa.string())),
        ("brands", pa.list_(pa.string())),
    ]
)

Items = tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Mapping[str, Any]]]
"""For each domain the facts of its items by id: title, price, creator, tokens."""

_FIELDS = (
    "topic_words", "first_count", "second_count", "first_title", "second_title", "lowest", "highest", "total",
    "creators", "creator_count",
)  # fmt: skip
_CREATORS = 2
"""Creators of each side that a blurb names."""
_TOPIC_WORDS = 3
_TITLE = 24
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_FIELD = re.compile(r"\{(\w+)\}")
_PART = re.compile(r"[^\s，。；：！？、,;:!?|｜/·•~～【】\[\]（）()《》<>「」“”\"…—]+")
"""A part of a title: what stands between spaces and punctuation."""


@dataclass(frozen=True)
class Wording:
    """Templates of a bundle's texts, from an editable file.

    Attributes:
        title: Template of the title.
        blurb: Templates of the blurb, one a language, in order; the blurb has a line of each.
        reason: The same for the reason.
        unnamed: What stands for a title of which nothing may be shown, by side.
    """

    title: str
    blurb: tuple[str, ...]
    reason: tuple[str, ...]
    unnamed: tuple[str, str]


class Described(NamedTuple):
    """Bundles with their texts.

    Attributes:
        bundles: ``BUNDLE_SCHEMA``.
        left_out: Ids of bundles of which nothing may be said: no shared word is left, or the finished text still holds
            a forbidden one.
    """

    bundles: pa.Table
    left_out: tuple[str, ...]


def read_wording(path: Path, forbidden: ForbiddenWords) -> Wording:
    """Templates of bundle texts.

    Raises:
        InputError: The file is missing, names a field that there is not, or a template holds a forbidden word; the
            message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: it holds the templates of bundle texts") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    try:
        content = yaml.safe_load(text)
        wording = Wording(
            str(content["title"]),
            tuple(map(str, content["blurb"])),
            tuple(map(str, content["reason"])),
            (str(content["unnamed"][0]), str(content["unnamed"][1])),
        )
        for template in (wording.title, *wording.blurb, *wording.reason):
            template.format(**dict.fromkeys(_FIELDS, ""))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        fields = ", ".join(_FIELDS)
        raise InputError(
            f"{path}: needs title, blurb, reason and unnamed; fields are {fields}, without formats: {error}"
        ) from error
    _refuse_forbidden(path, text, forbidden)
    return wording


def describe_bundles(
    bundles: Sequence[Bundle],
    *,
    items: Items,
    words: Mapping[int, Sequence[str]],
    wording: Wording,
    forbidden: ForbiddenWords,
) -> Described:
    """Bundles with title, blurb, reason and facts.

    Args:
        bundles: Members.
        items: Facts of the items.
        words: Words of each topic, the most probable first.
        wording: Templates.
        forbidden: What no text may hold.

    Returns:
        Rows in the order given. Topic words are those that a member of each side has, so that the texts claim nothing
        that the items do not say. Prices are null where an item has none. Lecturers and brands are the creators of the
        first and the second domain's items as the catalogue has them, in the order of the members.
    """
    tokens = tokens_of(items)
    rows, left_out = [], []
    for bundle in bundles:
        shared = shared_words(bundle, tokens, words)
        row = _row(bundle, items, [word for word in shared if forbidden.allow(word)], wording, forbidden)
        if row["shared_words"] and all(forbidden.allow(row[name]) for name in ("title", "blurb", "reason")):
            rows.append(row)
        else:
            left_out.append(bundle.bundle_id)
    return Described(pa.Table.from_pylist(rows, schema=BUNDLE_SCHEMA), tuple(left_out))


def shown_title(title: str | None, tokens: Sequence[str], forbidden: ForbiddenWords, *, unnamed: str) -> str:
    """A title as texts show it: plain, without the parts that hold a forbidden word, not longer than they bear.

    Parts are what stands between spaces and punctuation. What is left must hold a word of the item, else the item goes
    unnamed; a title is cut between two parts where that leaves at least half of it.

    Args:
        title: Title as in the catalogue; HTML and null are fine.
        tokens: Words of the item.
        forbidden: What may not be shown.
        unnamed: What stands for a title of which nothing may be shown.
    """
    given = title or ""
    plain = normalise(given) if "<" in given or "&" in given else " ".join(given.split())
    if hits := forbidden.find(plain):
        parts = [part for part in _PART.finditer(plain) if not any(_overlap(part, hit) for hit in hits)]
        plain = " ".join(part[0] for part in parts)
        compared = normalise(plain)
        if not any(token in compared for token in tokens):
            return unnamed
    # What is joined or cut may read otherwise than it stood: 第一章 without its last character is 第一.
    return next((short for short in _shortened(plain) if short and forbidden.allow(short)), unnamed)


def _row(
    bundle: Bundle, items: Items, shared: Sequence[str], wording: Wording, forbidden: ForbiddenWords
) -> dict[str, Any]:
    members = ([items[0][item] for item in bundle.first], [items[1][item] for item in bundle.second])
    creators = tuple(list(dict.fromkeys(item["creator"] for item in side if item["creator"])) for side in members)
    prices = _prices(members)
    named = _named(creators, forbidden)
    count = len(set(creators[0]) | set(creators[1]))
    fields = {
        "topic_words": "、".join(shared[:_TOPIC_WORDS]),
        "first_count": str(len(members[0])),
        "second_count": str(len(members[1])),
        "first_title": _strongest_title(bundle, 0, items, wording, forbidden),
        "second_title": _strongest_title(bundle, 1, items, wording, forbidden),
        **{name: "" if price is None else _money(price) for name, price in zip(_FIELDS[5:8], prices, strict=True)},
        "creators": "、".join(named),
        "creator_count": str(count) if 0 < len(named) < count else "",
    }
    return {
        "bundle_id": bundle.bundle_id,
        "topic": bundle.topic,
        "title": _fill(wording.title, fields),
        "blurb": "\n".join(_fill(template, fields) for template in wording.blurb),
        "reason": "\n".join(_fill(template, fields) for template in wording.reason),
        "knowledge_items": list(bundle.first),
        "beauty_items": list(bundle.second),
        "strength": bundle.strength,
        "shared_words": list(shared),
        "strongest_knowledge_item": bundle.strongest[0],
        "strongest_beauty_item": bundle.strongest[1],
        "strongest_similarity": bundle.similarity,
        **dict(zip(("price_min", "price_max", "price_sum"), prices, strict=True)),
        "lecturers": creators[0],
        "brands": creators[1],
    }


def _strongest_title(bundle: Bundle, side: int, items: Items, wording: Wording, forbidden: ForbiddenWords) -> str:
    item = items[side][bundle.strongest[side]]
    return shown_title(item["title"], item["tokens"], forbidden, unnamed=wording.unnamed[side])


def _named(creators: tuple[list[str], ...], forbidden: ForbiddenWords) -> list[str]:
    """Creators that a text names: some of each side, none whose name the law forbids to show."""
    allowed = [[name for name in side if forbidden.allow(name)] for side in creators]
    return list(dict.fromkeys(name for side in allowed for name in side[:_CREATORS]))


def _prices(members: tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]) -> tuple[Any, Any, Any]:
    prices = [item["price"] for side in members for item in side]
    if any(price is None for price in prices):
        return None, None, None
    return min(prices), max(prices), sum(prices)


def _fill(template: str, fields: Mapping[str, str]) -> str:
    """A template with its fields; what stands in brackets goes where a field in it is empty."""

    def optional(part: re.Match[str]) -> str:
        return part[1] if all(fields[name] for name in _FIELD.findall(part[1])) else ""

    return _OPTIONAL.sub(optional, template).format(**fields).strip()


def _shortened(title: str) -> Iterator[str]:
    """The title if it is short, else its beginnings: up to the end of a part, the longest first, then cut hard."""
    if len(title) <= _TITLE:
        yield title
        return
    ends = [part.end() for part in _PART.finditer(title) if _TITLE // 2 <= part.end() < _TITLE]
    for end in (*reversed(ends), _TITLE - 1):
        yield title[:end] + "…"


def _overlap(part: re.Match[str], hit: tuple[int, int, Any]) -> bool:
    return part.start() < hit[1] and hit[0] < part.end()


def _money(price: Any) -> str:
    return f"{price:.2f}".removesuffix(".00")


def _refuse_forbidden(path: Path, text: str, forbidden: ForbiddenWords) -> None:
    for line, value in _scalars(yaml.compose(text, Loader=yaml.SafeLoader)):
        # Fields are what the items say; only the template's own words are looked at.
        words = _OPTIONAL.sub(lambda part: part[1], value)
        for piece in _FIELD.split(words)[::2]:
            for hit in forbidden.find(piece):
                word = hit.word
                raise InputError(
                    f"{path}:{line}: {piece[hit.start : hit.end]!r} may not be advertised with ({word.source}; "
                    f"{word.place}): say it otherwise"
                )


def _scalars(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Texts of a YAML document with the lines on which they begin."""
    if isinstance(node, yaml.ScalarNode):
        yield node.start_mark.line + 1, node.value
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _scalars(child)
    elif isinstance(node, yaml.MappingNode):
        for _, child in node.value:
            yield from _scalars(child)
