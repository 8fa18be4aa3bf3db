from __future__ import annotations

import numpy as np
import pytest

from crossdomain.recommend.evaluate import OWN_SIDE
from crossdomain.recommend.transfer import decide, own_side

N = 50
BASE = np.linspace(0, 0.4, N)
JITTER = np.where(np.arange(N) % 2, 0.02, -0.02)
POPULAR = "decayed_popularity"
TRANSFER = "als"


def asked(shift, *, before=None, n=N, without=None, model="als"):
    given = without or {POPULAR: BASE[:n]}
    return decide(
        "beauty",
        "knowledge>beauty",
        "cold",
        model,
        "v1",
        (BASE + shift + JITTER)[:n],
        given,
        before=before,
        min_people=10,
    )


@pytest.mark.parametrize("before", [None, TRANSFER, POPULAR])
def test_where_the_other_side_helps_it_is_used(before):
    found = asked(0.1, before=before)
    assert (found.verdict, found.serves, found.n) == ("helps", TRANSFER, N)
    assert found.low == pytest.approx(0.1 - 2.0096 * 0.0202031 / N**0.5, abs=1e-5)
    assert found.value - found.value_without == pytest.approx(found.difference)


@pytest.mark.parametrize("before", [None, TRANSFER, POPULAR])
def test_where_it_does_not_it_is_not(before):
    found = asked(-0.1, before=before)
    assert (found.verdict, found.serves) == ("does_not_help", POPULAR)
    assert "does not help" in found.reason


def test_where_nothing_is_shown_the_day_before_stands():
    assert [asked(0.0, before=before).serves for before in (TRANSFER, POPULAR, None)] == [TRANSFER, POPULAR, POPULAR]
    assert asked(0.0).verdict == "unclear"


def test_too_few_people_say_nothing():
    found = asked(0.3, n=5)
    assert (found.verdict, found.serves, found.low, found.p) == ("too_few", TRANSFER, None, None)
    assert asked(0.3, n=5, before=POPULAR).serves == POPULAR
    assert asked(0.3, n=0).value is None


def test_it_stands_against_the_better_of_what_there_is_without():
    found = asked(0.05, without={POPULAR: BASE, OWN_SIDE: BASE + 0.1})
    assert (found.without, found.serves) == (OWN_SIDE, OWN_SIDE)
    assert asked(0.2, without={POPULAR: BASE, OWN_SIDE: BASE}).without == POPULAR, "a tie goes to the simpler"


def test_what_was_decided_of_another_kind_of_champion_holds_for_the_new_one():
    stands = [asked(0.0, before=before, model="ranker").serves for before in (TRANSFER, OWN_SIDE, POPULAR, "ranker")]
    assert stands == ["ranker", own_side("ranker"), POPULAR, "ranker"]
