from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from crossdomain.text.masking import CANDIDATE, candidate, find, mask, mask_columns
from crossdomain.text.normalise import normalise
from crossdomain.text.spans import KINDS, TOKENS, Span, resolve

LINES = [
    json.loads(line) for line in (Path(__file__).parent / "contacts_labelled.jsonl").read_text("utf-8").splitlines()
]
CONTACTS = [line["text"][start:end] for line in LINES for start, end, _ in line["spans"]]


class Score(NamedTuple):
    found: Counter[str]
    missed: Counter[str]
    wrong: Counter[str]

    def recall(self, *kinds: str) -> tuple[int, int]:
        found = sum(self.found[kind] for kind in kinds)
        return found, found + sum(self.missed[kind] for kind in kinds)

    def precision(self, *kinds: str) -> tuple[int, int]:
        found = sum(self.found[kind] for kind in kinds)
        return found, found + sum(self.wrong[kind] for kind in kinds)


def _agree(label: Span, span: Span) -> bool:
    """Same kind and same characters; of an address at least half of the longer one's characters."""
    if label.kind != span.kind:
        return False
    if label.kind != "address":
        return label == span
    shared = min(label.end, span.end) - max(label.start, span.start)
    return 2 * shared >= max(label.end - label.start, span.end - span.start)


def _score(part: str) -> Score:
    score = Score(Counter(), Counter(), Counter())
    for line in LINES:
        if line["set"] != part:
            continue
        spans = find(line["text"])
        for start, end, kind in line["spans"]:
            hit = next((span for span in spans if _agree(Span(start, end, kind), span)), None)
            score.missed.update([kind] if hit is None else [])
            if hit is not None:
                spans.remove(hit)
                score.found[kind] += 1
        score.wrong.update(span.kind for span in spans)
    return score


@pytest.mark.parametrize("part", ["development", "test"])
def test_recall_and_precision_on_the_labelled_set(part: str) -> None:
    score = _score(part)
    report = []
    for name, kinds in [("all", KINDS), *((kind, (kind,)) for kind in KINDS)]:
        (found, there), (right, given_out) = score.recall(*kinds), score.precision(*kinds)
        low_recall, _ = proportion_confint(found, there, method="wilson")
        low_precision, _ = proportion_confint(right, given_out, method="wilson")
        report.append(
            f"{part} {name}: recall {found}/{there} (95 % from {low_recall:.3f}), "
            f"precision {right}/{given_out} (from {low_precision:.3f})"
        )
        assert found >= 0.98 * there, report[-1]
        assert right >= 0.95 * given_out, report[-1]
    print("\n".join(report))


def test_the_labelled_set_is_large_and_hard() -> None:
    for part, least in (("development", 600), ("test", 240)):
        lines = [line for line in LINES if line["set"] == part]
        assert len(lines) >= least
        assert sum(not line["spans"] for line in lines) >= len(lines) / 3
        kinds = Counter(kind for line in lines for *_, kind in line["spans"])
        assert set(kinds) == set(KINDS)
        assert min(kinds.values()) >= 12
    assert len({line["text"] for line in LINES}) == len(LINES)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("电话13800138000。", "电话[phone]。"),
        ("电话１３８００１３８０００。", "电话[phone]。"),
        ("138\u200b0013\u200b8000", "[phone]"),
        ("一三八零零一三八零零零", "[phone]"),
        ("1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0️⃣", "[phone]"),
        ("(010)60000017转801", "[phone]"),
        ("name(at)example.com", "[email]"),
        ("微信:abc12345,谢谢", "微信:[wechat],谢谢"),
        ("QQ:123456789", "QQ:[qq]"),
        ("卡 4111 1111 1111 1111", "卡 [bank-card]"),
        ("身份证11010519491231002X", "身份证[id-card]"),
        ("寄到浙江省杭州市余杭区文一西路969号", "寄到[address]"),
        ("13800138000@163.com", "[email]"),
        ("微信同手机13800138000", "微信同手机[phone]"),
    ],
)
def test_masks(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "", "杭州市", "南京西路的专柜", "13800元", "订单号20260801123456789012", "条码6901234567892", "400-820-8820",
        "service@brand.example.com", "微信支付199元", "加微信群打卡", "公众号:读书的小岛", "QQ群:87654321",
        "4111111111111112", "110105194912310021", "版本3.14.15926", "我知道3号才发货",
    ],
)  # fmt: skip
def test_leaves(text: str) -> None:
    assert mask(text) == text


