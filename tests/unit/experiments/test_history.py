"""Results read back from rows of the serving tables: the last day, and the days before as a curve."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest

from crossdomain.experiments.analysis import analyze
from crossdomain.experiments.history import analysis_from_rows
from crossdomain.experiments.page import render_page
from tests.unit.experiments.conftest import DESIGN, FIRST, fill, world

SEQUENTIAL = "analysis: group_sequential\nlooks: [3, 6]\nstart: 2026-01-05\n"


@pytest.mark.parametrize("more", ["", SEQUENTIAL, "analysis: always_valid\n"])
def test_days_make_a_curve_with_its_bound(con, design, more):
    exposures, events = world(people=300)
    fill(con, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    wanted = design(DESIGN + more)
    metrics, checks, decisions = [], [], []
    for step in range(6):
        day = FIRST + timedelta(days=step)
        found = analyze(con, wanted, day)
        metrics += [asdict(one) | {"ds": day} for one in found.metrics]
        checks = [asdict(one) for one in found.checks]
        decisions = [asdict(one) for one in found.decisions]
    got = analysis_from_rows(wanted, day, metrics, checks, decisions)
    assert (got.metrics, got.checks, got.decisions) == (found.metrics, found.checks, found.decisions)
    assert [one.day for one in got.daily] == [(FIRST + timedelta(days=step)).isoformat() for step in range(6)]
    for one in got.daily:
        assert one.bound_low <= one.low < one.estimate < one.high <= one.bound_high
    assert got.daily[-1].estimate == next(one.estimate for one in found.metrics if one.is_primary)
    assert sum(got.units) == sum(found.units or got.units)
    assert "Trial" in render_page(got)
    assert analysis_from_rows(wanted, day + timedelta(days=1), metrics, checks, decisions) is None
