"""Job ``clean``: one business day from raw to clean, gated before anything of it is committed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.errors import NotReady
from crossdomain.jobs.ingest import TABLES
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage.engine import exactly
from crossdomain.storage.home import write_whole
from crossdomain.tables import registry

if TYPE_CHECKING:
    from crossdomain.ingest.cleaning import Cleaned
    from crossdomain.ingest.feeds import Feed

ERASURES = "derived.erasures"
ROW_COUNTS = "derived.row_counts"


def build(ctx: JobContext) -> None:
    """Stages all clean tables, lets the gate judge them, and leaves the commit to the runner.

    Raises:
        NotReady: Nothing was delivered for the day.
        GateRefused: A rule of severity fail is broken; only the quality results and the quarantine are committed.
    """
    from crossdomain.ingest.canonical import CANONICAL
    from crossdomain.ingest.cleaning import clean_table
    from crossdomain.ingest.feeds import load_feeds
    from crossdomain.ingest.pseudonyms import erased_accounts

    _refuse_undelivered(ctx)
    feeds = load_feeds(ctx.settings)
    erased = erased_accounts(ctx.lake, ctx.tables.get(ERASURES))
    cleaned: list[Cleaned] = []
    staged: dict[str, Path] = {}
    ctx.con.execute(f"CREATE TEMP TABLE quarantined AS {ctx.lake.relation(ctx.tables.get('raw.quarantine'), [])}")
    ctx.con.execute("ALTER TABLE quarantined DROP ds")
    for name in TABLES:
        spec = ctx.tables.get(f"clean.{name}")
        result = clean_table(
            ctx.con, CANONICAL[name], spec, feeds=feeds, settings=ctx.settings, keys=ctx.keys, erased=erased
        )
        staged[name] = ctx.write(spec.full_name, result.rows, settled=True).path
        if result.total("quarantined"):
            ctx.con.execute(f"INSERT INTO quarantined BY NAME {result.quarantined}")
        ctx.con.execute("DROP TABLE shaped; DROP TABLE exceptions")
        cleaned.append(result)
    ctx.write("raw.quarantine", "SELECT * FROM quarantined")
    ctx.write(ROW_COUNTS, _row_counts(cleaned))
    ctx.note(rows=_totals(cleaned), quarantined=_reasons(ctx))
    started = time.monotonic()
    _gate(ctx, staged, feeds, cleaned)
    ctx.note(gate_seconds=round(time.monotonic() - started, 3))


def _refuse_undelivered(ctx: JobContext) -> None:
    """A day has been delivered if it has a delivery of its own or a later one brought rows of it.

    Rows that an earlier delivery brought (clocks that run ahead) wait for the day's own. A day that was built
    before is built again also where a delivery that was replaced had brought all of it.
    """
    for name in TABLES:
        spec = ctx.tables.get(f"raw.{name}")
        own = any(partition.ds == ctx.ds for partition in ctx.lake.partitions(spec))
        if own or any(partition.ds > ctx.ds for partition in ctx.lake.holding(spec, ctx.ds, ctx.ds)):
            return
    if any(partition.ds == ctx.ds for partition in ctx.lake.partitions(ctx.tables.get(ROW_COUNTS))):
        return
    raise NotReady(
        f"clean {ctx.ds}: nothing was delivered for this day; run `crossdomain run ingest --date {ctx.ds}` first"
    )


def _row_counts(cleaned: list[Cleaned]) -> pa.Table:
    counts = [count for result in cleaned for count in result.counts]
    return pa.table(
        {
            "table_name": pa.array([count.table for count in counts], pa.string()),
            "feed": pa.array([count.feed for count in counts], pa.string()),
            "delivered_ds": pa.array([count.delivered_ds for count in counts], pa.date32()),
            "class": pa.array([count.row_class for count in counts], pa.string()),
            "rows": pa.array([count.rows for count in counts], pa.int64()),
        }
    )


def _totals(cleaned: list[Cleaned]) -> dict[str, int]:
    from crossdomain.ingest.cleaning import CLASSES

    return {row_class: sum(result.total(row_class) for result in cleaned) for row_class in CLASSES}


def _reasons(ctx: JobContext) -> dict[str, int]:
    rows = ctx.con.execute(
        "SELECT table_name || '.' || reason, count(*) FROM quarantined GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return dict(rows)


def _gate(ctx: JobContext, staged: Mapping[str, Path], feeds: Mapping[str, Feed], cleaned: Sequence[Cleaned]) -> None:
    from crossdomain.quality.data_docs import write_data_docs
    from crossdomain.quality.gate import check_partition
    from crossdomain.quality.overrides import overridden, read_overrides
    from crossdomain.quality.report import refuse_unless_passed, report_json, report_name
    from crossdomain.quality.results import to_quality_rows

    filled_daily = {feed.table.name for feed in feeds.values() if feed.expected == "daily" and not feed.may_be_empty}
    results = []
    for table in cleaned:
        spec = ctx.tables.get(f"clean.{table.table}")
        results.append(
            check_partition(
                spec.full_name,
                ctx.ds,
                ctx.con.read_parquet(exactly(staged[table.table]), hive_partitioning=False),
                may_be_empty=table.table not in filled_daily,
                settings=ctx.settings,
                key=spec.key,
                quarantined=table.total("quarantined"),
            )
        )
    results = overridden(results, read_overrides(ctx.con))
    ctx.write("serving.quality_results", to_quality_rows(results))
    report = ctx.lake.home.report(report_name(ctx.ds))
    write_whole(report, report_json(ctx.ds, results))
    write_data_docs(ctx.lake.home, ctx.ds, results)
    refuse_unless_passed(ctx.ds, results, str(report))


def _config(settings: Settings) -> Mapping[str, Any]:
    """What clean rows depend on beside raw: how the feeds are read, the domains and zone, and who was erased."""
    from crossdomain.ingest.feeds import load_feeds
    from crossdomain.text.masking import MASKING_VERSION

    with open_lake(settings) as lake:
        erasures = [partition.checksum for partition in lake.partitions(registry(settings.include).get(ERASURES))]
    return {
        "feeds": {name: feed.digest for name, feed in load_feeds(settings).items()},
        "domains": settings.domains,
        "tz": settings.tz,
        "masking": MASKING_VERSION,
        "erasures": sorted(erasures),
    }


JOB = Job(
    name="clean",
    version=2,
    inputs=(
        *(Input(table=f"raw.{table}", optional=True) for table in TABLES),
        Input(table="derived.gate_overrides", optional=True),
    ),
    outputs=(
        *(f"clean.{table}" for table in TABLES),
        ROW_COUNTS,
        "raw.quarantine",
        "serving.quality_results",
    ),
    config=_config,
    run=build,
    on_refusal=("serving.quality_results", "raw.quarantine"),
    tells_unchanged=True,  # a new phone number changes no clean row, yet the vault must hear of it
)