def test_an_old_id_card_needs_a_word_for_it() -> None:
    assert mask("身份证330000560712231") == "身份证[id-card]"
    assert mask("流水330000560712231") == "流水330000560712231"


def test_overlapping_readings_become_one_span() -> None:
    spans = [Span(0, 11, "mobile"), Span(0, 19, "email"), Span(25, 30, "qq"), Span(28, 40, "wechat")]
    assert resolve(spans) == [Span(0, 19, "email"), Span(25, 40, "wechat")]
    assert resolve([Span(2, 13, "qq"), Span(2, 13, "mobile")]) == [Span(2, 13, "mobile")]


def test_text_analysis_drops_the_tokens() -> None:
    assert normalise("打 " + " ".join(TOKENS.values()) + " 找我") == "打 找我"


_PIECES = st.one_of(
    st.sampled_from(CONTACTS),
    st.sampled_from(
        [
            *TOKENS.values(),
            "微信",
            "加",
            "v",
            "QQ",
            "地址",
            "身份证",
            "卡号",
            "订单号",
            "\u200b",
            "路",
            "1号",
            "栋",
            "@",
        ]
    ),
    st.text(st.characters(codec="utf-8"), max_size=6),
    st.text("0123456789 -０９:：,，省市区", max_size=8),
)
TEXTS = st.lists(_PIECES, max_size=6).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_masking_again_changes_nothing(text: str) -> None:
    masked = mask(text)
    assert not find(masked)
    assert mask(masked) == masked


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_spans_are_in_order_and_do_not_overlap(text: str) -> None:
    spans = find(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_sql_passes_over_nothing_that_masking_changes(texts: list[str], con: duckdb.DuckDBPyConnection) -> None:
    texts = [text.replace("\0", "") for text in texts]
    con.register("given", pa.table({"text": pa.array(texts, pa.string())}))
    kept = [row[0] for row in con.execute(f"SELECT {candidate('text')} FROM given").fetchall()]
    assert kept == [re.search(CANDIDATE, text) is not None for text in texts]
    assert all(picked for text, picked in zip(texts, kept, strict=True) if mask(text) != text)


def test_a_table_is_masked_as_texts_are_one_by_one(con: duckdb.DuckDBPyConnection) -> None:
    asks = [line["text"] for line in LINES for _ in range(3)]
    answers = [None if place % 3 else asks[place * 7 % len(asks)] for place in range(len(asks))]
    con.register("rows", pa.table({"id": range(len(asks)), "ask": asks, "answer": pa.array(answers, pa.string())}))
    con.execute("CREATE OR REPLACE TEMP TABLE entries AS FROM rows")
    changed = mask_columns(con, "entries", ["ask", "answer"])
    done = con.execute("SELECT rowid, id, ask, answer FROM entries").fetchall()
    assert [row[:2] for row in done] == [(place, place) for place in range(len(asks))]
    assert [row[2] for row in done] == [mask(ask) for ask in asks]
    assert [row[3] for row in done] == [None if answer is None else mask(answer) for answer in answers]
    assert changed == sum(mask(text) != text for text in [*asks, *answers] if text)
    assert mask_columns(con, "entries", ["ask", "answer"]) == 0


def test_a_table_without_contacts_is_left_alone(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE OR REPLACE TEMP TABLE calm AS SELECT 1 AS id, '很好用 [phone]' AS text UNION ALL SELECT 2, NULL"
    )
    assert mask_columns(con, "calm", ["text"]) == mask_columns(con, "calm", []) == 0
    assert con.execute("FROM calm ORDER BY id").fetchall() == [(1, "很好用 [phone]"), (2, None)]


@pytest.mark.parametrize("unit", ["1", "一", "a@", "路1号", "3栋", "微信:", "138-", "浙江省", "1 ", "@a."])
def test_long_repetitive_texts_take_linear_time(unit: str) -> None:
    assert len(mask(unit * 50_000)) > 0  # quadratic time would run into the suite's timeout
