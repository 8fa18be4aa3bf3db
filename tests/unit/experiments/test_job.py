"""The job through the runner: tables written, late days carried forward, changed designs built again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from crossdomain.errors import InputError, NotReady
from crossdomain.experiments.assignment import assign, plan_of
from crossdomain.experiments.design import load_designs
from crossdomain.experiments.history import results_from_rows
from crossdomain.experiments.page import render_page
from crossdomain.experiments.page_files import page_days, read_page
from crossdomain.experiments.promoting import Candidate, candidates, promote
from crossdomain.jobs.experiment_results import read_analysis
from crossdomain.jobs.experiment_state import JOB as STATE_JOB
from crossdomain.jobs.experiments import JOB
from crossdomain.jobs.model import Job, JobContext, JobResult
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.removal import rewrite_partition
from crossdomain.tables import registry
from tests.unit.experiments.conftest import DESIGN, FIRST, INCLUDE, moment

DAYS = [FIRST + timedelta(days=step) for step in range(3)]
INPUTS = {
    "clean.events": {
        "event_id": "VARCHAR", "account": "BLOB", "domain": "VARCHAR", "item_id": "VARCHAR", "event_type": "VARCHAR",
        "ts": "TIMESTAMPTZ", "value": "DECIMAL(18,2)", "quantity": "INTEGER", "channel": "VARCHAR",
        "campaign_id": "VARCHAR", "placement": "VARCHAR", "delivered_ds": "DATE",
    },
    "clean.exposures": {
        "experiment_id": "VARCHAR", "unit_type": "VARCHAR", "unit": "BLOB", "variant": "VARCHAR", "ts": "TIMESTAMPTZ",
        "placement": "VARCHAR", "delivered_ds": "DATE",
    },
    "clean.experiment_counts": {
        "experiment_id": "VARCHAR", "variant": "VARCHAR", "day": "DATE", "metric": "VARCHAR", "value": "BIGINT",
        "delivered_ds": "DATE",
    },
    "derived.accounts": {
        "account": "BLOB", "domain": "VARCHAR", "registered_at": "TIMESTAMPTZ", "gender": "VARCHAR",
        "birth_year": "INTEGER", "province": "VARCHAR",
    },
    "derived.people": {"account": "BLOB", "person": "BLOB", "profiling": "BOOLEAN"},
}  # fmt: skip


OWN = [
    *(f"derived/experiment_{name}" for name in ("state_v2", "moments_v2", "tallies_v1", "lineage_v1", "promotions_v1")),
    *(f"serving/experiment_{name}" for name in ("metrics_v2", "checks_v1", "decisions_v1", "weights_v1", "parts_v1")),
]
DERIVED = ["derived.experiment_state", "derived.experiment_moments", "derived.experiment_tallies"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home whose include has the job's own tables, one design, and inputs of the test's making."""
    include = tmp_path / "include"
    for name, columns in INPUTS.items():
        layer, _, table = name.partition(".")
        home = include / "sql" / layer / f"{table}_v1"
        home.mkdir(parents=True)
        schema = {"columns": [{"name": column, "type": kind} for column, kind in columns.items()]}
        metadata = {
            "description": table, "owner": "tests", "grain": "row", "key": [], "order": list(columns),
            "job": {"derived": "people"}.get(layer, "clean"), "kind": "independent", "restatement": "restated",
            "retention_days": 1,
        }  # fmt: skip
        (home / "schema.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
        (home / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    for name in OWN:
        shutil.copytree(INCLUDE.parent / "sql" / name, include / "sql" / name)
    (include / "experiments").mkdir()
    shutil.copy(INCLUDE / "design.schema.json", include / "experiments")
    (include / "experiments" / "exp.yaml").write_text(DESIGN, encoding="utf-8")
    return Settings(home=tmp_path / "home", include=include, start=FIRST)


def land(
    settings: Settings,
    day: date,
    *,
    late: Decimal = Decimal(0),
    without: int | None = None,
    gain: int = 0,
    shown: Sequence[int] = (),
) -> None:
    """Commits the inputs of a day: 60 units (but one) exposed on the first, some of them buying every day."""
    number = (day - FIRST).days
    exposed = [
        ("exp", "account", unit.to_bytes(16, "big"), ("control", "treatment")[unit % 2], moment(24 * number + 1))
        for unit in (shown or range(60))
        if unit != without
    ]
    bought = [
        (
            f"{day}-{unit}",
            unit.to_bytes(16, "big"),
            "purchase",
            moment(24 * number + 2),
            unit + number + late + gain * (unit % 2) * 10,
        )
        for unit in range(0, 60, 1 if gain else 7)
        if unit != without
    ]

    def build(ctx: JobContext) -> None:
        ctx.con.execute("CREATE TABLE exposed (e VARCHAR, t VARCHAR, unit BLOB, v VARCHAR, ts TIMESTAMPTZ)")
        ctx.con.execute("CREATE TABLE bought (i VARCHAR, a BLOB, k VARCHAR, ts TIMESTAMPTZ, v DECIMAL(18,2))")
        if exposed and (number == 0 or shown):
            ctx.con.executemany("INSERT INTO exposed VALUES (?, ?, ?, ?, ?)", exposed)
        ctx.con.executemany("INSERT INTO bought VALUES (?, ?, ?, ?, ?)", bought)
        ctx.write(
            "clean.exposures",
            "SELECT e AS experiment_id, t AS unit_type, unit, v AS variant, ts, NULL AS placement,"
            " NULL AS delivered_ds FROM exposed",
        )
        ctx.write(
            "clean.events",
            "SELECT i AS event_id, a AS account, NULL AS domain, NULL AS item_id, k AS event_type, ts, v AS value,"
            " 1 AS quantity, NULL AS channel, NULL AS campaign_id, NULL AS placement, NULL AS delivered_ds FROM bought",
        )
        names = ", ".join(f"NULL AS {name}" for name in INPUTS["clean.experiment_counts"])
        ctx.write("clean.experiment_counts", f"SELECT {names} LIMIT 0")

    outputs = ("clean.events", "clean.exposures", "clean.experiment_counts")
    job = Job(name="clean", version=1, outputs=outputs, run=build, config=lambda _: {"late": str(late), "gain": gain})
    run_job(job, day, settings)


def rows(settings: Settings, table: str) -> dict[date, list[dict[str, object]]]:
    with open_lake(settings) as lake:
        spec = registry(settings.include).get(table)
        lake.view(spec, lake.partitions(spec), schema="read")
        found = lake.con.sql(f"SELECT * FROM read.{spec.name}").to_arrow_table().to_pylist()
    return {day: [row for row in found if row["ds"] == day] for day in sorted({row["ds"] for row in found})}


def revenue(settings: Settings) -> dict[date, object]:
    return {
        day: next(row["mean"] for row in found if row["metric"] == "revenue")
        for day, found in rows(settings, "serving.experiment_metrics").items()
    }


def measure(settings: Settings, day: date) -> JobResult:
    """The jobs of the DAG, one after the other."""
    run_job(STATE_JOB, day, settings)
    return run_job(JOB, day, settings)


def _all(settings: Settings) -> None:
    for day in DAYS:
        land(settings, day)
        measure(settings, day)


def test_a_day_is_what_is_known_up_to_it(settings):
    _all(settings)
    own = [unit for unit in range(0, 60, 7) if unit % 2]
    want = [sum(unit + day for unit in own for day in range(days + 1)) / 30 for days in range(3)]
    assert list(revenue(settings).values()) == pytest.approx(want)
    metrics, checks = (rows(settings, f"serving.experiment_{name}")[DAYS[2]] for name in ("metrics", "checks"))
    results, found = results_from_rows(metrics, checks, "exp")
    assert {result.metric for result in results} == {
        "click_rate",
        "purchase_rate",
        "revenue",
        "units_bought",
        "value_per_order",
    }
    assert {(result.n, result.n_control) for result in results} == {(30, 30)}
    assert next(check for check in found if check.check_name == "sample_ratio").ok
    novelty = next(check for check in found if check.check_name == "novelty:treatment")
    assert (novelty.ok, novelty.p) == (True, None), "all came on one day"


def test_the_same_again_does_nothing_and_a_late_row_is_carried_forward(settings):
    _all(settings)
    before = revenue(settings)
    assert measure(settings, DAYS[0]).status == "up_to_date"
    land(settings, DAYS[1], late=Decimal("2.50"))
    assert measure(settings, DAYS[1]).keys == (DAYS[1], DAYS[2])
    own = len([unit for unit in range(0, 60, 7) if unit % 2])
    after = revenue(settings)
    assert after[DAYS[0]] == before[DAYS[0]]
    assert [after[day] - before[day] for day in DAYS[1:]] == pytest.approx([2.5 * own / 30] * 2)


def test_days_in_a_backfill_give_the_daily_numbers(settings, tmp_path):
    _all(settings)
    again = replace(settings, home=tmp_path / "again")
    for day in DAYS[::-1]:
        land(again, day)
    assert measure(again, DAYS[0]).keys == tuple(DAYS)
    for table in (*DERIVED, "serving.experiment_metrics", "serving.experiment_checks"):
        assert rows(again, table) == rows(settings, table)
    assert [_page(again, day) for day in DAYS] == [_page(settings, day) for day in DAYS]


@pytest.mark.parametrize("kept", [1, 2])
def test_the_last_partitions_hold_the_state_however_long_it_runs(settings, tmp_path, monkeypatch, kept):
    """Partitions that fell out are gone for good, and a quantile, which reads every unit, does not miss them."""
    text = DESIGN + "  - {name: p80, kind: quantile, quantile: 0.8, events: [purchase], column: value}\n"
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    _all(settings)
    few = replace(settings, home=tmp_path / "few")
    monkeypatch.setattr("crossdomain.jobs.experiment_state.KEPT_DAYS", kept)
    monkeypatch.setattr("crossdomain.jobs.experiments.KEPT_DAYS", kept)
    for day in DAYS:
        land(few, day)
        run_job(STATE_JOB, day, few)
        _without(few, "derived.experiment_state", f"ds <= DATE '{day - timedelta(days=kept)}'")
        run_job(JOB, day, few)
    for table in ("derived.experiment_moments", "derived.experiment_tallies", "serving.experiment_metrics"):
        assert rows(few, table) == rows(settings, table)
    touched = [len(found) for found in rows(settings, "derived.experiment_state").values()]
    assert touched == [60, 9, 9], "a buyer of every seventh unit"


def _page(settings: Settings, day: date) -> str:
    page = read_page(Home(settings.home), "exp", day.isoformat())
    assert page is not None
    return page.decode()


def test_every_day_has_a_page_with_the_days_before_it_and_a_late_row_draws_it_again(settings):
    text = DESIGN.replace("primary_metric: purchase_rate", "primary_metric: revenue")
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    for day in DAYS:
        land(settings, day, gain=1)
        measure(settings, day)
    assert page_days(Home(settings.home)) == {"exp": DAYS}
    for number, day in enumerate(DAYS, 1):
        titles = {f"<title>{one}: " for one in DAYS[:number]}
        curve = _page(settings, day).split("Effect day by day")[-1]
        assert {title for title in titles if title in curve} == titles, "a point a day up to the page's"
        assert "2026-01-08" not in curve
    before = [_page(settings, day) for day in DAYS]
    land(settings, DAYS[1], late=Decimal("2.50"), gain=1)
    measure(settings, DAYS[1])
    after = [_page(settings, day) for day in DAYS]
    assert [old != new for old, new in zip(before, after, strict=True)] == [False, True, True]


def test_dimensions_are_checked_and_shown_by_the_daily_job(settings):
    settings = replace(settings, part_units=10)
    text = DESIGN + "dimensions: [activity]\nsegments: [{name: new, where: {activity: ['0']}}]\n"
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    _all(settings)
    checks = {row["check_name"]: row for row in rows(settings, "serving.experiment_checks")[DAYS[2]]}
    assert checks["sample_ratio_by:activity"]["ok"]
    assert "<h3>activity = 0</h3>" in _page(settings, DAYS[2])
    assert "<h3>new</h3>" in _page(settings, DAYS[2])
    page = render_page(read_analysis(settings, "exp", DAYS[2])).split("<h2>By segment")[-1]
    assert page == _page(settings, DAYS[2]).split("<h2>By segment")[-1], "the same parts, read back from the lake"
    parts = rows(settings, "serving.experiment_parts")[DAYS[2]]
    assert {(row["part"], row["part_name"], row["part_value"]) for row in parts} == {
        ("segment", "new", ""),
        ("dimension", "activity", "0"),
    }
    assert {(row["n"], row["n_control"]) for row in parts} == {(30, 30)}, "all came before they did anything"
    metrics = rows(settings, "serving.experiment_metrics")
    settings = replace(settings, part_units=31)
    assert run_job(STATE_JOB, DAYS[2], settings).status == "up_to_date"
    run_job(JOB, DAYS[2], settings)
    assert {(row["n"], row["mean"], row["verdict"]) for row in rows(settings, "serving.experiment_parts")[DAYS[2]]} == {
        (0, None, "too_small")
    }
    (settings.include / "experiments" / "exp.yaml").write_text(DESIGN, encoding="utf-8")
    measure(settings, DAYS[0])
    assert rows(settings, "serving.experiment_metrics") == metrics
    assert rows(settings, "serving.experiment_parts") == {}


def test_a_changed_design_builds_its_days_again(settings):
    _all(settings)
    path = settings.include / "experiments" / "exp.yaml"
    path.write_text(DESIGN + "alpha: 0.1\n", encoding="utf-8")
    assert measure(settings, DAYS[0]).keys == tuple(DAYS)
    path.write_text("# only a remark\n" + DESIGN + "alpha: 0.1\n", encoding="utf-8")
    assert measure(settings, DAYS[0]).status == "up_to_date"


def test_an_experiment_that_has_not_begun_gives_no_rows_and_says_so(settings):
    path = settings.include / "experiments" / "exp.yaml"
    path.write_text(DESIGN + "start: 2026-01-07\n", encoding="utf-8")
    land(settings, DAYS[0])
    result = measure(settings, DAYS[0])
    assert [table.rows for table in result.tables] == [0, 0, 0, 2, 0]
    assert result.notes["without_result"] == {"exp": "starts on 2026-01-07"}


def test_a_bad_design_is_refused_before_anything_is_written(settings):
    (settings.include / "experiments" / "exp.yaml").write_text(DESIGN.replace("0.5}", "0.6}", 1), encoding="utf-8")
    land(settings, DAYS[0])
    with pytest.raises(InputError, match=r"exp\.yaml, line 7: variants: the weights sum to 1\.1"):
        measure(settings, DAYS[0])
    assert rows(settings, "serving.experiment_metrics") == {}


def test_persons_as_units_are_refused(settings):
    design = DESIGN.replace("unit: account", "unit: person")
    (settings.include / "experiments" / "exp.yaml").write_text(design, encoding="utf-8")
    land(settings, DAYS[0])
    with pytest.raises(InputError, match=r"exp\.yaml: unit: the daily job reads no links"):
        measure(settings, DAYS[0])


def _without(settings: Settings, table: str, condition: str) -> None:
    """Takes rows out of all partitions of a table, as erasure does."""
    with open_lake(settings) as lake:
        spec = registry(settings.include).get(table)
        for partition in lake.partitions(spec):
            rewrite_partition(lake, spec, partition.values, lambda rows: f"FROM ({rows}) WHERE NOT {condition}")


def test_the_numbers_forget_an_erased_person(settings, tmp_path):
    for day in DAYS[:2]:
        land(settings, day)
        measure(settings, day)
    erased = "= '\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x07'::BLOB"
    own = {"derived.experiment_state": "unit", "clean.events": "account", "clean.exposures": "unit"}
    for table, column in own.items():
        _without(settings, table, f"{column} {erased}")
    never = replace(settings, home=tmp_path / "never")
    for day in DAYS:
        land(never, day, without=7)
    measure(never, DAYS[0])
    land(settings, DAYS[2], without=7)
    assert measure(settings, DAYS[2]).status == "done"
    for table in ("derived.experiment_moments", "serving.experiment_metrics"):
        assert rows(settings, table)[DAYS[2]] == rows(never, table)[DAYS[2]]


def test_a_changed_design_is_measured_from_its_first_day(settings, tmp_path):
    _all(settings)
    path = settings.include / "experiments" / "exp.yaml"
    changed = DESIGN + "  - {name: orders, kind: mean, events: [purchase]}\n"
    path.write_text(changed, encoding="utf-8")
    measure(settings, DAYS[2])  # the days before still count by the old design
    again = replace(settings, home=tmp_path / "again")
    for day in DAYS:
        land(again, day)
    measure(again, DAYS[0])
    for table in ("derived.experiment_moments", "serving.experiment_metrics", "serving.experiment_checks"):
        assert rows(settings, table)[DAYS[2]] == rows(again, table)[DAYS[2]]


def test_who_withdraws_the_consent_that_the_audience_needs_is_taken_out(settings, tmp_path):
    path = settings.include / "experiments" / "exp.yaml"
    path.write_text(DESIGN + "audience: {consent: [personalisation]}\n", encoding="utf-8")
    shutil.copytree(
        INCLUDE.parent / "sql" / "clean" / "consents_v1", settings.include / "sql" / "clean" / "consents_v1"
    )
    registry.cache_clear()
    again = replace(settings, home=tmp_path / "again")
    for day in DAYS[:2]:
        land(settings, day)
        measure(settings, day)
    for home in (settings, again):
        _withdraw(home, DAYS[2], bytes(15) + b"\x07")
    for day in DAYS:
        land(again, day)
    measure(again, DAYS[0])
    land(settings, DAYS[2])
    measure(settings, DAYS[2])
    assert {row["n"] for row in rows(settings, "derived.experiment_moments")[DAYS[1]]} == {30}
    by_arm = {row["variant"]: row["n"] for row in rows(settings, "derived.experiment_moments")[DAYS[2]]}
    assert by_arm == {"control": 30, "treatment": 29}
    assert rows(settings, "derived.experiment_moments")[DAYS[2]] == rows(again, "derived.experiment_moments")[DAYS[2]]


def know(settings: Settings, day: date, *, profiling: Sequence[int]) -> None:
    """Commits the accounts of a day: units 60 to 89, women and men, registered ten days before the first day."""

    def build(ctx: JobContext) -> None:
        units = "SELECT unhex(lpad(hex(i), 32, '0')) AS account, i FROM range(60, 90) AS r(i)"
        ctx.write(
            "derived.accounts",
            "SELECT account, 'beauty' AS domain, TIMESTAMPTZ '2025-12-26 00:00:00+00' AS registered_at, "
            f"if(i % 3 = 0, 'female', 'male') AS gender, 1990 AS birth_year, NULL AS province FROM ({units})",
        )
        ctx.write(
            "derived.people",
            f"SELECT account, account AS person, i BETWEEN {min(profiling)} AND {max(profiling)} AS profiling "
            f"FROM ({units})",
        )

    run_job(Job(name="people", version=1, outputs=("derived.accounts", "derived.people"), run=build), day, settings)


def units_of_parts(settings: Settings, day: date) -> dict[tuple[str, str], int]:
    """Units of all arms by dimension and value."""
    found: dict[tuple[str, str], int] = {}
    for row in rows(settings, "derived.experiment_moments")[day]:
        if row["part"] == "dimension" and row["metric"] == "revenue":
            key = (row["part_name"], row["part_value"])
            found[key] = found.get(key, 0) + row["n"]
    return found


def test_what_is_known_of_accounts_is_asked_of_the_day_before(settings, tmp_path):
    text = DESIGN + "dimensions: [registered, gender]\n"
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(
        INCLUDE.parent / "sql" / "clean" / "consents_v1", settings.include / "sql" / "clean" / "consents_v1"
    )
    registry.cache_clear()
    shown = dict(zip(DAYS, ((), range(60, 90), ()), strict=True))
    for day in DAYS[:2]:
        land(settings, day, shown=shown[day])
    with pytest.raises(NotReady, match=r"derived.accounts is missing for 2026-01-05.* `crossdomain run people --date"):
        run_job(STATE_JOB, DAYS[0], settings)  # the first day is there by then: it went on with the second
    assert list(rows(settings, "derived.experiment_state")) == DAYS[:1]
    for day in DAYS[:2]:
        know(settings, day, profiling=range(60, 80))
    measure(settings, DAYS[0])
    assert units_of_parts(settings, DAYS[1]) == {
        ("registered", "new"): 60, ("registered", "7-29"): 30,
        ("gender", "withheld"): 70, ("gender", "female"): 7, ("gender", "male"): 13,
    }  # fmt: skip
    again = replace(settings, home=tmp_path / "again")
    for home in (settings, again):
        _withdraw(home, DAYS[2], bytes(15) + bytes([60]), purpose="profiling")
    for day in DAYS:
        land(again, day, shown=shown[day])
        know(again, day, profiling=range(60, 80))
    measure(again, DAYS[0])
    land(settings, DAYS[2])
    measure(settings, DAYS[2])
    assert units_of_parts(settings, DAYS[2])["gender", "female"] == 6
    assert rows(settings, "derived.experiment_moments")[DAYS[2]] == rows(again, "derived.experiment_moments")[DAYS[2]]


def test_a_dimension_of_too_many_values_is_refused(settings, monkeypatch):
    monkeypatch.setattr("crossdomain.jobs.experiment_state.MOST_VALUES", 0)
    text = DESIGN + "dimensions: [activity]\n"
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    land(settings, DAYS[0])
    with pytest.raises(InputError, match=r"exp\.yaml: dimensions: activity has 1 values, more than 0: leave it out"):
        measure(settings, DAYS[0])


def _withdraw(settings: Settings, day: date, account: bytes, *, purpose: str = "personalisation") -> None:
    def build(ctx: JobContext) -> None:
        hexed = account.hex()
        ctx.write(
            "clean.consents",
            f"SELECT unhex('{hexed}') AS account, 'knowledge' AS domain, '{purpose}' AS purpose,"
            f" false AS granted, TIMESTAMPTZ '{day} 01:00:00+00' AS ts,"
            f" DATE '{day}' AS delivered_ds, 'consents' AS feed",
        )

    run_job(Job(name="clean", version=1, outputs=("clean.consents",), run=build), day, settings)


def test_a_day_that_was_killed_leaves_nothing_and_is_the_same_when_run_again(settings, tmp_path, monkeypatch):
    _all(settings)
    again = replace(settings, home=tmp_path / "again")
    for day in DAYS:
        land(again, day)
    with monkeypatch.context() as patched:
        patched.setattr("crossdomain.jobs.experiment_state.tally_rows", _killed)
        with pytest.raises(KeyboardInterrupt):
            run_job(STATE_JOB, DAYS[0], again)
    assert rows(again, "derived.experiment_state") == {}
    measure(again, DAYS[0])
    for table in (*DERIVED, "serving.experiment_metrics"):
        assert _checksums(again, table) == _checksums(settings, table)


def _killed(tallies: object) -> None:
    raise KeyboardInterrupt


def _checksums(settings: Settings, table: str) -> list[str]:
    with open_lake(settings) as lake:
        return [partition.checksum for partition in lake.partitions(registry(settings.include).get(table))]


def _decided(settings: Settings) -> list[Candidate]:
    with open_lake(settings) as lake:
        return candidates(lake, registry(settings.include), DAYS[1])


def test_a_promoted_winner_gets_all_the_weight_and_ends_its_experiment(settings):
    """The treatment sells ten times as much; a fixed design without an end may ship on any day."""
    text = DESIGN.replace("primary_metric: purchase_rate", "primary_metric: revenue")
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    for day in DAYS[:2]:
        land(settings, day, gain=50)
        measure(settings, day)
    found = rows(settings, "serving.experiment_decisions")[DAYS[1]]
    assert [(row["variant"], row["decision"], row["rule"]) for row in found] == [
        ("treatment", "ship", "primary_better")
    ]
    assert [(one.experiment_id, one.variant) for one in _decided(settings)] == [("exp", "treatment")]
    when = datetime(2026, 1, 8, tzinfo=UTC)
    with open_lake(settings) as lake:
        tables = registry(settings.include)
        with pytest.raises(
            InputError, match="exp: control may not be promoted as of 2026-01-06; those that may: exp: tre"
        ):
            promote(lake, tables, DAYS[1], chosen={"exp": "control"}, by="li", reason="because I say so",
                    decided_at=when, via="test")  # fmt: skip
        with pytest.raises(InputError, match="a reason of at least 10"):
            promote(
                lake, tables, DAYS[1], chosen={"exp": "treatment"}, by="li", reason="why", decided_at=when, via="test"
            )
        promote(lake, tables, DAYS[1], chosen={"exp": "treatment"}, by="li", reason="clear in every week",
                decided_at=when, via="test")  # fmt: skip
    assert _decided(settings) == []
    land(settings, DAYS[2], gain=50)
    measure(settings, DAYS[2])
    weights = rows(settings, "serving.experiment_weights")[DAYS[2]]
    assert [(row["from_ds"], row["variant"], row["weight"], row["reason"]) for row in weights] == [
        (None, "control", 0.5, "design"),
        (None, "treatment", 0.5, "design"),
        (DAYS[2] + timedelta(days=1), "control", 0.0, "promoted"),
        (DAYS[2] + timedelta(days=1), "treatment", 1.0, "promoted"),
    ]
    metrics = rows(settings, "serving.experiment_metrics")[DAYS[2]]
    assert {row["last_ds"] for row in metrics} == {DAYS[1]}


def test_a_failed_check_stops_the_decision(settings):
    text = DESIGN.replace("primary_metric: purchase_rate", "primary_metric: revenue").replace(
        "variants: {control: 0.5, treatment: 0.5}", "variants: {control: 0.9, treatment: 0.1}"
    )
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    land(settings, DAYS[0], gain=50)
    measure(settings, DAYS[0])
    (found,) = rows(settings, "serving.experiment_decisions")[DAYS[0]]
    assert (found["decision"], found["rule"]) == (None, "check_failed")
    assert "sample_ratio" in found["detail"]


def test_a_bandit_moves_tomorrows_weights_and_keeps_what_it_gave_out(settings):
    text = DESIGN.replace("primary_metric: purchase_rate", "primary_metric: revenue")
    text += "allocation: {method: thompson, floor: 0.1}\n"
    (settings.include / "experiments" / "exp.yaml").write_text(text, encoding="utf-8")
    for day in DAYS[:2]:
        land(settings, day, gain=50)
        measure(settings, day)
    weights = rows(settings, "serving.experiment_weights")[DAYS[1]]
    last = {row["variant"]: row for row in weights if row["from_ds"] == DAYS[2]}
    assert last["treatment"]["weight"] == pytest.approx(0.9, abs=0.01)
    assert last["control"]["weight"] + last["treatment"]["weight"] == pytest.approx(1)
    assert last["treatment"]["reason"] == "thompson"
    land(settings, DAYS[1], late=Decimal(500))
    measure(settings, DAYS[1])
    assert rows(settings, "serving.experiment_weights")[DAYS[1]] == weights
    land(settings, DAYS[2], gain=50, shown=range(60, 90))
    measure(settings, DAYS[2])
    metrics = {row["metric"]: row for row in rows(settings, "serving.experiment_metrics")[DAYS[2]]}
    assert (metrics["revenue"]["method"], metrics["revenue"]["verdict"]) == ("z_delta", "measured")
    check = next(
        row for row in rows(settings, "serving.experiment_checks")[DAYS[2]] if row["check_name"] == "sample_ratio"
    )
    assert not check["ok"], "the new units come half and half, not as they were dealt"
    assert f"from {DAYS[2]}: 15, 15" in check["detail"]


def test_units_that_saw_another_variant_than_they_were_dealt_stop_the_decision(settings):
    """The world alternates the arms, whatever the hash says."""
    path = settings.include / "experiments" / "exp.yaml"
    path.write_text(DESIGN + "applies_to: recommendations\n", encoding="utf-8")
    land(settings, DAYS[0])
    measure(settings, DAYS[0])
    check = next(
        row for row in rows(settings, "serving.experiment_checks")[DAYS[0]] if row["check_name"] == "assignment"
    )
    units = [unit.to_bytes(16, "big") for unit in range(60)]
    dealt = assign(units, plan_of(load_designs(settings.include / "experiments")[0])).variants
    otherwise = sum(arm != ("control", "treatment")[place % 2] for place, arm in enumerate(dealt))
    assert (check["ok"], check["value"]) == (False, otherwise)
    assert f"{otherwise} of 60 exposed units" in check["detail"]
    decided = rows(settings, "serving.experiment_decisions")[DAYS[0]]
    assert {(row["decision"], row["rule"]) for row in decided} == {(None, "check_failed")}
