from __future__ import annotations

import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.reasons import (
    BECAUSE,
    BECAUSE_CREATOR,
    BUY_AGAIN,
    POPULAR,
    TASTE,
    Reason,
    because_text,
    decode,
    describe,
    encode,
    item_texts,
)


def test_what_is_stored_is_compact_and_comes_back():
    text = encode(BECAUSE, [("beauty", "b:1")])
    assert text == '{"code":"because","items":[["beauty","b:1"]]}'
    assert decode(text) == Reason(BECAUSE, (("beauty", "b:1"),))
    assert decode(encode(POPULAR)) == Reason(POPULAR)


def test_words_in_two_languages():
    titles = {("knowledge", "k1"): "写作课"}
    reason = Reason(BECAUSE, (("knowledge", "k1"), ("beauty", "b9")))
    assert describe(reason, titles) == ("因为你看过《写作课》、《b9》", "because of “写作课”, “b9”")
    assert describe(Reason(POPULAR), {}) == ("近期热门", "popular now")
    assert describe(Reason(TASTE), {})[1] == "liked by people with your taste"


def test_what_the_items_share_is_said_where_it_has_a_name():
    items = (("knowledge", "k1"), ("beauty", "b2"))
    titles = dict(zip(items, ("写作课", "演讲课"), strict=True))
    plain = describe(Reason(BECAUSE, items), titles)
    by_creator = Reason(BECAUSE_CREATOR, items)
    assert describe(by_creator, titles, creators=dict.fromkeys(items, "李娜")) == (
        "因为你看过李娜的《写作课》、《演讲课》",
        "because of “写作课”, “演讲课” by 李娜",
    )
    of_one_topic = (
        "因为你关注“写作、表达”，看过《写作课》、《演讲课》",
        "because of your interest in “写作、表达”: “写作课”, “演讲课”",
    )
    topics = dict.fromkeys(items, "写作、表达")
    assert describe(Reason(BECAUSE, items), titles, topics=topics) == of_one_topic
    assert describe(by_creator, titles, creators={}, topics=topics) == of_one_topic
    assert describe(by_creator, titles) == plain
    for apart in ({**topics, items[1]: "护肤"}, {items[0]: "写作、表达"}, {}):
        assert describe(Reason(BECAUSE, items), titles, topics=apart) == plain
    assert describe(Reason(BECAUSE, items[:1]), titles, topics=topics)[1] == "because of “写作课”"
    assert describe(Reason(BUY_AGAIN, items[:1]), titles, topics=topics)[1] == "time to buy “写作课” again"


def test_that_the_items_are_of_one_creator_comes_back():
    texts = item_texts([("beauty", "b1"), ("beauty", "b2")])
    items = (("beauty", "b1"), ("beauty", "b2"))
    assert decode(because_text(*texts)) == Reason(BECAUSE, items)
    assert decode(because_text(*texts, creator=True)) == Reason(BECAUSE_CREATOR, items)


@pytest.mark.parametrize("text", ["", "popular", "[]", '{"items":[]}', '{"code":"because","items":[1]}'])
def test_what_is_no_reason(text):
    with pytest.raises(InputError, match="not a reason"):
        decode(text)


def test_an_unknown_code():
    with pytest.raises(InputError, match="'why' is no code"):
        describe(Reason("why"), {})
