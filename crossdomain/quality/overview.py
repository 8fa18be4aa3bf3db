"""What the status page shows: which day of which table is there, how fresh it is, and what was last decided.

Pure functions of the lake and of a clock that is given; nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from crossdomain.quality.results import REFUSED
from crossdomain.settings import Settings
from crossdomain.storage import serving
from crossdomain.storage.lake import Lake, Partition
from crossdomain.tables import LAYERS, TableRegistry, TableSpec

State = Literal["complete", "refused", "missing", "not_due"]
COMPLETE: State = "complete"
REFUSED_STATE: State = "refused"
MISSING: State = "missing"
NOT_DUE: State = "not_due"

DAYS_SHOWN = 14
QUALITY_RESULTS = "serving.quality_results"
CHAMPIONS = "serving.champions"
MODEL_METRICS = "serving.model_metrics"
EXPERIMENT_METRICS = "serving.experiment_metrics"
EXPERIMENT_CHECKS = "serving.experiment_checks"


@dataclass(frozen=True)
class DayCell:
    """One table on one day.

    Attributes:
        ds: The business day.
        state: ``complete``; ``refused`` by the gate; ``missing``: due and not there; ``not_due``: before the data
            of this table begins.
        rows: Rows that readers see; on a refused day those of the last good version, None without one.
    """

    ds: date
    state: State
    rows: int | None


@dataclass(frozen=True)
class TableStatus:
    """One table over the days that are shown, and how fresh it is.

    Attributes:
        table: Name in code.
        layer: Its layer.
        job: The job that writes it.
        days: One cell a day, in the order of the overview's days.
        newest: Newest business day that is there, None if the table was never written.
        built_at: When that day was written (UTC).
        days_behind: Days between the newest day of any table and this one's; None if never written.
    """

    table: str
    layer: str
    job: str
    days: tuple[DayCell, ...]
    newest: date | None
    built_at: datetime | None
    days_behind: int | None


@dataclass(frozen=True)
class BrokenRule:
    """A rule that did not hold on a day."""

    table: str
    rule: str
    severity: str
    observed: str
    unexpected_rows: int
    reason: str


@dataclass(frozen=True)
class GateDay:
    """A day on which rules did not hold.

    Attributes:
        ds: The business day.
        refused: Whether the day was refused; if not, the rules were warnings.
        rules: The rules that did not hold, the refusing ones first, then by rows.
    """

    ds: date
    refused: bool
    rules: tuple[BrokenRule, ...]


@dataclass(frozen=True)
class Decision:
    """Rows of the newest day of a table of decisions or results, as that table has them."""

    ds: date
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Overview:
    """Everything that the page shows.

    Attributes:
        generated_at: When it was read (the clock that was given).
        tz: The business time zone.
        days: The days shown, oldest first.
        tables: All tables but raw ones, by layer, then job and name.
        gate: Days with rules that did not hold, newest first.
        champions: The champion of the newest day that has one.
        model_metrics: Measures of the newest day that has some.
        experiments: Results of the newest day that has some.
        experiment_checks: Their checks, of their newest day.
        published: The business day that ``serving/CURRENT`` names.
    """

    generated_at: datetime
    tz: str
    days: tuple[date, ...]
    tables: tuple[TableStatus, ...]
    gate: tuple[GateDay, ...]
    champions: Decision | None
    model_metrics: Decision | None
    experiments: Decision | None
    experiment_checks: Decision | None
    published: date | None


@dataclass(frozen=True)
class _Day:
    """What is known of one table's day: rows, and when it was written."""

    rows: int
    built_at: datetime


def overview(
    lake: Lake, tables: TableRegistry, settings: Settings, *, now: datetime, days: int = DAYS_SHOWN
) -> Overview:
    """Reads the state of the lake.

    Args:
        lake: The lake.
        tables: Its tables.
        settings: Time zone and declared start.
        now: The moment that the overview is read at.
        days: Most business days shown; the newest that any clean table or gate result has, without gaps between.
    """
    shown = [spec for spec in tables if spec.layer != LAYERS[0]]
    found = {spec.full_name: lake.partitions(spec) for spec in shown}
    calendar = _calendar(found, days)
    gate = _gate_days(lake, tables, found.get(QUALITY_RESULTS, []), calendar)
    refused = {day.ds for day in gate if day.refused}
    newest = calendar[-1] if calendar else None
    statuses = [
        _table_status(spec, found[spec.full_name], calendar, refused, settings.start, newest)
        for spec in sorted(shown, key=lambda spec: (LAYERS.index(spec.layer), spec.job, spec.name))
    ]
    publication = serving.current(lake.home)
    return Overview(
        generated_at=now,
        tz=settings.tz,
        days=calendar,
        tables=tuple(statuses),
        gate=gate,
        champions=_newest(lake, tables, found, CHAMPIONS),
        model_metrics=_newest(lake, tables, found, MODEL_METRICS),
        experiments=_newest(lake, tables, found, EXPERIMENT_METRICS),
        experiment_checks=_newest(lake, tables, found, EXPERIMENT_CHECKS),
        published=publication.ds if publication else None,
    )


