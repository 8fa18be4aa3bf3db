"""Team-draft interleaving and its analysis."""

from __future__ import annotations

import numpy as np
import pytest

from crossdomain.errors import InputError
from crossdomain.stats.interleaving import prefer, sign_test, team_draft


def test_published_numbers(vector):
    content = vector("20_interleaving.json")
    for case in content["cases"]:
        got = team_draft(case["A"], case["B"], case["coins"], length=case["k"])
        assert list(got.ranking) == case["ranking"]
        assert list(got.teams) == case["teams"]
    test = content["sign_test"]
    assert sign_test(test["wins_a"], test["wins_b"]) == pytest.approx(test["p_two_sided"], rel=1e-9)


def test_obvious_answers():
    same = team_draft(["x", "y"], ["x", "y"], [1], length=2)
    assert (same.ranking, same.teams) == (("x", "y"), ("A", "B"))
    assert team_draft(["x"], ["y", "z", "w"], [0, 1, 1], length=9).ranking == ("y", "x", "z", "w")
    assert team_draft([], [], [], length=5).ranking == ()


def test_teams_are_level_after_every_round():
    rng = np.random.default_rng(61)
    items = [str(i) for i in range(40)]
    for _ in range(50):
        a, b = list(rng.permutation(items)), list(rng.permutation(items))
        got = team_draft(a, b, list(rng.integers(0, 2, 20)), length=20)
        lead = np.cumsum([1 if team == "A" else -1 for team in got.teams])
        assert np.abs(lead).max() <= 1
        assert len(set(got.ranking)) == 20


def test_alike_rankers_win_as_often():
    rng = np.random.default_rng(62)
    items, clicks = [str(i) for i in range(10)], []
    for _ in range(4000):
        shown = team_draft(items, items, list(rng.integers(0, 2, 5)), length=10)
        clicked = rng.random(10) < 1 / (1 + np.arange(10))  # the first places are clicked most
        clicks.append(tuple(sum(c for c, team in zip(clicked, shown.teams, strict=True) if team == t) for t in "AB"))
    got = prefer(clicks)
    assert got.share_a == pytest.approx(0.5, abs=0.02)
    assert got.p > 0.01


def test_a_better_ranker_wins():
    got = prefer([(2, 1)] * 60 + [(0, 3)] * 40 + [(1, 1)] * 7)
    assert (got.wins_a, got.wins_b, got.ties) == (60, 40, 7)
    assert got.share_a == pytest.approx(63.5 / 107)
    assert got.p == pytest.approx(0.05688793364098089)
    assert prefer([]).p == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: team_draft(["a", "a"], ["b"], [1], length=2),
        lambda: team_draft(["a", "b", "c"], ["d", "e", "f"], [1], length=4),
        lambda: team_draft(["a"], ["b"], [2], length=2),
        lambda: prefer([(-1, 0)]),
        lambda: sign_test(-1, 0),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(InputError):
        call()
