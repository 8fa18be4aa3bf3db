"""Traditional Chinese characters as simplified ones, so that one word is one word."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


def simplify(text: str) -> str:
    """The text with each traditional character as its simplified one (OpenCC's table), others as they are.

    One character becomes one: of several forms OpenCC's first is taken, and words that differ between the places
    (``軟體``, ``软件``) are not translated.
    """
    forms, traditional = _table()
    return text if traditional.isdisjoint(text) else text.translate(forms)


@cache
def _table() -> tuple[dict[int, str], frozenset[str]]:
    content = (files("opencc") / "dictionary" / "TSCharacters.txt").read_text(encoding="utf-8")
    pairs = (line.split("\t") for line in content.splitlines() if "\t" in line)
    forms = {given: options.split(" ")[0] for given, options in pairs}
    forms = {given: simple for given, simple in forms.items() if len(given) == len(simple) == 1 and given != simple}
    return {ord(given): simple for given, simple in forms.items()}, frozenset(forms)
