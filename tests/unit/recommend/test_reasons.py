from __future__ import annotations

import pytest

from crossdomain.errors import InputError
from crossdomain.recommend.reasons import BECAUSE, POPULAR, TASTE, Reason, decode, describe, encode


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


@pytest.mark.parametrize("text", ["", "popular", "[]", '{"items":[]}', '{"code":"because","items":[1]}'])
def test_what_is_no_reason(text):
    with pytest.raises(InputError, match="not a reason"):
        decode(text)


def test_an_unknown_code():
    with pytest.raises(InputError, match="'why' is no code"):
        describe(Reason("why"), {})
