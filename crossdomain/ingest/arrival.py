"""One delivery into raw: rows as delivered, each placed in its business day, one commit a table.

Every record of a delivery becomes a row of raw, also those that cannot be used: they lie in the delivery
day with their reason, so that the clean job can account for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from crossdomain.columns import DELIVERED_DS, DS, FEED
from crossdomain.errors import InputError
from crossdomain.ingest.feeds import Feed
from crossdomain.ingest.landing import Delivery, find_deliveries
from crossdomain.ingest.parsing import cleaned_text, read_columns, text_of, value_of
from crossdomain.ingest.readers import Records, find_lines, no_records, read_file
from crossdomain.ingest.widening import ColumnForms, Widening, find_widenings, known_forms, observe_columns
from crossdomain.settings import Settings
from crossdomain.storage.engine import file_literal, identifier, literal
from crossdomain.storage.keys import Keyring
from crossdomain.storage.lake import JOINT, Lake, Staged
from crossdomain.tables import TableRegistry, TableSpec

ERASURES = "derived.erasures"
DELIVERIES = "derived.deliveries"
FEED_COLUMNS = "derived.feed_columns"
_FORMS = pa.schema(
    [
        ("source_column", pa.string()),
        ("column_name", pa.string()),
        ("present", pa.bool_()),
        ("rows", pa.int64()),
        ("filled", pa.int64()),
        ("forms", pa.list_(pa.string())),
        ("longest", pa.int64()),
        ("scrambled", pa.int64()),
    ]
)


@dataclass(frozen=True)
class FeedArrival:
    """What one feed brought.

    Attributes:
        feed: Its name.
        table: The canonical table that it fills.
        files: Files of the delivery.
        rows: Records read.
        replaced: Rows of earlier deliveries of the same day that were replaced, by this one or before it.
        version: Digest of what was delivered.
        set_aside: Rows without a usable day, by reason; the clean job quarantines them.
        days: Business days of the rows and of those that they replace, in order.
        changed: Those whose rows are others than before.
        forms: How each column is written, and where that is wider than before.
        unmapped: Source columns that nothing maps; kept in raw.
        missing: Optional source columns that a file lacked; read as null.
    """

    feed: str
    table: str
    files: int
    rows: int
    replaced: int
    version: str
    set_aside: Mapping[str, int]
    days: tuple[date, ...]
    changed: tuple[date, ...]
    forms: tuple[tuple[ColumnForms, Widening | None], ...]
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
    before = _before(lake, tables, deliveries)
    staged: list[Staged] = []
    landed: list[_Landed] = []
    try:
        with lake.home.scratch() as scratch:
            for delivery in deliveries:
                landed.append(_land(lake, tables, delivery, settings, scratch, made_by, staged))
        for file in _stage_erasures(lake, tables, landed, keys, made_by):
            staged.append(file)  # at once: what is written is known when the next file fails
        arrivals = tuple(_arrival(lake, tables, one, before[one.delivery.feed.name]) for one in landed)
        forms = _stage_forms(lake, tables, arrivals, day, made_by)
        for file in chain(forms, _stage_deliveries(lake, tables, arrivals, day, made_by)):
            staged.append(file)
        _commit(lake, staged, deliveries, before)
    except BaseException:
        lake.discard(staged)
        raise
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


@dataclass(frozen=True)
class _Landed:
    """A delivery in files of raw that are not committed yet."""

    delivery: Delivery
    files: tuple[Staged, ...]
    records: tuple[Records, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


def _land(
    lake: Lake,
    tables: TableRegistry,
    delivery: Delivery,
    settings: Settings,
    scratch: Path,
    made_by: Mapping[str, Any],
    staged: list[Staged],
) -> _Landed:
    """Writes one file of raw for each file of a delivery, and one without rows for a delivery without files.

    Whatever is written is added to ``staged`` at once, so that a failure leaves nothing behind.
    """
    feed, files, read = delivery.feed, [], []
    for path in delivery.files:
        records = read_file(lake.con, feed, path, scratch)
        files.append(_stage(lake, tables, delivery, settings, records, path, made_by, staged))
        read.append(records)
    if not files:
        none = no_records(feed, delivery.feed.name)
        files.append(_stage(lake, tables, delivery, settings, none, lake.home.landing(feed.name), made_by, staged))
    if delivery.files and not sum(file.rows for file in files) and not feed.may_be_empty:
        raise InputError(
            f"{delivery.files[0].parent}: holds no row; if that is normal, say may_be_empty: true in the feed file"
        )
    return _Landed(delivery, tuple(files), tuple(read))


def _stage(
    lake: Lake,
    tables: TableRegistry,
    delivery: Delivery,
    settings: Settings,
    records: Records,
    path: Path,
    made_by: Mapping[str, Any],
    staged: list[Staged],
) -> Staged:
    """One pass from the delivered file to a file of raw; a second one where lines must be looked up."""
    feed, spec = delivery.feed, _raw(tables, delivery.feed)
    values = {"feed": feed.name, "delivered_ds": delivery.day.isoformat()}
    try:
        file = lake.stage(spec, placed_rows(delivery, settings, records.rows), values, made_by=made_by, order="")
    except duckdb.Error as error:
        raise InputError(f"{path}: cannot be read as {feed.format}: {str(error).strip().splitlines()[0]}") from error
    staged.append(file)
    read = f"SELECT * FROM read_parquet({file_literal(file.path)}, file_row_number = true, hive_partitioning = false)"  # noqa: S608
    lines = find_lines(lake.con, feed, records, read, file.rows)
    if lines is None:
        return file
    whole = f"{lines.numbered} UNION ALL BY NAME ({placed_rows(delivery, settings, lines.unreadable)})"
    complete = lake.stage(spec, whole, values, made_by=made_by)
    staged.append(complete)
    staged.remove(file)
    lake.discard([file])
    return complete


def placed_rows(delivery: Delivery, settings: Settings, records: str) -> str:
    """SQL that gives the records of a file their time, the latest time that is believed, their reason and their day.

    A day before the declared start of the data is folded into the start: nothing is built before it.
    """
    feed, day = delivery.feed, literal(delivery.day.isoformat())
    own_day = f"DATE {literal(_folded(delivery.day, settings).isoformat())}"
    latest = f"TIMESTAMPTZ {literal(delivery.latest.isoformat())}"
    if feed.table.day is None:
        return (
            f"SELECT *, CAST(NULL AS TIMESTAMPTZ) AS _at, {latest} AS _until, {own_day} AS ds "  # noqa: S608 - quoted
            f"FROM ({records})"
        )
    column = feed.table.column(feed.table.day)
    text, value = identifier(text_of(column)), identifier(value_of(column))
    instant = f"timezone({literal(settings.tz)}, CAST({value} AS TIMESTAMP))" if column.kind == "day" else value
    begins, ends, earliest = (
        f"TIMESTAMPTZ {literal(datetime.combine(when, time.min, tzinfo=settings.zone).isoformat())}"
        for when in (
            delivery.day,
            delivery.day + timedelta(days=1),
            delivery.day - timedelta(days=feed.late_days),
        )
    )
    # Most rows are of the delivery's day, which two comparisons tell; asking the calendar of a zone is slow.
    local_day = (
        f"CASE WHEN _at >= {begins} AND _at < {ends} THEN DATE {day} "
        f"ELSE CAST(timezone({literal(settings.tz)}, _at) AS DATE) END"
    )
    too_late = "false" if delivery.history else f"_at < {earliest}"
    first_day = f"DATE {literal(settings.start.isoformat())}" if settings.start else local_day
    read = read_columns(feed, [column], records)
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


def _stage_erasures(
    lake: Lake, tables: TableRegistry, landed: Sequence[_Landed], keys: Keyring, made_by: Mapping[str, Any]
) -> Iterator[Staged]:
    """Remembers who asked to be forgotten, as HMACs under the erasure key; ids that are not there are left out."""
    spec = tables.get(ERASURES)
    for one in landed:
        if one.delivery.feed.table.name != "erasure_requests":
            continue
        people = lake.con.execute(
            "SELECT domain, user_id, min(_at) FROM "  # noqa: S608 - quoted
            f"(SELECT lower({cleaned_text('domain')}) AS domain, {cleaned_text('user_id')} AS user_id, _at "
            f"FROM {_stored(one.files)} WHERE _reason IS NULL) "
            "WHERE domain IS NOT NULL AND user_id IS NOT NULL GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        rows = pa.table(
            {
                "erased": pa.array([keys.erased(domain, user) for domain, user, _ in people], pa.binary()),
                "requested_at": pa.array([moment for _, _, moment in people], pa.timestamp("us", tz="UTC")),
            }
        )
        values = {FEED: one.delivery.feed.name, DS: one.delivery.day.isoformat()}
        yield lake.stage(spec, rows, values, made_by=made_by)


def _stored(files: Sequence[Staged]) -> str:
    listed = ", ".join(file_literal(file.path) for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


@dataclass(frozen=True)
class _Known:
    """What a feed had delivered for the day before: checksums by business day, and how it stands in the books.

    A delivery without rows has no days; where there was none at all, days is None.
    """

    days: Mapping[date, str] | None
    version: str | None = None
    rows: int = 0
    replaced: int = 0


def _before(lake: Lake, tables: TableRegistry, deliveries: Sequence[Delivery]) -> dict[str, _Known]:
    """By feed, what the lake holds of these deliveries."""
    day, known = deliveries[0].day.isoformat(), {}
    booked = _booked(lake, tables, day)
    for delivery in deliveries:
        name = delivery.feed.name
        files = [
            file
            for partition in lake.partitions(_raw(tables, delivery.feed))
            if partition.values[FEED] == name and partition.values[DELIVERED_DS] == day
            for file in partition.files
        ]
        footers = lake.footers(files)
        days = _by_day(footers[file.path].parts for file in files) if files else None
        known[name] = _Known(days, *booked.get(name, (None, 0, 0)))
    return known


def _booked(lake: Lake, tables: TableRegistry, day: str) -> dict[str, tuple[str, int, int]]:
    """(version, rows read, rows replaced) of the day's deliveries by feed, as of the last run that ended."""
    spec = tables.get(DELIVERIES)
    of_day = [partition for partition in lake.partitions(spec) if partition.values[DS] == day]
    rows = lake.con.execute(
        f"SELECT feed, version, rows_read, rows_replaced FROM ({lake.relation(spec, of_day)})"  # noqa: S608
    ).fetchall()
    return {feed: (version, read, replaced) for feed, version, read, replaced in rows}


