"""Chinese text to words: one interface, jieba's behaviour as the reference, the engine a setting.

The engine sees runs of Chinese characters only. Latin words, numbers and their units are found here, by
one rule for every engine: ``50ml``, ``spf50+``, ``pa+++``, ``node.js`` and ``30天`` stay whole. That is also
where engines disagree (rjieba keeps ``low-code``, jieba splits it), so the choice of the engine is then a
matter of speed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from crossdomain.errors import InputError
from crossdomain.text.normalise import normalise
from crossdomain.text.simplified import simplify

ENGINES = ("rjieba", "jieba")
"""Engines that give jieba's words; the first is the default (about seven times as fast)."""

_RULES = "3"
"""Changes when the rules of this module or of ``normalise`` give other tokens for the same text."""

_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LATIN = "a-z\u00df-\u00f6\u00f8-\u024f"
_UNITS = "毫升|千克|公斤|件套|课时|小时|分钟|厘米|克|片|支|瓶|盒|袋|粒|枚|天|节|讲|课|章|元|岁|年|周|倍|步"
_QUANTITY = rf"\d+(?:\.\d+)?(?:[-~]\d+(?:\.\d+)?)?(?:{_UNITS})"
_LATIN_WORD = rf"[{_LATIN}0-9]+(?:[.'’&#_/-][{_LATIN}0-9]+)*[+]*%?"
_KANA_RANGE = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
_KANA = f"[{_KANA_RANGE}]+"
_OTHERS = rf"{_QUANTITY}|{_LATIN_WORD}|{_KANA}"
_MARK = "\n"
_NO_HAN = re.compile(rf"[^{_HAN}{_MARK}]+")
_NUMBER = re.compile(r"[\d.,:/~#&'’_+%-]+")
_MEASURE = re.compile(rf"\d+(?:\.\d+)?(?:[-~]\d+(?:\.\d+)?)?(?:{_UNITS}|ml|l|g|kg|mg|oz|cm|mm|w|k|h|d|%|pcs)")


class Tokenizer(Protocol):
    """Gives the words of a text; the same text always gives the same words."""

    @property
    def version(self) -> str:
        """Names engine, rules and word lists: another version may give other words."""
        ...

    def tokens(self, text: str | None) -> list[str]:
        """Words in their order, repeats kept; none for an empty text."""
        ...


@dataclass(frozen=True)
class UserWord:
    """A word that the tokenizer must keep whole.

    Attributes:
        word: Normalised word.
        frequency: Weight against other splits; null lets the engine choose the least that keeps it whole.
    """

    word: str
    frequency: int | None = None


@dataclass(frozen=True)
class WordTokenizer:
    """The tokenizer that all engines share; built by :func:`make_tokenizer`."""

    engine: str
    version: str
    stop_words: frozenset[str]
    cut: Callable[[str], list[str]] = field(repr=False)
    others: re.Pattern[str] = field(repr=False)
    min_characters: int = 2

    def tokens(self, text: str | None) -> list[str]:
        """Words of a text: normalised and simplified, without stop words, bare numbers and single characters."""
        plain = simplify(normalise(text))
        if not plain:
            return []
        stop, least = self.stop_words, self.min_characters
        return [word for word in self._words(plain) if len(word) >= least and word not in stop]

    def _words(self, plain: str) -> list[str]:
        # One call of the engine a text: what is no Chinese is lifted out, a mark left in its place.
        parts = self.others.split(plain)
        if len(parts) == 1:
            return self.cut(_NO_HAN.sub(" ", plain))
        others = iter(["" if _NUMBER.fullmatch(part) else part for part in parts[1::2]])
        han = _NO_HAN.sub(" ", _MARK.join(parts[::2]))
        return [next(others) if word == _MARK else word for word in self.cut(han)]


def make_tokenizer(
    *,
    engine: str = ENGINES[0],
    user_words: Iterable[UserWord] = (),
    stop_words: Collection[str] = (),
    min_characters: int = 2,
) -> WordTokenizer:
    """A tokenizer of the given engine.

    Args:
        engine: One of :data:`ENGINES`.
        user_words: Words kept whole; their order does not matter.
        stop_words: Words left out, normalised here.
        min_characters: Shorter words are left out (single Chinese characters say little).

    Raises:
        InputError: The engine is not known.
    """
    words, stops = _normal_lists(user_words, stop_words)
    if engine == "rjieba":
        cut = _rjieba(words)
    elif engine == "jieba":
        cut = _jieba(words)
    else:
        raise InputError(f"there is no tokenizer engine {engine!r}; choose one of {', '.join(ENGINES)}")
    mixed = sorted((w.word for w in words if not _is_han(w.word)), key=lambda word: (-len(word), word))
    return WordTokenizer(
        engine=engine,
        version=_version(engine, words, stops, min_characters),
        stop_words=stops,
        cut=cut,
        others=_others(mixed),
        min_characters=min_characters,
    )


