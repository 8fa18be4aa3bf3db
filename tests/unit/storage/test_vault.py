"""The vault: what it gives back and to whom, what it leaves on disk, and what accidents do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest

from crossdomain.errors import InputError, MissingInput
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage import audit, vault
from crossdomain.storage.encryption import Tampered
from crossdomain.storage.home import Home
from crossdomain.storage.keys import Keyring, add_vault_key, create_keys, list_keys, load_keys
from crossdomain.storage.lake import Lake
from crossdomain.storage.person_keys import PERSON_KEYS, KeyWrapper, wrapped_by
from crossdomain.storage.vault import GRACE, PERSONAL_FIELDS, Held, encrypt_people, read_person, retire, rotate, shred
from crossdomain.tables import registry

DAY = date(2026, 1, 5)
LI = {"user_id": "u-li", "phone": "13800138000", "email": "li.wei@example.com", "name": "李薇"}
WANG = {"user_id": "u-wang", "phone": "13912345678", "email": None, "name": None}
WHY = {"by": "zhao.min", "reason": "case 7"}

People = dict[str, dict[str, str | None]]


@pytest.fixture
def settings(home: Home) -> Settings:
    create_keys(home)
    return Settings(home=home.root, memory_limit="500MB")


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lake]:
    with open_lake(settings) as opened:
        yield opened


@pytest.fixture
def keys(settings: Settings) -> Keyring:
    return load_keys(Home(settings.home))


def account(settings: Settings, name: str) -> bytes:
    return load_keys(Home(settings.home)).account("beauty", name)


def put(settings: Settings, day: date, people: People) -> None:
    """What the job does: encrypt, stage, commit."""
    tables = registry(settings.include)
    spec = tables.get(PERSONAL_FIELDS)
    with open_lake(settings) as lake:
        rows = [{"account": account(settings, name), **fields} for name, fields in people.items()]
        schema = pa.schema([("account", pa.binary()), *((field, pa.string()) for field in vault.FIELDS)])
        lake.con.register("people", pa.Table.from_pylist(rows, schema))
        wrapper = KeyWrapper(load_keys(lake.home).vault)
        staged = lake.stage(
            spec, encrypt_people(lake, tables, wrapper, day, "FROM people"), {"ds": str(day)}, made_by={"job": "vault"}
        )
        lake.commit(spec, [staged], replace={"ds": [str(day)]})


def read(settings: Settings, name: str, *fields: str) -> dict[str, str]:
    with open_lake(settings) as lake:
        return read_person(lake, settings, account(settings, name), fields or vault.FIELDS, **WHY)


def rows_of(lake: Lake, settings: Settings, table: str) -> list[dict[str, object]]:
    spec = registry(settings.include).get(table)
    found: list[dict[str, object]] = (
        lake.con.sql(lake.relation(spec, lake.partitions(spec))).to_arrow_table().to_pylist()
    )
    return found


def everything_under(home: Path, lake: Lake) -> bytes:
    """The bytes of every file and the decoded values of every Parquet file."""
    parts = []
    for path in sorted(home.rglob("*")):
        if path.is_file():
            parts.append(path.read_bytes())
            if path.suffix == ".parquet":
                rows = lake.con.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
                parts += [value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row]
    return b"\n".join(parts)


# reading ---------------------------------------------------------------------------------------


def test_a_person_is_read_back_as_delivered(settings: Settings) -> None:
    put(settings, DAY, {"li": LI, "wang": WANG})
    assert read(settings, "li") == LI
    assert read(settings, "wang") == {"user_id": "u-wang", "phone": "13912345678"}
    assert read(settings, "li", "phone") == {"phone": "13800138000"}
    assert read(settings, "nobody") == {}


def test_the_newest_value_of_each_field_is_read(settings: Settings) -> None:
    put(settings, DAY + timedelta(days=1), {"li": {**LI, "phone": "15000000000", "name": None}})
    put(settings, DAY, {"li": LI})
    assert read(settings, "li") == {**LI, "phone": "15000000000"}


def test_the_log_has_the_line_before_anything_is_decrypted(
    settings: Settings, keys: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings, DAY, {"li": LI})

    def record_fails(*args: object, **facts: object) -> None:
        raise OSError("disk full")

    def open_fails(*args: object) -> bytes:
        raise AssertionError("decrypted without a line in the log")

    with monkeypatch.context() as patched:
        patched.setattr("crossdomain.storage.audit.record", record_fails)
        patched.setattr("crossdomain.storage.vault.Sealer.open", open_fails)
        with pytest.raises(OSError, match="disk full"):
            read(settings, "li")
    assert audit.read(Home(settings.home)) == []
    read(settings, "li", "phone", "name")
    (line,) = audit.read(Home(settings.home))
    assert (line["action"], line["by"], line["reason"]) == ("vault.read", "zhao.min", "case 7")
    assert line["facts"] == {"subject": keys.subject(account(settings, "li")), "fields": ["phone", "name"]}


def test_many_are_read_with_one_line_in_the_log(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI, "wang": WANG})
    wanted = [account(settings, name) for name in ("li", "wang", "nobody")]
    reading = vault.read_people(lake, settings, wanted, ("phone", "email"), **WHY)
    (line,) = audit.read(lake.home)
    assert (line["action"], line["by"], line["reason"]) == ("vault.read_many", "zhao.min", "case 7")
    assert line["facts"] == {"accounts": 3, "fields": ["phone", "email"]}
    assert sorted(reading) == sorted(
        [(wanted[0], "phone", LI["phone"]), (wanted[0], "email", LI["email"]), (wanted[1], "phone", "13912345678")]
    )


@pytest.mark.parametrize(
    ("fields", "by", "reason", "says"),
    [
        (("passport",), "x", "y", "no field 'passport'"),
        (("phone",), " ", "y", "who does it"),
        (("phone",), "x", "", "read for"),
    ],
)
def test_a_read_needs_a_name_a_reason_and_a_field(
    lake: Lake, settings: Settings, fields: tuple[str, ...], by: str, reason: str, says: str
) -> None:
    put(settings, DAY, {"li": LI})
    with pytest.raises(InputError, match=says):
        read_person(lake, settings, account(settings, "li"), fields, by=by, reason=reason)
    assert audit.read(lake.home) == []


def test_nothing_on_disk_shows_a_personal_field(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI, "wang": WANG})
    read(settings, "li")
    content = everything_under(settings.home, lake)
    assert account(settings, "li") in content, "the search finds what is there"
    for value in (*LI.values(), WANG["user_id"], WANG["phone"]):
        assert str(value).encode() not in content


def test_a_person_keeps_one_key_over_days(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI})
    put(settings, DAY + timedelta(days=1), {"li": LI, "wang": WANG})
    put(settings, DAY, {"wang": WANG})  # the first day is built again, without Li
    owners = [row["account"] for row in rows_of(lake, settings, PERSON_KEYS)]
    assert sorted(owners) == sorted([account(settings, "li"), account(settings, "wang")])  # type: ignore[type-var]
    assert read(settings, "li") == LI


def test_days_built_at_once_leave_everybody_readable(settings: Settings) -> None:
    people = {f"p{number}": {**LI, "user_id": f"u{number}"} for number in range(20)}
    days = [DAY, DAY, DAY, DAY + timedelta(days=1)]
    threads = [Thread(target=put, args=(settings, day, people)) for day in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read(settings, name) for name in people] == list(people.values())


# tampering -------------------------------------------------------------------------------------


def tamper(settings: Settings, table: str, change: str) -> None:
    spec = registry(settings.include).get(table)
    with open_lake(settings) as lake:
        live = lake.relation(spec, lake.partitions(spec))
        staged = lake.stage(spec, f"SELECT * REPLACE ({change}) FROM ({live})", {"ds": str(DAY)}, made_by={})
        lake.commit(spec, [staged], replace={"ds": [str(DAY)]})


FLIPPED = "unhex('00' || substr(hex({0}), 3)) AS {0}"
SWAPPED = "coalesce(lead({0}) OVER (ORDER BY {1}), first_value({0}) OVER (ORDER BY {1})) AS {0}"


@pytest.mark.parametrize(
    ("table", "change"),
    [
        (PERSONAL_FIELDS, FLIPPED.format("ciphertext")),
        (PERSONAL_FIELDS, FLIPPED.format("nonce")),
        (PERSONAL_FIELDS, SWAPPED.format("field", "field")),
        (PERSON_KEYS, FLIPPED.format("wrapped")),
        (PERSON_KEYS, "kek_version + 1 AS kek_version"),
        (PERSON_KEYS, "wrapped[:20] AS wrapped"),
    ],
    ids=["ciphertext", "nonce", "fields swapped", "wrapped key", "version", "cut"],
)
def test_a_changed_row_does_not_open(settings: Settings, table: str, change: str) -> None:
    put(settings, DAY, {"li": LI})
    add_vault_key(Home(settings.home))
    tamper(settings, table, change)
    with pytest.raises(Tampered) as refused:
        read(settings, "li")
    assert account(settings, "li").hex() not in str(refused.value)


def test_one_persons_fields_do_not_open_as_anothers(settings: Settings) -> None:
    put(settings, DAY, {"li": LI, "wang": LI})
    for table in (PERSONAL_FIELDS, PERSON_KEYS):
        tamper(settings, table, f"if(account = '{escaped(settings, 'li')}'::BLOB, '{escaped(settings, 'wang')}'::BLOB, "
                                f"'{escaped(settings, 'li')}'::BLOB) AS account")  # fmt: skip
    with pytest.raises(Tampered):
        read(settings, "li")


def escaped(settings: Settings, name: str) -> str:
    return "".join(f"\\x{byte:02X}" for byte in account(settings, name))


def test_a_lost_vault_key_is_named(settings: Settings) -> None:
    put(settings, DAY, {"li": LI})
    add_vault_key(Home(settings.home))
    (settings.home / "keys" / "vault-1.key").unlink()
    with pytest.raises(MissingInput, match="vault-1"):
        read(settings, "li")


# rotation --------------------------------------------------------------------------------------


def test_a_rotation_wraps_every_key_anew_and_the_old_one_can_go(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI})
    put(settings, DAY + timedelta(days=1), {"wang": WANG})
    before = rows_of(lake, settings, PERSONAL_FIELDS)
    done = rotate(lake, settings, by="ops")
    assert (done.version, done.made, done.rewrapped) == (2, True, 2)
    assert wrapped_by(lake, registry(settings.include)) == {2: 2}
    assert rows_of(lake, settings, PERSONAL_FIELDS) == before, "the fields themselves stay"
    retire(lake, settings, 1, by="ops", now=datetime.now(UTC) + GRACE)
    assert [key.version for key in list_keys(lake.home) if key.kind == "vault"] == [2]
    assert read(settings, "li") == LI
    assert [(line["action"], line["facts"]) for line in audit.read(lake.home)][:3] == [
        ("keys.rotate", {"key": "vault-2"}),
        ("keys.rewrapped", {"key": "vault-2", "keys": 2}),
        ("keys.retire", {"key": "vault-1"}),
    ]


def test_two_vault_keys_are_read_side_by_side(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI})
    add_vault_key(lake.home)
    put(settings, DAY + timedelta(days=1), {"wang": WANG})
    assert wrapped_by(lake, registry(settings.include)) == {1: 1, 2: 1}
    assert read(settings, "li") == LI
    assert read(settings, "wang")["phone"] == WANG["phone"]


@pytest.mark.parametrize(
    ("version", "later", "says"),
    [
        (2, GRACE, "newest"),
        (7, GRACE, "no such key"),
        (1, GRACE, "still wraps 1 keys"),
    ],
)
def test_a_key_that_is_needed_stays(lake: Lake, settings: Settings, version: int, later: timedelta, says: str) -> None:
    put(settings, DAY, {"li": LI})
    add_vault_key(lake.home)
    with pytest.raises(InputError, match=says):
        retire(lake, settings, version, by="ops", now=datetime.now(UTC) + later)
    assert [key.version for key in list_keys(lake.home) if key.kind == "vault"] == [1, 2]


def test_a_key_stays_while_a_task_may_still_hold_it(lake: Lake, settings: Settings) -> None:
    rotate(lake, settings, by="ops")
    with pytest.raises(InputError, match="may still wrap"):
        retire(lake, settings, 1, by="ops")


def test_keys_from_elsewhere_are_rotated_by_handing_over_the_next(lake: Lake, settings: Settings) -> None:
    import base64
    import json
    from dataclasses import replace

    put(settings, DAY, {"li": LI})
    given = {path.stem: path.read_bytes() for path in lake.home.keys.glob("*.key")}
    given["vault-2"] = os.urandom(32)
    elsewhere = replace(
        settings, keys=json.dumps({name: base64.b64encode(key).decode() for name, key in given.items()})
    )
    done = rotate(lake, elsewhere, by="ops")
    assert (done.version, done.made, done.rewrapped) == (2, False, 1)
    assert read_person(lake, elsewhere, account(settings, "li"), **WHY) == LI
    assert len(list(lake.home.keys.glob("vault-*.key"))) == 1
    with pytest.raises(InputError, match="elsewhere"):
        retire(lake, elsewhere, 1, by="ops", now=datetime.now(UTC) + GRACE)


def test_readers_go_on_while_keys_rotate(lake: Lake, settings: Settings) -> None:
    for number in range(3):
        put(settings, DAY + timedelta(days=number), {f"p{number}": LI})
    reading, done = Event(), Event()
    seen: list[dict[str, str]] = []
    failed: list[BaseException] = []

    def read_on() -> None:
        try:
            while not done.is_set():
                seen.append(read(settings, f"p{len(seen) % 3}"))
                reading.set()
        except BaseException as error:
            failed.append(error)
            reading.set()
            raise

    reader = Thread(target=read_on)
    reader.start()
    reading.wait()
    before = len(seen)
    for _ in range(3):
        rotate(lake, settings, by="ops")
    done.set()
    reader.join()
    assert not failed
    assert len(seen) > before
    assert all(one == LI for one in seen)
    assert wrapped_by(lake, registry(settings.include)) == {4: 3}


DYING = """
    import os, signal, sys
    from pathlib import Path
    from crossdomain.jobs.runner import open_lake
    from crossdomain.settings import Settings
    from crossdomain.storage import vault
    from crossdomain.storage.lake import Lake
    from crossdomain.storage.vault import rotate, shred
    from crossdomain.tables import registry

    def die_at(name, calls):
        home = vault if name == "collect" else Lake
        true = getattr(home, name)
        def call(*args, **options):
            nonlocal calls
            if calls == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            calls -= 1
            return true(*args, **options)
        setattr(home, name, call)

    die_at(sys.argv[2], int(sys.argv[3]))
    settings = Settings(home=Path(sys.argv[1]), memory_limit="500MB")
    with open_lake(settings) as lake:
        if len(sys.argv) > 4:
            shred(lake, registry(settings.include), [bytes.fromhex(sys.argv[4])])
        else:
            rotate(lake, settings, by="ops")
