"""Job ``watch``: measures of the day's clean tables, drift against their quiet days, and rules beyond one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.ingest import TABLES
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from datetime import date

    from crossdomain.quality.drift_results import Drift
    from crossdomain.quality.measures import Measure
    from crossdomain.quality.quiet_days import Histories
    from crossdomain.quality.results import RuleResult

LOOK_BACK_DAYS = 15
"""Days before the day whose rows a reference or a key may need, unless it needs all of them."""
MOST_NAMED = 10
_WHOLE = ("users", "items")
_KEPT = ("events", "reviews", "coupons", "sends")
_KEY = ("table_name", "measure", "column_name", "category")

_Days = dict["date", list["Measure"]]


def build(ctx: JobContext) -> None:
    """Measures every clean table, judges its measures, remembers the quiet ones, and looks across tables and days.

    Drift never refuses a day and neither do these rules: they are told to people.
    """
    from crossdomain.quality.data_docs import write_watch_docs
    from crossdomain.quality.drift import judge
    from crossdomain.quality.drift_results import ALARM
    from crossdomain.quality.quiet_days import remember

    measured = _measure(ctx)
    before = _histories(ctx)
    quiet = not _was_overridden(ctx)
    drifts: dict[str, list[Drift]] = {}
    after: dict[str, Histories] = {}
    for table, days in measured.items():
        known: Histories = before.get(table, {})
        for day in sorted(days):
            found = judge(day, days[day], known)
            alarmed = {drift.key for drift in found if drift.status == ALARM}
            known = remember(day, days[day], alarmed, known, quiet=quiet or day != ctx.ds)
        drifts[table], after[table] = found, known
    broken = _check_across(ctx)
    ctx.write("derived.table_measures", _measure_rows(measured))
    ctx.write("derived.drift_history", _history_rows(after))
    ctx.write("serving.drift_results", _drift_rows(drifts))
    ctx.write("serving.consistency_results", _rule_rows(broken))
    write_watch_docs(ctx.lake.home, ctx.ds, drifts, broken)
    _note(ctx, drifts, broken)


def _measure(ctx: JobContext) -> dict[str, _Days]:
    """Measures of each table by day: the day's, and at the declared start those of its history."""
    from crossdomain.quality.measures import late_rows, measure_day, measure_history
    from crossdomain.quality.quiet_days import WINDOW_DAYS
    from crossdomain.quality.suites import WATCHED

    zone = ctx.settings.zone
    late = late_rows(ctx.con, ctx.ds)
    measured: dict[str, _Days] = {}
    for table, watched in WATCHED.items():
        spec = ctx.tables.get(table)
        if ctx.ds == ctx.settings.start:
            days = measure_history(ctx.con, spec, watched, ctx.ds, zone, days=WINDOW_DAYS)
        else:
            days = {ctx.ds: measure_day(ctx.con, spec, watched, ctx.ds, zone)}
            days[ctx.ds] += [late[table]] if table in late else []
        if days:
            measured[table] = days
    return measured


def _histories(ctx: JobContext) -> dict[str, Histories]:
    """Quiet days of each table's measures up to the day before."""
    from crossdomain.quality.measures import Key
    from crossdomain.quality.quiet_days import History

    rows = ctx.con.execute(
        f"SELECT {', '.join(_KEY)}, days, numbers, rows, alarms FROM previous.drift_history ORDER BY ALL"  # noqa: S608
    ).fetchall()
    found: dict[str, dict[Key, History]] = {}
    for table, measure, column, category, days, values, counts, alarms in rows:
        history = History(tuple(days), tuple(values), tuple(counts), alarms)
        found.setdefault(table, {})[Key(measure, column, category)] = history
    return dict(found)


def _was_overridden(ctx: JobContext) -> bool:
    from crossdomain.quality.results import OVERRIDDEN

    found = ctx.con.execute("SELECT DISTINCT run_verdict FROM serving.quality_results").fetchall()
    return (OVERRIDDEN,) in found


def _check_across(ctx: JobContext) -> list[tuple[str, RuleResult]]:
    """Results of the rules beyond one table and day, with their tables."""
    from crossdomain.quality.references import EXPERIMENTS, KEYS, REFERENCES, check_key, check_reference

    ctx.con.execute("CREATE SCHEMA known")
    ctx.con.register("designs", pa.table({"experiment_id": pa.array(_experiments(ctx.settings), pa.string())}))
    ctx.con.execute(f"CREATE TABLE {EXPERIMENTS} AS FROM designs")
    days = {
        f"clean.{name}": [
            partition.ds
            for partition in ctx.lake.partitions(ctx.tables.get(f"clean.{name}"))
            if partition.rows and partition.ds <= ctx.ds
        ]
        for name in (*_WHOLE, "events")
    }
    window = min(ctx.settings.late_days + 4, LOOK_BACK_DAYS)
    references = [
        (rule.table, check_reference(ctx.con, rule, ctx.ds, days.get(rule.parent, []))) for rule in REFERENCES
    ]
    keys = [(rule.table, check_key(ctx.con, rule, ctx.ds, window)) for rule in KEYS]
    return [*references, *keys]


