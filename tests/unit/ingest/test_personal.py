"""Job ``vault`` after ingest and clean: whose fields it keeps, and what it leaves alone."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from crossdomain.errors import NotReady
from crossdomain.jobs.runner import open_lake
from crossdomain.storage import vault
from crossdomain.storage.keys import load_keys
from crossdomain.tables import registry
from tests.unit.ingest.conftest import DAY, World

NEXT = DAY + timedelta(days=1)
USERS: dict[str, Any] = {
    "feed": "members",
    "table": "users",
    "kind": "upsert",
    "format": "csv",
    "may_be_empty": True,
    "constants": {"domain": "beauty"},
    "columns": {"user_id": "id", "registered_at": "since", "phone": "phone", "email": "mail", "name": "name"},
    "version": "version",
}
ERASURES: dict[str, Any] = {
    "feed": "erasures",
    "table": "erasure_requests",
    "kind": "append",
    "format": "csv",
    "may_be_empty": True,
    "constants": {"domain": "beauty"},
    "columns": {"user_id": "id", "requested_at": "at"},
}
HEADER = "id,since,phone,mail,name,version\n"
LI = "u1,2025-03-01 10:00:00,\u3000138-0013-8000 ,li@example.com, 李薇,1\n"


def person(world: World, user: str) -> dict[str, str]:
    account = load_keys(world.home).account("beauty", user)
    with open_lake(world.settings) as lake:
        return vault.read_person(lake, world.settings, account, by="test", reason="test")


def deliver(world: World, rows: str, day: date = DAY) -> None:
    world.deliver(world.feed(USERS), "members.csv", HEADER + rows, day)
    world.run("ingest", day)
    world.run("clean", day)


def test_the_fields_of_accepted_users_are_kept_as_delivered(world: World) -> None:
    deliver(world, LI + "u2,2025-03-01 10:00:00,,,,1\n" + "u3,not a time,139,x@y.z,坏,1\n")
    assert world.run("vault").status == "done"
    assert person(world, "u1") == {
        "user_id": "u1", "phone": "138-0013-8000", "email": "li@example.com", "name": "李薇",
    }  # fmt: skip
    assert person(world, "u2") == {"user_id": "u2"}
    assert person(world, "u3") == {}, "quarantined"


def test_the_record_that_became_clean_is_the_one_that_is_kept(world: World) -> None:
    newer = LI.replace("138-0013-8000", "15000000000").replace(",1\n", ",2\n")
    refused = LI.replace("138-0013-8000", "17700000000").replace("2025-03-01", "2025-13-01").replace(",1\n", ",3\n")
    deliver(world, newer + LI + LI + refused)
    world.run("vault")
    assert person(world, "u1")["phone"] == "15000000000"


def test_a_day_is_encrypted_again_only_when_it_changed_and_under_the_same_key(world: World) -> None:
    deliver(world, LI)
    world.run("vault")
    before = world.rows(vault.PERSONAL_FIELDS)
    assert world.run("vault").status == "up_to_date"
    assert world.rows(vault.PERSONAL_FIELDS) == before
    ((key,),) = world.rows("vault.person_keys", "key_id")
    deliver(world, LI.replace("li@example.com", "li.wei@example.com"))
    assert world.run("vault").status == "done"
    assert person(world, "u1")["email"] == "li.wei@example.com"
    assert world.rows("vault.person_keys", "key_id") == [(key,)]


def test_a_day_waits_for_clean(world: World) -> None:
    world.deliver(world.feed(USERS), "members.csv", HEADER + LI)
    world.run("ingest")
    with pytest.raises(NotReady, match=r"clean\.users"):
        world.run("vault")


def test_erased_people_do_not_come_in_even_if_clean_was_built_before(world: World) -> None:
    deliver(world, LI + LI.replace("u1", "u2"))
    world.deliver(world.feed(ERASURES), "erasures.csv", "id,at\nu1,2026-01-06 09:00:00\n", NEXT)
    world.run("ingest", NEXT)
    world.run("vault")
    assert person(world, "u1") == {}
    assert person(world, "u2")["user_id"] == "u2"


def test_what_the_vault_holds_outlives_raw(world: World) -> None:
    deliver(world, LI)
    world.run("vault")
    with open_lake(world.settings) as lake:
        spec = registry(world.settings.include).get("raw.users")
        lake.commit(spec, [], replace={"delivered_ds": [str(DAY)]})
    with pytest.raises(NotReady, match="no longer holds"):
        world.run("vault", force=True)
    assert person(world, "u1")["name"] == "李薇"


def test_personal_fields_lie_nowhere_but_in_landing_raw_and_quarantine(world: World) -> None:
    deliver(world, LI)
    world.run("vault")
    rmtree(world.home.landing())
    secrets = ("138-0013-8000", "13800138000", "li@example.com", "李薇", "u1")
    held: set[Path] = set()
    with open_lake(world.settings) as lake:
        for path in sorted(path for path in world.home.root.rglob("*") if path.is_file()):
            values = {path.read_bytes()}
            if path.suffix == ".parquet":
                rows = lake.con.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
                values = {value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row}
            if any(secret.encode() in value for secret in secrets for value in values):
                held.add(path.relative_to(world.home.root / "lake"))
    assert {path.parts[0] for path in held} == {"raw"}, held
