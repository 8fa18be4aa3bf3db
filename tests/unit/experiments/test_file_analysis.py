"""An analyst's files: oracles, order and form of the rows, bad data, known answers of a real test."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from typer.testing import CliRunner

from crossdomain.cli.experiment import app
from crossdomain.errors import InputError
from crossdomain.experiments.report import summarize
from crossdomain.jobs.experiment_files import analyze_file
from crossdomain.settings import Settings

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "ab_free_trial"
DESIGN = """
data: {unit: user, variant: arm, covariates: [before]}
variants: {A: 0.5, B: 0.25, C: 0.25}
control: A
metrics:
  - {name: bought, kind: proportion, column: bought}
  - {name: revenue, kind: mean, column: revenue}
  - {name: revenue_cuped, kind: mean, column: revenue, cuped: before}
  - {name: revenue_capped, kind: mean, column: revenue, winsorize: 0.95}
  - {name: order_value, kind: ratio, numerator: revenue, denominator: orders}
  - {name: order_value_cuped, kind: ratio, numerator: revenue, denominator: orders, cuped: before}
  - {name: revenue_p75, kind: quantile, quantile: 0.75, column: revenue}
"""


def _rows(seed: int = 1, n: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    before = rng.gamma(2, 5, n)
    orders = rng.poisson(1.5, n) + 0
    revenue = np.round(orders * rng.gamma(2, 10, n) + before * (orders > 0), 2)
    arm = rng.choice(["A", "B", "C"], n, p=[0.5, 0.25, 0.25])
    return pd.DataFrame(
        {
            "user": [f"u{i:05d}" for i in range(n)], "arm": arm, "city": rng.choice(["北京", "上海"], n),
            "orders": orders, "revenue": revenue, "bought": (orders > 0).astype(int), "before": before,
        }
    )  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Analyses a frame (or files) by a design and gives the JSON document."""

    def analyze(data: pd.DataFrame | list[str], design: str = DESIGN, events: pd.DataFrame | None = None) -> dict:
        path = tmp_path / "design.yaml"
        path.write_text(design, encoding="utf-8")
        files = data
        if isinstance(data, pd.DataFrame):
            data.to_parquet(tmp_path / "rows.parquet", index=False)
            files = [str(tmp_path / "rows.parquet")]
        if events is not None:
            events.to_parquet(tmp_path / "events.parquet", index=False)
        got = analyze_file(Settings(), path, files, None if events is None else tmp_path / "events.parquet")
        summary = summarize(got.design, got.metrics, got.checks, got.decisions, got.parts, got.warnings)
        return json.loads(json.dumps(summary))

    return analyze


def _failed(document: dict) -> set[str]:
    return {check["check_name"] for check in document["checks"] if not check["ok"]}


