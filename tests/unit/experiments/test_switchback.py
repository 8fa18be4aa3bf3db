"""Switchbacks: one schedule in Python, SQL and the command; analysis by slot; what one slot does in the next."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crossdomain.cli.main import main
from crossdomain.errors import InputError
from crossdomain.experiments.page import render_page
from crossdomain.experiments.planning import make_plan
from crossdomain.experiments.report import summarize
from crossdomain.experiments.simulating import rehearse
from crossdomain.experiments.switchback import (
    block_of,
    count_slots,
    deal_slots,
    schedule,
    schedule_sql,
    slot_sql,
    slots_on,
)
from crossdomain.jobs.experiment_files import analyze_file
from crossdomain.settings import Settings
from crossdomain.stats.power import pairs_for_t_test, units_for_t_test

ZONE = ZoneInfo("Asia/Shanghai")
DESIGN = """
experiment_id: front_page
unit: slot
data: {time: at, variant: arm, unit: visitor}
switchback: {slot_minutes: 60, burn_in_minutes: 10, scheme: SCHEME}
start: 2026-03-02
end: 2026-03-29
variants: {A: 0.5, B: 0.5}
control: A
metrics: [{name: bought, kind: mean, column: bought}]
"""
SCHEMES = ("independent", "blocks", "weekdays")
SLOTS = 28 * 24


def _text(scheme: str = "independent", **changes: str) -> str:
    text = DESIGN.replace("SCHEME", scheme)
    for old, new in changes.items():
        text = text.replace({"rows": "data: {time: at, variant: arm, unit: visitor}"}.get(old, old), new)
    return text


def _visits(design, *, effect=0.0, carried=0.0, seed=1, slots=None) -> pd.DataFrame:
    """Visits of every slot by its schedule: more in the evening, and buying in waves over days and hours."""
    rng = np.random.default_rng(seed)
    found, before = [], None
    for one in schedule(design, ZONE)[:slots]:
        n = 3 + int(4 * (1 + np.sin(one.slot / 24 * 2 * np.pi))) + int(rng.integers(0, 3))
        level = 20 + 5 * np.sin(one.slot / 31) + 4 * np.sin(one.slot / 24 * 2 * np.pi) + rng.normal(0, 1)
        level += effect * (one.variant == "B") + carried * (before == "B")
        at = one.begins + (one.ends - one.begins) * np.sort(rng.random(n))
        found.append(
            pd.DataFrame(
                {
                    "at": at, "arm": one.variant, "visitor": [f"v{rng.integers(0, 50)}" for _ in range(n)],
                    "bought": np.round(level + rng.normal(0, 2, n), 3), "orders": 1 + rng.integers(0, 3, n),
                }
            )
        )  # fmt: skip
        before = one.variant
    return pd.concat(found, ignore_index=True)


@pytest.fixture
def run(tmp_path):
    def analyze(data: pd.DataFrame, text: str) -> dict:
        (tmp_path / "design.yaml").write_text(text, encoding="utf-8")
        data.to_parquet(tmp_path / "rows.parquet", index=False)
        analysis = analyze_file(Settings(), tmp_path / "design.yaml", [str(tmp_path / "rows.parquet")], None)
        summary = summarize(analysis.design, analysis.metrics, analysis.checks, analysis.decisions, analysis.parts)
        return json.loads(json.dumps(summary)) | {"page": render_page(analysis), "units": analysis.units}

    return analyze


def _checks(document: dict) -> dict[str, dict]:
    return {check["check_name"]: check for check in document["checks"]}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_python_and_sql_deal_the_same_schedule(design, scheme):
    made = design(_text(scheme))
    assert count_slots(made, ZONE) == SLOTS
    dealt = schedule(made, ZONE)
    con = duckdb.connect()
    assert con.execute(schedule_sql(made, SLOTS)).fetchall() == [(one.slot, one.block, one.variant) for one in dealt]
    assert dealt[0].begins == datetime(2026, 3, 1, 16, tzinfo=UTC)
    assert dealt[0].measured_from - dealt[0].begins == timedelta(minutes=10)
    assert dealt[-1].ends == datetime(2026, 3, 29, 16, tzinfo=UTC)
    moments = [one.begins + timedelta(minutes=59, seconds=59) for one in dealt[:50]]
    con.execute("SET TimeZone = 'UTC'")
    placed = con.execute(
        f"SELECT {slot_sql(made, ZONE)} FROM (SELECT unnest($moments)::TIMESTAMPTZ AS ts)", {"moments": moments}
    ).fetchall()
    assert [slot for (slot,) in placed] == list(range(50))
    # What a slot gets depends neither on how many are asked for nor on the run.
    assert deal_slots(made, 101) == tuple(one.variant for one in dealt[:101])


def test_a_block_has_every_variant_by_its_weight_in_every_order(design):
    text = _text("blocks").replace("{A: 0.5, B: 0.5}", "{A: 0.25, B: 0.5, C: 0.25}")
    made = design(text)
    assert made.switchback.block_slots == 4
    dealt = deal_slots(made, 4 * 3000)
    blocks = ["".join(dealt[start : start + 4]) for start in range(0, len(dealt), 4)]
    assert {tuple(sorted(block)) for block in blocks} == {("A", "B", "B", "C")}
    orders = Counter(blocks)
    assert len(orders) == 12
    assert stats.chisquare(list(orders.values())).pvalue > 0.001


def test_weekdays_pair_an_hour_with_the_same_hour_of_the_next_week(design):
    made = design(_text("weekdays"))
    dealt = deal_slots(made, SLOTS)
    week = 7 * 24
    assert all({dealt[slot], dealt[slot + week]} == {"A", "B"} for slot in [*range(week), *range(2 * week, 3 * week)])
    assert block_of(made.switchback, 3) == block_of(made.switchback, 3 + week) != block_of(made.switchback, 4)
    # The next two weeks are dealt anew.
    same = sum(dealt[slot] == dealt[slot + 2 * week] for slot in range(week))
    assert 0.3 * week < same < 0.7 * week


def test_independent_slots_follow_the_weights_and_an_experiment_has_its_own(design):
    text = _text().replace("{A: 0.5, B: 0.5}", "{A: 0.8, B: 0.2}")
    made, other = design(text), design(text.replace("front_page", "back_page"))
    dealt, others = deal_slots(made, 20_000), deal_slots(other, 20_000)
    assert stats.binomtest(dealt.count("B"), 20_000, 0.2).pvalue > 0.001
    both = sum(a == b == "B" for a, b in zip(dealt, others, strict=True))
    assert stats.binomtest(both, 20_000, 0.04).pvalue > 0.001


def test_slots_last_as_long_when_clocks_change(design):
    berlin = ZoneInfo("Europe/Berlin")
    made = design(_text())  # clocks go forward on 29 March: the last day has 23 hours
    dealt = schedule(made, berlin)
    assert len(dealt) == SLOTS - 1
    assert {one.ends - one.begins for one in dealt} == {timedelta(hours=1)}
    assert len(list(slots_on(dealt, date(2026, 3, 29), berlin))) == 23


def test_slots_are_the_clusters_and_burn_ins_are_left_out(design, run):
    text = _text()
    made = design(text)
    visits = _visits(made, effect=1.0)
    got = run(visits, text)
    assert got["trusted"] is True, _checks(got)
    minute = visits["at"].dt.minute
    kept = visits[minute >= 10].assign(slot=visits["at"].dt.floor("h"))
    # A visitor's rows within a slot are one unit.
    units = kept.groupby(["arm", "slot", "visitor"], as_index=False)["bought"].sum()
    slots = units.groupby(["arm", "slot"])["bought"].agg(["sum", "size"])
    x = {arm: slots.loc[arm] for arm in "AB"}
    means = {arm: one["sum"].sum() / one["size"].sum() for arm, one in x.items()}
    moved = {
        arm: [(one["sum"].sum() - x_i) / (one["size"].sum() - n_i) - means[arm] for x_i, n_i in one.to_numpy()]
        for arm, one in x.items()
    }
    se = np.sqrt(sum(np.square(one).sum() * (len(one) - 1) / len(one) for one in moved.values()))
    row = got["metrics"]["bought"]["B"]
    assert row["estimate"] == pytest.approx(means["B"] - means["A"], rel=1e-9)
    assert (row["se"], row["method"]) == (pytest.approx(se, rel=1e-9), "clustered_t")
    assert got["units"] == (len(x["A"]), len(x["B"]))
    checks = _checks(got)
    assert checks["left_out_rows"]["value"] == (minute < 10).sum()
    assert checks["missing_slots"]["ok"]
    assert f"0 of {SLOTS} slots had another variant" in checks["assignment"]["detail"]
    assert "burn-in" in got["page"]
    assert "时段" in got["page"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_order_and_the_zone_of_the_times_change_nothing(design, run, scheme):
    text = _text(scheme)
    visits = _visits(design(text), effect=0.5)
    want = run(visits, text)
    assert want["metrics"]["bought"]["B"]["method"] == ("clustered_t" if scheme == "independent" else "blocked_t")
    shuffled = visits.sample(frac=1, random_state=3)
    assert run(shuffled, text) == want
    local = shuffled.assign(at=shuffled["at"].dt.tz_convert("Asia/Shanghai").dt.tz_localize(None))
    assert run(local, text) == want
    # By the number of the slot, burn-ins left out beforehand.
    since = visits["at"] - pd.Timestamp("2026-03-01T16:00Z")
    by_slot = visits.assign(slot=since // pd.Timedelta("1h"))[visits["at"].dt.minute >= 10].drop(columns="at")
    by_number = run(by_slot, text.replace("time: at", "slot: slot"))
    assert by_number["metrics"] == want["metrics"]
    begins = by_slot.assign(slot=pd.Timestamp("2026-03-02") + pd.to_timedelta(by_slot["slot"], "h"))
    assert run(begins, text.replace("time: at", "slot: slot"))["metrics"] == want["metrics"]


def test_weekdays_take_out_what_an_hour_of_the_week_is(design, run):
    free, paired = (run(_visits(design(_text(one)), effect=0.3), _text(one)) for one in ("independent", "weekdays"))
    assert paired["metrics"]["bought"]["B"]["se"] < 0.7 * free["metrics"]["bought"]["B"]["se"]
    assert paired["metrics"]["bought"]["B"]["p"] < 0.05


@pytest.mark.parametrize("scheme", SCHEMES)
def test_p_is_that_of_the_randomisation(design, run, scheme):
    """The schedule dealt anew, with the values as they are: the distribution that p claims to be of."""
    text = _text(scheme)
    made = design(text)
    visits = _visits(made, effect=0.25, seed=5)
    row = run(visits, text)["metrics"]["bought"]["B"]
    kept = visits[visits["at"].dt.minute >= 10]
    slot = (kept["at"] - pd.Timestamp("2026-03-01T16:00Z")) // pd.Timedelta("1h")
    units = kept.assign(slot=slot).groupby(["slot", "visitor"])["bought"].sum().groupby("slot").agg(["sum", "size"])
    x, n = units["sum"].to_numpy(), units["size"].to_numpy()

    def difference(name: str) -> float:
        dealt = np.array(deal_slots(design(text.replace("front_page", name)), SLOTS))[units.index] == "B"
        return x[dealt].sum() / n[dealt].sum() - x[~dealt].sum() / n[~dealt].sum()

    assert difference("front_page") == pytest.approx(row["estimate"])
    drawn = np.array([difference(f"draw{number}") for number in range(400)])
    assert np.std(drawn) == pytest.approx(row["se"], rel=0.15)
    share = np.mean(np.abs(drawn - drawn.mean()) >= abs(row["estimate"]))
    assert share == pytest.approx(row["p"], abs=0.08)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_slot_does_in_the_next_is_found(design, run, scheme):
    text = _text(scheme)
    quiet = _checks(run(_visits(design(text), effect=1.0), text))["carry_over"]
    assert quiet["ok"]
    check = _checks(run(_visits(design(text), effect=1.0, carried=6.0), text))["carry_over"]
    assert not check["ok"]
    assert check["value"] == pytest.approx(6.0, abs=2.5)
    assert "slots after B rather than A" in check["detail"]


def test_too_few_slots_say_nothing_of_carry_over(design, run):
    got = run(_visits(design(_text()), slots=12), _text())
    assert "nothing is known" in _checks(got)["carry_over"]["detail"]
    assert got["decision"] == "continue"  # the end is not reached


def test_another_variant_than_the_schedules_is_found(design, run):
    text = _text("blocks")
    visits = _visits(design(text))
    swapped = visits.assign(arm=visits["arm"].map({"A": "B", "B": "A"}))
    got = run(swapped, text)
    assert not _checks(got)["assignment"]["ok"]
    assert got["decision"] is None
    elsewhere = text.replace("scheme: blocks", "scheme: blocks, dealt: elsewhere")
    assert "assignment" not in _checks(run(swapped, elsewhere))


def test_slots_of_two_variants_and_lost_slots_are_named(design, run):
    text = _text()
    visits = _visits(design(text))
    first = visits["at"].min().floor("h")
    hour = (visits["at"] - first) // pd.Timedelta("1h")
    seventh = visits.index[(hour == 7) & (visits["at"].dt.minute >= 10)]
    arms = visits["arm"].copy()
    arms[seventh] = ["A", *["B"] * (len(seventh) - 1)]
    mixed = visits.assign(arm=arms)[hour != 5]
    early = mixed.iloc[:3].assign(at=mixed["at"].min() - pd.Timedelta("2D"))
    checks = _checks(run(pd.concat([early, mixed]), text))
    assert not checks["missing_slots"]["ok"]
    assert checks["missing_slots"]["detail"].startswith(
        f"2 of the {SLOTS} slots up to the last one with rows have none"
    )
    assert "1 of" in checks["multiple_exposures"]["detail"]
    assert "3 in none of the slots" in checks["left_out_rows"]["detail"]


def test_ratios_and_covariates_of_slots_are_compared_by_t(design, run):
    text = _text().replace(
        "metrics: [{name: bought, kind: mean, column: bought}]",
        "metrics:\n  - {name: per_order, kind: ratio, numerator: bought, denominator: orders}\n"
        "  - {name: adjusted, kind: mean, column: bought, cuped: before}\n",
    )
    visits = _visits(design(text))
    since = (visits["at"] - pd.Timestamp("2026-03-01T16:00Z")) // pd.Timedelta("1h")
    visits["before"] = 20 + 5 * np.sin(since / 31)  # the same hour of an earlier month
    got = run(visits.drop_duplicates(["visitor", "at"]), text)["metrics"]
    assert got["per_order"]["B"]["method"] == "clustered_t"
    assert got["adjusted"]["B"]["method"] == "cuped_clustered_t"


def test_bad_times_and_slots_are_refused(design, run):
    text = _text()
    visits = _visits(design(text), slots=30)
    with pytest.raises(InputError, match="'at' is missing in 1 rows"):
        run(visits.assign(at=visits["at"].where(visits.index != 3)), text)
    with pytest.raises(InputError, match="not times as"):
        run(visits.assign(at=visits["at"].astype(str) + "?"), text)
    with pytest.raises(InputError, match="no slot begins"):
        run(visits.assign(slot=visits["at"]).drop(columns="at"), text.replace("time: at", "slot: slot"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("start: 2026-03-02\n", "", "start: a switchback's slots run from start to end"),
        ("experiment_id: front_page\n", "", "experiment_id: is required: it keys the hash"),
        ("slot_minutes: 60", "slot_minutes: 7", "7 minutes neither divide a day"),
        ("burn_in_minutes: 10", "burn_in_minutes: 60", "leave nothing of a slot"),
        ("scheme: independent", "scheme: daily", "switchback.scheme: 'daily' is unknown"),
        ("scheme: independent", "scheme: independent, block_slots: 4", "independent slots have no blocks"),
        ("scheme: independent", "scheme: blocks, block_slots: 3", "A with weight 0.5 has 1.5 of the 3 slots"),
        ("time: at, variant", "time: at, slot: s, variant", "data: a switchback's file has the time of each row, or"),
        ("time: at, variant", "variant", "data: a switchback's file has the time of each row, or"),
        ("unit: visitor}", "unit: visitor, day: day}", "data.day: does not belong to a switchback"),
        ("control: A", "control: A\nanalysis: always_valid", "analysis: a switchback is analysed at its end"),
        ("control: A", "control: A\nsample_ratio_metrics: [x]", "sample_ratio_metrics: a switchback deals slots"),
        ("unit: slot", "unit: account", "unit: with a file the column of units is data.unit"),
        ("slot_minutes: 60", "minutes: 60", "switchback.minutes: unknown key; known are block_slots"),
    ],
)
def test_designs_that_contradict_themselves_are_refused(design, old, new, message):
    assert old in _text()
    with pytest.raises(InputError) as refusal:
        design(_text().replace(old, new, 1))
    assert message in str(refusal.value)


def test_what_needs_units_is_refused(design):
    days = _text("weekdays").replace("slot_minutes: 60, burn_in_minutes: 10", "slot_minutes: 2880")
    with pytest.raises(InputError, match="do not make a week"):
        design(days)
    quantile = _text("blocks").replace("kind: mean", "kind: quantile, quantile: 0.5")
    with pytest.raises(InputError, match="a quantile has no test within blocks"):
        design(quantile)
    with pytest.raises(InputError, match="covariate belongs to scheme independent"):
        design(_text("blocks").replace("column: bought", "column: bought, cuped: before"))


PLANNED = "minimum_effect: {absolute: 0.5}\nexpected: {mean: 10, deviation: 2, correlation: 0.6}\n"


def test_the_plan_counts_slots(design):
    free = make_plan(design(_text() + PLANNED))
    n = units_for_t_test(0.25)
    assert free.units == pytest.approx(2 * n, abs=1)
    assert free.days == -(-free.units // 24)
    assert dict(free.curve)[0.5] == pytest.approx(0.8, abs=0.005)
    paired = make_plan(design(_text("blocks") + PLANNED))
    # A pair's difference has variance 2 s^2 (1 - r).
    assert paired.units / 2 == pytest.approx(pairs_for_t_test(0.5 / np.sqrt(2 * 4 * 0.4)), abs=1)
    assert paired.fixed_units == free.units
    weeks = make_plan(design(_text("weekdays") + PLANNED))
    assert weeks.days == 14
    with pytest.raises(InputError, match=r"expected\.deviation"):
        make_plan(design(_text() + PLANNED.replace("deviation: 2, ", "")))
    with pytest.raises(InputError, match="follow from slot_minutes"):
        make_plan(design(_text() + PLANNED.replace("mean: 10", "mean: 10, units_per_day: 5")))
    with pytest.raises(InputError, match="a rehearsal deals units"):
        rehearse(design(_text() + PLANNED), experiments=10, seed=1)


def test_a_plan_of_slots_finds_what_it_says():
    """Pairs as planned, with the effect: found as often as the plan says."""
    rng = np.random.default_rng(8)
    pairs = int(np.ceil(pairs_for_t_test(0.5)))
    assert pairs == 34  # Cohen's table for d = 0.5, two-sided 5 %, power 80 %
    values = rng.normal(0.5, 1, (4000, pairs))
    found = stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)


def _call(monkeypatch, capfd, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["crossdomain", "experiment", "assign", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    return ended.value.code or 0, out, err


def test_the_command_gives_the_schedule(design, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path / "home"))
    text = _text("weekdays")
    path, dealt = tmp_path / "mine.yaml", schedule(design(text), ZONE)
    path.write_text(text, encoding="utf-8")
    code, out, _ = _call(monkeypatch, capfd, "--design", path, "--json")
    found = json.loads(out)
    assert code == 0
    assert [row["variant"] for row in found["schedule"]] == [one.variant for one in dealt]
    assert found["schedule"][1]["measured_from"] == "2026-03-02T01:10:00+08:00"
    assert found["assigned"] == {"A": SLOTS // 2, "B": SLOTS // 2}
    for name in ("schedule.csv", "schedule.parquet"):
        code, out, _ = _call(monkeypatch, capfd, "--design", path, "--out", tmp_path / name, "--json")
        assert json.loads(out)["slots"] == SLOTS
        rows = duckdb.sql(f"SELECT slot, variant, epoch(begins) FROM '{tmp_path / name}' ORDER BY slot").fetchall()
        assert rows == [(one.slot, one.variant, one.begins.timestamp()) for one in dealt]
    code, out, _ = _call(monkeypatch, capfd, "--design", path, "--date", "2026-03-03", "--json")
    assert [row["slot"] for row in json.loads(out)["schedule"]] == list(range(24, 48))
    (tmp_path / "units.csv").write_text("unit\na\n", encoding="utf-8")
    code, _, err = _call(monkeypatch, capfd, "--design", path, "--units", tmp_path / "units.csv")
    assert code == 2
    assert "leave out --units" in err


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_outside_the_slots_give_no_result_and_say_why(design, run, scheme):
    visits = _visits(design(_text(scheme)), slots=20)
    got = run(visits.assign(at=visits["at"] - pd.Timedelta("90D")), _text(scheme))
    assert f"{len(visits)} in none of the slots" in _checks(got)["left_out_rows"]["detail"]
    assert got["metrics"]["bought"]["B"]["verdict"] == "too_few_units"
    assert got["trusted"] is False
    assert got["decision"] is None


def test_proportions_and_three_variants_within_blocks(design, run):
    text = (
        _text("blocks")
        .replace("{A: 0.5, B: 0.5}", "{A: 0.5, B: 0.25, C: 0.25}")
        .replace("kind: mean, column: bought", "kind: proportion, column: bought")
        .replace(", unit: visitor", "")
    )
    visits = _visits(design(text))
    chance = np.where(visits["arm"] == "C", 0.45, 0.3)
    visits["bought"] = (np.random.default_rng(9).random(len(visits)) < chance).astype(int)
    got = run(visits, text)["metrics"]["bought"]
    assert got["C"]["p"] < 0.001 < got["B"]["p"]
    kept = visits[visits["at"].dt.minute >= 10]
    assert got["C"]["mean"] == pytest.approx(kept[kept["arm"] == "C"]["bought"].mean())
    assert {row["method"] for row in got.values()} == {"blocked_t"}
