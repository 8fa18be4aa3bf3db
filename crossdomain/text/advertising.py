"""Words that advertising law forbids: an editable list, and where a text holds one of them.

A word is found although signs or spaces stand between its characters, in full width or in capitals. It is not found
inside one of its exceptions (``最`` is forbidden, ``最近`` is not), and a word that begins or ends with a letter or a
digit only where it stands by itself (``no1`` is not in ``no10``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crossdomain.errors import InputError

_HIDING = re.compile(r"[\s·•・.*_~|/\\^+\-‐-―'’`\"]")
"""Signs that hide a word when they stand between its characters. Punctuation that ends a clause is not among them."""
_LATIN = re.compile(r"[a-z0-9]")


@dataclass(frozen=True)
class ForbiddenWord:
    """A line of the list.

    Attributes:
        word: The word in compared form.
        exceptions: Longer words in which it is fine, in compared form.
        source: The law that forbids it.
        place: File and line.
    """

    word: str
    exceptions: tuple[str, ...]
    source: str
    place: str


class Hit(NamedTuple):
    """A forbidden word in a text, from ``start`` up to ``end`` in the text as it was given."""

    start: int
    end: int
    word: ForbiddenWord


class _Compared(NamedTuple):
    text: str
    positions: list[int]


class ForbiddenWords:
    """The list as something that texts are checked with."""

    def __init__(self, words: Iterable[ForbiddenWord]) -> None:
        self.words = tuple(words)
        # One pattern finds the texts that need a closer look; nearly all need none.
        parts = sorted({re.escape(word.word) for word in self.words}, key=lambda part: (-len(part), part))
        self._any = re.compile("|".join(parts)) if parts else None

    def find(self, text: str) -> list[Hit]:
        """Forbidden words of a text, by place, then by the order of the list; none for an empty text."""
        compared = _compared(text)
        if self._any is None or not self._any.search(compared.text):
            return []
        hits = [
            Hit(compared.positions[start], compared.positions[end - 1] + 1, word)
            for word in self.words
            for start, end in _places(word, compared)
        ]
        return sorted(hits, key=lambda hit: (hit.start, hit.end))

    def allow(self, text: str) -> bool:
        """Whether a text holds no forbidden word."""
        return not self.find(text)


def read_forbidden_words(path: Path) -> ForbiddenWords:
    """The list of a file: ``word ~ exception …  # source`` a line; ``## source`` for the lines below it.

    Raises:
        InputError: The file is missing or not UTF-8, a word stands twice, or an exception does not hold its word; the
            line is named.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: it holds the words that advertising law forbids") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    found: dict[str, ForbiddenWord] = {}
    heading = ""
    for number, line in enumerate(lines, start=1):
        if line.startswith("##"):
            heading = line.lstrip("#").strip()
        content, _, source = line.partition("#")
        if content.strip():
            word = _read_line(content, source.strip() or heading, f"{path}:{number}")
            if word.word in found:
                raise InputError(f"{word.place}: {word.word!r} stands in {found[word.word].place} already; remove one")
            found[word.word] = word
    return ForbiddenWords(found.values())


def _read_line(content: str, source: str, place: str) -> ForbiddenWord:
    first, _, rest = content.partition("~")
    word = _compared(first).text
    exceptions = tuple(_compared(exception).text for exception in rest.split())
    if not word:
        raise InputError(f"{place}: no word before ~; write: word ~ exception exception  # source")
    for exception in exceptions:
        if word not in exception or word == exception:
            raise InputError(f"{place}: the exception {exception!r} is no longer word with {word!r} in it")
    return ForbiddenWord(word, exceptions, source, place)


def _places(word: ForbiddenWord, compared: _Compared) -> list[tuple[int, int]]:
    """Where a word stands by itself and inside none of its exceptions."""
    fine = [span for exception in word.exceptions for span in _spans(exception, compared.text)]
    return [
        (start, end)
        for start, end in _spans(word.word, compared.text)
        if not (_goes_on(compared, start - 1) or _goes_on(compared, end - 1))
        and not any(a <= start and end <= b for a, b in fine)
    ]


def _spans(word: str, text: str) -> list[tuple[int, int]]:
    found, start = [], text.find(word)
    while start >= 0:
        found.append((start, start + len(word)))
        start = text.find(word, start + 1)
    return found


def _goes_on(compared: _Compared, place: int) -> bool:
    """Whether a Latin word or number goes on from this character to the next; a hidden sign between them ends it."""
    if not 0 <= place < len(compared.text) - 1:
        return False
    adjacent = compared.positions[place + 1] - compared.positions[place] <= 1
    return adjacent and all(_LATIN.match(character) for character in compared.text[place : place + 2])


def _compared(text: str) -> _Compared:
    """The form in which texts are compared: half width, lower case, without what hides a word; with positions."""
    characters, positions = [], []
    for place, given in enumerate(text):
        if unicodedata.category(given) in ("Cf", "Mn", "Me"):
            continue
        for character in unicodedata.normalize("NFKC", given).lower():
            if not _HIDING.match(character):
                characters.append(character)
                positions.append(place)
    return _Compared("".join(characters), positions)
