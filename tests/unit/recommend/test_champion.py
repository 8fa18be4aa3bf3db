from __future__ import annotations

import numpy as np
import pytest

from crossdomain.recommend.champion import ALPHA, POPULAR, Rated, decide

N = 100
BASE = np.linspace(0, 0.4, N)
"""What the champion reaches with each test person, 0.2 in the mean."""
JITTER = np.where(np.arange(N) % 2, 0.01, -0.01)


def rated(version: str, shift: float | None, model: str = "als", n: int = N) -> Rated:
    """A model that differs from BASE by a shift, and a little up and down."""
    return Rated(model, version, None if shift is None else (BASE + shift + JITTER)[:n])


OLD, NEW = Rated("als", "old", BASE), rated("new", 0.05)
POP = rated(POPULAR, -0.1, POPULAR)


def chosen(incumbent, *challengers, n=N, tolerance=0.0):
    row = decide("beauty", incumbent, challengers, n=n, min_people=10, tolerance=tolerance)
    return row.model_version, row.decision


def test_a_better_or_not_worse_challenger_of_the_same_kind_is_promoted():
    assert chosen(OLD, NEW, POP) == ("new", "promoted")
    assert chosen(OLD, Rated("als", "same", BASE), POP) == ("same", "promoted")
    row = decide("beauty", OLD, [rated("about", -0.001)], n=N, min_people=10)
    assert (row.model_version, row.decision) == ("about", "promoted"), "less in the mean, but within the noise"
    assert row.reason == "about is not worse than old: 0.199000 to 0.200000, difference -0.002994 to +0.000994 at 95.0%"


def test_a_worse_challenger_is_refused():
    row = decide("beauty", OLD, [rated("weak", -0.01), POP], n=N, min_people=10)
    assert (row.model_version, row.value, row.decision) == ("old", 0.2, "kept")
    assert (row.challenger_version, row.challenger_value) == ("weak", 0.19)
    assert row.reason.startswith("weak is worse than old: 0.190000 to 0.200000, difference -0.01")


def test_tolerance_lets_a_little_worse_pass():
    assert chosen(OLD, rated("weak", -0.01), tolerance=0.02) == ("weak", "promoted")


def test_another_kind_takes_over_only_if_it_is_shown_to_be_better():
    assert chosen(OLD, rated("new", -0.1), rated(POPULAR, 0.1, POPULAR)) == (POPULAR, "promoted")
    assert chosen(rated(POPULAR, 0.0, POPULAR), NEW) == ("new", "promoted")
    assert chosen(rated(POPULAR, 0.0, POPULAR), rated("new", -0.1)) == (POPULAR, "kept")
    lucky = decide("beauty", OLD, [rated(POPULAR, 0.001, POPULAR)], n=N, min_people=10)
    assert (lucky.model_version, lucky.decision) == ("old", "kept"), "the greater mean alone does not decide"
    assert "not shown to be better" in lucky.reason


def test_what_is_better_goes_before_what_is_not_worse():
    assert chosen(OLD, rated("about", 0.0), rated(POPULAR, 0.1, POPULAR)) == (POPULAR, "promoted")


def test_the_first_day_starts_with_the_model_unless_another_is_better():
    assert chosen(None, NEW, POP) == ("new", "first")
    assert chosen(None, OLD, rated(POPULAR, 0.1, POPULAR)) == (POPULAR, "first")
    assert chosen(None, OLD, Rated(POPULAR, POPULAR, BASE)) == ("old", "first")


def test_too_few_test_people_change_nothing():
    few = [rated("new", 0.3, n=9), rated(POPULAR, 0.5, POPULAR, n=9)]
    assert chosen(Rated("als", "old", BASE[:9]), *few, n=9) == ("old", "kept")
    assert chosen(None, Rated("als", "new"), rated(POPULAR, 0.5, POPULAR, n=3), n=3) == ("new", "first")
    assert chosen(None, *few, n=9) == ("new", "first")


def test_days_without_training_carry_the_champion():
    assert chosen(OLD, n=0) == ("old", "kept")


def test_a_champion_that_cannot_be_measured_gives_way():
    assert chosen(Rated("als", "old"), NEW) == ("new", "promoted")


def test_a_champion_that_learned_from_the_erased_gives_way_to_whatever_there_is():
    weak = rated("weak", -0.19)
    row = decide("beauty", NEW, [weak], n=N, min_people=10, overdue=True)
    assert (row.model_version, row.decision) == ("weak", "promoted")
    assert "erased" in row.reason
    assert chosen(NEW, weak) == ("new", "kept")
    row = decide("beauty", NEW, [POP], n=0, min_people=10, overdue=True)
    assert row.model_version == POPULAR, "too few test people are no excuse"


def test_nothing_to_begin_with():
    with pytest.raises(ValueError, match="no model to begin with"):
        chosen(None)


def test_models_that_are_alike_do_not_chase_each_other():
    """The winner's curse: of many alike the luckiest would win each day; kinds change as seldom as agreed."""
    rng = np.random.default_rng(11)
    changes = 0
    for _ in range(400):
        kinds = [Rated(name, name, rng.exponential(0.1, 80)) for name in ("als", "popular", "knn", "ease")]
        changes += chosen(*kinds, n=80)[1] == "promoted"
    assert changes / 400 < ALPHA
    assert changes, "and not never"
