"""One delivery into raw: rows as delivered, each placed in its business day, one commit a table.

Every record of a delivery becomes a row of raw, also those that cannot be used: they lie in the delivery
day with their reason, so that the clean job can account for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from crossdomain.columns import DS
from crossdomain.errors import CrossdomainError, InputError
from crossdomain.ingest.feeds import Feed
from crossdomain.ingest.landing import Delivery, find_deliveries
from crossdomain.ingest.parsing import cleaned_text, read_columns, text_of, value_of
from crossdomain.ingest.readers import FileReport, create_landing, read_file
from crossdomain.settings import Settings
from crossdomain.storage.engine import identifier, literal
from crossdomain.storage.keys import Keyring
from crossdomain.storage.lake import Lake, Staged
from crossdomain.tables import TableRegistry, TableSpec

ERASURES = "derived.erasures"


@dataclass(frozen=True)
class FeedArrival:
    """What one feed brought.

    Attributes:
        feed: Its name.
        rows: Records read.
        replaced: Rows of an earlier delivery of the same day that this one replaces.
        set_aside: Rows without a usable day, by reason; the clean job quarantines them.
        days: Business days of the rows and of those that they replace, in order.
        changed: Those whose rows are others than before.
        unmapped: Source columns that nothing maps; kept in raw.
        missing: Optional source columns that a file lacked; read as null.
    """

    feed: str
    rows: int
    replaced: int
    set_aside: Mapping[str, int]
    days: tuple[date, ...]
    changed: tuple[date, ...]
    unmapped: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Arrival:
    """What ingesting one delivery day did.

    Attributes:
        day: The delivery day.
        feeds: One entry a feed, by name.
        touched: Business days to (re)build, in order: the delivery day and all days that the delivery has or
            had rows in. A day after the delivery's (clocks that run ahead) is left to its own delivery,
            unless that is already there.
        changed: Whether any row of raw is another than before.
    """

    day: date
    feeds: tuple[FeedArrival, ...]
    touched: tuple[date, ...]
    changed: bool


def ingest_delivery(
    lake: Lake,
    tables: TableRegistry,
    feeds: dict[str, Feed],
    day: date,
    *,
    settings: Settings,
    keys: Keyring,
    made_by: Mapping[str, Any],
) -> Arrival:
    """Reads every feed's folder of a delivery day into ``raw`` and remembers erasure requests.

    The same files again change nothing; other files replace what the feed delivered for that day. Nothing
    is committed before all feeds were read.

    Raises:
        MissingInput: A folder that must be there is not.
        InputError: A file cannot be taken; the message names it, and nothing was committed.
    """
    deliveries = find_deliveries(lake.home, feeds, day, settings)
    with lake.home.scratch() as scratch:
        reports = {delivery.feed.name: _read(lake.con, delivery, settings, scratch) for delivery in deliveries}
    before = _before(lake, tables, deliveries)
    staged: list[Staged] = []
    try:
        for delivery in deliveries:
            known = {day for feed, day in before if feed == delivery.feed.name}
            staged += _stage(lake, tables, delivery, known | {_folded(day, settings)}, made_by)
        staged += _stage_erasures(lake, tables, deliveries, keys, made_by)
        _commit(lake, staged, deliveries, before)
    except BaseException:
        lake.discard(staged)
        raise
    arrivals = tuple(_arrival(lake.con, one, reports[one.feed.name], staged, before) for one in deliveries)
    touched = {_folded(day, settings)} | {touched_day for arrival in arrivals for touched_day in arrival.days}
    touched -= _left_to_their_own(lake, tables, deliveries, touched)
    return Arrival(day, arrivals, tuple(sorted(touched)), any(arrival.changed for arrival in arrivals))


def _left_to_their_own(
    lake: Lake, tables: TableRegistry, deliveries: Sequence[Delivery], days: Iterable[date]
) -> set[date]:
    """Days after the delivery's that wait for a delivery of their own."""
    early = {day for day in days if day > deliveries[0].day}
    if not early:
        return set()
    specs = {spec.full_name: spec for spec in (_raw(tables, delivery.feed) for delivery in deliveries)}
    delivered = {partition.values["delivered_ds"] for spec in specs.values() for partition in lake.partitions(spec)}
    return {day for day in early if day.isoformat() not in delivered}


def _folded(day: date, settings: Settings) -> date:
    """The day whose partition holds a day's rows: days before the declared start are folded into it."""
    return day if settings.start is None else max(day, settings.start)


def _raw(tables: TableRegistry, feed: Feed) -> TableSpec:
    return tables.get(f"raw.{feed.table.name}")


