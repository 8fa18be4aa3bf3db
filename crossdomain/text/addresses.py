"""Postal addresses down to the house: a street with its number, or a building with its unit or room.

A province, a city or a street alone is no address. Chinese has no spaces, so the left edge is found from the
inside out: from the number back over the name of the street and what comes before it, up to a word that cannot
be part of an address (``住在``, ``寄到``) or to the name of a province.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crossdomain.text.spans import Span

_HAN = "\u4e00-\u9fff"
_FEW = "一二三四五六七八九十"
_NUMBER = rf"(?:[甲乙丙丁]?[0-9]{{1,5}}(?:[-–][0-9]{{1,4}})?|[{_FEW}百零〇两]{{1,5}})"
_LABEL = rf"(?:[0-9A-Za-z]{{1,4}}|[{_FEW}]{{1,3}}|[甲乙丙丁])"
_BUILDING = rf"{_LABEL}(?:号楼|栋|幢|座|舍|#楼?)"
_UNIT = rf"{_LABEL}(?:单元|门)"
_ROOM = rf"(?:{_LABEL}(?:层|楼))?(?:[0-9A-Za-z]{{1,5}}(?:号房|室|房|户)|[0-9]{{3,4}}(?!年|元|号|[0-9]))"
_NAMED = rf"(?:(?![的在到是去了和找])[{_HAN}])"
_PLACE = rf"{_NAMED}{{0,9}}?(?:大厦|广场|中心|花园|小区|公寓|家园|家属院|写字楼|大学|学院|学校|银行|苑|城|府)"
_INSIDE = (
    rf"(?:{_BUILDING}(?:{_UNIT})?(?:{_ROOM})?|{_UNIT}(?:{_ROOM})?|{_LABEL}(?:号院|号仓|弄|号(?!线|色|店)|期|区|层|楼)"
    r"|[0-9A-Za-z]{1,5}(?:室|房|户)|[东西南北主副A-Z][塔座楼]|(?<=[塔楼座栋幢舍厦场心寓])[0-9]{3,4}(?![0-9年元])"
    rf"|{_PLACE}|{_NAMED}{{1,6}}(?={_BUILDING}))"
)
_TAIL = rf"(?:[ ]?{_INSIDE})*"
_STREET = re.compile(
    rf"(?<=[{_HAN}])(?:大道|大街|干道|街|路|巷|弄|胡同|道|村)(?:[东西南北中]?[{_FEW}]?段|[东西南北])?[ ]?"
    rf"(?P<number>{_NUMBER})[ ]?(?P<unit>号|弄|组)(?P<sub>之[{_FEW}0-9]{{1,2}})?"
    rf"(?!线|色|店|口|码|链|款|机|公交)(?P<tail>{_TAIL})"
)
_COMPLEX = re.compile(rf"(?<![0-9A-Za-z第]){_BUILDING}[ ]?(?P<unit>{_UNIT})?[ ]?(?P<room>{_ROOM})?")
_DASHED = re.compile(
    rf"(?<=[{_HAN}])(?:小区|花园|家园|公寓|新村|社区|苑|里|城|府|园)"
    r"[ ]?[0-9]{1,3}-[0-9]{1,2}-[0-9]{3,4}(?![0-9-])"
)
_COMPLEX_END = re.compile(r"(?:小区|花园|家园|公寓|新村|社区|校区|[区园苑村城府庭湾院寓厦场楼舍号里邨弄路街])$")
_NO_STREET = re.compile(r"(?:[知味频渠赛通管轨报]道|[走上思网电线套迷公铁一半回带领出销]路|[逛上]街|[农乡本全]村)$")
_AFTER_A_DAY = re.compile(r"[才就前后早晚到发买]|上午|下午|中午|下单|收到|更新|开课|直播|左右|那天|[,，]")
_ADMIN = re.compile(rf"[{_HAN}]{{2,}}(?:省|市|区|县|州|旗|镇|乡|街道)")
_ASKED = re.compile(r"(?:地址|住|寄|送|收|址|搬|家|发到|发往|位于)")
_STOP = re.compile(
    r"[住在到是的我你他她您们请给把址往至了](?:家(?!园|属))?|位于|家里|老家|[改换写][成为]|换到?(?=.{2})|[收退][货件]|寄[回给]?|一下|样品"
    r"|快递(?=到)|[发送](?=.{1,7}(?:省|市|区|县|路|街))"
)
_PROVINCE = re.compile(
    r"(?:北京|上海|天津|重庆)(?=市|.{1,6}区)"
    r"|(?:河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海"
    r"|台湾|内蒙古|广西|西藏|宁夏|新疆)(?=省|.{1,9}?[市州区县盟])"
)
_RUN = re.compile(rf"[{_HAN}A-Za-z0-9 ]*$")
_NO_NAME_BEGINS_WITH = " 发寄送住收去能成为"
_LONGEST_NAME = 8
"""Characters of a name before a building that may belong to it, where it has no ending such as ``小区``."""
_REACH = 40
_LAST_DAY_OF_MONTH = 31


def addresses(text: str) -> Iterator[Span]:
    """Addresses in a folded text, from the province (if given) to the last of house, building, unit and room."""
    for match in _STREET.finditer(text):
        start = _left_edge(text, match.start())
        if start < match.start() and _is_house(text, start, match):
            yield Span(start, match.end(), "address")
    for match in _COMPLEX.finditer(text):
        start = _left_edge(text, match.start())
        named = _COMPLEX_END.search(text, start, match.start()) is not None
        if match["unit"] or match["room"] or (named and _ADMIN.search(text, start, match.start())):
            near = named or match.start() - start <= _LONGEST_NAME
            yield Span(start if near else match.start(), match.end(), "address")
    for match in _DASHED.finditer(text):
        yield Span(_left_edge(text, match.start()), match.end(), "address")


def _is_house(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether a street's number is a house, and not the day of a month after a word like ``知道``."""
    number = match["number"]
    if match["tail"] or match["unit"] != "号" or _ADMIN.search(text, start, match.start()):
        return True
    if _NO_STREET.search(text[start : match.start("number")].rstrip()):
        return False
    if number.isdigit() and int(number) <= _LAST_DAY_OF_MONTH:
        asked = _ASKED.search(text, max(0, start - 8), start)
        return asked is not None and _AFTER_A_DAY.match(text, match.end()) is None
    return number[0].isascii() or _AFTER_A_DAY.match(text, match.end()) is None


def _left_edge(text: str, anchor: int) -> int:
    """Where the address begins whose street, complex or building stands at a position."""
    begin = max(0, anchor - _REACH)
    run = _RUN.search(text, begin, anchor)
    start = run.start() if run else anchor
    province = _PROVINCE.search(text, start, anchor)
    if province:
        return province.start()
    for stop in _STOP.finditer(text, start, anchor):
        start = stop.end()
    while start < anchor and text[start] in _NO_NAME_BEGINS_WITH:
        start += 1
    return start
