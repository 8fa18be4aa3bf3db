"""What all DAGs share: owner, retries, tags, and how days turn into partition keys."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pendulum
from airflow.sdk import CronPartitionTimetable, PartitionedAssetTimetable, StartOfDayMapper

TIME_ZONE = os.environ.get("CROSSDOMAIN_TZ", "Asia/Shanghai")
_KEY_FORMAT = "%Y-%m-%d"


class Tag(StrEnum):
    """Tags of the DAG list."""

    INGEST = "ingest"
    QUALITY = "quality"
    PEOPLE = "people"
    CONTENT = "content"
    RECOMMEND = "recommend"
    EXPERIMENTS = "experiments"
    SERVING = "serving"
    GOVERNANCE = "governance"


def nightly() -> CronPartitionTimetable:
    """A run at midnight of the business zone whose key is the day that just ended."""
    return CronPartitionTimetable("0 0 * * *", timezone=TIME_ZONE, run_offset=-1, key_format=_KEY_FORMAT)


def on_day_of(assets: Any) -> PartitionedAssetTimetable:
    """A run for every business day that one of the assets was emitted for."""
    by_day = StartOfDayMapper(input_format=_KEY_FORMAT, timezone=TIME_ZONE)
    return PartitionedAssetTimetable(assets=assets, default_partition_mapper=by_day)


def dag_options(*tags: Tag, runs: int = 1) -> dict[str, Any]:
    """Options of ``@dag`` that are the same everywhere.

    One run at a time per DAG, or ``runs``: keys of one table are then built in the order in which they came.
    ``CROSSDOMAIN_SCHEDULE_FROM`` says from when on the nightly schedule runs by itself; days before it are
    run by a backfill.
    """
    return {
        "start_date": pendulum.parse(os.environ.get("CROSSDOMAIN_SCHEDULE_FROM", "2026-01-01"), tz=TIME_ZONE),
        "catchup": False,
        "max_active_runs": runs,
        "tags": [str(tag) for tag in tags],
        "default_args": {
            "owner": "data-platform",
            "retries": 2,
            "retry_delay": timedelta(seconds=30),
            "execution_timeout": timedelta(hours=2),
        },
    }
