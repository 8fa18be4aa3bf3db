"""Words of Chinese texts; jieba is the oracle."""

from __future__ import annotations

from pathlib import Path

import jieba
import pytest

from crossdomain.errors import InputError
from crossdomain.settings import Settings
from crossdomain.text.tokens import (
    ENGINES,
    UserWord,
    is_measure,
    make_tokenizer,
    read_stop_words,
    read_user_words,
    tokenizer_version,
)

TEXTS = [
    "我来到北京清华大学学习人工智能和机器学习。",
    "这款面霜适合敏感肌，质地轻薄，保湿效果很好！",
    "从零开始学习投资理财：基金定投、资产配置与风险控制。",
    "他来到了网易杭研大厦，讨论小程序的设计",
    "《红楼梦》精读课——跟着教授读懂人物命运",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", TEXTS)
def test_same_words_as_jieba(engine: str, text: str) -> None:
    expected = [word for word in jieba.lcut(text) if len(word) > 1]
    assert make_tokenizer(engine=engine).tokens(text) == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("面霜50ml补水", ["面霜", "50ml", "补水"]),
        ("防晒霜 SPF50+ PA+++ 30g*2", ["防晒霜", "spf50+", "pa+++", "30g"]),
        ("30天写作训练营", ["30天", "写作", "训练营"]),
        ("ＣＯＣＯ香水３０毫升", ["coco", "香水", "30毫升"]),
        ("用Node.js和GPT-4做low-code应用", ["node.js", "gpt-4", "low-code", "应用"]),
        ("共 12 讲 2024-01-02 99.9%", []),
        ("L'Oréal 口红😀<br>口红", ["l'oréal", "口红", "口红"]),
        ("", []),
        ("。，！", []),
        (None, []),
    ],
)
def test_latin_words_numbers_and_units_stay_whole(engine: str, text: str | None, words: list[str]) -> None:
    assert make_tokenizer(engine=engine).tokens(text) == words


@pytest.mark.parametrize("engine", ENGINES)
def test_user_words_stay_whole_and_leave_other_tokenizers_alone(engine: str) -> None:
    text = "早晚霜搭配维C和早C晚A，SK-II神仙水"
    words = [UserWord("早晚霜"), UserWord("维C"), UserWord("早c晚a"), UserWord("sk-ii"), UserWord("神仙水", 100)]
    given = make_tokenizer(engine=engine, user_words=words).tokens(text)
    assert given == ["早晚霜", "搭配", "维c", "早c晚a", "sk-ii", "神仙水"]
    assert "早晚霜" not in make_tokenizer(engine=engine).tokens(text)


def test_a_mixed_user_word_does_not_cut_a_longer_latin_word() -> None:
    tokenizer = make_tokenizer(user_words=[UserWord("b5"), UserWord("ip课")])
    assert tokenizer.tokens("b5面膜 b52 vip课程") == ["b5", "面膜", "b52", "vip", "课程"]


def test_stop_words_are_left_out() -> None:
    assert make_tokenizer(stop_words=["我们", "ＡＮＤ"]).tokens("我们 and 面霜") == ["面霜"]


def test_version_depends_on_the_word_lists_not_on_their_order() -> None:
    a, b = UserWord("早晚霜"), UserWord("神仙水", 5)
    one = make_tokenizer(user_words=[a, b], stop_words=["我们", "你们"])
    assert one.version == tokenizer_version(user_words=[b, a, a], stop_words=["你们", "我们"])
    others = [
        tokenizer_version(user_words=[a], stop_words=["我们", "你们"]),
        tokenizer_version(user_words=[a, b], stop_words=["我们"]),
        tokenizer_version(user_words=[a, UserWord("神仙水", 6)], stop_words=["我们", "你们"]),
        tokenizer_version(user_words=[a, b], stop_words=["我们", "你们"], engine="jieba"),
    ]
    assert one.version not in others
    assert len(set(others)) == len(others)


def test_unknown_engine_names_the_choices() -> None:
    with pytest.raises(InputError, match="rjieba, jieba"):
        make_tokenizer(engine="hanlp")


def test_measures() -> None:
    assert [word for word in ("50ml", "30天", "2.5kg", "spf50+", "面霜", "1-2周", "0") if is_measure(word)] == [
        "50ml",
        "30天",
        "2.5kg",
        "1-2周",
    ]


def test_word_files_are_read_with_comments(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("\ufeff# brands\n自然堂 200 nz\n玻色因 n\n\nsk-ii # as written\n", encoding="utf-8")
    assert read_user_words(file) == [UserWord("自然堂", 200), UserWord("玻色因"), UserWord("sk-ii")]
    assert read_stop_words(file) == ["自然堂 200 nz", "玻色因 n", "sk-ii"]


def test_bad_word_files_name_the_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt is missing"):
        read_stop_words(tmp_path / "absent.txt")
    wrong = tmp_path / "gbk.txt"
    wrong.write_bytes("面霜".encode("gb18030"))
    with pytest.raises(InputError, match="not UTF-8 at byte 0"):
        read_stop_words(wrong)
    wrong.write_text("面霜\n精华 viele n\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"gbk\.txt:2: frequency 'viele'"):
        read_user_words(wrong)


def test_the_shipped_word_lists_are_in_force() -> None:
    folder = Settings().include / "text"
    tokenizer = make_tokenizer(
        user_words=read_user_words(folder / "user_dictionary.txt"),
        stop_words=read_stop_words(folder / "stop_words.txt"),
    )
    assert tokenizer.tokens("【双11】雅诗兰黛小棕瓶精华液 我们的私域流量课") == [
        "雅诗兰黛",
        "小棕瓶",
        "精华液",
        "私域流量",
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_traditional_characters_give_the_words_of_simplified_ones(engine: str) -> None:
    tokenizer = make_tokenizer(engine=engine, user_words=[UserWord("屏障修護")], stop_words=["適合"])
    assert tokenizer.tokens("適合敏感肌膚的屏障修護面霜") == tokenizer.tokens("适合敏感肌肤的屏障修护面霜")
    assert "屏障修护" in tokenizer.tokens("屏障修護面霜")
    assert "适合" not in tokenizer.tokens("適合敏感肌膚")