def tokenizer_version(
    *,
    engine: str = ENGINES[0],
    user_words: Iterable[UserWord] = (),
    stop_words: Collection[str] = (),
    min_characters: int = 2,
) -> str:
    """The version that :func:`make_tokenizer` gives for the same arguments, without loading the engine."""
    words, stops = _normal_lists(user_words, stop_words)
    return _version(engine, words, stops, min_characters)


def is_measure(token: str) -> bool:
    """Whether a token is a number with a unit (``50ml``, ``30天``): a fact, but no topic."""
    return _MEASURE.fullmatch(token) is not None


def read_user_words(path: Path) -> list[UserWord]:
    """Words of a user dictionary in jieba's format: ``word [frequency] [tag]`` a line, ``#`` comments.

    Raises:
        InputError: The file is missing, is not UTF-8 or a frequency is not a number; the line is named.
    """
    words = []
    for number, line in _lines(path):
        word, _, rest = line.partition(" ")
        fields = rest.split()
        if fields and not fields[0].isdigit() and len(fields) > 1:
            raise InputError(f"{path}:{number}: frequency {fields[0]!r} is not a number; write: word [frequency] [tag]")
        words.append(UserWord(word, int(fields[0]) if fields and fields[0].isdigit() else None))
    return words


def read_stop_words(path: Path) -> list[str]:
    """Words of a stop-word file: one a line, ``#`` comments.

    Raises:
        InputError: The file is missing or not UTF-8.
    """
    return [line for _, line in _lines(path)]


def word_lists(folder: Path) -> dict[str, Any]:
    """The word lists of a folder as arguments of :func:`make_tokenizer`.

    Raises:
        InputError: A file is missing or does not parse.
    """
    return {
        "user_words": read_user_words(folder / "user_dictionary.txt"),
        "stop_words": read_stop_words(folder / "stop_words.txt"),
    }


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path} is missing; an empty file is fine") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#", 1)[0].strip()
        if content:
            yield number, content


def _rjieba(words: list[UserWord]) -> Callable[[str], list[str]]:
    # Engines are imported where they are chosen: each loads a dictionary.
    import rjieba

    segmenter = rjieba.Jieba()
    for word in words:
        if _is_han(word.word):
            segmenter.add_word(word.word, word.frequency, None)
    cut: Callable[[str], list[str]] = segmenter.cut
    return cut


def _jieba(words: list[UserWord]) -> Callable[[str], list[str]]:
    import jieba

    jieba.setLogLevel(60)
    segmenter = jieba.Tokenizer()
    segmenter.initialize()
    for word in words:
        if _is_han(word.word):
            segmenter.add_word(word.word, word.frequency)
    cut: Callable[[str], list[str]] = segmenter.lcut
    return cut


def _is_han(word: str) -> bool:
    return re.fullmatch(rf"[{_HAN}]+", word) is not None


def _others(mixed: list[str]) -> re.Pattern[str]:
    """What is no Chinese word: user words with Latin letters, quantities, Latin words, numbers, kana."""
    first = "".join(sorted({re.escape(word[0]) for word in mixed}))
    words = "|".join([*map(_bounded, mixed), _OTHERS])
    # The look-ahead settles most characters by one test.
    return re.compile(rf"((?=[{first}{_LATIN}0-9{_KANA_RANGE}])(?:{words}))")


def _bounded(word: str) -> str:
    """A mixed word as a pattern that does not begin or end inside a longer Latin word."""
    pattern = re.escape(word)
    if re.match(rf"[{_LATIN}0-9]", word):
        pattern = rf"(?<![{_LATIN}0-9])" + pattern
    if re.search(rf"[{_LATIN}0-9]$", word):
        pattern += rf"(?![{_LATIN}0-9])"
    return pattern


def _normal_lists(user_words: Iterable[UserWord], stop_words: Collection[str]) -> tuple[list[UserWord], frozenset[str]]:
    """Both lists normalised, the user words in their order; of a word given twice the greater frequency."""
    frequency: dict[str, int | None] = {}
    for given in user_words:
        word = simplify(normalise(given.word))
        known = frequency.get(word)
        if word:
            frequency[word] = given.frequency if known is None else max(known, given.frequency or 0)
    words = [UserWord(word, frequency[word]) for word in sorted(frequency)]
    return words, frozenset(filter(None, (simplify(normalise(word)) for word in stop_words)))


def _version(engine: str, words: list[UserWord], stops: frozenset[str], min_characters: int) -> str:
    digest = hashlib.sha256()
    digest.update(f"{_RULES}\x1f{min_characters}".encode())
    for word in words:
        digest.update(f"\x1f{word.word}\x1e{word.frequency}".encode())
    for stop in sorted(stops):
        digest.update(f"\x1d{stop}".encode())
    return f"{engine}-{digest.hexdigest()[:12]}"
