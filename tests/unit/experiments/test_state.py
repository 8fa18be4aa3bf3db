"""The running state: folding day after day gives what the whole experiment gives at once, and touches few units."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from crossdomain.experiments import state
from crossdomain.experiments.moments import WHOLE, Sums, carried, day_difference, held_moments, samples, units_by_day
from crossdomain.experiments.state import Fold, fingerprint, fold_state, state_rows, view_totals
from crossdomain.experiments.tallies import Tally, added, day_tallies, held_tallies
from crossdomain.stats.cuped import MeanAndCovariate, RatioAndCovariate
from crossdomain.stats.moments import Moments, PairMoments
from crossdomain.stats.proportions import Successes
from tests.unit.experiments.conftest import DESIGN, FIRST, act, expose, fill, world

LAST = FIRST + timedelta(days=5)
RICH = (
    DESIGN
    + """
  - {name: came_back, kind: proportion, events: [click, purchase], days: [1, 2]}
  - {name: clicks_per_exposure, kind: ratio, numerator: {events: [click]}, denominator: exposures}
  - {name: spent, kind: mean, events: [purchase], column: value, cuped: true}
  - name: spent_per_order
    kind: ratio
    cuped: true
    numerator: {events: [purchase], column: value}
    denominator: {events: [purchase]}
cuped_days: 2
"""
)


@pytest.fixture
def held(con):
    con.execute(
        "CREATE SCHEMA held; CREATE TABLE held.experiment_state (ds DATE, experiment_id VARCHAR, design VARCHAR,"
        " unit BLOB, variant VARCHAR, several BOOLEAN, exposed_ts TIMESTAMPTZ, exposed_ds DATE, met_ts TIMESTAMPTZ,"
        " first_ts TIMESTAMPTZ,"
        " first_ds DATE, exposures BIGINT, attributes VARCHAR[], totals DECIMAL(18,2)[], covariates DECIMAL(18,2)[])"
    )
    return con


def whole(con, design, until):
    """Moments, tallies and unit totals of everything up to a day, computed at once."""
    fold = Fold(date.min, until, held=False, design=fingerprint(design))
    fold_state(con, design, fold)
    rows = con.execute(
        "SELECT unit, variant, several, exposed_ts, met_ts, first_ts, exposures, attributes, totals, covariates"
        " FROM state_after ORDER BY 1"
    ).fetchall()
    return carried({}, day_difference(con, design)), added({}, day_tallies(con, design, fold)), rows


class Daily:
    """Folds one day after the other, as the job does."""

    def __init__(self, con, design, kept=28):
        self.con, self.design, self.kept = con, design, kept
        self.moments, self.tallies, self.begun, self.written = {}, {}, False, []

    def fold(self, day):
        design, con = self.design, self.con
        leaving = day - timedelta(days=self.kept) if self.begun else None
        first = day if self.begun else date.min
        fold = Fold(first, day, held=self.begun, design=fingerprint(design), leaving=leaving)
        fold_state(con, design, fold)
        con.execute(f"CREATE OR REPLACE TEMP TABLE new_rows AS {state_rows(design, fold)}")
        self.moments = carried(self.moments, day_difference(con, design))
        self.tallies = added(self.tallies, day_tallies(con, design, fold))
        con.execute("INSERT INTO held.experiment_state SELECT ?, * FROM new_rows", [day])
        con.execute("DELETE FROM held.experiment_state WHERE ds <= ?", [day - timedelta(days=self.kept)])
        self.written.append(con.execute("SELECT count(*) FROM new_rows").fetchall()[0][0])
        self.begun = True

    @property
    def strata(self):
        return self.moments.get(WHOLE, {})

    def rows(self):
        return self.con.execute(
            "SELECT unit, variant, several, exposed_ts, met_ts, first_ts, exposures, attributes, totals, covariates"
            " FROM held.experiment_state QUALIFY row_number() OVER (PARTITION BY unit ORDER BY ds DESC) = 1 ORDER BY 1"
        ).fetchall()


def know(con, people):
    """Accounts that turn up, and whose attributes and consents change, from day to day; some withdrew by now."""
    con.execute(
        "INSERT INTO derived.accounts SELECT ds, unit, if(h % 2 = 0, 'beauty', 'knowledge'), "
        "TIMESTAMPTZ '2026-01-04 00:00:00+00' - to_days((h % 200)::INTEGER), "
        "if(hash(h, ds) % 2 = 0, 'female', 'male'), 1960 + (hash(h, ds, 'b') % 60)::INTEGER, "
        "if(hash(h, ds, 'p') % 3 = 0, NULL, 'province ' || h % 3) "
        "FROM (SELECT unhex(lpad(hex(i), 32, '0')) AS unit, hash(i) AS h, i FROM range(?) AS r(i)), "
        "(SELECT DATE '2026-01-04' + d::INTEGER AS ds, d FROM range(7) AS r(d)) WHERE i % 7 <= d",
        [people],
    )
    con.execute(
        "INSERT INTO derived.people SELECT ds, account, account, hash(account, ds) % 3 > 0 FROM derived.accounts"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE withheld AS SELECT account AS unit FROM derived.people WHERE ds = "
                "(SELECT max(ds) FROM derived.people) AND hash(account) % 5 = 0")  # fmt: skip
    con.execute(
        "UPDATE clean.events SET domain = if(placement = 'home', 'beauty', 'knowledge'), "
        "channel = if(quantity = 1, NULL, 'channel ' || quantity)"
    )
    con.execute("UPDATE clean.exposures SET placement = if(hash(ts) % 3 = 0, NULL, 'place ' || hash(ts) % 4)")


DESIGNS = {
    "plain": DESIGN,
    "rich": RICH,
    "trigger": RICH + "trigger: {events: [click], where: {placement: home}}\n",
    "exposure event": DESIGN + "exposure_event: {events: [view]}\n",
    "both": DESIGN + "exposure_event: {events: [view]}\ntrigger: {events: [click]}\n",
    "dimensions": RICH
    + """
