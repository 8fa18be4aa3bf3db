"""Dimensions and segments over the platform's tables: against plain loops, and against worlds with one part's units."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest

from crossdomain.errors import InputError
from crossdomain.experiments.analysis import analyze
from crossdomain.experiments.attributes import DIMENSIONS
from crossdomain.experiments.page import render_page
from crossdomain.experiments.state import Fold, fold_state
from crossdomain.settings import Settings
from tests.unit.experiments.conftest import DESIGN, FIRST, INCLUDE, act, expose, fill, moment, world

LAST = FIRST + timedelta(days=5)
BROKEN_DOWN = (
    DESIGN
    + """  - {name: capped, kind: mean, events: [purchase], column: value, winsorize: 0.9}
  - {name: value_p80, kind: quantile, quantile: 0.8, events: [purchase, view], column: quantity}
dimensions: [activity, sides]
segments:
  - {name: keen, where: {activity: [5-19, 20+]}}
  - {name: new_to_both, where: {activity: ['0'], sides: [none]}}
"""
)
PLAIN = BROKEN_DOWN.partition("dimensions:")[0]


@pytest.fixture
def filled(con):
    exposures, events = world(people=300)
    fill(con, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    con.execute("UPDATE clean.events SET domain = if(placement = 'home', 'beauty', 'knowledge')")
    return con, exposures, events


def by_hand(exposures: pd.DataFrame, events: pd.DataFrame) -> dict[bytes, tuple[str, str]]:
    """Activity and sides of every unit by plain loops."""
    found = {}
    for unit, exposed in exposures.groupby("unit").ts.min().items():
        own = events[(events.account == unit) & (events.ts < exposed) & (events.ts >= exposed - timedelta(days=28))]
        n = len(own)
        bucket = "0" if n == 0 else "1-4" if n < 5 else "5-19" if n < 20 else "20+"
        sides = sorted({"beauty" if place == "home" else "knowledge" for place in own.placement})
        found[unit] = bucket, "+".join(sides) or "none"
    return found


def stripped(results):
    """Results without what depends on the other parts."""
    return [replace(one, p_adjusted=None) for one in results]


def test_parts_are_what_the_units_of_the_part_give_alone(filled, design):
    con, exposures, events = filled
    found = analyze(con, design(BROKEN_DOWN), LAST)
    assert found.metrics == analyze(con, design(PLAIN), LAST).metrics, "the whole does not feel its parts"
    attributes = by_hand(exposures, events)
    chosen = {
        ("segment", "keen", ""): lambda activity, _: activity in ("5-19", "20+"),
        ("segment", "new_to_both", ""): lambda activity, sides: (activity, sides) == ("0", "none"),
    }
    for value in sorted({activity for activity, _ in attributes.values()}):
        chosen["dimension", "activity", value] = lambda activity, _, value=value: activity == value
    for value in sorted({sides for _, sides in attributes.values()}):
        chosen["dimension", "sides", value] = lambda _, sides, value=value: sides == value
    assert [(part.kind, part.name, part.value) for part in found.parts] == list(chosen)
    for part in found.parts:
        holds = chosen[part.kind, part.name, part.value]
        con.execute("DELETE FROM clean.exposures")
        kept = exposures[[holds(*attributes[unit]) for unit in exposures.unit]]
        con.register("kept", kept)
        con.execute("INSERT INTO clean.exposures SELECT ts::DATE, 'exp', 'account', unit, variant, ts, NULL FROM kept")
        alone = analyze(con, design(PLAIN), LAST)
        expected = [replace(one, first_ds=found.window.first) for one in stripped(alone.metrics)]
        assert stripped(part.metrics) == expected, (part.name, part.value)
    page = render_page(found)
    assert "activity = 1-4" in page
    assert "keen" in page


def test_a_dimension_is_corrected_over_its_values(filled, design):
    con, _, _ = filled
    found = analyze(con, design(BROKEN_DOWN), LAST)
    of = [one for part in found.parts if part.name == "activity" for one in part.metrics if one.p is not None]
    assert len(of) > 7
    smallest = min(of, key=lambda one: one.p)
    assert smallest.p_adjusted == pytest.approx(min(1, smallest.p * len(of)))  # Holm's first step


def test_a_mismatch_that_the_whole_hides_is_found_in_its_value(con, design):
    """Half and half over all; but whoever was active before is in the treatment only."""
    for person in range(200):
        unit = person.to_bytes(16, "big")
        expose(con, unit, ("control", "treatment")[person % 2], 30)
        if person % 2 and person < 60:
            act(con, unit, "view", 5)
        act(con, unit, "view", 40)
    con.execute("UPDATE clean.events SET domain = 'beauty'")
    found = analyze(con, design(BROKEN_DOWN), LAST)
    checks = {check.check_name: check for check in found.checks}
    assert checks["sample_ratio"].ok
    assert not checks["sample_ratio_by:activity"].ok
    assert "'1-4' with control 0, treatment 30" in checks["sample_ratio_by:activity"].detail
    assert "'beauty' with control 0, treatment 30" in checks["sample_ratio_by:sides"].detail
    assert {one.rule for one in found.decisions} == {"check_failed"}


def attributes_of(con, made) -> dict[str, tuple[str, ...]]:
    """Attributes of each unit, by the letter that its key is made of."""
    fold_state(con, made, Fold(date.min, LAST, held=False))
    rows = con.execute("SELECT unit, attributes FROM state_after ORDER BY unit").fetchall()
    return {unit.decode()[0]: tuple(values) for unit, values in rows}


def test_attributes_are_those_before_the_first_exposure(con, design):
    for hours, kind, channel in ((1, "view", "app"), (5, "click", "mail"), (5, "click", "web"), (6, "view", None)):
        act(con, b"a" * 16, kind, hours)
        con.execute("UPDATE clean.events SET channel = ? WHERE ts = ? AND channel IS NULL", [channel, moment(hours)])
    con.execute("UPDATE clean.events SET domain = 'beauty'")
    act(con, b"a" * 16, "view", 31)
    con.execute("UPDATE clean.events SET channel = 'too late' WHERE ts > ?", [moment(30)])
    expose(con, b"a" * 16, "control", 30, placement="home")
    expose(con, b"a" * 16, "control", 31, placement="later")
    expose(con, b"b" * 16, "control", 30, placement="item")
    expose(con, b"b" * 16, "control", 30, placement="home")
    expose(con, b"c" * 16, "control", 30)
    found = attributes_of(con, design(DESIGN + "dimensions: [placement, channel, activity, sides]\n"))
    assert found == {
        "a": ("home", "web", "1-4", "beauty"),  # of two in one instant the later name
        "b": ("home", "none", "0", "none"),  # of two in one instant the earlier name
        "c": ("none", "none", "0", "none"),
    }


def test_accounts_are_those_of_the_day_before(con, design):
    """Exposed in the 31st hour, on the second day; what the table says on the second day comes too late."""
    registered = {"a": -24 * 6, "b": -24 * 5.75 - 1, "c": -24 * 29, "d": -24 * 400, "e": None}
    for letter in "abcdef":
        expose(con, letter.encode() * 16, "control", 31)
    for letter, hours in registered.items():
        at = None if hours is None else moment(hours)
        con.execute("INSERT INTO derived.accounts VALUES (?, ?, 'beauty', ?, NULL, NULL, NULL)",
                    [FIRST, letter.encode() * 16, at])  # fmt: skip
    con.execute("INSERT INTO derived.accounts SELECT ds + 1, account, 'changed', ts, 'f', 1, 'p' FROM "
                "(SELECT *, registered_at AS ts FROM derived.accounts)")  # fmt: skip
    con.execute("INSERT INTO derived.accounts VALUES (?, ?, 'beauty', NULL, NULL, NULL, NULL)",
                [FIRST + timedelta(days=1), b"f" * 16])  # fmt: skip
    found = attributes_of(con, design(DESIGN + "dimensions: [registered, domain]\n"))
    assert found == {
        "a": ("7-29", "beauty"),
        "b": ("7-29", "beauty"),
        "c": ("30-179", "beauty"),
        "d": ("180+", "beauty"),
        "e": ("unknown", "beauty"),
        "f": ("new", "unknown"),
    }


def test_a_profile_is_told_of_those_only_who_allow_it_then_and_now(con, design):
    allows = {"a": True, "b": False, "c": True, "d": True}  # c withdrew since, e is not known
    for letter in "abcde":
        expose(con, letter.encode() * 16, "control", 31)
    for letter, profiling in allows.items():
        con.execute("INSERT INTO derived.people VALUES (?, ?, ?, ?)",
                    [FIRST, letter.encode() * 16, letter.encode() * 16, profiling])  # fmt: skip
        born = None if letter == "d" else 1999
        con.execute("INSERT INTO derived.accounts VALUES (?, ?, 'beauty', NULL, 'female', ?, 'Hunan')",
                    [FIRST, letter.encode() * 16, born])  # fmt: skip
    con.execute("INSERT INTO derived.people SELECT ds + 1, account, person, true FROM derived.people")
    con.execute("CREATE TEMP TABLE withheld (unit BLOB)")
    con.execute("INSERT INTO withheld VALUES (?)", [b"c" * 16])
    found = attributes_of(con, design(DESIGN + "dimensions: [gender, age, province]\n"))
    assert found["a"] == ("female", "25-34", "Hunan")
    assert found["d"] == ("female", "unknown", "Hunan")
    assert {found[letter] for letter in "bce"} == {("withheld",) * 3}


def test_small_parts_are_told_of_without_numbers(filled, design):
    con, _, _ = filled
    whole = analyze(con, design(BROKEN_DOWN), LAST)
    told = analyze(con, design(BROKEN_DOWN), LAST, part_units=30)
    assert told.metrics == whole.metrics
    small = []
    for part, same in zip(told.parts, whole.parts, strict=True):
        for one, full in zip(part.metrics, same.metrics, strict=True):
            if min(full.n, full.n_control) >= 30:
                assert replace(one, p_adjusted=None) == replace(full, p_adjusted=None)
                continue
            small.append(one)
            assert one.verdict == "too_small"
            numbers = (one.n, one.n_control, one.mean, one.mean_control, one.estimate, one.p, one.p_adjusted, one.se)
            assert numbers == (0, 0, *[None] * 6)
    assert 0 < len(small) < sum(len(part.metrics) for part in told.parts)
    measured = [one for part in told.parts if part.name == "sides" for one in part.metrics if one.p is not None]
    smallest = min(measured, key=lambda one: one.p)
    assert smallest.p_adjusted == pytest.approx(min(1, smallest.p * len(measured))), "corrected over what is told"
    page = render_page(told)
    assert "too few units in an arm to be told" in page
    assert "某组样本过少" in page


def test_the_check_of_a_small_part_tells_no_count(con, design):
    for person in range(200):
        unit = person.to_bytes(16, "big")
        expose(con, unit, ("control", "treatment")[person % 2], 30)
        if person % 2 and person < 60:
            act(con, unit, "view", 5)
    con.execute("UPDATE clean.events SET domain = 'beauty'")
    found = analyze(con, design(BROKEN_DOWN), LAST, part_units=100)
    check = next(check for check in found.checks if check.check_name == "sample_ratio_by:activity")
    assert not check.ok
    assert "'1-4' with control under 100, treatment under 100" in check.detail


def test_how_many_units_a_part_needs_is_a_setting():
    assert Settings.from_env({"CROSSDOMAIN_PART_UNITS": "0"}).part_units == 0
    with pytest.raises(InputError, match="CROSSDOMAIN_PART_UNITS='-1' is not valid: give 0 or more"):
        Settings.from_env({"CROSSDOMAIN_PART_UNITS": "-1"})


def test_an_attribute_that_the_platform_does_not_know_is_refused(design):
    with pytest.raises(InputError, match=r"design\.yaml, line 19: dimensions\.0: 'city' is unknown; use one of act"):
        design(DESIGN + "dimensions: [city]\n")


def test_the_schema_lists_what_units_are_broken_down_by():
    schema = json.loads((INCLUDE / "design.schema.json").read_text(encoding="utf-8"))
    assert tuple(schema["else"]["properties"]["dimensions"]["items"]["enum"]) == DIMENSIONS
