"""Contacts in free text: what people write into reviews and questions although it should not be kept.

A few reviews get a sentence with an invented contact, as many a sentence with a number that is none. Their numbers
cannot reach anybody: test numbers, exchanges and places that are not given out, domains reserved for examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

SHARE = 0.04
"""Share of reviews with a planted contact, and share with a decoy."""
DECOY = "decoy"

_FORMS: dict[str, tuple[str, ...]] = {
    "mobile": ("有问题打我电话{0}", "手机{0}，到货请通知", "联系方式：{0}。"),
    "landline": ("单位电话{0}，上班时间打", "座机：{0}"),
    "email": ("资料请发{0}", "邮箱：{0}，谢谢"),
    "wechat": ("加我微信{0}一起学", "vx：{0}，欢迎交流", "微信号:{0}"),
    "qq": ("QQ：{0}", "加我QQ{0}传文件"),
    "id_card": ("身份证号{0}认证不了", "清关用的身份证：{0}"),
    "bank_card": ("退款打到银行卡{0}", "卡号：{0}，请查收"),
    "address": ("请寄到{0}", "收货地址：{0}"),
    DECOY: (
        "订单号{0}",
        "条码{0}扫不出来",
        "单号 {0} 还没更新",
        "活动价{1}元，比上次便宜",
        "{2}下单的",
        "微信支付了{1}元",
    ),
}
KINDS = tuple(kind for kind in _FORMS if kind != DECOY)
_STREETS = ("浙江省杭州市余杭区虚构路", "北京市朝阳区样例街", "广东省深圳市南山区示范大道", "四川省成都市武侯区测试路")
_HANDLES = ("xiaoman", "reader", "lumi", "an_ran", "qing", "momo")


@dataclass
class ContactBook:
    """What was planted: rows of (feed, domain, row_id, kind, value, start).

    `start` is the position of the value in the text; a decoy is the whole sentence that holds no contact.
    """

    rows: list[tuple[str, str, str, str, str, int]] = field(default_factory=list)

    def plant(self, texts: list[str], *, domain: str, ids: list[str], feed: str, rng: np.random.Generator) -> list[str]:
        """Append sentences to some texts and note them.

        Args:
            texts: what people wrote.
            domain: their side.
            ids: id of each text's row.
            feed: name for the notes.
            rng: a stream of its own, so that nothing else in the world changes.

        Returns:
            The texts, some of them longer.
        """
        draw = rng.random(len(texts))
        numbers = rng.integers(0, 1 << 30, (len(texts), 3)).tolist()
        planted = list(texts)
        for place in np.flatnonzero(draw < 2 * SHARE).tolist():
            kind = KINDS[numbers[place][0] % len(KINDS)] if draw[place] < SHARE else DECOY
            planted[place] = self._extended(texts[place], kind, numbers[place], (feed, domain, ids[place]))
        return planted

    def _extended(self, text: str, kind: str, numbers: list[int], row: tuple[str, str, str]) -> str:
        forms = _FORMS[kind]
        form = forms[numbers[1] % len(forms)]
        before = text + ("" if text.endswith(("。", "！")) else "。")
        if kind == DECOY:
            sentence = form.format(
                _order_number(numbers[2]), numbers[2] % 900 + 99, f"2026-01-{numbers[2] % 28 + 1:02d}"
            )
            self.rows.append((*row, kind, sentence, len(before)))
            return before + sentence
        value = _VALUES[kind](numbers[2])
        self.rows.append((*row, kind, value, len(before) + form.index("{0}")))
        return before + form.format(value)

    def note(self, text: str, value: str, *, kind: str, domain: str, row_id: str, feed: str) -> None:
        """Note a contact that a text holds already."""
        self.rows.append((feed, domain, row_id, kind, value, text.index(value)))

    def table(self) -> pa.Table:
        """The notes, in the order of feed, domain, row and position."""
        names = ("feed", "domain", "row_id", "kind", "value", "start")
        rows = sorted(self.rows, key=lambda row: (row[0], row[1], row[2], row[5]))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        types = [pa.string()] * 5 + [pa.int64()]
        return pa.table(
            {name: pa.array(list(column), kind) for name, column, kind in zip(names, columns, types, strict=True)}
        )


def _order_number(number: int) -> str:
    return f"2026{number:010d}{number % 10_000:04d}"


def _mobile(number: int) -> str:
    digits = f"1{3 + number % 7}{number // 7 % 10}0000{number % 10_000:04d}"
    return digits if number % 3 else f"{digits[:3]}-{digits[3:7]}-{digits[7:]}"


def _id_card(number: int) -> str:
    born = f"{1960 + number % 45}{number % 12 + 1:02d}{number % 28 + 1:02d}"
    body = f"{(33, 11, 44, 51)[number % 4]}0000{born}{number % 1000:03d}"
    remainder = 0  # ISO 7064, MOD 11-2
    for digit in body:
        remainder = (remainder + int(digit)) * 2 % 11
    check = (12 - remainder) % 11
    return body + ("X" if check == 10 else str(check))


def _bank_card(number: int) -> str:
    body = f"622200000{number % 10**9:09d}"
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(body)))
    return f"{body}{-total % 10}"


_VALUES: dict[str, Callable[[int], str]] = {
    "mobile": _mobile,
    "landline": lambda number: f"{('010', '021', '0571', '028')[number % 4]}-{60_000_000 + number % 10_000}",
    "email": lambda number: f"{_HANDLES[number % len(_HANDLES)]}{number % 1000}@example.com",
    "wechat": lambda number: f"{_HANDLES[number % len(_HANDLES)]}_{number % 10_000:04d}",
    "qq": lambda number: str(100_000_000 + number % 900_000_000),
    "id_card": _id_card,
    "bank_card": _bank_card,
    "address": lambda number: (
        f"{_STREETS[number % len(_STREETS)]}{number % 900 + 32}号{number % 20 + 1}栋{number % 9 + 1:02d}03室"
    ),
}
