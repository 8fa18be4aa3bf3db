"""Numbers that reach or name a person: mobile and landline numbers, ID cards, bank cards.

All patterns read folded text (half width, see :mod:`crossdomain.text.folding`). A run of digits alone says
little: what decides is the form (prefix, groups, check digit, a day that exists) or the word before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crossdomain.text.check_digits import id_card_check_valid, id_card_plausible, luhn_valid
from crossdomain.text.spans import Span

_GAP = r"[ \-.·•_~–—]"
_COUNTRY = r"(?:\(?(?:\+|00)86\)?[- ]{0,2}|86[- ]?)?"
_GROUPED = (
    rf"1[3-9][0-9]{_GAP}{{1,3}}[0-9]{{4}}{_GAP}{{1,3}}[0-9]{{4}}"
    r"|1[3-9][0-9]{2}[ -][0-9]{4}[ -][0-9]{3}|1[3-9][0-9]{3}[ -][0-9]{6}|1[3-9][0-9][ -][0-9]{8}"
    rf"|1[3-9][0-9]{{5}}[ -][0-9]{{4}}|1{_GAP}[3-9](?:{_GAP}[0-9]){{9}}"
)
_MOBILE = re.compile(
    rf"(?<![0-9]){_COUNTRY}1[3-9][0-9]{{9}}(?![0-9])"
    rf"|(?<![0-9])(?<![0-9][-. ]){_COUNTRY}(?:{_GROUPED})(?![-. ]?[0-9])"
    # Hong Kong, Macao and Taiwan, with their code only: eight or nine digits alone are anything.
    r"|(?<![0-9])\+85[23][- ]?[4-9][0-9]{3}[- ]?[0-9]{4}(?![0-9])"
    r"|(?<![0-9])\+886[- ]?9[0-9]{2}[- ]?[0-9]{3}[- ]?[0-9]{3}(?![0-9])"
)
_SPOKEN_MOBILE = re.compile(r"(?<![0-9])1[3-9][0-9]{9}(?![0-9])")

_AREA = (
    r"(?:10|2[0-57-9]|3(?:1[0-9]|35|49|5[0-9]|7[0-9]|9[1-8])|4(?:1[0-9]|2[179]|3[1-9]|5[1-9]|6[4789]|7[0-9]|8[23])"
    r"|5(?:1[0-9]|2[37]|3[0-9]|4[36]|5[0-9]|6[1-6]|7[0-9]|80|9[1-9])|6(?:3[1-5]|6[0238]|9[12])"
    r"|7(?:01|1[0-9]|2[248]|3[0-9]|4[3-6]|5[0-9]|6[0-9]|7[0-9]|9[0-9])"
    r"|8(?:1[2-8]|2[5-9]|3[0-9]|5[1-9]|7[0-9]|8[36-8]|9[1-8])|9(?:0[1-9]|1[1-9]|3[0-9]|4[13]|5[1-5]|7[0-9]|9[0-9]))"
)
_LOCAL = r"[2-8][0-9]{2,3}[ -]?[0-9]{4}"
_EXTENSION = r"(?:[ ]?(?:转|分机|-|ext\.?)[ ]?[0-9]{1,6})?"
_LANDLINE = re.compile(
    rf"(?<![0-9-])(?:(?:\+86|0086)[- ]?(?:\(0?{_AREA}\)|0?{_AREA})|\(0{_AREA}\)|0{_AREA})"
    rf"(?P<gap>[- –—]{{0,2}}){_LOCAL}{_EXTENSION}(?![0-9])"
)
_BEFORE_LANDLINE = re.compile(r"(?:电话|座机|固话|致电|热线|传真|联系|拨|打|tel|phone|call|fax)[^0-9]{0,6}$", re.I)
_LOCAL_LANDLINE = re.compile(
    rf"(?:座机|固话|电话|(?<![a-z])tel)(?:号码|号)?[是为: ]{{0,3}}(?P<number>[2-8][0-9]{{6,7}}{_EXTENSION})(?![0-9-])",
    re.I,
)

_ID_CARD = re.compile(
    r"(?<![0-9])[1-9][0-9]{5}[ -]?(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9][ -]?[0-9]{3}"
    r"(?:[0-9](?![0-9])|[Xx](?![0-9A-Za-z]))"
)
_OLD_ID_CARD = re.compile(r"(?<![0-9])[1-9][0-9]{7}(?:0[1-9]|1[0-2])[0-3][0-9]{4}(?![0-9Xx])")
_BEFORE_ID_CARD = re.compile(r"(?:身份证|证件|实名|id ?card).{0,12}$", re.I)

_BANK_CARD = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9]{13,19}|[0-9]{4}(?:(?P<gap>[ -])[0-9]{4})(?:(?P=gap)[0-9]{4}){2}(?:(?P=gap)[0-9]{1,3})?"
    r"|[0-9]{6}[ -][0-9]{13}|3[47][0-9]{2}[ -][0-9]{6}[ -][0-9]{5})(?![ -]?[0-9])"
)
_CARD_PREFIX = re.compile(
    r"62[0-9]{14,17}|9558[0-9]{15}|(?:456351|436742)[0-9]{13}|4[0-9]{15}|5[1-5][0-9]{14}|3[47][0-9]{13}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}"
)
_BEFORE_CARD = re.compile(r"(?:卡号|银行卡|信用卡|储蓄卡|借记卡|工资卡|账号|账户|帐号|帐户)[^0-9]{0,6}$")
_BEFORE_OTHER_NUMBER = re.compile(
    r"(?:订单|单号|编号|流水|交易号|运单|快递|物流|条码|条形码|序列号|设备号|商品码|会员卡|IMEI|SN|ISBN)"
    r"(?:号码|号)?[是为:# ]{0,3}$",
    re.I,
)


def mobiles(text: str) -> Iterator[Span]:
    """Mobile numbers, with or without country code and separators.

    Eleven digits of that form are taken for one whatever the word before: an order number lost costs nothing.
    """
    return (Span(*match.span(), "mobile") for match in _MOBILE.finditer(text))


def spoken_mobiles(text: str) -> Iterator[Span]:
    """Mobile numbers in a text whose Chinese numerals became digits: eleven in a row, no more, no fewer."""
    return (Span(*match.span(), "mobile") for match in _SPOKEN_MOBILE.finditer(text))


def landlines(text: str) -> Iterator[Span]:
    """Landlines with area code, and without one right after a word for telephone.

    Service numbers (400, 800, 95…) are a firm's: they stay.
    """
    for match in _LANDLINE.finditer(text):
        written = match["gap"] or ")" in match.group() or match.group().startswith("+")
        if written or _BEFORE_LANDLINE.search(text, max(0, match.start() - 10), match.start()):
            yield Span(*match.span(), "landline")
    for match in _LOCAL_LANDLINE.finditer(text):
        yield Span(*match.span("number"), "landline")


def id_cards(text: str) -> Iterator[Span]:
    """Chinese ID cards: 18 characters by check character or after a word for the card; 15 only after that word."""
    for match in _ID_CARD.finditer(text):
        number = _bare(match.group())
        if not id_card_plausible(number):
            continue
        if id_card_check_valid(number) or _named_before(text, match.start(), _BEFORE_ID_CARD):
            yield Span(*match.span(), "id_card")
    for match in _OLD_ID_CARD.finditer(text):
        if id_card_plausible(match.group()) and _named_before(text, match.start(), _BEFORE_ID_CARD):
            yield Span(*match.span(), "id_card")


def bank_cards(text: str) -> Iterator[Span]:
    """Bank cards: the check digit holds, and an issuer's prefix or a word for the card says what it is.

    One long number in ten passes the check by chance, so a word that says something else (order number) wins.
    """
    for match in _BANK_CARD.finditer(text):
        number = _bare(match.group())
        if not luhn_valid(number) or _named_before(text, match.start(), _BEFORE_OTHER_NUMBER):
            continue
        if _CARD_PREFIX.fullmatch(number) or _named_before(text, match.start(), _BEFORE_CARD):
            yield Span(*match.span(), "bank_card")


def _bare(written: str) -> str:
    return written.replace(" ", "").replace("-", "")


def _named_before(text: str, start: int, words: re.Pattern[str]) -> bool:
    return words.search(text, max(0, start - 16), start) is not None