def _landing(feed: Feed) -> str:
    return f"landing_{feed.name}"


def _placed(feed: Feed) -> str:
    return f"placed_{feed.name}"


def _read(
    con: duckdb.DuckDBPyConnection, delivery: Delivery, settings: Settings, scratch: Path
) -> tuple[FileReport, ...]:
    """Reads a feed's files and places each row in its day; leaves table ``placed_<feed>``."""
    feed = delivery.feed
    create_landing(con, feed, _landing(feed))
    reports = tuple(read_file(con, feed, path, _landing(feed), scratch) for path in delivery.files)
    rows = sum(report.rows for report in reports)
    if rows == 0 and not feed.may_be_empty:
        raise InputError(
            f"{delivery.files[0].parent}: holds no row; if that is normal, say may_be_empty: true in the feed file"
        )
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW {identifier(_placed(feed))} AS {placed_rows(delivery, settings, _landing(feed))}"
    )
    return reports


def placed_rows(delivery: Delivery, settings: Settings, landing: str) -> str:
    """SQL that gives landing rows their time, the latest time that is believed, their reason and their day.

    A day before the declared start of the data is folded into the start: nothing is built before it.
    """
    feed, day = delivery.feed, literal(delivery.day.isoformat())
    own_day = f"DATE {literal(_folded(delivery.day, settings).isoformat())}"
    latest = f"TIMESTAMPTZ {literal(delivery.latest.isoformat())}"
    if feed.table.day is None:
        return (
            f"SELECT *, CAST(NULL AS TIMESTAMPTZ) AS _at, {latest} AS _until, {own_day} AS ds "  # noqa: S608 - quoted
            f"FROM {identifier(landing)}"
        )
    column = feed.table.column(feed.table.day)
    text, value = identifier(text_of(column)), identifier(value_of(column))
    instant = f"timezone({literal(settings.tz)}, CAST({value} AS TIMESTAMP))" if column.kind == "day" else value
    local_day = f"CAST(timezone({literal(settings.tz)}, _at) AS DATE)"
    too_late = "false" if delivery.history else f"{local_day} < DATE {day} - {feed.late_days}"
    first_day = f"DATE {literal(settings.start.isoformat())}" if settings.start else local_day
    read = read_columns(feed, [column], f"SELECT * FROM {identifier(landing)}")  # noqa: S608 - quoted
    return f"""
        WITH instants AS (SELECT *, {instant} AS _at FROM ({read})),
        judged AS (
            SELECT *,
                CASE
                    WHEN _reason IS NOT NULL THEN _reason
                    WHEN {text} IS NULL THEN 'missing_{column.name}'
                    WHEN _at IS NULL THEN 'unparseable_{column.name}'
                    WHEN _at >= {latest} THEN 'too_early'
                    WHEN {too_late} THEN 'too_late'
                END AS judgement
            FROM instants
        )
        SELECT
            * REPLACE (
                judgement AS _reason,
                CASE WHEN _reason IS NULL AND judgement IS NOT NULL THEN '{column.name}' END AS _column
            ),
            {latest} AS _until,
            CASE WHEN judgement IS NULL THEN greatest({local_day}, {first_day}) ELSE {own_day} END AS ds
        FROM judged
    """  # noqa: S608 - identifiers and literals quoted


def _stage(
    lake: Lake, tables: TableRegistry, delivery: Delivery, always: set[date], made_by: Mapping[str, Any]
) -> list[Staged]:
    """One file a business day, also without rows for those that must have one.

    The delivery day must, as a sign that it was delivered; days that an earlier delivery of the same day had
    rows in must, so that they can be built again without them.
    """
    placed, spec = identifier(_placed(delivery.feed)), _raw(tables, delivery.feed)
    rows = identifier(f"rows_{delivery.feed.name}")
    lake.con.execute(f"CREATE OR REPLACE TEMP TABLE {rows} AS SELECT * FROM {placed}")  # noqa: S608 - quoted
    found = lake.con.execute(f"SELECT DISTINCT ds FROM {rows} ORDER BY ds").fetchall()  # noqa: S608 - quoted
    staged = []
    for day in sorted(always | {day for (day,) in found}):
        values = {"feed": delivery.feed.name, "delivered_ds": delivery.day.isoformat(), DS: day.isoformat()}
        source = f"SELECT * FROM {rows} WHERE ds = DATE {literal(day.isoformat())}"  # noqa: S608 - quoted
        staged.append(lake.stage(spec, source, values, made_by=made_by))
    ((read,),) = lake.con.execute(f"SELECT count(*) FROM {identifier(_landing(delivery.feed))}").fetchall()  # noqa: S608
    kept = sum(file.rows for file in staged)
    if read != kept:
        raise CrossdomainError(f"feed {delivery.feed.name} {delivery.day}: read {read} rows, raw would hold {kept}")
    return staged


