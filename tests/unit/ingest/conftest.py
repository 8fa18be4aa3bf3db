"""A home with feeds of the test's own and the project's tables."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossdomain.jobs.model import JobResult
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.keys import create_keys
from crossdomain.storage.lake import Lake
from crossdomain.tables import registry

REPOSITORY = Path(__file__).resolve().parents[3]
DAY = date(2026, 1, 5)

EVENTS_FEED: dict[str, Any] = {
    "feed": "shop_events",
    "table": "events",
    "kind": "append",
    "format": "csv",
    "constants": {"domain": "beauty"},
    "columns": {
        "event_id": "id",
        "user_id": "user",
        "item_id": "item",
        "event_type": "action",
        "ts": {"from": "time", "format": "%Y-%m-%d %H:%M:%S"},
        "value": {"from": "fen", "unit": "fen"},
    },
}
EVENTS_HEADER = "id,user,item,action,time,fen\n"


@dataclass
class World:
    """A home, its settings, and short ways to deliver and run."""

    settings: Settings

    @property
    def home(self) -> Home:
        return Home(self.settings.home)

    def feed(self, base: dict[str, Any] = EVENTS_FEED, **changes: Any) -> str:
        content = {**base, **changes}
        path = self.settings.include / "feeds" / f"{content['feed']}.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        return str(content["feed"])

    def deliver(self, feed: str, name: str, content: str | bytes, day: date = DAY) -> Path:
        path = self.home.landing(feed, day) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def run(self, name: str, day: date = DAY, **options: Any) -> JobResult:
        return run_job(job(name), day, self.settings, **options)

    def rows(self, table: str, columns: str = "*", where: str = "true", order: str = "ALL") -> list[tuple[Any, ...]]:
        spec = registry(self.settings.include).get(table)
        with open_lake(self.settings) as lake:
            source = lake.relation(spec, lake.partitions(spec))
            return lake.con.execute(f"SELECT {columns} FROM ({source}) WHERE {where} ORDER BY {order}").fetchall()

    def lake(self) -> Iterator[Lake]:
        with open_lake(self.settings) as lake:
            yield lake

    def classes(self, day: date = DAY) -> dict[str, int]:
        found = self.rows("derived.row_counts", "class, sum(rows)::BIGINT", f"ds = DATE '{day}' GROUP BY class")
        return dict(found)  # type: ignore[arg-type]

    def with_settings(self, **changes: Any) -> World:
        return World(replace(self.settings, **changes))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path)


def new_world(tmp_path: Path) -> World:
    """A home without feeds below a folder."""
    include = tmp_path / "include"
    (include / "feeds").mkdir(parents=True)
    (include / "sql").symlink_to(REPOSITORY / "include" / "sql")
    schema = REPOSITORY / "include" / "feeds" / "feed.schema.json"
    (include / "feeds" / schema.name).write_bytes(schema.read_bytes())
    made = World(Settings(home=tmp_path / "home", include=include, memory_limit="1GB"))
    create_keys(made.home)
    return made