def _calendar(found: Mapping[str, Sequence[Partition]], days: int) -> tuple[date, ...]:
    """The newest business days, every one between the first and the last shown, oldest first."""
    present = {
        partition.ds
        for name, partitions in found.items()
        if name.startswith("clean.") or name == QUALITY_RESULTS
        for partition in partitions
    }
    if not present:
        return ()
    last = max(present)
    first = max(min(present), last - timedelta(days=days - 1))
    return tuple(first + timedelta(days=step) for step in range((last - first).days + 1))


def _table_status(
    spec: TableSpec,
    partitions: Sequence[Partition],
    calendar: Sequence[date],
    refused: set[date],
    start: date | None,
    newest_anywhere: date | None,
) -> TableStatus:
    known = _by_day(partitions)
    newest = max(known) if known else None
    due_from = start or (min(known) if known else None)
    cells = tuple(
        _cell(ds, known.get(ds), refused=spec.layer == "clean" and ds in refused, due_from=due_from) for ds in calendar
    )
    return TableStatus(
        table=spec.full_name,
        layer=spec.layer,
        job=spec.job,
        days=cells,
        newest=newest,
        built_at=known[newest].built_at if newest else None,
        days_behind=(newest_anywhere - newest).days if newest and newest_anywhere else None,
    )


def _by_day(partitions: Sequence[Partition]) -> dict[date, _Day]:
    """Rows and time of every day; tables with more partition columns have several partitions a day."""
    known: dict[date, _Day] = {}
    for partition in partitions:
        before = known.get(partition.ds)
        rows = partition.rows + (before.rows if before else 0)
        built_at = max(partition.written_at, before.built_at) if before else partition.written_at
        known[partition.ds] = _Day(rows, built_at)
    return known


def _cell(ds: date, known: _Day | None, *, refused: bool, due_from: date | None) -> DayCell:
    rows = known.rows if known else None
    if refused:
        return DayCell(ds, REFUSED_STATE, rows)
    if known:
        return DayCell(ds, COMPLETE, rows)
    return DayCell(ds, MISSING if due_from is not None and ds >= due_from else NOT_DUE, None)


def _gate_days(
    lake: Lake, tables: TableRegistry, partitions: Sequence[Partition], calendar: Sequence[date]
) -> tuple[GateDay, ...]:
    """Days shown with rules that did not hold, newest first."""
    wanted = [partition for partition in partitions if partition.ds in set(calendar)]
    if not wanted:
        return ()
    source = lake.relation(tables.get(QUALITY_RESULTS), wanted)
    rows = lake.con.execute(
        "SELECT ds, run_verdict, table_name, rule_id, severity, observed, unexpected_rows, reason "  # noqa: S608
        f"FROM ({source}) WHERE NOT success "
        "ORDER BY ds DESC, severity, unexpected_rows DESC, rule_id"
    ).fetchall()
    by_day: dict[date, list[BrokenRule]] = {}
    verdicts: dict[date, bool] = {}
    for ds, verdict, *rule in rows:
        by_day.setdefault(ds, []).append(BrokenRule(*rule))
        verdicts[ds] = verdict == REFUSED
    return tuple(GateDay(ds, verdicts[ds], tuple(rules)) for ds, rules in by_day.items())


def _newest(lake: Lake, tables: TableRegistry, found: Mapping[str, Sequence[Partition]], name: str) -> Decision | None:
    """All rows of the newest day of a table that has any; None if the table has none or does not exist."""
    filled = [partition for partition in found.get(name, ()) if partition.rows]
    if not filled:
        return None
    spec = tables.get(name)
    order = ", ".join(f'"{column}"' for column in spec.order)
    result = lake.con.execute(
        f"SELECT * EXCLUDE (ds) FROM ({lake.relation(spec, [filled[-1]])}) ORDER BY {order}"  # noqa: S608
    )
    columns = [entry[0] for entry in result.description]
    rows = tuple(dict(zip(columns, row, strict=True)) for row in result.fetchall())
    return Decision(filled[-1].ds, rows)


def as_json(value: Any) -> Any:
    """An overview (or any part of it) as JSON values: days and moments in ISO 8601, money as text, keys in hex."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
