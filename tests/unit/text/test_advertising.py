"""Words that advertising law forbids: what is found, what is not, and what a list may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossdomain.errors import InputError
from crossdomain.settings import Settings
from crossdomain.text.advertising import ForbiddenWords, read_forbidden_words

SHIPPED = Settings().include / "text" / "forbidden_words.txt"


@pytest.fixture(scope="module")
def shipped() -> ForbiddenWords:
    return read_forbidden_words(SHIPPED)


@pytest.mark.parametrize(
    "text",
    [
        "最近上新，最后一天",
        "第一章 认识皮肤",
        "第一次护肤就懂",
        "第 1 章：入门",
        "第10章 收尾",
        "TOP 10 书单",
        "no.10 口红",
        "包会员价",
        "完美日记 口红",
        "心理学第一课",
        "最\u200b近",
        "保湿面霜 50ml SPF50+",
        "梯度下降与最优化",
        "",
    ],
)
def test_what_is_fine(shipped: ForbiddenWords, text: str) -> None:
    assert shipped.find(text) == []
    assert shipped.allow(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("全网最好用的面霜", "最"),
        ("最近最好", "最"),
        ("第一章第一", "第一"),
        ("第1名的选择", "第1"),
        ("第 一 品牌", "第 一"),
        ("疗·效看得见", "疗·效"),
        ("治\u200b疗痘痘", "治\u200b疗"),
        ("ＮＯ.１ 面霜", "ＮＯ.１"),
        ("no 1 50ml", "no 1"),
        ("國家級配方", "國家級"),
        ("雅思保过班", "保过"),
        ("100％ 有效", "100％"),
        ("根治痘痘", "根治"),
        ("③天速效", "速效"),
    ],
)
def test_what_is_found_and_where(shipped: ForbiddenWords, text: str, found: str) -> None:
    assert found in [text[hit.start : hit.end] for hit in shipped.find(text)]


def test_every_hit_is_named_with_its_law_and_line(shipped: ForbiddenWords) -> None:
    (hit,) = shipped.find("本品可根治")
    assert "广告法 第十七条" in hit.word.source
    path, line = hit.word.place.rsplit(":", 1)
    assert Path(path).read_text(encoding="utf-8").splitlines()[int(line) - 1].startswith("根治")


def test_every_word_of_the_shipped_list_is_found_and_every_exception_is_fine(shipped: ForbiddenWords) -> None:
    assert len(shipped.words) > 100
    for word in shipped.words:
        assert word in [hit.word for hit in shipped.find(f"甲，{word.word}，乙")], word
        assert word.source, word
        for exception in word.exceptions:
            assert word not in [hit.word for hit in shipped.find(f"甲，{exception}，乙")], exception


def test_a_line_may_name_its_own_source_and_an_empty_list_forbids_nothing(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("## 甲法\n神奇 ~ 神奇宝贝  # 乙法 第二条\n", encoding="utf-8")
    (word,) = read_forbidden_words(file).words
    assert (word.word, word.exceptions, word.source) == ("神奇", ("神奇宝贝",), "乙法 第二条")
    file.write_text("# nothing\n", encoding="utf-8")
    assert read_forbidden_words(file).allow("第一")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("最\n第一\n最 ~ 最近\n", r":3: '最' stands in .*:1"),
        ("最 ~ 近来\n", r":1: the exception '近来'"),
        ("最 ~ 最\n", r":1: the exception '最'"),
        ("~ 最近\n", r":1: no word before ~"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "words.txt"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_forbidden_words(file)


def test_a_missing_or_undecodable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        read_forbidden_words(tmp_path / "none.txt")
    (tmp_path / "words.txt").write_bytes("最".encode("gb18030"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_forbidden_words(tmp_path / "words.txt")
