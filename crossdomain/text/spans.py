"""Where in a text a private person's contact stands, and of which kind it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Kind = Literal["email", "id_card", "bank_card", "mobile", "landline", "wechat", "qq", "address"]

KINDS: tuple[Kind, ...] = ("email", "id_card", "bank_card", "mobile", "landline", "wechat", "qq", "address")
"""All kinds; where two readings of the same characters are equally long, the earlier kind wins."""

TOKENS: dict[Kind, str] = {
    "email": "[email]",
    "id_card": "[id-card]",
    "bank_card": "[bank-card]",
    "mobile": "[phone]",
    "landline": "[phone]",
    "wechat": "[wechat]",
    "qq": "[qq]",
    "address": "[address]",
}
"""What stands in a masked text for a contact of each kind; :func:`crossdomain.text.normalise.normalise` drops it."""


class Span(NamedTuple):
    """A contact in a text.

    Attributes:
        start: Position of its first character.
        end: Position after its last one.
        kind: What it is.
    """

    start: int
    end: int
    kind: Kind


def resolve(spans: Iterable[Span]) -> list[Span]:
    """One span for each group of overlapping ones: it covers them all and has the kind of the longest.

    Of equally long ones the kind that :data:`KINDS` names first wins. The result is in the order of the text.
    """
    resolved: list[Span] = []
    longest = 0
    for span in sorted(spans):
        length = span.end - span.start
        if not resolved or span.start >= resolved[-1].end:
            resolved.append(span)
            longest = length
            continue
        last = resolved[-1]
        better = (-length, KINDS.index(span.kind)) < (-longest, KINDS.index(last.kind))
        resolved[-1] = Span(last.start, max(last.end, span.end), span.kind if better else last.kind)
        longest = max(longest, length)
    return resolved