"""


def kill(settings: Settings, *arguments: str) -> None:
    """Runs the child, which kills itself right before a call of a method of the lake."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", textwrap.dedent(DYING), str(settings.home), *arguments]
    ended = subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=False)
    assert ended.returncode == -signal.SIGKILL


LONG = pytest.mark.long


@pytest.mark.parametrize("commits", [pytest.param(0, marks=LONG), 1, pytest.param(2, marks=LONG)])
def test_a_killed_rotation_loses_nobody_and_is_finished_by_the_next(
    lake: Lake, settings: Settings, commits: int
) -> None:
    people = {f"p{number}": {**LI, "user_id": f"u{number}"} for number in range(3)}
    for number, name in enumerate(people):
        put(settings, DAY + timedelta(days=number), {name: people[name]})
    kill(settings, "commit", str(commits))
    tables = registry(settings.include)
    found = {1: 3 - commits, 2: commits}
    assert wrapped_by(lake, tables) == {version: count for version, count in found.items() if count}
    assert [read(settings, name) for name in people] == list(people.values())
    done = rotate(lake, settings, by="ops")
    assert (done.version, done.made, done.rewrapped) == (2, False, 3 - commits)
    assert wrapped_by(lake, tables) == {2: 3}
    assert [read(settings, name) for name in people] == list(people.values())


