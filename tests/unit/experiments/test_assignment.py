"""Assignment: the same in Python and SQL, uniform, independent between experiments, sticky, layered, held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import date
from fractions import Fraction

import duckdb
import numpy as np
import pytest
from scipy import stats

from crossdomain.errors import InputError
from crossdomain.experiments.assignment import (
    SPACE,
    AssignmentPlan,
    Slot,
    WeightPeriod,
    assign,
    assignment_on_sql,
    assignment_sql,
    check_layer,
    cuts,
    points,
)

UNITS = [hashlib.md5(str(number).encode(), usedforsecurity=False).digest() for number in range(40_000)]
HALVES = (("control", 0.5), ("treatment", 0.5))
LATER = date(2026, 2, 1)


def plan(name: str = "exp", weights=HALVES, **options) -> AssignmentPlan:
    periods = options.pop("periods", (WeightPeriod(None, tuple(weights)),))
    return AssignmentPlan(name, options.pop("salt", name), periods, **options)


def test_the_hash_is_sha256_of_the_keyed_unit_and_never_changes():
    """Pinned: another value would deal every running experiment out again."""
    key = hashlib.sha256(b"crossdomain.assignment\x00experiment:exp").digest()
    want = int.from_bytes(hashlib.sha256(key + b"unit").digest()[:8], "big")
    assert points([b"unit"], "experiment:exp").tolist() == [want] == [8777492753030879667]


def test_ranges_are_half_open_and_cover_everything():
    assert cuts([0.5, 0.5]) == [SPACE // 2, SPACE]
    assert cuts([0.1, 0.2, 0.7]) == [round(Fraction(1, 10) * SPACE), round(Fraction(3, 10) * SPACE), SPACE]
    assert cuts([1 / 3, 1 / 3, 1 / 3])[-1] == SPACE
    assert cuts([0.0, 1.0, 0.0]) == [0, SPACE, SPACE]


@pytest.mark.parametrize(
    "made",
    [
        plan(),
        plan(weights=(("a", 0.1), ("b", 0.0), ("it's", 0.3), ("d", 0.6))),
        plan(slot=Slot("page", 0.25, 0.75), holdout=0.1),
        plan(slot=Slot("page", 0.5, 1.0)),
        plan(weights=(("a", 0.0), ("b", 1.0))),
        plan(weights=(("a", 1.0), ("b", 0.0)), holdout=0.5),
    ],
)
def test_python_and_sql_agree_on_every_unit(made):
    units = [*UNITS[:5_000], b"", b"\x00" * 16, "人".encode()]
    with duckdb.connect() as con:
        con.execute("CREATE TABLE units (place INTEGER, unit BLOB)")
        con.executemany("INSERT INTO units VALUES (?, ?)", list(enumerate(units)))
        found = con.execute(f"SELECT {assignment_sql(made)} FROM units ORDER BY place").fetchall()
    assert [variant for (variant,) in found] == list(assign(units, made).variants)


def test_shares_follow_the_weights():
    made = plan(weights=(("a", 0.1), ("b", 0.3), ("c", 0.6)))
    counts = Counter(assign(UNITS, made).variants)
    observed = [counts[name] for name in "abc"]
    assert stats.chisquare(observed, [len(UNITS) * weight for weight in (0.1, 0.3, 0.6)]).pvalue > 0.001


def test_points_are_uniform_and_independent_between_salts():
    share = points(UNITS, "experiment:a") / SPACE
    other = points(UNITS, "experiment:b") / SPACE
    assert stats.kstest(share, "uniform").pvalue > 0.001
    table = np.histogram2d(share, other, bins=8, range=[[0, 1], [0, 1]])[0]
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_similar_unit_ids_do_not_get_similar_variants():
    units = [str(number).encode() for number in range(20_000)]
    arms = np.array([variant == "treatment" for variant in assign(units, plan()).variants])
    pairs = np.histogram2d(arms[:-1], arms[1:], bins=2)[0]
    assert stats.chi2_contingency(pairs).pvalue > 0.001


def test_experiments_and_their_holdout_are_independent():
    first, second = assign(UNITS, plan("one")), assign(UNITS, plan("two"))
    table = Counter(zip(first.variants, second.variants, strict=True))
    counts = [[table[a, b] for b in ("control", "treatment")] for a in ("control", "treatment")]
    assert stats.chi2_contingency(counts).pvalue > 0.001


def test_a_layer_gives_a_unit_to_one_experiment_only():
    one, two = plan("one", slot=Slot("page", 0.0, 0.4)), plan("two", slot=Slot("page", 0.4, 1.0))
    check_layer([one, two])
    taken = [
        (a is not None) + (b is not None)
        for a, b in zip(assign(UNITS, one).variants, assign(UNITS, two).variants, strict=True)
    ]
    assert set(taken) == {1}
    with pytest.raises(InputError, match=r"layer 'page': one and two overlap from 0\.3 to 0\.4"):
        check_layer([one, replace(two, slot=Slot("page", 0.3, 1.0))])
    check_layer([one, replace(two, slot=Slot("shop", 0.0, 1.0))])


def test_the_global_holdout_is_the_same_for_every_experiment():
    held = [
        [reason == "holdout" for reason in assign(UNITS, plan(name, holdout=0.05)).outside] for name in ("one", "two")
    ]
    assert held[0] == held[1]
    assert sum(held[0]) / len(UNITS) == pytest.approx(0.05, abs=0.005)


def test_what_was_given_stays_when_weights_ranges_and_holdout_change():
    before = plan()
    given = assign(UNITS, before).variants
    after = plan(
        periods=(WeightPeriod(None, HALVES), WeightPeriod(LATER, (("control", 0.9), ("treatment", 0.1)))),
        holdout=0.2,
        slot=Slot("page", 0.0, 0.1),
    )
    kept = assign(UNITS, after, day=LATER, given=given)
    assert kept.variants == given
    assert all(kept.kept)
    assert set(kept.outside) == {None}


def test_who_comes_later_is_dealt_out_by_the_weights_of_the_day():
    made = plan(
        periods=(WeightPeriod(date(2026, 1, 1), HALVES), WeightPeriod(LATER, (("control", 0.9), ("treatment", 0.1))))
    )
    assert set(assign(UNITS, made, day=date(2025, 12, 31)).outside) == {"not_started"}
    early, late = (assign(UNITS, made, day=day).variants for day in (date(2026, 1, 31), LATER))
    assert early.count("treatment") / len(UNITS) == pytest.approx(0.5, abs=0.01)
    assert late.count("treatment") / len(UNITS) == pytest.approx(0.1, abs=0.01)
    assert assign(UNITS, made).variants == late


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": (("a", 0.5), ("b", 0.6))}, "the weights sum to 1.1"),
        ({"weights": (("a", -0.5), ("b", 1.5))}, "the weight of a is -0.5"),
        ({"weights": (("a", float("nan")), ("b", 1.0))}, "the weight of a is nan"),
        ({"periods": ()}, "there are no weights"),
        ({"periods": (WeightPeriod(LATER, HALVES), WeightPeriod(None, HALVES))}, "different days, in order"),
        ({"periods": (WeightPeriod(None, HALVES), WeightPeriod(LATER, HALVES[:1]))}, "the same variants"),
        ({"holdout": 1.0}, "a holdout of 1.0"),
        ({"slot": Slot("page", 0.5, 0.5)}, "no part of layer 'page'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        plan(**options)


def test_earlier_variants_must_fit():
    with pytest.raises(InputError, match="'blue' was given earlier"):
        assign([b"a"], plan(), given=["blue"])
    with pytest.raises(InputError, match="2 earlier variants and 1 units"):
        assign([b"a"], plan(), given=[None, None])


def test_each_row_is_dealt_by_the_weights_of_its_own_day():
    first, switch = date(2026, 1, 1), LATER
    made = plan(
        periods=(WeightPeriod(first, HALVES), WeightPeriod(switch, (("control", 0.9), ("treatment", 0.1)))), holdout=0.1
    )
    days = [date(2025, 12, 31), first, date(2026, 1, 31), switch, date(2026, 3, 1)]
    with duckdb.connect() as con:
        con.execute("CREATE TABLE units (place INTEGER, unit BLOB, day DATE)")
        rows = [(place, unit, days[place % 5]) for place, unit in enumerate(UNITS[:1000])]
        con.executemany("INSERT INTO units VALUES (?, ?, ?)", rows)
        found = con.execute(f"SELECT {assignment_on_sql(made, day='day')} FROM units ORDER BY place").fetchall()
    assert [one for (one,) in found] == [assign([unit], made, day=day).variants[0] for _, unit, day in rows]
