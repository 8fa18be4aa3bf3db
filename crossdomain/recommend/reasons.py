"""Reasons: what is stored with a recommendation, and how a reader words it.

Stored is a compact JSON text of a code and the items it rests on: ``{"code":"because","items":[["beauty",
"123"]]}``. It comes from the model that gave the score; words are made when somebody reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crossdomain.errors import InputError

BECAUSE = "because"
TASTE = "taste"
POPULAR = "popular"
POPULAR_WITH_ALL = "popular_with_all"

_WORDS = {
    BECAUSE: ("因为你看过{titles}", "because of {titles}"),
    TASTE: ("口味相近的人也喜欢", "liked by people with your taste"),
    POPULAR: ("近期热门", "popular now"),
    POPULAR_WITH_ALL: ("大家都在看（未使用您的个人信息）", "popular with everybody; nothing about you was used"),
}


@dataclass(frozen=True)
class Reason:
    """A code and the (domain, item_id) pairs it rests on, the strongest first."""

    code: str
    items: tuple[tuple[str, str], ...] = ()


def encode(code: str, items: Sequence[tuple[str, str]] = ()) -> str:
    """The stored text of a reason."""
    content: dict[str, object] = {"code": code}
    if items:
        content["items"] = [list(item) for item in items]
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def item_texts(items: Iterable[tuple[str, str]]) -> list[str]:
    """What stands for each item in the stored text of a reason."""
    return [json.dumps(list(item), ensure_ascii=False, separators=(",", ":")) for item in items]


def because_text(*texts: str) -> str:
    """The stored text of ``because`` some items, from what stands for each; as ``encode`` gives it."""
    return f'{{"code":"{BECAUSE}","items":[{",".join(texts)}]}}'


def decode(text: str) -> Reason:
    """The reason of a stored text.

    Raises:
        InputError: The text is not one that ``encode`` wrote.
    """
    try:
        content = json.loads(text)
        items = tuple((str(domain), str(item_id)) for domain, item_id in content.get("items", []))
        return Reason(content["code"], items)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{text!r} is not a reason of a recommendation: {error!r}") from error


def describe(reason: Reason, titles: Mapping[tuple[str, str], str]) -> tuple[str, str]:
    """A reason in Chinese and English.

    Args:
        reason: The reason.
        titles: Titles of items; an item without one is named by its id.

    Raises:
        InputError: The code is unknown.
    """
    if reason.code not in _WORDS:
        raise InputError(f"{reason.code!r} is no code of a reason; there are {', '.join(sorted(_WORDS))}")
    names = [titles.get(item) or item[1] for item in reason.items]
    chinese, english = _WORDS[reason.code]
    return (
        chinese.format(titles="、".join(f"《{name}》" for name in names)),
        english.format(titles=", ".join(f"“{name}”" for name in names)),
    )