# shredding -------------------------------------------------------------------------------------


def test_shredding_leaves_nothing_of_a_person_and_everything_of_the_others(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI, "wang": WANG})
    put(settings, DAY + timedelta(days=1), {"li": {**LI, "phone": "15000000000"}})
    rotate(lake, settings, by="ops")  # older versions of the keys' partition lie about
    tables, gone = registry(settings.include), account(settings, "li")
    expected = [
        Held(PERSON_KEYS, DAY, 1),
        Held(PERSONAL_FIELDS, DAY, 4),
        Held(PERSONAL_FIELDS, DAY + timedelta(days=1), 4),
    ]
    assert vault.held(lake, tables, [gone]) == expected
    assert shred(lake, tables, [gone]) == expected
    assert read(settings, "li") == {}
    assert read(settings, "wang")["phone"] == WANG["phone"]
    content = everything_under(settings.home / "lake" / "vault", lake)
    assert gone not in content
    assert account(settings, "wang") in content
    assert shred(lake, tables, [gone]) == []


def test_a_shredded_day_stays_up_to_date(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI, "wang": WANG})
    spec = registry(settings.include).get(PERSONAL_FIELDS)
    shred(lake, registry(settings.include), [account(settings, "li")])
    (partition,) = lake.partitions(spec)
    (footer,) = lake.footers(partition.files).values()
    assert footer.made_by == {"job": "vault"}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(("commit", "0"), marks=LONG),
        ("commit", "1"),
        pytest.param(("commit", "2"), marks=LONG),
        ("collect", "0"),
        pytest.param(("collect", "1"), marks=LONG),
    ],
)
def test_a_killed_shredding_is_finished_by_the_next(lake: Lake, settings: Settings, moment: tuple[str, str]) -> None:
    put(settings, DAY, {"li": LI, "wang": WANG})
    put(settings, DAY + timedelta(days=1), {"li": LI})
    tables, gone = registry(settings.include), account(settings, "li")
    kill(settings, *moment, gone.hex())
    assert read(settings, "li") == (LI if moment == ("commit", "0") else {}), "the keys go first"
    assert read(settings, "wang")["phone"] == WANG["phone"]
    shred(lake, tables, [gone])
    assert vault.held(lake, tables, [gone]) == []
    assert gone not in everything_under(settings.home / "lake" / "vault", lake)
    assert read(settings, "wang")["phone"] == WANG["phone"]


def test_a_superseded_value_can_be_dropped(lake: Lake, settings: Settings) -> None:
    put(settings, DAY, {"li": LI, "wang": WANG})
    put(settings, DAY + timedelta(days=1), {"li": {**LI, "name": None}})
    assert vault.drop_superseded(lake, registry(settings.include)) == [Held(PERSONAL_FIELDS, DAY, 3)]
    assert read(settings, "li") == LI
    assert read(settings, "wang")["phone"] == WANG["phone"]
    assert vault.drop_superseded(lake, registry(settings.include)) == []
