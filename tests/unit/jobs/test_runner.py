"""The runner on small jobs of its own: what runs, what is skipped, what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from crossdomain.errors import GateRefused, InputError, NotReady
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.tables import registry

START = date(2026, 1, 5)
DAYS = [START + timedelta(days=step) for step in range(4)]


def table(include: Path, name: str, job: str, kind: str, columns: dict[str, str]) -> None:
    home = include / "sql" / name.replace(".", "/")
    home = home.with_name(home.name + "_v1")
    home.mkdir(parents=True)
    metadata = {
        "description": name, "owner": "tests", "grain": "row", "key": [next(iter(columns))], "job": job, "kind": kind,
        "restatement": "as_known", "retention_days": 1,
    }  # fmt: skip
    (home / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    schema = {"columns": [{"name": column, "type": kind} for column, kind in columns.items()]}
    (home / "schema.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    include = tmp_path / "include"
    rows = {"id": "VARCHAR", "amount": "BIGINT", "delivered_ds": "DATE"}
    table(include, "clean.sales", "sales", "independent", rows)
    table(include, "derived.total", "total", "sequential", {"name": "VARCHAR", "amount": "HUGEINT"})
    table(include, "derived.week", "week", "windowed", {"name": "VARCHAR", "amount": "HUGEINT"})
    table(include, "serving.checks", "sales", "independent", {"rule": "VARCHAR"})
    return Settings(home=tmp_path / "home", include=include, start=START)


def sales(rows: dict[date, list[tuple[str, int, date]]]) -> Job:
    """Writes the given rows of a day: the stand-in for ingest and clean."""

    def build(ctx: JobContext) -> None:
        ctx.con.execute("CREATE TABLE today (id VARCHAR, amount BIGINT, delivered_ds DATE)")
        if rows[ctx.ds]:
            ctx.con.executemany("INSERT INTO today VALUES (?, ?, ?)", rows[ctx.ds])
        ctx.write("clean.sales", "FROM today")

    version = [[str(day), [list(map(str, row)) for row in found]] for day, found in rows.items()]
    return Job(name="sales", version=1, outputs=("clean.sales",), run=build, config=lambda _: {"rows": version})


def build_total(ctx: JobContext) -> None:
    ctx.write(
        "derived.total",
        "SELECT 'all' AS name, coalesce(sum(amount), 0) AS amount"
        " FROM (SELECT amount FROM clean.sales UNION ALL SELECT amount FROM previous.total)",
    )


TOTAL = Job(
    name="total",
    version=1,
    inputs=(Input(table="clean.sales", days=None, delivered="on"),),
    outputs=("derived.total",),
    run=build_total,
)


def one_a_day() -> dict[date, list[tuple[str, int, date]]]:
    return {day: [(f"s{number}", 10**number, day)] for number, day in enumerate(DAYS)}


def totals(settings: Settings) -> dict[date, int]:
    with open_lake(settings) as lake:
        spec = registry(settings.include).get("derived.total")
        return dict(lake.con.sql(f"SELECT ds, amount FROM ({lake.relation(spec, lake.partitions(spec))})").fetchall())


def land(settings: Settings, rows: dict[date, list[tuple[str, int, date]]], days: list[date] = DAYS) -> None:
    for day in days:
        run_job(sales(rows), day, settings)


def test_a_second_run_does_nothing_and_says_so(settings: Settings) -> None:
    rows = one_a_day()
    assert run_job(sales(rows), START, settings).status == "done"
    again = run_job(sales(rows), START, settings)
    assert (again.status, again.keys) == ("up_to_date", ())


def test_a_forced_run_with_the_same_rows_is_no_news(settings: Settings) -> None:
    rows = one_a_day()
    run_job(sales(rows), START, settings)
    forced = run_job(sales(rows), START, settings, force=True)
    assert (forced.status, forced.keys) == ("unchanged", ())


def test_a_job_whose_consumers_read_what_it_reads_tells_of_every_day_that_it_built(settings: Settings) -> None:
    telling = replace(sales({START: [("a", 1, START)]}), tells_unchanged=True)
    run_job(telling, START, settings)
    again = run_job(replace(telling, version=2), START, settings)
    assert (again.status, again.keys) == ("unchanged", (START,))
    assert run_job(replace(telling, version=2), START, settings).keys == ()


def test_a_new_job_version_builds_again(settings: Settings) -> None:
    land(settings, one_a_day(), DAYS[:1])
    assert run_job(TOTAL, START, settings).status == "done"
    newer = Job(name="total", version=2, inputs=TOTAL.inputs, outputs=TOTAL.outputs, run=build_total)
    assert run_job(newer, START, settings).status == "unchanged"


def test_a_sequential_job_folds_day_by_day(settings: Settings) -> None:
    land(settings, one_a_day())
    result = run_job(TOTAL, START, settings)
    assert result.keys == tuple(DAYS), "the days after it were ready and followed"
    assert totals(settings) == dict(zip(DAYS, [1, 11, 111, 1111], strict=True))


def test_days_that_come_out_of_order_are_made_up(settings: Settings) -> None:
    rows = one_a_day()
    land(settings, rows, [DAYS[0], DAYS[2]])
    run_job(TOTAL, DAYS[0], settings)
    with pytest.raises(NotReady, match=r"clean.sales is missing for 2026-01-06"):
        run_job(TOTAL, DAYS[2], settings)
    land(settings, rows, [DAYS[1]])
    assert run_job(TOTAL, DAYS[1], settings).keys == (DAYS[1], DAYS[2])
    assert totals(settings)[DAYS[2]] == 111


def test_the_day_before_must_be_there(settings: Settings) -> None:
    land(settings, one_a_day())
    with pytest.raises(NotReady, match=r"derived\.total of the day before, 2026-01-06, is missing"):
        run_job(TOTAL, DAYS[2], settings)


def test_as_known_state_takes_a_late_row_on_the_day_it_was_delivered(settings: Settings) -> None:
    rows = one_a_day()
    land(settings, rows)
    run_job(TOTAL, START, settings)
    late = {**rows, DAYS[1]: [*rows[DAYS[1]], ("late", 5000, DAYS[3])]}
    land(settings, late)
    assert run_job(TOTAL, DAYS[1], settings).status == "up_to_date", "what was known on that day did not change"
    result = run_job(TOTAL, DAYS[3], settings)
    assert result.keys == (DAYS[3],)
    assert totals(settings) == dict(zip(DAYS, [1, 11, 111, 6111], strict=True))


def test_before_the_start_and_without_a_start_is_refused(settings: Settings) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="before the declared start"):
        run_job(TOTAL, START - timedelta(days=1), settings)
    with pytest.raises(InputError, match="set CROSSDOMAIN_START"):
        run_job(TOTAL, START, replace(settings, start=None))


def test_a_windowed_job_refuses_a_gap_after_the_start(settings: Settings) -> None:
    def build(ctx: JobContext) -> None:
        ctx.write("derived.week", "SELECT 'all' AS name, sum(amount) AS amount FROM clean.sales")

    week = Job(
        name="week", version=1, inputs=(Input(table="clean.sales", days=3),), outputs=("derived.week",), run=build
    )
    land(settings, one_a_day(), [DAYS[0], DAYS[1], DAYS[3]])
    assert run_job(week, DAYS[1], settings).status == "done", "days before the start are not missing"
    with pytest.raises(NotReady, match="2026-01-07"):
        run_job(week, DAYS[3], settings)


def failing(error: Exception) -> Callable[[JobContext], None]:
    def build(ctx: JobContext) -> None:
        ctx.write("clean.sales", "SELECT 'a' AS id, 1 AS amount, NULL AS delivered_ds")
        ctx.write("serving.checks", "SELECT 'bad' AS rule")
        raise error

    return build


def test_a_refused_day_commits_only_what_tells_why(settings: Settings) -> None:
    outputs = ("clean.sales", "serving.checks")
    job = Job(name="sales", version=1, outputs=outputs, run=failing(GateRefused("no")), on_refusal=("serving.checks",))
    with pytest.raises(GateRefused):
        run_job(job, START, settings)
    with open_lake(settings) as lake:
        assert [len(lake.partitions(registry(settings.include).get(name))) for name in outputs] == [0, 1]
    assert len(list(settings.home.rglob("*.parquet"))) == 1


def test_a_job_that_fails_leaves_nothing(settings: Settings) -> None:
    job = Job(name="sales", version=1, outputs=("clean.sales", "serving.checks"), run=failing(RuntimeError("bug")))
    with pytest.raises(RuntimeError):
        run_job(job, START, settings)
    assert list(settings.home.rglob("*.parquet")) == []
    assert list((settings.home / "tmp").iterdir()) == []


def test_a_job_must_write_what_it_declares(settings: Settings) -> None:
    job = Job(name="sales", version=1, outputs=("clean.sales",), run=lambda ctx: None)
    with pytest.raises(ValueError, match="did not write"):
        run_job(job, START, settings)


def test_what_was_known_before_the_day_is_read_without_the_day_itself(settings: Settings) -> None:
    seen = Input(table="clean.sales", days=2, optional=True, before=True)
    week = Job(name="week", version=1, inputs=(seen,), outputs=("derived.week",), run=build_week)
    assert run_job(week, START, settings).status == "done", "on the first day there is nothing before"
    land(settings, one_a_day())
    assert run_job(week, START, settings).status == "up_to_date"
    run_job(week, DAYS[3], settings)
    assert weeks(settings) == {START: 0, DAYS[3]: 10 + 100}
    with pytest.raises(ValueError, match="must be optional"):
        Input(table="clean.sales", before=True)


def test_what_a_job_does_not_read_under_the_settings_changes_nothing(settings: Settings) -> None:
    land(settings, one_a_day())
    sold = Input(table="clean.sales")
    missing = Input(table="serving.checks", when=lambda settings: settings.seed == 8)
    week = Job(name="week", version=1, inputs=(sold, missing), outputs=("derived.week",), run=build_week)
    assert run_job(week, START, settings).status == "done"
    assert run_job(replace(week, inputs=(sold,)), START, settings).status == "up_to_date"
    with pytest.raises(NotReady, match=r"serving.checks is missing"):
        run_job(week, START, replace(settings, seed=8))


def build_week(ctx: JobContext) -> None:
    ctx.write("derived.week", "SELECT 'all' AS name, coalesce(sum(amount), 0) AS amount FROM clean.sales")


def weeks(settings: Settings) -> dict[date, int]:
    with open_lake(settings) as lake:
        spec = registry(settings.include).get("derived.week")
        return dict(lake.con.sql(f"SELECT ds, amount FROM ({lake.relation(spec, lake.partitions(spec))})").fetchall())