def _stage_erasures(
    lake: Lake,
    tables: TableRegistry,
    deliveries: Sequence[Delivery],
    keys: Keyring,
    made_by: Mapping[str, Any],
) -> list[Staged]:
    """Remembers who asked to be forgotten, as HMACs under the erasure key; ids that are not there are left out."""
    asked = [delivery for delivery in deliveries if delivery.feed.table.name == "erasure_requests"]
    if not asked:
        return []
    union = " UNION ALL ".join(
        f"SELECT lower({cleaned_text('domain')}) AS domain, {cleaned_text('user_id')} AS user_id, _at "  # noqa: S608
        f"FROM {identifier(f'rows_{delivery.feed.name}')} WHERE _reason IS NULL"
        for delivery in asked
    )
    people = lake.con.execute(
        f"SELECT domain, user_id, min(_at) FROM ({union}) WHERE domain IS NOT NULL AND user_id IS NOT NULL "  # noqa: S608
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    rows = pa.table(
        {
            "erased": pa.array([keys.erased(domain, user) for domain, user, _ in people], pa.binary()),
            "requested_at": pa.array([moment for _, _, moment in people], pa.timestamp("us", tz="UTC")),
        }
    )
    day = deliveries[0].day.isoformat()
    return [lake.stage(tables.get(ERASURES), rows, {DS: day}, made_by=made_by)]


Before = Mapping[tuple[str, date], tuple[str, int]]


def _before(lake: Lake, tables: TableRegistry, deliveries: Sequence[Delivery]) -> Before:
    """(checksum, rows) of what these feeds delivered for the day so far, by (feed, business day)."""
    names = {delivery.feed.name for delivery in deliveries}
    specs = {_raw(tables, delivery.feed).full_name: _raw(tables, delivery.feed) for delivery in deliveries}
    return {
        (partition.values["feed"], partition.ds): (partition.checksum, partition.rows)
        for spec in specs.values()
        for partition in lake.partitions(spec)
        if partition.values["feed"] in names and partition.values["delivered_ds"] == deliveries[0].day.isoformat()
    }


def _commit(lake: Lake, staged: Sequence[Staged], deliveries: Sequence[Delivery], before: Before) -> None:
    """One commit a table that changed; what stayed the same is discarded."""
    day = deliveries[0].day.isoformat()
    by_table: dict[str, list[Staged]] = {}
    for file in staged:
        by_table.setdefault(file.spec.full_name, []).append(file)
    for files in by_table.values():
        spec = files[0].spec
        if spec.layer != "raw":
            lake.commit(spec, files, replace={DS: [day]})
            continue
        feeds = sorted({file.values["feed"] for file in files})
        old = {key: checksum for key, (checksum, _) in before.items() if key[0] in feeds}
        new = {(file.values["feed"], date.fromisoformat(file.values[DS])): file.checksum for file in files}
        if old == new:
            lake.discard(files)
        else:
            lake.commit(spec, files, replace={"feed": feeds, "delivered_ds": [day]})


def _arrival(
    con: duckdb.DuckDBPyConnection,
    delivery: Delivery,
    reports: Sequence[FileReport],
    staged: Sequence[Staged],
    before: Before,
) -> FeedArrival:
    name = delivery.feed.name
    new = {date.fromisoformat(file.values[DS]): file.checksum for file in staged if file.values.get("feed") == name}
    old = {day: checksum for (feed, day), (checksum, _) in before.items() if feed == name}
    days = tuple(sorted(new.keys() | old.keys()))
    changed = tuple(day for day in days if new.get(day) != old.get(day))
    replaced = sum(count for (feed, _), (_, count) in before.items() if feed == name)
    rows = identifier(f"rows_{name}")
    reasons = con.execute(
        f"SELECT _reason, count(*) FROM {rows} WHERE _reason IS NOT NULL GROUP BY ALL ORDER BY ALL"  # noqa: S608
    ).fetchall()
    return FeedArrival(
        feed=name,
        rows=sum(report.rows for report in reports),
        replaced=replaced if changed else 0,
        set_aside=dict(reasons),
        days=days,
        changed=changed,
        unmapped=tuple(dict.fromkeys(column for report in reports for column in report.unmapped)),
        missing=tuple(dict.fromkeys(column for report in reports for column in report.missing)),
    )
