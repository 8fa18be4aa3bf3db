"""Quantiles and pooled caps from the state, against numpy on the same units."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from crossdomain.experiments.analysis import analyze
from crossdomain.experiments.moments import WHOLE, carried, day_difference
from crossdomain.experiments.state import Fold, build_totals, fold_state
from crossdomain.experiments.state_samples import state_samples
from crossdomain.stats.quantiles import estimate_quantile
from crossdomain.stats.winsorizing import cut, pooled_caps
from tests.unit.experiments.conftest import DESIGN, FIRST, fill, world

LAST = FIRST + timedelta(days=5)
UNITS = (
    DESIGN
    + """
  - {name: p80, kind: quantile, quantile: 0.8, events: [purchase], column: value}
  - {name: order_p50, kind: quantile, quantile: 0.5, per: event, events: [purchase], column: value}
  - {name: capped, kind: mean, events: [purchase], column: value, winsorize: 0.95}
  - {name: capped_before, kind: mean, events: [purchase], column: value, winsorize: 0.95, cuped: true}
cuped_days: 2
"""
)


@pytest.fixture
def found(con, design):
    """Samples and the units' purchase values by arm."""
    exposures, events = world(people=300)
    fill(con, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    made = design(UNITS)
    fold_state(con, made, Fold(date.min, LAST, held=False))
    strata = carried({}, day_difference(con, made))[WHOLE]
    samples = state_samples(con, made, strata, LAST, lambda: build_totals(con, made))
    arms = {}
    for arm in ("control", "treatment"):
        rows = con.execute("SELECT x5, cx8 FROM experiment_totals WHERE variant = ? ORDER BY unit", [arm]).fetchall()
        arms[arm] = np.array(rows, float)
    return samples, arms, con, made


def test_quantiles_are_those_of_the_units(found):
    samples, arms, _, _ = found
    for arm, values in arms.items():
        assert samples["p80", arm] == estimate_quantile(values[:, 0], 0.8)
        assert samples["p80", arm].value == pytest.approx(np.quantile(values[:, 0], 0.8))


def test_quantiles_of_events_are_clustered_by_unit(found):
    samples, _, con, _ = found
    for arm in ("control", "treatment"):
        rows = con.execute(
            "SELECT CAST(e.value AS DOUBLE), t.unit FROM experiment_totals AS t JOIN clean.events AS e"
            " ON e.account = t.unit WHERE t.variant = ? AND e.event_type = 'purchase' AND e.ts >= t.first_ts"
            " ORDER BY t.unit, e.value",
            [arm],
        ).fetchall()
        _, codes = np.unique([unit for _, unit in rows], return_inverse=True)
        want = estimate_quantile(np.array([value for value, _ in rows]), 0.5, clusters=codes)
        assert samples["order_p50", arm] == want
        assert want.units < want.n


def test_values_are_cut_at_a_quantile_of_all_arms(found):
    samples, arms, _, _ = found
    cap = np.quantile(np.concatenate([values[:, 0] for values in arms.values()]), 0.95)
    caps = pooled_caps([values[:, 0] for values in arms.values()], upper=0.95)
    assert caps[1] == pytest.approx(cap)
    for arm, values in arms.items():
        capped = cut(values[:, 0], caps)
        assert samples["capped", arm].mean == pytest.approx(capped.mean())
        assert samples["capped", arm].variance == pytest.approx(capped.var(ddof=1))
        joint = samples["capped_before", arm]
        assert float(joint.mean(0)) == pytest.approx(capped.mean())
        assert float(joint.mean(1)) == pytest.approx(values[:, 1].mean())


def test_the_whole_analysis_measures_all_of_them(found):
    _, _, con, made = found
    analysis = analyze(con, made, LAST)
    verdicts = {(one.metric, one.verdict) for one in analysis.metrics}
    assert {name for name, verdict in verdicts if verdict == "measured"} >= {
        "p80",
        "order_p50",
        "capped",
        "capped_before",
    }
    names = {check.check_name for check in analysis.checks}
    assert {"sample_ratio", "sample_ratio_by:day", "alike_before:capped_before", "multiple_exposures"} <= names
    assert [one.variant for one in analysis.decisions] == ["treatment"]
