"""Reasons: what is stored with a recommendation, and how a reader words it.

Stored is a compact JSON text of a code and the items it rests on: ``{"code":"because","items":[["beauty",
"123"]]}``; where two items are of one lecturer or brand, the code says so. It comes from the model that gave the score;
words are made when somebody reads it. Whether the items are of one topic is looked up then: no list waits for the
topics of its day, and none depends on whether they came before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crossdomain.errors import InputError

BECAUSE = "because"
BECAUSE_CREATOR = "because_creator"
TASTE = "taste"
POPULAR = "popular"
POPULAR_WITH_ALL = "popular_with_all"
BUY_AGAIN = "buy_again"
PROMOTED = "promoted"

_WORDS = {
    BECAUSE: ("因为你看过{titles}", "because of {titles}"),
    BECAUSE_CREATOR: ("因为你看过{name}的{titles}", "because of {titles} by {name}"),
    TASTE: ("口味相近的人也喜欢", "liked by people with your taste"),
    POPULAR: ("近期热门", "popular now"),
    BUY_AGAIN: ("你买过的{titles}该补货了", "time to buy {titles} again"),
    PROMOTED: ("推广", "promoted"),
    POPULAR_WITH_ALL: ("大家都在看（未使用您的个人信息）", "popular with everybody; nothing about you was used"),
}
_OF_ONE_TOPIC = ("因为你关注“{name}”，看过{titles}", "because of your interest in “{name}”: {titles}")


@dataclass(frozen=True)
class Reason:
    """A code and the (domain, item_id) pairs it rests on, the strongest first.

    Attributes:
        promoted: Name of the rule that the row owes its place to, wholly or in part; None for none.
    """

    code: str
    items: tuple[tuple[str, str], ...] = ()
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


def because_text(*texts: str, creator: bool = False) -> str:
    """The stored text of ``because`` some items, from what stands for each; as ``encode`` gives it.

    Args:
        texts: What stands for each item.
        creator: Whether all items are of one lecturer or brand.
    """
    return f'{{"code":"{BECAUSE_CREATOR if creator else BECAUSE}","items":[{",".join(texts)}]}}'


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
        rule = content.get("promoted")
        return Reason(content["code"], items, None if rule is None else str(rule))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{text!r} is not a reason of a recommendation: {error!r}") from error


def describe(
    reason: Reason,
    titles: Mapping[tuple[str, str], str],
    *,
    creators: Mapping[tuple[str, str], str] | None = None,
    topics: Mapping[tuple[str, str], str] | None = None,
) -> tuple[str, str]:
    """A reason in Chinese and English; that of a promoted row says so.

    Two items that it rests on are said to be of one lecturer or brand, else of one topic, where they are and where it
    has a name.

    Args:
        reason: The reason.
        titles: Titles of items; an item without one is named by its id.
        creators: Names of the lecturers or brands of items.
        topics: Names of the greatest topics of items.

    Raises:
        InputError: The code is unknown.
    """
    if reason.code not in _WORDS:
        raise InputError(f"{reason.code!r} is no code of a reason; there are {', '.join(sorted(_WORDS))}")
    (chinese, english), shared = _wording(reason, creators or {}, topics or {})
    names = [titles.get(item) or item[1] for item in reason.items]
    marks = ("（推广）", " (promoted)") if reason.promoted is not None and reason.code != PROMOTED else ("", "")
    return (
        chinese.format(titles="、".join(f"《{name}》" for name in names), name=shared) + marks[0],
        english.format(titles=", ".join(f"“{name}”" for name in names), name=shared) + marks[1],
    )


def _wording(
    reason: Reason, creators: Mapping[tuple[str, str], str], topics: Mapping[tuple[str, str], str]
) -> tuple[tuple[str, str], str]:
    """The words of a reason, and the name of what its items share."""
    if reason.code not in (BECAUSE, BECAUSE_CREATOR):
        return _WORDS[reason.code], ""
    if reason.code == BECAUSE_CREATOR and (name := creators.get(reason.items[0])):
        return _WORDS[BECAUSE_CREATOR], name
    of = {topics.get(item) for item in reason.items}
    if len(reason.items) > 1 and len(of) == 1 and (name := of.pop()):
        return _OF_ONE_TOPIC, name
    return _WORDS[BECAUSE], ""
