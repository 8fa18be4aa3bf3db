"""What a feed file may declare to be mended in texts, as SQL; nothing is mended that no feed file names."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

import duckdb
import pyarrow as pa
from duckdb.func import PythonUDFType

from crossdomain.ingest.feeds import Repair, SourceColumn
from crossdomain.ingest.mojibake import unscrambled
from crossdomain.storage.engine import literal

BLANK = " \t\r\n\v\f\u00a0\u3000\ufeff\u200b"
"""White space, byte order mark and zero-width space: nothing to anybody at the ends of a value."""
FULL_WIDTH = "".join(chr(code + 0xFEE0) for code in range(0x21, 0x7F)) + "\u3000￥￠￡−"
HALF_WIDTH = "".join(chr(code) for code in range(0x21, 0x7F)) + " ¥¢£-"
"""Characters of Chinese input methods and the ones that they stand for, by position."""

_INVISIBLE = (
    "[\\x{00}-\\x{08}\\x{0b}\\x{0c}\\x{0e}-\\x{1f}\\x{7f}-\\x{9f}\\x{ad}\\x{61c}\\x{200b}\\x{200e}\\x{200f}"
    "\\x{202a}-\\x{202e}\\x{2060}-\\x{2064}\\x{2066}-\\x{206f}\\x{feff}\\x{fff9}-\\x{fffb}]"
)
"""Zero-width and control characters; not the joiners and selectors that emoji are made of."""
_SPACES = "[\\s\\x{0b}\\x{85}\\x{a0}\\x{2000}-\\x{200b}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}]+"
_HTML, _MOJIBAKE = "html_unescaped", "unscrambled"


def define_repairs(con: duckdb.DuckDBPyConnection) -> None:
    """Defines the functions that mending calls; a connection that has them keeps them."""
    ((defined,),) = con.execute(
        f"SELECT count(*) FROM duckdb_functions() WHERE function_name = {literal(_HTML)}"  # noqa: S608 - constant
    ).fetchall()
    if not defined:
        _define(con, _HTML, _unescaped)
        _define(con, _MOJIBAKE, lambda text: unscrambled(text) or text)


def _define(con: duckdb.DuckDBPyConnection, name: str, function: Callable[[str], str]) -> None:
    def of_chunk(texts: pa.Array) -> pa.Array:
        return pa.array([None if text is None else function(text) for text in texts.to_pylist()], pa.string())

    con.create_function(name, of_chunk, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)


def _unescaped(text: str) -> str:
    return html.unescape(text).replace("\u00a0", " ")


def html_unescaped(text: str, plain: str | None = None) -> str:
    """SQL that replaces HTML's named, decimal and hexadecimal entities, once, by their characters.

    Args:
        text: SQL of a text; only where it has an ampersand there is something to do.
        plain: SQL of what becomes of it beside; the text itself by default.
    """
    result = plain or text
    return f"CASE WHEN contains({text}, '&') THEN {_HTML}({result}) ELSE {result} END"


def half_width(text: str) -> str:
    """SQL that replaces full-width characters by their half-width ones."""
    # strlen counts bytes: where it equals the length all characters are ASCII already.
    translated = f"translate({text}, {literal(FULL_WIDTH)}, {literal(HALF_WIDTH)})"
    return f"CASE WHEN strlen({text}) = length({text}) THEN {text} ELSE {translated} END"


def _unscrambled(text: str) -> str:
    return f"CASE WHEN strlen({text}) = length({text}) THEN {text} ELSE {_MOJIBAKE}({text}) END"


def _visible(text: str) -> str:
    return f"regexp_replace({text}, {literal(_INVISIBLE)}, '', 'g')"


def _single_spaced(text: str) -> str:
    return f"regexp_replace({text}, {literal(_SPACES)}, ' ', 'g')"


_REPAIRS: Mapping[Repair, Callable[[str], str]] = {
    "mojibake": _unscrambled,
    "html": html_unescaped,
    "invisible": _visible,
    "width": half_width,
    "spaces": _single_spaced,
}
"""In the order in which they are done: what was hidden by one is there for the next."""


def repairs_of(source: SourceColumn, nulls: Sequence[str]) -> list[Callable[[str], str]]:
    """The steps from a trimmed text to the one that is read, each from SQL to SQL; none for most columns.

    What means nothing becomes null; the declared repairs follow, then the whole values that stand for others,
    and last what is cut from the ends (of numbers later, when their characters are half width).
    """
    steps: list[Callable[[str], str]] = []
    if nulls:
        steps.append(lambda text: f"CASE WHEN {text} NOT IN ({', '.join(map(literal, nulls))}) THEN {text} END")
    steps += [repair for name, repair in _REPAIRS.items() if name in source.repair]
    if source.repair:
        steps.append(trimmed)
    if source.replace:
        steps.append(lambda text: _replaced(text, source.replace))
    return steps


def _replaced(text: str, replace: Mapping[str, str | None]) -> str:
    cases = " ".join(
        f"WHEN {literal(written)} THEN {'NULL' if meant is None else literal(meant)}"
        for written, meant in replace.items()
    )
    return f"CASE {text} {cases} ELSE {text} END"


def trimmed(text: str) -> str:
    """SQL that cuts what is blank from both ends; null if nothing is left."""
    blank = literal(BLANK)
    # Trimming a set of characters is slow: it is left to the few values that need it. Most begin and end with a
    # visible ASCII character, which is told fast. (A list of constants to look in would become a join each.)
    visible = f"{text} >= '!' AND {text} < chr(127) AND unicode({text}[-1]) BETWEEN 33 AND 126"
    bordered = f"contains({blank}, {text}[1]) OR contains({blank}, {text}[-1])"
    return (
        f"CASE WHEN {visible} THEN {text} WHEN {bordered} THEN nullif(trim({text}, {blank}), '') "
        f"ELSE nullif({text}, '') END"
    )


def without_affixes(text: str, parts: Sequence[str]) -> str:
    """SQL that cuts each of some texts, in full width or half width, once from either end."""
    for part in parts:
        forms = {part, part.translate(_TO_HALF), part.translate(_TO_FULL)}
        either = "|".join(f"({_escaped(form)})" for form in sorted(forms))
        text = f"trim(regexp_replace({text}, {literal(f'^({either})|({either})$')}, '', 'g'), {literal(BLANK)})"
    return text


_TO_HALF = str.maketrans(FULL_WIDTH, HALF_WIDTH)
_TO_FULL = str.maketrans(HALF_WIDTH, FULL_WIDTH)


def _escaped(text: str) -> str:
    """A text as a regular expression that matches nothing else."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)
