"""Names under which a person is reached on the net: mail addresses, WeChat ids, QQ numbers.

All patterns read folded text. A mail address shows by its form; a WeChat id or QQ number only by the word before
it, which people write in many ways to get past a filter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crossdomain.text.spans import Span

_PROVIDER = "qq|163|126|139|189|gmail|foxmail|hotmail|outlook|sina|sohu|yeah|aliyun|icloud"
_LOCAL_PART = r"(?P<local>[A-Za-z0-9][A-Za-z0-9._%+\-]{0,63})"
_AT = r"(?:[ ]{0,2}@[ ]{0,2}|[ ]?[(\[{<【][ ]?at[ ]?[)\]}>】][ ]?|艾特)"
_DOT = r"(?:[ ]?\.(?=[A-Za-z0-9])|[ ]?[。点](?=(?:com|cn|net|org|edu)(?![a-z]))|[ ]?[(\[]dot[)\]][ ]?)"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
_MAIL = re.compile(
    rf"(?<![A-Za-z0-9._%+\-]){_LOCAL_PART}"
    rf"(?:{_AT}(?:{_LABEL}{_DOT})+[A-Za-z]{{2,24}}"
    rf"|{_AT}(?:{_PROVIDER})(?![A-Za-z0-9.])"
    rf"|[#*](?:{_PROVIDER})\.(?:com|cn|net)"
    rf"|[ ]at[ ]{_LABEL}(?:[ ]?(?:\.|[ ]dot[ ]){_LABEL})*[ ]dot[ ][a-z]{{2,24}})",
    re.I,
)
_ROLES = frozenset(
    (
        "admin", "bd", "business", "care", "contact", "cs", "customer", "customerservice", "dpo", "feedback", "help",
        "hr", "info", "jobs", "kefu", "marketing", "no-reply", "noreply", "pr", "press", "privacy", "sales", "service",
        "services", "support",
    )
)  # fmt: skip
"""Mailboxes of an office, not of a person."""

_HEART = r"\s?[❤♥]\ufe0f?(?:\s?(?:信|xin(?![-_a-z0-9])))?"
_WECHAT_NAME = (
    rf"(?:微\s?信|威信|薇信|徽信|维信|[薇微威徽维]{_HEART}|[薇微威徽维](?=\s?:)|(?<=[加➕+])[薇微威徽维]"
    rf"|(?<![a-z0-9])(?:v\s?x|w\s?x|v\s?信|we\s?chat|wei\s?(?:xin|信)|v{_HEART})"
    r"|(?<![a-z0-9大小])v(?=\s?:|\s[1-9][0-9]{7}|\s[a-z]+[_0-9\-])|(?<=[加➕+个])v)"
)
_JOIN = r"(?:[\s:=~,，.。、>→\-—\"“”'‘’(（【「]|是|为|叫|搜索|搜|加|联系|同号|同名|也是|找|我|吧|哦|呢|哈){0,6}"
_ASIDE = r"(?!公众|视频|小程序|群|读书|支付|红包)[\u4e00-\u9fff]{1,10}\s?[:(]\s{0,2}"
_WECHAT_ID = r"(?P<id>[a-z](?:[-_a-z0-9]|\\_){5,19}|[1-9][0-9]{5,10})(?!\\?[-_a-z0-9])(?!\s?@)"
_WECHAT = re.compile(
    rf"(?P<name>{_WECHAT_NAME})(?P<number>\s?(?:号码|号|id(?![a-z])|账号|帐号))?(?P<join>{_JOIN}|{_ASIDE}){_WECHAT_ID}",
    re.I,
)
_WECHAT_UNNAMED = re.compile(
    rf"加(?:我|好友)?[\s:]{{0,2}}{_WECHAT_ID}[\s,，(（]{{0,2}}备注|添加\s?:\s?{_WECHAT_ID.replace('<id>', '<bare>')}",
    re.I,
)
_WECHAT_INNER = re.compile(r"(?<![A-Za-z0-9_])wxid_[a-z0-9]{8,22}(?![A-Za-z0-9_])")
_ASKED_TO_ADD = re.compile(r"[加➕+][^,，。.!！?？;；\s]{0,4}$")
_NO_ID = re.compile(
    r"(?:iphone|ipad|ios|android|windows|macos|macbook|harmonyos|version|beta|mobile|official|service|support|login"
    r"|online|please|reading|payment|server|client|wechat|weixin|number|account|https?)"
    r"(?:pro|max|plus|mini|air|ultra|[0-9]){0,4}",
    re.I,
)
"""Devices, programs and other words that stand where an id could."""

_QQ = re.compile(
    r"(?:(?P<name>(?<![a-z0-9])q ?q|扣扣|企鹅)|(?<![a-z0-9])(?P<letter>q))(?P<number>号码|号)?"
    rf"(?P<join>{_JOIN})(?P<id>[1-9][0-9]{{4,10}})(?![0-9])(?! ?@)",
    re.I,
)


def emails(text: str) -> Iterator[Span]:
    """Mail addresses of persons, also with ``(at)``, ``点com`` or without the end of a well-known provider's name.

    Mailboxes of an office (``service@``, ``info@``, :data:`_ROLES`) stay.
    """
    for match in _MAIL.finditer(text):
        if match["local"].lower() not in _ROLES:
            yield Span(*match.span(), "email")


def wechat_ids(text: str) -> Iterator[Span]:
    """WeChat ids after a word for WeChat; the span is the id alone.

    An id of letters only, or of digits only, counts where the word is followed by a colon or ``号`` or comes after
    ``加``; one with a digit, ``_`` or ``-`` counts also right after the bare word. Groups and public accounts are
    nobody's contact and stay, as do names of devices and programs.
    """
    for match in _WECHAT.finditer(text):
        if _is_wechat_id(text, match):
            yield Span(*match.span("id"), "wechat")
    for match in _WECHAT_UNNAMED.finditer(text):
        group = "id" if match["id"] else "bare"
        if not match[group].isalpha() and not _NO_ID.fullmatch(match[group]):
            yield Span(*match.span(group), "wechat")
    for match in _WECHAT_INNER.finditer(text):
        yield Span(*match.span(), "wechat")


def qq_numbers(text: str) -> Iterator[Span]:
    """QQ numbers after a word for QQ; the span is the number alone. A group's number stays."""
    for match in _QQ.finditer(text):
        named = match["name"] or match["number"] or match["join"].strip()
        if named or len(match["id"]) >= 6:
            yield Span(*match.span("id"), "qq")


def _is_wechat_id(text: str, match: re.Match[str]) -> bool:
    given = match["id"]
    if _NO_ID.fullmatch(given):
        return False
    asked = _ASKED_TO_ADD.search(text, max(0, match.start() - 8), match.start())
    sure = bool(match["number"] or ":" in match["join"] or "是" in match["join"] or asked)
    mixed = given[0].isalpha() and not given.isalpha()
    return mixed or sure