dimensions: [activity, sides, channel, placement, domain, registered, age, gender, province]
segments:
  - {name: known_women, where: {gender: [female], registered: [7-29, 30-179]}}
  - {name: idle, where: {activity: ['0']}}
""",
    "window": RICH + f"start: {FIRST + timedelta(days=1)}\nend: {FIRST + timedelta(days=3)}\n",
}


@pytest.mark.parametrize("kept", [28, 2, 1])
@pytest.mark.parametrize("text", DESIGNS.values(), ids=DESIGNS)
def test_day_after_day_gives_what_all_days_give_at_once(held, design, text, kept):
    exposures, events = world(people=100)
    fill(held, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    know(held, people=100)
    daily = Daily(held, design(text), kept)
    for step in range(6):
        day = FIRST + timedelta(days=step)
        daily.fold(day)
        moments, tallies, rows = whole(held, daily.design, day)
        assert daily.rows() == rows
        assert daily.moments == moments
        assert daily.tallies == tallies
    assert sum(units.n for units in moments[WHOLE].values()) > 0
    for dimension in daily.design.dimensions:
        own = [strata for part, strata in moments.items() if part.name == dimension]
        assert len(own) > 1, f"{dimension} tells nobody apart"
        whole_of = samples(daily.design, moments[WHOLE], LAST)
        parted = [samples(daily.design, strata, LAST) for strata in own]
        assert {key: sum((one[key] for one in parted), Sums()) for key in whole_of} == whole_of


def test_a_day_touches_only_who_was_active(held, design):
    for number in range(50):
        expose(held, number.to_bytes(16, "big"), ("control", "treatment")[number % 2], 1)
    act(held, (3).to_bytes(16, "big"), "purchase", 30, value=Decimal(5))
    act(held, (4).to_bytes(16, "big"), "view", 31)  # of no metric
    expose(held, (60).to_bytes(16, "big"), "control", 50)
    daily = Daily(held, design(), kept=3)
    for step in range(6):
        daily.fold(FIRST + timedelta(days=step))
    # Day 4 writes the 49 of the first day again that nothing changed since, day 5 the buyer of the second.
    assert daily.written == [50, 1, 1, 49, 1, 1]


def test_a_unit_seen_in_a_second_variant_leaves_the_moments(held, design):
    expose(held, b"a" * 16, "control", 1)
    act(held, b"a" * 16, "purchase", 2, value=Decimal(5))
    expose(held, b"a" * 16, "treatment", 30)
    daily = Daily(held, design())
    daily.fold(FIRST)
    assert samples(daily.design, daily.strata, FIRST)["revenue", "control"].x == 5
    daily.fold(FIRST + timedelta(days=1))
    assert daily.strata == {}
    assert daily.tallies[Tally("several", FIRST, "")] == 1


def test_covariates_are_what_came_before_the_first_exposure(held, design):
    account = b"a" * 16
    for hours, value in ((-49, 1), (-48, 2), (-1, 4), (0, 8), (1, 16)):  # exposed at 0, looking back 48 hours
        act(held, account, "purchase", hours, value=Decimal(value))
    expose(held, account, "control", 0)
    daily = Daily(held, design(RICH))
    for step in (-3, -2, -1, 0, 1):
        daily.fold(FIRST + timedelta(days=step))
    spent = samples(daily.design, daily.strata, FIRST)["spent", "control"]
    assert (spent.n, spent.x, spent.cx, spent.xcx, spent.cxcx) == (1, 24, 6, 144, 36)
    ratio = samples(daily.design, daily.strata, FIRST)["spent_per_order", "control"]
    assert (ratio.x, ratio.y, ratio.cx, ratio.cy, ratio.ycy) == (24, 2, 6, 2, 4)


def test_retention_waits_until_a_unit_has_had_its_days(held, design):
    for number, hours in enumerate((1, 30)):
        unit = bytes([number]) * 16
        expose(held, unit, "control", hours)
        act(held, unit, "click", hours + 24)
    daily = Daily(held, design(RICH))
    seen = {}
    for step in range(5):
        daily.fold(FIRST + timedelta(days=step))
        found = samples(daily.design, daily.strata, FIRST + timedelta(days=step))["came_back", "control"]
        seen[step] = (found.n, found.x)
    assert seen == {0: (0, 0), 1: (0, 0), 2: (1, 1), 3: (2, 2), 4: (2, 2)}


def test_samples_are_those_of_the_units(held, design):
    exposures, events = world(people=120)
    fill(held, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    made = design(RICH)
    moments, _, _ = whole(held, made, LAST)
    held.execute("CREATE OR REPLACE TEMP TABLE t AS SELECT * FROM state_after WHERE counted")
    for arm in ("control", "treatment"):
        rows = held.execute("SELECT totals, covariates, exposures FROM t WHERE variant = ?", [arm]).fetchall()
        totals = [row[0] for row in rows]
        found = samples(made, moments[WHOLE], LAST)
        assert found["purchase_rate", arm].sample(made.metric("purchase_rate")) == Successes(
            sum(int(t[1]) for t in totals), len(rows)
        )
        assert found["revenue", arm].sample(made.metric("revenue")) == Moments(
            len(rows), sum(t[2] for t in totals), sum(t[2] ** 2 for t in totals)
        )
        clicks = PairMoments.of([t[7] for t in totals], [row[2] for row in rows])
        assert found["clicks_per_exposure", arm].sample(made.metric("clicks_per_exposure")) == clicks
        spent = found["spent", arm]
        want = np.array([[float(t[9]), float(row[1][0])] for t, row in zip(totals, rows, strict=True)])
        assert float(spent.xcx) == pytest.approx((want[:, 0] * want[:, 1]).sum())
        assert float(spent.cxcx) == pytest.approx((want[:, 1] ** 2).sum())
        columns = [[t[9] for t in totals], [row[1][0] for row in rows]]
        assert spent.sample(made.metric("spent")) == MeanAndCovariate.of(*columns)
        columns = [[t[10] for t in totals], [t[11] for t in totals], [r[1][1] for r in rows], [r[1][2] for r in rows]]
        assert found["spent_per_order", arm].sample(made.metric("spent_per_order")) == RatioAndCovariate.of(*columns)
    by_day = units_by_day(made, moments[WHOLE])
    assert sum(units["control"] + units["treatment"] for units in by_day.values()) == len(
        held.execute("FROM t").fetchall()
    )


def test_moments_read_again_are_those_that_were_carried(held, design):
    exposures, events = world(people=120)
    fill(held, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    know(held, people=120)
    daily = Daily(held, design(DESIGNS["dimensions"]))
    for step in range(6):
        daily.fold(FIRST + timedelta(days=step))
    held_by = fingerprint(daily.design)
    assert held_moments(held, daily.design, held_by) == daily.moments
    assert held_tallies(held, daily.design, held_by, daily.tallies) == daily.tallies
    gone = (1).to_bytes(16, "big")
    held.execute("DELETE FROM held.experiment_state WHERE unit = ?", [gone])
    held.execute("DELETE FROM clean.exposures WHERE unit = ?", [gone])
    assert held_moments(held, daily.design, held_by) == whole(held, daily.design, LAST)[0] != daily.moments


def test_totals_of_the_state_are_those_of_the_whole(held, design):
    exposures, events = world(people=120)
    fill(held, list(exposures.itertuples(index=False)), list(events.itertuples(index=False)))
    daily = Daily(held, design(RICH))
    for step in range(6):
        daily.fold(FIRST + timedelta(days=step))
    view_totals(held, daily.design, fingerprint(daily.design))
    found = held.execute("FROM experiment_totals ORDER BY unit").fetchall()
    whole(held, daily.design, LAST)
    columns = state.totals_columns(daily.design)
    assert found == held.execute(f"SELECT {columns} FROM state_after WHERE counted ORDER BY unit").fetchall()


def test_order_of_rows_and_threads_change_nothing(held, design):
    exposures, events = world(people=100)
    rows = list(exposures.itertuples(index=False)), list(events.itertuples(index=False))
    fill(held, *rows)
    want = whole(held, design(RICH), LAST)
    held.execute("DELETE FROM clean.exposures; DELETE FROM clean.events; SET threads = 1")
    fill(held, rows[0][::-1], rows[1][::-1])
    assert whole(held, design(RICH), LAST) == want


def test_units_that_are_left_out_do_not_count(held, design):
    for number in range(4):
        expose(held, bytes([number]) * 16, "control", 1)
    held.execute("CREATE TEMP TABLE left_out (unit BLOB)")
    held.execute("INSERT INTO left_out VALUES (?)", [bytes([2]) * 16])
    fold_state(held, design(), Fold(date.min, LAST, held=False, left_out=True))
    assert {row[0][0] for row in held.execute("SELECT unit FROM state_after").fetchall()} == {0, 1, 3}


def test_a_fingerprint_changes_with_what_is_counted_only(design):
    made = design(RICH)
    assert fingerprint(replace(made, alpha=0.1, looks=(3,))) == fingerprint(made)
    for changed in (
        replace(made, cuped_days=3),
        replace(made, metrics=made.metrics[:-1]),
        replace(made, start=FIRST),
        replace(made, dimensions=("activity",)),
        replace(made, variants=(*made.variants, ("third", 0.1))),
    ):
        assert fingerprint(changed) != fingerprint(made)
    assert fingerprint(made, "left") != fingerprint(made)


def test_the_trigger_counts_from_the_exposure_event_on(held, design):
    made = design(DESIGN + "trigger: {events: [click]}\nexposure_event: {events: [view]}\n")
    account = b"a" * 16
    expose(held, account, "control", 1)
    for hours, kind in ((0, "view"), (2, "click"), (30, "view"), (55, "click")):
        act(held, account, kind, hours)
    for hours, value in ((3, 1), (31, 2), (54, 4), (55, 8), (60, 16)):
        act(held, account, "purchase", hours, value=Decimal(value))
    daily = Daily(held, made)
    for step in range(3):
        daily.fold(FIRST + timedelta(days=step))
        if step < 2:
            assert daily.strata == {}
            assert daily.tallies[Tally("waiting", FIRST, "control")] == 1
    assert samples(made, daily.strata, LAST)["revenue", "control"].x == 24
    assert Tally("waiting", FIRST, "control") not in daily.tallies