def test_oracles_give_the_same(run):
    rows = _rows()
    got = run(rows)
    assert got["trusted"] is True
    a, b = (rows[rows.arm == arm] for arm in "AB")
    metrics = {name: arms["B"] for name, arms in got["metrics"].items()}
    counts = [len(rows[rows.arm == arm]) for arm in "ABC"]
    want = stats.chisquare(counts, [len(rows) * weight for weight in (0.5, 0.25, 0.25)])
    assert got["srm"]["p"] == pytest.approx(want.pvalue, rel=1e-9)
    t = stats.ttest_ind(b.revenue, a.revenue, equal_var=False)
    assert metrics["revenue"]["p"] == pytest.approx(t.pvalue, rel=1e-9)
    low, high = t.confidence_interval(0.95)
    assert (metrics["revenue"]["low"], metrics["revenue"]["high"]) == pytest.approx((low, high), rel=1e-9)
    assert (metrics["revenue"]["mean"], metrics["revenue"]["n"]) == (pytest.approx(b.revenue.mean()), len(b))
    z = sm.stats.proportions_ztest([b.bought.sum(), a.bought.sum()], [len(b), len(a)])
    assert metrics["bought"]["p"] == pytest.approx(z[1], rel=1e-9)
    both = pd.concat([a, b])
    design = sm.add_constant(np.column_stack([both.arm == "B", both.before]).astype(float))
    fit = sm.OLS(both.revenue.to_numpy(), design).fit()
    assert metrics["revenue_cuped"]["estimate"] == pytest.approx(fit.params[1], rel=1e-9)
    assert metrics["revenue_cuped"]["se"] < metrics["revenue"]["se"]
    cap = np.quantile(rows.revenue, 0.95)
    t = stats.ttest_ind(b.revenue.clip(upper=cap), a.revenue.clip(upper=cap), equal_var=False)
    assert metrics["revenue_capped"]["p"] == pytest.approx(t.pvalue, rel=1e-9)
    ratio = b.revenue.sum() / b.orders.sum() - a.revenue.sum() / a.orders.sum()
    assert metrics["order_value"]["estimate"] == pytest.approx(ratio, rel=1e-9)
    assert metrics["revenue_p75"]["estimate"] == pytest.approx(
        np.quantile(b.revenue, 0.75) - np.quantile(a.revenue, 0.75)
    )
    tested = [arms[v]["p"] for arms in got["metrics"].values() for v in "BC"]
    adjusted = [arms[v]["p_adjusted"] for arms in got["metrics"].values() for v in "BC"]
    assert adjusted == pytest.approx(list(sm.stats.multipletests(tested, method="holm")[1]))


def test_order_form_and_partitioning_change_nothing(run, tmp_path):
    rows = _rows(n=800)
    want = run(rows)
    shuffled = rows.sample(frac=1, random_state=5)
    assert run(shuffled) == want
    shuffled.to_csv(tmp_path / "rows.csv", index=False)
    assert run([str(tmp_path / "rows.csv")]) == want
    shuffled.to_csv(tmp_path / "rows.csv.gz", index=False)
    assert run([str(tmp_path / "rows.csv.gz")]) == want
    parts = tmp_path / "parts"
    parts.mkdir()
    for place in range(7):
        shuffled.iloc[place::7].to_parquet(parts / f"{place}.parquet", index=False)
    assert run([str(parts)]) == want
    by_city = tmp_path / "cities"
    shuffled.to_parquet(by_city, partition_cols=["city"], index=False)
    assert run([str(by_city)]) == want
    for arm in "ABC":
        rows[rows.arm == arm].drop(columns="arm").to_csv(tmp_path / f"{arm}.csv", index=False)
    assert run([f"{arm}={tmp_path / arm}.csv" for arm in "CAB"]) == want


