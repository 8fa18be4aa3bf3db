"""Contacts of private persons in free text, found and masked before the text is kept.

:func:`find` says where they stand, :func:`mask` puts a token such as ``[phone]`` in their place, and
:func:`mask_columns` does that to columns of millions of rows: one regular expression in SQL picks the texts
that can hold a contact at all, and only those, each once, are read here. The expression decides in Python too,
so that what SQL passes over is what :func:`mask` leaves as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from crossdomain.storage.engine import identifier, literal
from crossdomain.text import addresses, contact_numbers, handles
from crossdomain.text.folding import fold, spoken_digits
from crossdomain.text.spans import TOKENS, Span, resolve

MASKING_VERSION = 2
"""Grows with every change of what is masked; part of the version of the job that stores masked text."""

_DETECTORS = (
    contact_numbers.mobiles,
    contact_numbers.landlines,
    contact_numbers.id_cards,
    contact_numbers.bank_cards,
    handles.emails,
    handles.wechat_ids,
    handles.qq_numbers,
    addresses.addresses,
)

# Written in the part of the syntax that Python and RE2 (DuckDB) read alike: explicit classes, no \d, \s or (?i).
_DIGIT = "0-9０-９"
_LETTER = "A-Za-zＡ-Ｚａ-ｚ"
_NUMERAL = "零〇⓪一壹幺①二贰两②三叁③四肆④五伍⑤六陆⑥七柒⑦八捌⑧九玖⑨"
_V, _X, _W, _Q = "[vVｖＶ]", "[xXｘＸ]", "[wWｗＷ]", "[qQｑＱ]"
_SPOKEN_RUN = f"(?:[{_DIGIT}{_NUMERAL}][\ufe0f\u20e3]{{0,2}}){{11}}"
_TRIGGERS = (
    # any number of a person: seven digits, whatever signs stand between them
    f"[{_DIGIT}](?:[^{_DIGIT}{_LETTER}\u4e00-\u9fff]{{0,6}}[{_DIGIT}]){{6}}",
    _SPOKEN_RUN,
    # mail
    "[@＠]|艾特|[(（\\[［{｛<＜【] ?[aAａＡ][tTｔＴ] ?[)）\\]］}｝>＞】]| [aA][tT] | [dD][oO][tT] ",
    "[#＃*＊][0-9a-zA-Z]{2,9}\\.",
    # WeChat and QQ
    f"[微薇威徽维][ \u3000]?[信❤♥:：]|[加➕+＋个][微薇威徽维vVｖＶ]|{_V}[ \u3000]?[xXｘＸ信❤♥:：0-9]|{_V} [a-zA-Z]",
    f"{_W}[ \u3000]?{_X}|[wW][eE] ?[cC][hH][aA][tT]|[wW][eE][iI] ?[xX信]|扣扣|企鹅|{_Q}",
    "加(?:我|好友)?[ :：]?[a-zA-Z0-9]",
    # addresses
    f"[{_DIGIT}{_LETTER}一二三四五六七八九十百零〇两][ \u3000]?[号栋幢座舍弄组#＃]",
    f"[{_DIGIT}][-－][{_DIGIT}]{{1,2}}[-－][{_DIGIT}]{{3}}",
)
CANDIDATE = "|".join(f"(?:{trigger})" for trigger in _TRIGGERS)
"""Regular expression of RE2 and Python: a text in which it finds nothing holds no contact."""

_CANDIDATE = re.compile(CANDIDATE)
_SPOKEN = re.compile(_SPOKEN_RUN)


def find(text: str) -> list[Span]:
    """Contacts in a text, in its order, none overlapping another.

    Args:
        text: As people wrote it; full width, invisible characters and Chinese numerals are read through.
    """
    if _CANDIDATE.search(text) is None:
        return []
    folded = fold(text)
    found = [
        Span(*folded.origin(start, end), kind) for detect in _DETECTORS for start, end, kind in detect(folded.text)
    ]
    if _SPOKEN.search(text) is not None:
        spoken = spoken_digits(folded)
        found += [
            Span(*spoken.origin(start, end), kind) for start, end, kind in contact_numbers.spoken_mobiles(spoken.text)
        ]
    return resolve(found)


def mask(text: str) -> str:
    """The text with a token in the place of each contact, until none is found: masking again changes nothing.

    One pass is nearly always enough; contacts that were glued together show only when the first of them is gone.
    """
    while spans := find(text):
        parts, position = [], 0
        for span in spans:
            parts += [text[position : span.start], TOKENS[span.kind]]
            position = span.end
        text = "".join(parts) + text[position:]
    return text


def candidate(column: str) -> str:
    """SQL condition on a text column: false means that nothing in it would be masked."""
    return f"regexp_matches({identifier(column)}, {literal(CANDIDATE)})"


def mask_columns(con: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> int:
    """Masks text columns of a table in place.

    Args:
        con: The connection.
        table: Name of a table (no view); its rows stay where they are.
        columns: Its columns to mask; null stays null.

    Returns:
        Values that were changed, over all columns.
    """
    if not columns:
        return 0
    relation = identifier(table)
    texts = " UNION ".join(
        f"SELECT {identifier(column)} AS text FROM {relation} WHERE {candidate(column)}"  # noqa: S608 - quoted
        for column in columns
    )
    found = _changed(con.sql(texts).to_arrow_table().column("text"))
    if not found.num_rows:
        return 0
    con.register("found_masks", found)
    changed = 0
    for column in columns:
        name = identifier(column)
        ((rows,),) = con.execute(
            f"UPDATE {relation} SET {name} = masked FROM found_masks WHERE {relation}.{name} = found_masks.text"  # noqa: S608
        ).fetchall()
        changed += rows
    con.unregister("found_masks")
    return changed


def _changed(texts: pa.ChunkedArray) -> pa.Table:
    """The texts that masking changes, with what becomes of them."""
    given = texts.to_pylist()
    masked = [mask(text) for text in given]
    pairs = [pair for pair in zip(given, masked, strict=True) if pair[0] != pair[1]]
    return pa.table(
        {
            "text": pa.array([text for text, _ in pairs], pa.string()),
            "masked": pa.array([changed for _, changed in pairs], pa.string()),
        }
    )
