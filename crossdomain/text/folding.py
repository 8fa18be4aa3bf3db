"""Text as patterns read it: half width, without invisible characters, positions remembered."""

from __future__ import annotations

import re
from typing import NamedTuple

_HALF_WIDTH = {code + 0xFEE0: code for code in range(0x21, 0x7F)} | {0x3000: 0x20, 0xA0: 0x20, 0x9: 0x20}
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0e\ufeff]")
_NUMERALS = {
    ord(written): digit
    for digit, forms in enumerate(
        ("零〇⓪", "一壹幺①", "二贰两②", "三叁③", "四肆④", "五伍⑤", "六陆⑥", "七柒⑦", "八捌⑧", "九玖⑨")
    )
    for written in forms
}
_SPOKEN = {code: ord(str(digit)) for code, digit in _NUMERALS.items()}
_KEYCAP = re.compile("[\ufe0f\u20e3]")


class Folded(NamedTuple):
    """A text in half width.

    Attributes:
        text: The folded text.
        positions: Position in the given text of each of its characters, and of its end; None where they are the same.
    """

    text: str
    positions: list[int] | None

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the folded text stands in the given one, with the invisible characters after it."""
        if self.positions is None:
            return start, end
        return self.positions[start], self.positions[end]


def fold(text: str) -> Folded:
    """Full-width letters, digits, signs and spaces become half width; invisible characters go."""
    plain = _without(Folded(text, None), _INVISIBLE)
    return Folded(plain.text.translate(_HALF_WIDTH), plain.positions)


def spoken_digits(folded: Folded) -> Folded:
    """Chinese numerals (``一``, ``幺``, ``壹``), circled digits and keycaps become digits too."""
    plain = _without(folded, _KEYCAP)
    return Folded(plain.text.translate(_SPOKEN), plain.positions)


def _without(folded: Folded, unwanted: re.Pattern[str]) -> Folded:
    if unwanted.search(folded.text) is None:
        return folded
    text, before = folded.text, folded.positions
    kept = [place for place, character in enumerate(text) if not unwanted.match(character)]
    plain = "".join(text[place] for place in kept)
    kept.append(len(text))
    return Folded(plain, kept if before is None else [before[place] for place in kept])
