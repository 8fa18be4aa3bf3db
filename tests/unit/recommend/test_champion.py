from __future__ import annotations

import pytest

from crossdomain.recommend.champion import POPULAR, Rated, decide

OLD, NEW = Rated("als", "old", 0.20), Rated("als", "new", 0.25)
POP = Rated(POPULAR, POPULAR, 0.10)


def chosen(incumbent, *challengers, n=100, tolerance=0.0):
    row = decide("beauty", incumbent, challengers, n=n, min_people=10, tolerance=tolerance)
    return row.model_version, row.decision


def test_a_not_worse_challenger_is_promoted():
    assert chosen(OLD, NEW, POP) == ("new", "promoted")
    assert chosen(OLD, Rated("als", "same", 0.20), POP) == ("same", "promoted")


def test_a_worse_challenger_is_refused():
    row = decide("beauty", NEW, [Rated("als", "weak", 0.24), POP], n=100, min_people=10)
    assert (row.model_version, row.value, row.decision) == ("new", 0.25, "kept")
    assert (row.challenger_version, row.challenger_value) == ("weak", 0.24)
    assert row.reason == "weak is worse than new: 0.240000 to 0.250000"


def test_tolerance_lets_a_little_worse_pass():
    assert chosen(NEW, Rated("als", "weak", 0.24), tolerance=0.02) == ("weak", "promoted")


def test_popularity_takes_over_where_the_models_do_not_help_and_gives_way_again():
    assert chosen(OLD, Rated("als", "new", 0.05), Rated(POPULAR, POPULAR, 0.30)) == (POPULAR, "promoted")
    assert chosen(POP, NEW) == ("new", "promoted")
    assert chosen(Rated(POPULAR, POPULAR, 0.30), NEW) == (POPULAR, "kept")


def test_the_first_day_takes_the_best():
    assert chosen(None, NEW, POP) == ("new", "first")
    assert chosen(None, NEW, Rated(POPULAR, POPULAR, 0.5)) == (POPULAR, "first")
    assert chosen(None, Rated("als", "new", 0.1), POP) == ("new", "first")  # a tie goes to the model


def test_too_few_test_people_change_nothing():
    assert chosen(OLD, NEW, n=9) == ("old", "kept")
    assert chosen(None, Rated("als", "new", None), Rated(POPULAR, POPULAR, 0.5), n=3) == ("new", "first")


def test_days_without_training_carry_the_champion():
    assert chosen(OLD, n=0) == ("old", "kept")


def test_a_champion_that_cannot_be_measured_gives_way():
    assert chosen(Rated("als", "old", None), NEW) == ("new", "promoted")


def test_a_champion_that_learned_from_the_erased_gives_way_to_whatever_there_is():
    row = decide("beauty", NEW, [Rated("als", "weak", 0.01)], n=100, min_people=10, overdue=True)
    assert (row.model_version, row.decision) == ("weak", "promoted")
    assert "erased" in row.reason
    assert chosen(NEW, Rated("als", "weak", 0.01)) == ("new", "kept")
    row = decide("beauty", NEW, [POP], n=0, min_people=10, overdue=True)
    assert row.model_version == POPULAR, "too few test people are no excuse"


def test_nothing_to_begin_with():
    with pytest.raises(ValueError, match="no model to begin with"):
        chosen(None)


def test_a_fold_over_days_never_gets_worse_on_its_own_day():
    champion = None
    for day, value in enumerate([0.2, 0.1, 0.3, 0.3, 0.25]):
        incumbent = None if champion is None else Rated("als", champion.model_version, champion.value)
        champion = decide("beauty", incumbent, [Rated("als", f"v{day}", value)], n=50, min_people=10)
    assert (champion.model_version, champion.decision) == ("v3", "kept")
