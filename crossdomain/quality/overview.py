"""What the status page shows: which day of which table is there, how fresh it is, and what was last decided.

Pure functions of the lake and of a clock that is given; nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from crossdomain.quality import data_docs
from crossdomain.quality.drift_results import ALARM, LEARNING
from crossdomain.quality.results import OVERRIDDEN, REFUSED
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
_LATE_DAYS = 31
ROW_CLASSES = ("clean", "quarantined", "duplicate", "superseded", "suppressed")
"""What may become of a row of the delivery in force."""
QUALITY_RESULTS = "serving.quality_results"
DRIFT_RESULTS = "serving.drift_results"
CONSISTENCY_RESULTS = "serving.consistency_results"
DELIVERIES = "derived.deliveries"
ROW_COUNTS = "derived.row_counts"
CHAMPIONS = "serving.champions"
MODEL_METRICS = "serving.model_metrics"
RECOMMENDATION_DRIFT = "serving.recommendation_drift"
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
        overridden: Whether a person let the day through in spite of its rules.
        rules: The rules that did not hold, the refusing ones first, then by rows.
    """

    ds: date
    refused: bool
    overridden: bool
    rules: tuple[BrokenRule, ...]


@dataclass(frozen=True)
class Alarm:
    """A measure of a table that is not what its quiet days let expect; shares from 0 to 1."""

    table: str
    measure: str
    column: str
    category: str
    observed: float
    expected: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class WatchDay:
    """What was watched on a day.

    Attributes:
        ds: The business day.
        measures: Measures of all tables.
        learning: Those without quiet days enough.
        alarms: Those that alarm, by table and measure.
        rules: Rules across tables and days that do not hold.
    """

    ds: date
    measures: int
    learning: int
    alarms: tuple[Alarm, ...]
    rules: tuple[BrokenRule, ...]


