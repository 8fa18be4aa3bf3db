"""One plain form for texts that come as HTML, Markdown, full width or half width."""

from __future__ import annotations

import html
import re
import unicodedata

from crossdomain.text.spans import TOKENS

_URL = re.compile(r"(?:https?://|www\.)[^\s\u3000-\u9fff\uff00-\uffef<>\"')\]]+", re.IGNORECASE)
_TAG = re.compile(r"<(?:!--.*?--|/?[a-zA-Z][^<>]{0,500})>", re.DOTALL)
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]]*)\]\(([^()\s]*)\)")
_PLACEHOLDERS = {"[url]", "[contact]", *TOKENS.values()}
_PLACEHOLDER = re.compile("|".join(map(re.escape, sorted(_PLACEHOLDERS))), re.IGNORECASE)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
_SPACE = re.compile(r"\s+")


def normalise(text: str | None) -> str:
    """The plain, comparable form of a text.

    HTML tags become spaces and entities their character, web addresses and what masking left in the place of
    contacts (``[url]``, ``[phone]``) go, Markdown links keep their label, full-width letters and digits become
    half width (Unicode NFKC), Latin letters become lower case, runs of white space become one space. Emoji stay:
    they are not words, so that a tokenizer passes over them.

    Args:
        text: Any text; null counts as empty.

    Returns:
        The plain form, without white space at its ends; applying it again changes nothing, unless HTML was
        escaped twice.
    """
    if not text:
        return ""
    plain = text
    if "<" in plain or "&" in plain:
        plain = html.unescape(_TAG.sub(" ", plain))
        plain = _TAG.sub(" ", plain)
    if "](" in plain:
        plain = _MARKDOWN_LINK.sub(r" \1 ", plain)
    if "[" in plain:
        plain = _PLACEHOLDER.sub(" ", plain)
    plain = _INVISIBLE.sub("", _URL.sub(" ", plain))
    plain = unicodedata.normalize("NFKC", plain).lower()
    return _SPACE.sub(" ", plain).strip()