def _experiments(settings: Settings) -> list[str]:
    from crossdomain.experiments.design import load_designs

    return sorted(design.experiment_id for design in load_designs(settings.include / "experiments"))


def _measure_rows(measured: Mapping[str, _Days]) -> pa.Table:
    rows = [
        {**_named(table, measure.key), "day": day, "value": measure.value, "rows": measure.rows}
        for table, days in measured.items()
        for day, measures in days.items()
        for measure in measures
    ]
    return _table(rows, {"day": pa.date32(), "value": pa.float64(), "rows": pa.int64()})


def _history_rows(histories: Mapping[str, Histories]) -> pa.Table:
    rows = [
        {
            **_named(table, key),
            "days": list(history.days),
            "numbers": list(history.values),
            "rows": list(history.rows),
            "alarms": history.alarms,
        }
        for table, known in histories.items()
        for key, history in known.items()
    ]
    lists = {"days": pa.list_(pa.date32()), "numbers": pa.list_(pa.float64()), "rows": pa.list_(pa.int64())}
    return _table(rows, {**lists, "alarms": pa.int32()})


def _drift_rows(drifts: Mapping[str, Sequence[Drift]]) -> pa.Table:
    rows = [
        {
            **_named(table, drift.key),
            "observed": drift.observed,
            "expected": drift.expected,
            "low": drift.low,
            "high": drift.high,
            "rows": drift.rows,
            "quiet_days": drift.days,
            "status": drift.status,
            "reason": drift.reason,
        }
        for table, found in drifts.items()
        for drift in found
    ]
    numbers = dict.fromkeys(("observed", "expected", "low", "high"), pa.float64())
    return _table(rows, {**numbers, "rows": pa.int64(), "quiet_days": pa.int32(), "status": pa.string(),
                         "reason": pa.string()})  # fmt: skip


def _rule_rows(results: Sequence[tuple[str, RuleResult]]) -> pa.Table:
    from crossdomain.quality.results import QUALITY_ROWS

    names = ("rule_id", "severity", "success", "observed", "unexpected_rows", "rows", "reason")
    rows = [{"table_name": table, **{name: getattr(result, name) for name in names}} for table, result in results]
    return pa.Table.from_pylist(rows, schema=pa.schema([QUALITY_ROWS.field(name) for name in ("table_name", *names)]))


def _named(table: str, key: Any) -> dict[str, str]:
    return dict(zip(_KEY, (table, key.measure, key.column, key.category), strict=True))


def _table(rows: Sequence[Mapping[str, Any]], types: Mapping[str, pa.DataType]) -> pa.Table:
    columns = [(name, pa.string()) for name in _KEY]
    return pa.Table.from_pylist(list(rows), schema=pa.schema([*columns, *types.items()]))


def _note(ctx: JobContext, drifts: Mapping[str, Sequence[Drift]], broken: Sequence[tuple[str, RuleResult]]) -> None:
    from crossdomain.quality.drift_results import ALARM, in_words

    alarms = [(table, drift) for table, found in drifts.items() for drift in found if drift.status == ALARM]
    named = [in_words(table, drift) for table, drift in alarms[:MOST_NAMED]]
    ctx.note(
        measures=sum(len(found) for found in drifts.values()),
        alarms=[*named, *([f"and {len(alarms) - MOST_NAMED} more"] if len(alarms) > MOST_NAMED else [])],
        rules_broken=[f"{result.rule_id}: {result.observed}" for _, result in broken if not result.success],
    )


def _config(settings: Settings) -> dict[str, Any]:
    """What the rows depend on beside clean: the business zone, the declared start, late days and the designs' ids."""
    return {
        "tz": settings.tz,
        "start": settings.start,
        "late_days": settings.late_days,
        "experiments": _experiments(settings),
    }


JOB = Job(
    name="watch",
    version=2,
    inputs=(
        *(Input(table=f"clean.{name}", days=None, optional=True) for name in _WHOLE),
        *(Input(table=f"clean.{name}", days=LOOK_BACK_DAYS + 1) for name in _KEPT),
        *(Input(table=f"clean.{name}") for name in TABLES if name not in (*_WHOLE, *_KEPT)),
        Input(table="derived.row_counts", days=LOOK_BACK_DAYS + 1),
        Input(table="serving.quality_results"),
    ),
    outputs=(
        "derived.table_measures",
        "derived.drift_history",
        "serving.drift_results",
        "serving.consistency_results",
    ),
    run=build,
    config=_config,
    tells_unchanged=True,  # of the gate's results, which are published too
)
