"""What bundles are called: only what the items' texts hold, and nothing that the law forbids."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crossdomain.content.bundle_texts import (
    BUNDLE_SCHEMA,
    Described,
    Wording,
    describe_bundles,
    read_wording,
    shown_title,
)
from crossdomain.content.bundles import Bundle
from crossdomain.errors import InputError
from crossdomain.settings import Settings
from crossdomain.text.advertising import ForbiddenWords, read_forbidden_words

TEXT = Settings().include / "text"
FORBIDDEN = read_forbidden_words(TEXT / "forbidden_words.txt")
KNOWLEDGE = {
    "title": "敏感肌护肤课",
    "creator": "林老师",
    "price": Decimal("99.00"),
    "tokens": ["敏感肌", "护肤", "屏障"],
}
BEAUTY = {
    "title": "修护面霜 50ml",
    "creator": "某牌",
    "price": Decimal("129.50"),
    "tokens": ["敏感肌", "面霜", "屏障", "修护", "50ml"],
}
WORDS = {3: ["面霜", "屏障", "敏感肌", "护肤"]}
WORDING = Wording(
    "{topic_words}｜{first_title}+{second_title}",
    ("{first_count}[，{lowest}-{highest}，共 {total}][ {creators}][ 等 {creator_count} 家]",),
    ("{topic_words}",),
    ("课程", "单品"),
)


def describe(
    knowledge: dict[str, Any] | None = None,
    beauty: dict[str, Any] | None = None,
    *,
    wording: Wording = WORDING,
    forbidden: ForbiddenWords = FORBIDDEN,
    words: dict[int, list[str]] | None = None,
) -> Described:
    items = ({"k": {**KNOWLEDGE, **(knowledge or {})}}, {"b": {**BEAUTY, **(beauty or {})}})
    bundle = Bundle(("k",), ("b",), 3, 0.5, ("k", "b"), 0.5)
    return describe_bundles([bundle], items=items, words=words or WORDS, wording=wording, forbidden=forbidden)


def test_texts_say_only_what_both_sides_hold() -> None:
    described = describe()
    assert described.left_out == ()
    assert described.bundles.schema == BUNDLE_SCHEMA
    assert described.bundles.to_pylist() == [
        {
            "bundle_id": Bundle(("k",), ("b",), 3, 0.5, ("k", "b"), 0.5).bundle_id,
            "topic": 3,
            "title": "屏障、敏感肌｜敏感肌护肤课+修护面霜 50ml",
            "blurb": "1，99-129.50，共 228.50 林老师、某牌",
            "reason": "屏障、敏感肌",
            "knowledge_items": ["k"],
            "beauty_items": ["b"],
            "strength": 0.5,
            "shared_words": ["屏障", "敏感肌"],
            "strongest_knowledge_item": "k",
            "strongest_beauty_item": "b",
            "strongest_similarity": 0.5,
            "price_min": Decimal("99.00"),
            "price_max": Decimal("129.50"),
            "price_sum": Decimal("228.50"),
            "lecturers": ["林老师"],
            "brands": ["某牌"],
        }
    ]


def test_what_is_not_known_is_not_said() -> None:
    described = describe(beauty={"price": None, "creator": None}, knowledge={"creator": None})
    (row,) = described.bundles.to_pylist()
    assert row["blurb"] == "1"
    assert (row["price_min"], row["price_max"], row["price_sum"]) == (None, None, None)
    assert (row["lecturers"], row["brands"]) == ([], [])


def test_more_creators_than_are_named_are_counted() -> None:
    items = ({"k": KNOWLEDGE}, {f"b{n}": {**BEAUTY, "creator": f"牌{n}"} for n in range(3)})
    bundle = Bundle(("k",), ("b0", "b1", "b2"), 3, 0.5, ("k", "b0"), 0.5)
    described = describe_bundles([bundle], items=items, words=WORDS, wording=WORDING, forbidden=FORBIDDEN)
    assert described.bundles["blurb"].to_pylist()[0].endswith(" 林老师、牌0、牌1 等 4 家")
    assert described.bundles["brands"].to_pylist() == [["牌0", "牌1", "牌2"]]


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("修护面霜 50ml", "修护面霜 50ml"),
        ("全网最好 修护面霜 50ml", "修护面霜 50ml"),
        ("修护面霜【第 一 品牌】50ml", "修护面霜 品牌 50ml"),
        ("药妆，修护面霜", "修护面霜"),
        ("全网最好的修护面霜50ml", "单品"),
        ("第一品牌 A级", "单品"),
        ("最近上新 修护面霜", "最近上新 修护面霜"),
        ("<b>修护面霜</b> &amp; 治&#30103;", "修护面霜 &"),
        ("第 特供 一 修护面霜", "单品"),
        (None, "单品"),
        ("", "单品"),
        ("修护面霜 水润补水保湿滋润紧致提亮肤色 温和不紧绷 50ml", "修护面霜 水润补水保湿滋润紧致提亮肤色…"),
    ],
)
def test_of_a_title_only_what_may_be_said_is_shown(title: str | None, shown: str) -> None:
    assert shown_title(title, BEAUTY["tokens"], FORBIDDEN, unnamed="单品") == shown


def test_a_hard_cut_never_turns_a_fine_word_into_a_forbidden_one() -> None:
    title = "修护面霜水润补水保湿滋润紧致提亮肤色温和洁第一章节选读"
    assert title[:23].endswith("第一")
    assert shown_title(title, BEAUTY["tokens"], FORBIDDEN, unnamed="单品") == "单品"


def test_forbidden_words_and_names_are_left_out() -> None:
    words = {3: ["疗效", "屏障"]}
    both = {"tokens": ["疗效", "屏障", "敏感肌"]}
    (row,) = describe(both, {**both, "creator": "国宴牌"}, words=words).bundles.to_pylist()
    assert row["shared_words"] == ["屏障"]
    assert row["reason"] == "屏障"
    assert "国宴" not in row["blurb"]
    assert row["brands"] == ["国宴牌"]


def test_a_bundle_of_which_nothing_may_be_said_is_left_out() -> None:
    both = {"tokens": ["疗效"]}
    described = describe(both, both, words={3: ["疗效"]})
    assert described.bundles.num_rows == 0
    assert described.left_out == (Bundle(("k",), ("b",), 3, 0.5, ("k", "b"), 0.5).bundle_id,)
    # What is fine by itself may not be fine put together.
    joined = describe({"title": "护肤第"}, wording=Wording("{first_title}一", ("b",), ("r",), ("课程", "单品")))
    assert joined.bundles.num_rows == 0


def test_the_shipped_wording_is_good() -> None:
    wording = read_wording(TEXT / "bundles.yaml", FORBIDDEN)
    assert len(wording.blurb) == len(wording.reason) == 2
    (row,) = describe(wording=wording).bundles.to_pylist()
    assert row["blurb"].splitlines() == [
        "围绕“屏障、敏感肌”，1 份内容搭配 1 件单品，单价 99 至 129.50 元。来自 林老师、某牌",
        "Around “屏障、敏感肌”: 1 to learn from, 1 to use, 99 to 129.50 CNY each. From 林老师、某牌",
    ]


GOOD = 'title: "{topic_words}"\nblurb: ["{first_count}"]\nreason:\n  - "{topic_words}"\nunnamed: ["课程", "单品"]\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'reason:\n  - "',
            'reason:\n  - "全网最好的',
            r"bundles\.yaml:4: '最' may not be advertised with \(广告法 第九条",
        ),
        ('title: "', 'title: "第 一 选择：', r"bundles\.yaml:1: '第 一' may not"),
        ('blurb: ["', 'blurb: ["包教会[{lowest}]', r"bundles\.yaml:2: '包教会'"),
        ('"课程"', '"保过课程"', r"bundles\.yaml:5: '保过'"),
        ("{first_count}", "{brand}", "brand"),
        ("{first_count}", "{first_count", "without formats"),
        ("unnamed", "named", "unnamed"),
    ],
)
def test_a_wrong_template_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    file = tmp_path / "bundles.yaml"
    file.write_text(GOOD, encoding="utf-8")
    assert read_wording(file, FORBIDDEN).title == "{topic_words}"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_wording(file, FORBIDDEN)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_wording(tmp_path / "bundles.yaml", FORBIDDEN)
