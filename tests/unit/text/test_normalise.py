"""Texts in their plain form."""

from __future__ import annotations

import pytest

from crossdomain.text.normalise import normalise


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (None, ""),
        ("", ""),
        ("  面霜\n\n保湿\t ", "面霜 保湿"),
        ("第一讲<br>第二讲<br/>完", "第一讲 第二讲 完"),
        ("精华&nbsp;&amp;面霜 &lt;b&gt;", "精华 &面霜"),
        ("ＳＰＦ５０＋　５０ｍｌ", "spf50+ 50ml"),
        ("见 https://example.com/a?b=1。完", "见 。完"),
        ("[课程目录](https://example.com/x) ![]([url])", "课程目录"),
        ("零\u200b宽\ufeff字符", "零宽字符"),
        ("3 < 5 且 7 > 6", "3 < 5 且 7 > 6"),
        ("好用😀的", "好用😀的"),
    ],
)
def test_plain_form(text: str | None, plain: str) -> None:
    assert normalise(text) == plain


@pytest.mark.parametrize("text", ["<p>ＡＢＣ</p>&lt;br&gt;", "[a](b) https://x.y 面霜", "㈱ ① ﬁ"])
def test_twice_is_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
