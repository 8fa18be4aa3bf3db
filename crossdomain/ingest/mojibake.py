"""Text that was decoded with the wrong encoding, and the way back.

Two mistakes make nearly all of it in Chinese exports: bytes of UTF-8 or GB18030 read as Latin-1 or Windows-1252
(``è¡¥æ°´``, ``²¹Ë®``), and bytes of UTF-8 read as GB18030 (``琛ユ按``). A text is changed only where the bytes of
the mistake decode strictly and the result reads better: nothing that cannot be undone is guessed at.
"""

from __future__ import annotations

from functools import cache

SCRAMBLED = "[\\x{80}-\\x{84}\\x{86}-\\x{9f}\\x{e000}-\\x{f8ff}\\x{fffd}]|[ÂÃ][\\x{80}-\\x{bf}]|â€|锟斤拷|烫烫烫"
"""Regular expression (RE2) of what only stands in a text that was damaged, mended or not."""

_TOO_FEW = 2
"""So few Chinese characters out of Latin ones may be chance: ``ÄÖ`` is also 闹."""
_READABLE, _BETTER = 0.8, 0.3
"""Share of usual characters that a result must have, and by how much it must exceed that of what was there."""
_ROUNDS = 2


def unscrambled(text: str) -> str | None:
    """The text that was meant.

    Texts that were damaged twice are undone twice.

    Args:
        text: Any text.

    Returns:
        None where the text is as it was meant, or cannot be brought back for certain (bytes were lost).
    """
    meant = None
    for _ in range(_ROUNDS):
        better = _undone(text if meant is None else meant)
        if better is None:
            break
        meant = better
    return meant


def _undone(text: str) -> str | None:
    if text.isascii():
        return None
    octets = _as_western(text)
    if octets is None:
        return _from_chinese(text)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return _from_gb18030(octets)


def _from_chinese(text: str) -> str | None:
    """UTF-8 that was read as GB18030."""
    try:
        meant = text.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return None
    share = _usual_share(meant)
    return meant if share >= _READABLE and share - _usual_share(text) >= _BETTER else None


def _from_gb18030(octets: bytes) -> str | None:
    """GB18030 that was read as Latin-1 or Windows-1252."""
    try:
        meant = octets.decode("gb18030")
    except UnicodeDecodeError:
        return None
    foreign = sum(not character.isascii() for character in meant)
    return meant if foreign >= _TOO_FEW and _usual_share(meant) >= _READABLE else None


def _as_western(text: str) -> bytes | None:
    """The bytes that Latin-1 or Windows-1252 would show as this text."""
    try:
        return bytes(map(_western_bytes().__getitem__, text))
    except KeyError:
        return None


@cache
def _western_bytes() -> dict[str, int]:
    found = {chr(octet): octet for octet in range(256)}
    for octet in range(0x80, 0xA0):
        character = bytes([octet]).decode("cp1252", errors="ignore")
        if character:
            found[character] = octet
    return found


@cache
def _usual_characters() -> frozenset[str]:
    """GB 2312's signs and its first level: the 3,755 characters that make up nearly all text."""
    leads = (*range(0xA1, 0xA4), *range(0xB0, 0xD8))
    found = {bytes([lead, trail]).decode("gb2312", errors="ignore") for lead in leads for trail in range(0xA1, 0xFF)}
    return frozenset(found | {"•", "™", "©", "®"})


def _usual_share(text: str) -> float:
    """Share of usual characters and emoji among those outside ASCII."""
    foreign = [character for character in text if not character.isascii()]
    usual = _usual_characters()
    known = sum(character in usual or character >= "\U0001f000" for character in foreign)
    return known / len(foreign) if foreign else 1.0
