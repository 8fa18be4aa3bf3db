"""Dimensions and segments over the platform's tables: against plain loops, and against worlds with one part's units."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from crossdomain.errors import InputError
from crossdomain.experiments.analysis import analyze
from crossdomain.experiments.page import render_page
from tests.unit.experiments.conftest import DESIGN, FIRST, act, expose, fill, world

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
        con.execute("INSERT INTO clean.exposures SELECT ts::DATE, 'exp', 'account', unit, variant, ts FROM kept")
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


def test_an_attribute_that_the_platform_does_not_know_is_refused(design):
    with pytest.raises(InputError, match="'province' is not known of units before their exposure: activity, sides"):
        design(DESIGN + "dimensions: [province]\n")