def test_rows_of_a_unit_are_added_up(run):
    rows = _rows(n=900)
    half = rows.assign(revenue=np.round(rows.revenue * 0.3, 2), orders=rows.orders // 2)
    rest = rows.assign(revenue=np.round(rows.revenue - half.revenue, 2), orders=rows.orders - half.orders, bought=0)
    plain = DESIGN.replace("  - {name: revenue_p75, kind: quantile, quantile: 0.75, column: revenue}\n", "")
    got, want = run(pd.concat([half, rest]), plain)["metrics"], run(rows, plain)["metrics"]
    for name, arms in want.items():
        assert (got[name]["B"]["estimate"], got[name]["B"]["p"]) == pytest.approx(
            (arms["B"]["estimate"], arms["B"]["p"])
        )


def test_days_of_a_unit_belong_together(run):
    rng = np.random.default_rng(7)
    false = {"unit": 0, "row": 0}
    for _ in range(40):
        people = pd.DataFrame({"user": range(200), "arm": rng.choice(["A", "B"], 200), "level": rng.gamma(1, 3, 200)})
        days = people.loc[people.index.repeat(10)].reset_index(drop=True)
        days["revenue"] = days.level * rng.gamma(2, 1, len(days))
        for name, data in (("unit", "{unit: user, variant: arm}"), ("row", "{variant: arm}")):
            text = f"data: {data}\nvariants: {{A: 0.5, B: 0.5}}\ncontrol: A\n"
            got = run(days, text + "metrics: [{name: r, kind: mean, column: revenue}]")
            false[name] += got["metrics"]["r"]["B"]["p"] < 0.05
    assert false["unit"] <= 6
    assert false["row"] >= 10


def test_a_real_test_gives_its_known_answers(run):
    if not REAL.exists():
        pytest.skip("../shared/data/ab_free_trial is not at hand")
    design = (Settings().include / "experiments" / "examples" / "daily_totals.yaml").read_text(encoding="utf-8")
    got = run([f"{arm}={REAL / arm}.csv" for arm in ("control", "experiment")], design)
    gross, net = (got["metrics"][f"{name}_conversion"]["experiment"] for name in ("gross", "net"))
    assert [gross["estimate"], gross["low"], gross["high"]] == pytest.approx([-0.0206, -0.0291, -0.0120], abs=5e-5)
    assert [net["estimate"], net["low"], net["high"]] == pytest.approx([-0.0049, -0.0116, 0.0019], abs=5e-5)
    assert got["srm"]["ok"] is True
    assert got["trusted"] is True
    bare = run(
        [f"{arm}={REAL / arm}.csv" for arm in ("control", "experiment")],
        "data: {variant: arm}\nvariants: {control: 0.5, experiment: 0.5}\ncontrol: control\n"
        "metrics: [{name: gross, kind: proportion, numerator: Enrollments, denominator: Clicks}]",
    )
    assert bare["metrics"]["gross"]["experiment"]["estimate"] == gross["estimate"]
    assert bare["srm"]["p"] == pytest.approx(0.8238677039815409)


def test_clusters_widen_the_interval(run):
    rng = np.random.default_rng(9)
    lecturers = pd.DataFrame({"lecturer": range(40), "arm": ["A", "B"] * 20, "level": rng.normal(0, 2, 40)})
    rows = lecturers.loc[lecturers.index.repeat(rng.integers(5, 40, 40))].reset_index(drop=True)
    rows["user"], rows["score"] = range(len(rows)), rows.level + rng.normal(10, 1, len(rows))
    rows["before"] = rows.level + rng.normal(0, 0.3, len(rows))
    text = """
data: {unit: user, variant: arm, cluster: lecturer}
variants: {A: 0.5, B: 0.5}
control: A
metrics:
  - {name: score, kind: mean, column: score}
  - {name: adjusted, kind: mean, column: score, cuped: before}
  - {name: median, kind: quantile, quantile: 0.5, column: score}
"""
    got = run(rows, text)
    naive = run(rows, text.replace(", cluster: lecturer", ""))
    of, by_itself = ({name: arms["B"] for name, arms in one["metrics"].items()} for one in (got, naive))
    assert of["score"]["se"] > 2 * by_itself["score"]["se"]
    assert of["median"]["se"] > 1.5 * by_itself["median"]["se"]
    assert of["adjusted"]["se"] < of["score"]["se"]
    assert of["score"]["n"] == (rows.arm == "B").sum()
    assert got["srm"]["p"] == 1.0


EVENTS = """
data: {unit: user, variant: arm, time: shown, events: {time: at, type: kind}}
variants: {A: 0.5, B: 0.5}
control: A
metrics:
  - {name: bought, kind: proportion, events: [buy]}
  - {name: revenue, kind: mean, events: [buy], subtract: [refund], column: amount}
  - {name: web_buys, kind: mean, events: [buy], where: {channel: web}}
  - {name: buys_per_exposure, kind: ratio, numerator: {events: [buy]}, denominator: exposures}
  - {name: back, kind: proportion, events: [view], days: [2, 4]}
"""


def test_exposures_are_joined_to_their_events(run):
    rng = np.random.default_rng(11)
    n, start = 400, pd.Timestamp("2026-01-05")
    exposures = pd.DataFrame({"user": rng.integers(0, n, 900)})
    exposures["arm"] = np.where(exposures.user % 2 == 0, "A", "B")
    exposures["shown"] = start + pd.to_timedelta(rng.integers(0, 8 * 86400, 900), unit="s")
    events = pd.DataFrame({"user": rng.integers(0, n + 50, 4000), "kind": rng.choice(["view", "buy", "refund"], 4000)})
    events["at"] = start + pd.to_timedelta(rng.integers(0, 8 * 86400, 4000), unit="s")
    events["amount"], events["channel"] = rng.gamma(2, 10, 4000).round(2), rng.choice(["web", "app"], 4000)
    got = {name: arms["B"] for name, arms in run(exposures, EVENTS, events)["metrics"].items()}
    first = exposures.groupby("user").agg(arm=("arm", "first"), shown=("shown", "min"), times=("shown", "size"))
    joined = events.merge(first, left_on="user", right_index=True)
    joined = joined[joined["at"] >= joined.shown]
    signed = joined.amount.where(joined.kind == "buy", -joined.amount.where(joined.kind == "refund", 0))
    units = first.assign(revenue=signed.groupby(joined.user).sum()).fillna({"revenue": 0})
    buys = joined[joined.kind == "buy"].groupby("user").size()
    units["buys"] = buys.reindex(units.index).fillna(0)
    arm = units[units.arm == "B"]
    assert got["revenue"]["mean"] == pytest.approx(arm.revenue.mean())
    assert got["bought"]["mean"] == pytest.approx((arm.buys > 0).mean())
    assert got["buys_per_exposure"]["mean"] == pytest.approx(arm.buys.sum() / arm.times.sum())
    assert got["web_buys"]["mean"] < arm.buys.mean()
    ripe = units[
        (units.arm == "B") & (units.shown.dt.normalize() + pd.Timedelta(days=4) <= events["at"].max().normalize())
    ]
    lag = (joined["at"].dt.normalize() - joined.shown.dt.normalize()).dt.days
    back = joined[(joined.kind == "view") & lag.between(2, 4)].user.unique()
    assert got["back"]["n"] == len(ripe)
    assert got["back"]["mean"] == pytest.approx(ripe.index.isin(back).mean())


ONE = """
data: {unit: user, variant: arm}
variants: {A: 0.5, B: 0.5}
control: A
metrics: [{name: revenue, kind: mean, column: revenue}, {name: bought, kind: proportion, column: bought}]
"""


def _two_arms(n: int = 400) -> pd.DataFrame:
    rows = _rows(n=n)
    return rows.assign(arm=["A", "B"] * (n // 2))


@pytest.mark.parametrize(
    ("spoil", "failed", "verdict"),
    [
        (lambda r: pd.concat([r, r.iloc[:1].assign(arm="B")]), {"multiple_exposures"}, "measured"),
        (lambda r: r[r.arm == "A"], {"empty_arms", "sample_ratio"}, "too_few_units"),
        (lambda r: r.assign(revenue=5.0), set(), "zero_variance"),
        (lambda r: r.assign(revenue=r.revenue.mask(r.index == 3)), {"missing_values:revenue"}, "missing_values"),
        (lambda r: r.assign(revenue=r.revenue.where(r.index != 3, np.inf)), {"not_finite:revenue"}, "not_finite"),
        (lambda r: r.assign(arm=r.arm.where(r.index != 3, "Z")), {"unknown_variants"}, "measured"),
        (lambda r: r.assign(arm=r.arm.where(r.index != 3)), {"unknown_variants"}, "measured"),
        (lambda r: r.assign(user=r.user.where(r.index != 3)), {"missing_units"}, "measured"),
        (lambda r: r[(r.arm == "A") | (r.index % 3 == 0)], {"sample_ratio"}, "measured"),
    ],
)
def test_bad_data_has_a_verdict_and_stops_the_decision(run, spoil, failed, verdict):
    got = run(spoil(_two_arms()), ONE)
    assert _failed(got) == failed
    assert got["metrics"]["revenue"]["B"]["verdict"] == verdict
    assert (got["metrics"]["revenue"]["B"]["estimate"] is None) == (verdict != "measured")
    assert got["decision"] is None
    assert got["decision_rule"] == ("check_failed" if failed else "not_measured")


def test_nan_in_parquet_is_no_number(run, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _two_arms()
    table = pa.table({name: rows[name].to_numpy() for name in ("user", "arm", "bought")})
    values = rows.revenue.to_numpy().copy()
    values[5] = np.nan
    pq.write_table(table.append_column("revenue", pa.array(values, from_pandas=False)), tmp_path / "nan.parquet")
    got = run([str(tmp_path / "nan.parquet")], ONE)
    assert got["metrics"]["revenue"]["B"]["verdict"] == "not_finite"
    assert got["metrics"]["bought"]["B"]["verdict"] == "measured"


def test_what_missing_means_can_be_said(run):
    rows = _two_arms()
    gaps = rows.assign(revenue=rows.revenue.mask(rows.revenue == 0))
    zero = run(gaps, ONE.replace("column: revenue", "column: revenue, missing: zero"))
    whole = run(rows, ONE)
    assert zero["metrics"] == whole["metrics"]
    left = run(gaps, ONE.replace("column: revenue", "column: revenue, missing: leave_out"))["metrics"]["revenue"]["B"]
    assert left["n"] == (gaps.revenue.notna() & (gaps.arm == "B")).sum()


def test_covariates_belong_to_units(run):
    rows, text = _two_arms(), ONE.replace("column: revenue}", "column: revenue, cuped: before}")
    twice = pd.concat([rows, rows.assign(revenue=0.0, bought=0)])
    assert run(twice, text)["metrics"] == run(rows, text)["metrics"]
    unknown = run(rows.assign(before=rows.before.mask(rows.index < 50)), text)["metrics"]["revenue"]["B"]
    assert unknown["n"] == 200
    assert unknown["verdict"] == "measured"
    with pytest.raises(InputError, match="'before' differs between rows of one unit"):
        run(pd.concat([rows, rows.assign(before=rows.before + 1)]), text)
    with pytest.raises(InputError, match="'before' holds NaN or infinite values"):
        run(rows.assign(before=rows.before.where(rows.index != 3, np.inf)), text)


def test_arms_that_differed_before_are_found(run):
    rows = _two_arms(1000)
    rows.loc[rows.arm == "B", "before"] += 3
    got = run(rows, ONE.replace("variant: arm}", "variant: arm, covariates: [before]}"))
    assert _failed(got) == {"alike_before:before"}


def test_a_mismatch_in_one_city_is_found(run):
    rows = _two_arms(1000)
    lost = (rows.city == "北京") & (rows.arm == "B") & (rows.index % 2 == 1) & (rows.index % 3 == 0)
    moved = rows[~lost]
    got = run(moved, ONE + "dimensions: [city]\nsegments: [{name: north, where: {city: [北京]}}]\n")
    assert "sample_ratio_by:city" in _failed(got)
    assert set(got["dimensions"]["city"]) == {"上海", "北京"}
    north = got["segments"]["north"]["revenue"]["B"]
    assert north["n"] == ((moved.city == "北京") & (moved.arm == "B")).sum()
    assert north["estimate"] == got["dimensions"]["city"]["北京"]["revenue"]["B"]["estimate"]


def test_sequential_intervals_are_wider(run):
    rows = _two_arms(1000)
    fixed = run(rows, ONE)["metrics"]["revenue"]["B"]
    planned = ONE + "planned_units: 2000\n"
    for more in ("analysis: always_valid\n", "analysis: group_sequential\nlooks: [7, 14]\n"):
        got = run(rows, planned + more)
        row = got["metrics"]["revenue"]["B"]
        assert row["estimate"] == fixed["estimate"]
        assert row["high"] - row["low"] > 1.2 * (fixed["high"] - fixed["low"])
        assert row["p"] > fixed["p"]
        assert got["decision"] == "continue"


def test_a_clear_winner_ships_and_a_clear_loser_harms(run):
    rows = _rows(seed=2, n=1000).assign(arm=["A", "B"] * 500)
    for shift, decision in ((30, "ship"), (-30, "harm"), (0, "stop")):
        got = run(rows.assign(revenue=rows.revenue + shift * (rows.arm == "B") + (rows.index % 5)), ONE)
        assert got["decision"] == decision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.drop(columns="revenue"), "there is no column 'revenue'; the columns are user, arm"),
        (lambda r: r.assign(revenue=["1.5", "dear"] * (len(r) // 2)), "column 'revenue' holds .* such as 'dear'"),
        (lambda r: r.assign(bought=2), "a proportion needs 0 or 1"),
    ],
)
def test_columns_that_do_not_fit_are_named(run, change, message):
    with pytest.raises(InputError, match=message):
        run(change(_two_arms(100)), ONE)


def test_command_prints_one_document(tmp_path):
    (tmp_path / "design.yaml").write_text(ONE, encoding="utf-8")
    _two_arms().to_csv(tmp_path / "rows.csv", index=False)
    base = ["analyze", "--data", str(tmp_path / "rows.csv"), "--design", str(tmp_path / "design.yaml")]
    got = CliRunner().invoke(app, [*base, "--json"], catch_exceptions=False)
    assert got.exit_code == 0
    document = json.loads(got.stdout)
    assert set(document["srm"]) == {"p", "ok"}
    wanted = {"estimate", "low", "high", "p", "p_adjusted", "relative", "relative_low", "relative_high", "mean"}
    assert wanted | {"mean_control", "n"} <= set(document["metrics"]["revenue"]["B"])
    text = CliRunner().invoke(app, [*base, "--language", "zh"], catch_exceptions=False)
    assert "检查全部通过" in text.stdout
    with pytest.raises(InputError, match="there is no such file"):
        CliRunner().invoke(app, [*base[:2], "none.csv", *base[3:]], catch_exceptions=False)


SKEWED = """
data: {unit: user, variant: arm, covariates: [before]}
variants: {A: 0.8, B: 0.2}
control: A
metrics:
  - {name: revenue, kind: mean, column: revenue}
  - {name: capped, kind: mean, column: revenue, winsorize: 0.95}
  - {name: adjusted, kind: mean, column: revenue, cuped: before}
  - {name: value, kind: ratio, numerator: revenue, denominator: orders}
"""


def _skewed(sizes: tuple[int, int]) -> pd.DataFrame:
    rng = np.random.default_rng(17)
    n = sum(sizes)
    revenue = np.where(rng.random(n) < 0.2, rng.lognormal(3, 1, n), 0)
    return pd.DataFrame(
        {
            "user": np.arange(n), "arm": ["A"] * sizes[0] + ["B"] * sizes[1], "revenue": revenue,
            # The covariate knows all of the tail, so that nothing skewed is left.
            "before": revenue + rng.normal(0, 1, n), "orders": 1 + rng.poisson(1, n),
        }
    )  # fmt: skip


def test_skewed_values_in_unequal_arms_are_warned_of(run):
    rows = _skewed((4000, 1000))
    got = run(rows, SKEWED)
    assert [one["check_name"] for one in got["warnings"]] == ["skewness:revenue", "skewness:value"]
    assert got["trusted"] is True
    skewness = stats.skew(rows.revenue)
    want = skewness * (1e-6 - 1 / 16e6) / (1 / 1000 + 1 / 4000) ** 1.5
    assert got["warnings"][0]["value"] == pytest.approx(want, rel=0.02)
    assert "4,000 and 1,000 units" in got["warnings"][0]["detail"]
    assert run(_skewed((2500, 2500)), SKEWED.replace("{A: 0.8, B: 0.2}", "{A: 0.5, B: 0.5}"))["warnings"] == []
