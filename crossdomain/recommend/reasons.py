"""Reasons: what is stored with a recommendation, and how a reader words it.

Stored is a compact JSON text of a code and the items it rests on: ``{"code":"because","items":[["beauty",
"123"]]}``; where two items are of one lecturer or brand, or mostly of one topic, the code says so. It comes from the
model that gave the score; words are made when somebody reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crossdomain.errors import InputError

BECAUSE = "because"
BECAUSE_CREATOR = "because_creator"
BECAUSE_TOPIC = "because_topic"
TASTE = "taste"
POPULAR = "popular"
POPULAR_WITH_ALL = "popular_with_all"
BUY_AGAIN = "buy_again"
PROMOTED = "promoted"

_WORDS = {
    BECAUSE: ("因为你看过{titles}", "because of {titles}"),
    BECAUSE_CREATOR: ("因为你看过{name}的{titles}", "because of {titles} by {name}"),
    BECAUSE_TOPIC: ("因为你关注“{name}”，看过{titles}", "because of your interest in “{name}”: {titles}"),
    TASTE: ("口味相近的人也喜欢", "liked by people with your taste"),
    POPULAR: ("近期热门", "popular now"),
    BUY_AGAIN: ("你买过的{titles}该补货了", "time to buy {titles} again"),
    PROMOTED: ("推广", "promoted"),
    POPULAR_WITH_ALL: ("大家都在看（未使用您的个人信息）", "popular with everybody; nothing about you was used"),
}


@dataclass(frozen=True)
class Reason:
    """A code, the (domain, item_id) pairs it rests on, the strongest first, and the topic that these share.

    Attributes:
        promoted: Name of the rule that the row owes its place to, wholly or in part; None for none.
    """

    code: str
    items: tuple[tuple[str, str], ...] = ()
    topic: int | None = None
    promoted: str | None = None


def encode(code: str, items: Sequence[tuple[str, str]] = ()) -> str:
    """The stored text of a reason."""
    content: dict[str, object] = {"code": code}
    if items:
        content["items"] = [list(item) for item in items]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def item_texts(items: Iterable[tuple[str, str]]) -> list[str]:
    """What stands for each item in the stored text of a reason."""
    return [json.dumps(list(item), ensure_ascii=False, separators=(",", ":")) for item in items]


def because_text(*texts: str, creator: bool = False, topic: int | None = None) -> str:
    """The stored text of ``because`` some items, from what stands for each; as ``encode`` gives it.

    Args:
        texts: What stands for each item.
        creator: Whether all items are of one lecturer or brand.
        topic: Else the topic that they share, if they do.
    """
    items = f'"items":[{",".join(texts)}]'
    if creator:
        return f'{{"code":"{BECAUSE_CREATOR}",{items}}}'
    if topic is not None:
        return f'{{"code":"{BECAUSE_TOPIC}",{items},"topic":{topic}}}'
    return f'{{"code":"{BECAUSE}",{items}}}'


def again_text(text: str) -> str:
    """The stored text of ``buy_again``, from what stands for the item."""
    return f'{{"code":"{BUY_AGAIN}","items":[{text}]}}'


def promoted_text(reason: str, rule: str) -> str:
    """The stored text of a reason with the name of the rule that promotes the row."""
    return f'{reason[:-1]},"promoted":{json.dumps(rule, ensure_ascii=False)}}}'


def decode(text: str) -> Reason:
    """The reason of a stored text.

    Raises:
        InputError: The text is not one that ``encode`` wrote.
    """
    try:
        content = json.loads(text)
        items = tuple((str(domain), str(item_id)) for domain, item_id in content.get("items", []))
        topic, rule = content.get("topic"), content.get("promoted")
        return Reason(
            content["code"], items, None if topic is None else int(topic), None if rule is None else str(rule)
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{text!r} is not a reason of a recommendation: {error!r}") from error


def describe(
    reason: Reason,
    titles: Mapping[tuple[str, str], str],
    *,
    creators: Mapping[tuple[str, str], str] | None = None,
    topics: Mapping[int, tuple[str, str]] | None = None,
) -> tuple[str, str]:
    """A reason in Chinese and English; that of a promoted row says so.

    Args:
        reason: The reason.
        titles: Titles of items; an item without one is named by its id.
        creators: Names of the lecturers or brands of items. Without the name only the items are said.
        topics: Names of topics in Chinese and English. Without the name only the items are said.

    Raises:
        InputError: The code is unknown.
    """
    if reason.code not in _WORDS:
        raise InputError(f"{reason.code!r} is no code of a reason; there are {', '.join(sorted(_WORDS))}")
    code, shared = reason.code, _shared(reason, creators or {}, topics or {})
    if shared is None and code in (BECAUSE_CREATOR, BECAUSE_TOPIC):
        code = BECAUSE
    names = [titles.get(item) or item[1] for item in reason.items]
    chinese, english = _WORDS[code]
    in_chinese, in_english = shared or ("", "")
    marks = ("（推广）", " (promoted)") if reason.promoted is not None and code != PROMOTED else ("", "")
    return (
        chinese.format(titles="、".join(f"《{name}》" for name in names), name=in_chinese) + marks[0],
        english.format(titles=", ".join(f"“{name}”" for name in names), name=in_english) + marks[1],
    )


def _shared(
    reason: Reason, creators: Mapping[tuple[str, str], str], topics: Mapping[int, tuple[str, str]]
) -> tuple[str, str] | None:
    """What the items share, in Chinese and English; None where it has no name here."""
    if reason.code == BECAUSE_TOPIC and reason.topic is not None:
        return topics.get(reason.topic)
    name = creators.get(reason.items[0]) if reason.code == BECAUSE_CREATOR and reason.items else None
    return None if name is None else (name, name)