@dataclass(frozen=True)
class FeedDelivery:
    """What became of the rows of one feed's delivery.

    Attributes:
        delivered_ds: The delivery day.
        table: Canonical table that the feed fills.
        feed: The feed.
        read: Rows that were ever read of it, those of replaced files included.
        replaced: Rows of files that a redelivery replaced.
        rows: Rows by class (``ROW_CLASSES``).
        waiting: Rows that are in no class yet: their day is not cleaned, or was refused. Read = replaced + all
            classes + waiting; less than none would be rows from nowhere.
    """

    delivered_ds: date
    table: str
    feed: str
    read: int
    replaced: int
    rows: Mapping[str, int]
    waiting: int


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
        watch: Days that were watched, newest first.
        deliveries: Deliveries of the days shown, newest first, by table and feed.
        data_docs: Days shown that have a page of the Data Docs.
        champions: The champion of the newest day that has one.
        model_metrics: Measures of the newest day that has some.
        recommendation_drift: How far the recommender moved, on the newest day that it was compared.
        experiments: Results of the newest day that has some.
        experiment_checks: Their checks, of their newest day.
        published: The business day that ``serving/CURRENT`` names.
    """

    generated_at: datetime
    tz: str
    days: tuple[date, ...]
    tables: tuple[TableStatus, ...]
    gate: tuple[GateDay, ...]
    watch: tuple[WatchDay, ...]
    deliveries: tuple[FeedDelivery, ...]
    data_docs: tuple[date, ...]
    champions: Decision | None
    model_metrics: Decision | None
    recommendation_drift: Decision | None
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
        watch=_watch_days(lake, tables, found, calendar),
        deliveries=_feed_deliveries(lake, tables, found, calendar, settings.start),
        data_docs=tuple(day for day in data_docs.page_days(lake.home) if day in set(calendar)),
        champions=_newest(lake, tables, found, CHAMPIONS),
        model_metrics=_newest(lake, tables, found, MODEL_METRICS),
        recommendation_drift=_newest(lake, tables, found, RECOMMENDATION_DRIFT),
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
    if spec.kind == "delivery":  # written when something is delivered or decided, on no day by itself
        due_from = None
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
    verdicts: dict[date, str] = {}
    for ds, verdict, *rule in rows:
        by_day.setdefault(ds, []).append(BrokenRule(*rule))
        verdicts[ds] = verdict
    return tuple(
        GateDay(ds, verdicts[ds] == REFUSED, verdicts[ds] == OVERRIDDEN, tuple(rules)) for ds, rules in by_day.items()
    )


def _watch_days(
    lake: Lake, tables: TableRegistry, found: Mapping[str, Sequence[Partition]], calendar: Sequence[date]
) -> tuple[WatchDay, ...]:
    """Days shown that were watched, newest first."""
    drift = _of_days(lake, tables, found, DRIFT_RESULTS, calendar)
    rules = _of_days(lake, tables, found, CONSISTENCY_RESULTS, calendar)
    if drift is None or rules is None:
        return ()
    counted = lake.con.execute(
        f"SELECT ds, count(*), count(*) FILTER (status = $learning) FROM ({drift}) GROUP BY ds ORDER BY ds DESC",  # noqa: S608
        {"learning": LEARNING},
    ).fetchall()
    alarms: dict[date, list[Alarm]] = {}
    for ds, *alarm in lake.con.execute(
        "SELECT ds, table_name, measure, column_name, category, observed, expected, low, high, reason "  # noqa: S608
        f"FROM ({drift}) WHERE status = $alarm ORDER BY ALL",
        {"alarm": ALARM},
    ).fetchall():
        alarms.setdefault(ds, []).append(Alarm(*alarm))
    broken: dict[date, list[BrokenRule]] = {}
    for ds, *rule in lake.con.execute(
        "SELECT ds, table_name, rule_id, severity, observed, unexpected_rows, reason "  # noqa: S608
        f"FROM ({rules}) WHERE NOT success ORDER BY ALL"
    ).fetchall():
        broken.setdefault(ds, []).append(BrokenRule(*rule))
    return tuple(
        WatchDay(ds, measures, learning, tuple(alarms.get(ds, ())), tuple(broken.get(ds, ())))
        for ds, measures, learning in counted
    )


def _feed_deliveries(
    lake: Lake,
    tables: TableRegistry,
    found: Mapping[str, Sequence[Partition]],
    calendar: Sequence[date],
    start: date | None,
) -> tuple[FeedDelivery, ...]:
    """Deliveries of the days shown, newest first; rows of a delivery lie on days around it and at the start."""
    deliveries = _of_days(lake, tables, found, DELIVERIES, calendar)
    if deliveries is None:
        return ()
    near = {day + timedelta(days=step) for day in calendar for step in range(-_LATE_DAYS, 2)} | {start}
    counts = _of_days(lake, tables, found, ROW_COUNTS, near) or lake.relation(tables.get(ROW_COUNTS), [])
    rows = lake.con.execute(
        "SELECT d.ds, d.table_name, d.feed, d.rows_read, d.rows_replaced, c.class, sum(c.rows) "  # noqa: S608
        f"FROM ({deliveries}) AS d LEFT JOIN (SELECT * EXCLUDE (ds) FROM ({counts})) AS c "
        "ON c.feed = d.feed AND c.table_name = d.table_name AND c.delivered_ds = d.ds "
        "GROUP BY ALL ORDER BY d.ds DESC, d.table_name, d.feed"
    ).fetchall()
    classes: dict[tuple[Any, ...], dict[str, int]] = {}
    for *delivery, row_class, count in rows:
        by_class = classes.setdefault(tuple(delivery), dict.fromkeys(ROW_CLASSES, 0))
        if row_class in by_class:
            by_class[row_class] += int(count)
    return tuple(
        FeedDelivery(ds, table, feed, read + replaced, replaced, by_class, read - sum(by_class.values()))
        for (ds, table, feed, read, replaced), by_class in classes.items()
    )


def _of_days(
    lake: Lake,
    tables: TableRegistry,
    found: Mapping[str, Sequence[Partition]],
    name: str,
    days: Collection[date | None],
) -> str | None:
    """SQL of a table's rows of some days; None if it has no partition of them."""
    wanted = [partition for partition in found.get(name, ()) if partition.ds in set(days)]
    return lake.relation(tables.get(name), wanted) if wanted else None


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