def _by_day(parts: Iterable[Mapping[str, str]]) -> dict[date, str]:
    """Checksums of a delivery by business day, over all of its files."""
    found: dict[date, list[str]] = {}
    for of_file in parts:
        for day, checksum in of_file.items():
            found.setdefault(date.fromisoformat(day), []).extend(checksum.split(JOINT))
    return {day: JOINT.join(sorted(checksums)) for day, checksums in sorted(found.items())}


def _stage_deliveries(
    lake: Lake, tables: TableRegistry, arrivals: Sequence[FeedArrival], day: date, made_by: Mapping[str, Any]
) -> Iterator[Staged]:
    """What each feed brought, one row a feed: the books against which the clean days are balanced."""
    spec = tables.get(DELIVERIES)
    for arrival in arrivals:
        row = {
            "table_name": arrival.table,
            "version": arrival.version,
            "files": arrival.files,
            "rows_read": arrival.rows,
            "rows_replaced": arrival.replaced,
        }
        values = {FEED: arrival.feed, DS: day.isoformat()}
        yield lake.stage(spec, pa.Table.from_pylist([row]), values, made_by=made_by)


def _commit(lake: Lake, staged: Sequence[Staged], deliveries: Sequence[Delivery], before: Mapping[str, _Known]) -> None:
    """One commit a table that changed; what stayed the same is discarded. The books are closed last."""
    day = deliveries[0].day.isoformat()
    by_table: dict[str, list[Staged]] = {}
    for file in staged:
        by_table.setdefault(file.spec.full_name, []).append(file)
    for name in sorted(by_table, key=lambda name: name == DELIVERIES):
        files, spec = by_table[name], by_table[name][0].spec
        feeds = sorted({file.values[FEED] for file in files})
        if spec.layer != "raw":
            lake.commit(spec, files, replace={FEED: feeds, DS: [day]})
            continue
        old = {feed: before[feed].days for feed in feeds}
        new = {feed: _by_day(file.parts for file in files if file.values[FEED] == feed) for feed in feeds}
        if old == new:
            lake.discard(files)
        else:
            lake.commit(spec, files, replace={FEED: feeds, DELIVERED_DS: [day]})


