"""A small platform: deliveries that the real ingest lands, and the tables that other jobs would have made of them."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crossdomain.governance.subjects import Subject, make_subject
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage import serving
from crossdomain.storage.home import Home, write_whole
from crossdomain.storage.keys import KINDS, Keyring, create_keys, load_keys
from crossdomain.tables import registry
from tests.unit.jobs.lake_tables import read

DAY = date(2026, 1, 5)
NEXT = date(2026, 1, 6)
NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)
ANN, BOB, EVE = ("knowledge", "K10023"), ("knowledge", "K10024"), ("beauty", "B20002")
EVENTS = "event_id,user_id,item_id,event,time,amount,quantity,channel,campaign,session,placement,position,ref_event"


@dataclass
class Platform:
    """A home and short ways to deliver, to build and to look."""

    settings: Settings

    @property
    def home(self) -> Home:
        return Home(self.settings.home)

    @property
    def keys(self) -> Keyring:
        return load_keys(self.home)

    def copy(self, home: Path) -> Platform:
        shutil.copytree(self.settings.home, home)
        return Platform(replace(self.settings, home=home))

    def subject(self, who: tuple[str, str]) -> Subject:
        return make_subject(self.keys, *who)

    def deliver(self, feed: str, day: date, rows: Sequence[Mapping[str, Any]], *, columns: str = "") -> Path:
        folder = self.home.landing(feed, day)
        folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns.split(",") if columns else list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)
        path = folder / f"{feed}.csv"
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
        return path

    def ingest(self, day: date = DAY) -> None:
        run_job(job("ingest"), day, self.settings)

    def rows(self, table: str, day: date = DAY) -> list[dict[str, Any]]:
        return read(self.settings, table, day)

    def put(self, table: str, rows: Sequence[Mapping[str, Any]], day: date = DAY) -> None:
        spec = registry(self.settings.include).get(table)
        with open_lake(self.settings) as lake:
            columns = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in spec.columns)
            schema = lake.con.sql(f"SELECT {columns} WHERE false").to_arrow_table().schema
            filled = [{"delivered_ds": day, "feed": "test", **row} for row in rows]
            data = [{name: row.get(name) for name in schema.names} for row in filled]
            table_rows = pa.Table.from_pylist(data, schema=schema)
            staged = lake.stage(spec, table_rows, {"ds": day.isoformat()}, made_by={"job": "test"})
            lake.commit(spec, [staged], replace={"ds": [day.isoformat()]})

    def people(self, *groups: Sequence[tuple[str, str]], day: date = DAY) -> None:
        """Fills what is made of accounts; each group is one person."""
        said: dict[str, Any] = {"personalisation": True, "cross_domain": True, "profiling": True}
        said |= dict.fromkeys(("marketing_email", "marketing_sms", "marketing_push"), False)
        people, users, events, recommended = [], [], [], []
        for group in groups:
            accounts = sorted(self.subject(who).account for who in group)
            for who in group:
                account = self.subject(who).account
                row = {"account": account, "domain": who[0]}
                people.append({**row, "person": accounts[0], **said})
                users.append({**row, "registered_at": NOON, "consent_assumed": False})
                event = {"event_id": f"e-{who[1]}", "event_type": "view", "ts": NOON, "consent_assumed": False}
                events.append({**row, **event})
            given = {"target_domain": "beauty", "item_id": "i", "score": 1.0, "source": "als", "reason": "seen"}
            extra = {"model_version": "m", "variant": "champion"}
            recommended.append({"person": accounts[0], "rank": 1, **given, **extra})
        self.put("derived.people", people, day)
        self.put("clean.users", users, day)
        self.put("clean.events", events, day)
        self.put("serving.recommendations", recommended, day)

    def publish(self, day: date = DAY) -> None:
        with open_lake(self.settings) as lake, serving.one_publisher(lake.home):
            serving.publish(lake, serving.to_publish(lake, registry(self.settings.include), day), day)

    def landed_day(self, day: date = DAY) -> None:
        """Three people's deliveries, landed."""
        self.deliver(
            "knowledge_users",
            day,
            [
                {"user_id": who[1], "registered_at": "2025-01-01 10:00:00", "phone": f"1380000{number:04}"}
                | {"email": f"{who[1]}@example.com", "nickname": f"人{number}", "updated_at": "2026-01-05 01:00:00"}
                for number, who in enumerate([ANN, BOB])
            ],
            columns="user_id,registered_at,phone,email,nickname,gender,birth_year,province,city,updated_at",
        )
        self.deliver(
            "knowledge_events",
            day,
            [
                {"event_id": f"{day}-{number}", "user_id": user, "item_id": "i1", "event": "view"}
                | {"time": f"{day} 1{number}:00:00", "session": session}
                for number, (user, session) in enumerate(
                    [("K10023", "s1"), (" K10023", "s2"), ("K10024", "s3"), ("K10024", "invited-by K10023")]
                )
            ],
            columns=EVENTS,
        )
        links = {"knowledge_user_id": "K10023", "beauty_user_id": "B20002", "linked_at": f"{day} 09:00:00"}
        self.deliver("identity_links", day, [{**links, "method": "login"}])


def make_platform(home: Path) -> Platform:
    settings = Settings(home=home, start=DAY, threads=1, memory_limit="1GB")
    for kind in KINDS:  # the same keys in every run: whose account key is the smallest is part of the case
        write_whole(Home(home).keys / f"{kind}-1.key", kind[:1].encode() * 32, mode=0o600)
    create_keys(Home(home))
    return Platform(settings)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path / "家 home")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Three people, landed, made and published; copy it."""
    made = make_platform(tmp_path_factory.mktemp("governance") / "家 home")
    made.landed_day()
    made.ingest()
    made.people([ANN, EVE], [BOB])
    made.publish()
    return made


@pytest.fixture
def filled(template: Platform, tmp_path: Path) -> Platform:
    return template.copy(tmp_path / "家 home")