def _arrival(lake: Lake, tables: TableRegistry, landed: _Landed, known: _Known) -> FeedArrival:
    feed = landed.delivery.feed
    new = _by_day(file.parts for file in landed.files)
    old = known.days or {}
    days = tuple(sorted(new.keys() | old.keys()))
    changed = tuple(day for day in days if new.get(day) != old.get(day))
    version = blake2b(repr(sorted(new.items())).encode(), digest_size=10).hexdigest()
    again = known.version is not None and known.version != version
    reasons = lake.con.execute(
        f"SELECT _reason, count(*) FROM {_stored(landed.files)} WHERE _reason IS NOT NULL GROUP BY ALL ORDER BY ALL"  # noqa: S608
    ).fetchall()
    return FeedArrival(
        feed=feed.name,
        table=feed.table.name,
        files=len(landed.records),
        rows=landed.rows,
        replaced=known.replaced + (known.rows if again else 0),
        version=version,
        set_aside=dict(reasons),
        days=days,
        changed=changed,
        forms=_forms(lake, tables, landed),
        unmapped=tuple(dict.fromkeys(column for records in landed.records for column in records.unmapped)),
        missing=tuple(dict.fromkeys(column for records in landed.records for column in records.missing)),
    )


def _forms(lake: Lake, tables: TableRegistry, landed: _Landed) -> tuple[tuple[ColumnForms, Widening | None], ...]:
    """How the delivery's columns are written, each with its widening against all earlier deliveries of the feed."""
    feed, day = landed.delivery.feed, landed.delivery.day
    spec = tables.get(FEED_COLUMNS)
    earlier = [one for one in lake.partitions(spec) if one.values[FEED] == feed.name and one.ds < day]
    now = observe_columns(
        lake.con,
        feed,
        f"SELECT * FROM {_stored(landed.files)}",  # noqa: S608 - quoted
        source_columns=dict.fromkeys(name for records in landed.records for name in records.source_columns),
        unmapped=dict.fromkeys(name for records in landed.records for name in records.unmapped),
    )
    found = find_widenings(known_forms(lake.con, lake.relation(spec, earlier)), now)
    widened = {(one.source_column, one.column_name): one for one in found}
    return tuple((column, widened.get((column.source_column, column.column_name))) for column in now)


def _stage_forms(
    lake: Lake, tables: TableRegistry, arrivals: Sequence[FeedArrival], day: date, made_by: Mapping[str, Any]
) -> Iterator[Staged]:
    spec = tables.get(FEED_COLUMNS)
    for arrival in arrivals:
        rows = [
            {
                "source_column": column.source_column,
                "column_name": column.column_name,
                "present": column.present,
                "rows": column.rows,
                "filled": column.filled,
                "forms": list(column.forms),
                "longest": column.longest,
                "scrambled": column.scrambled,
            }
            for column, _ in arrival.forms
        ]
        source = pa.Table.from_pylist(rows, schema=_FORMS)
        yield lake.stage(spec, source, {FEED: arrival.feed, DS: day.isoformat()}, made_by=made_by)
