"""Where people stand in tables: by what the schemas say, and only there."""

from pathlib import Path
from typing import Any

import pytest

from crossdomain.governance.places import Places
from crossdomain.governance.subjects import make_subject
from crossdomain.ingest.parsing import cleaned_text
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage.keys import Keyring
from crossdomain.storage.removal import rewrite_partition
from crossdomain.tables import TableRegistry, registry

KEYS = Keyring(pseudonym=b"p" * 32, erasure=b"e" * 32)
ANN = make_subject(KEYS, "knowledge", "K10023")
INCLUDE = Settings().include
NOT_A_PERSON = {
    "key_id", "nonce", "wrapped", "ciphertext", "erased", "held",  # of the vault and of the erased
    "phone_hash", "email_hash",  # beside the account that they belong to
}  # fmt: skip


def test_every_key_in_every_table_says_whom_it_identifies() -> None:
    silent = [
        f"{spec.full_name}.{column.name}"
        for spec in registry(INCLUDE)
        for column in spec.columns
        if "BLOB" in column.type and column.identifies is None and column.name not in NOT_A_PERSON
    ]
    assert silent == [], "give the column `identifies:` in its schema.yaml, or erasure passes it over"


def test_every_user_id_as_delivered_says_so() -> None:
    silent = [
        f"{spec.full_name}.{column.name}"
        for spec in registry(INCLUDE)
        for column in spec.columns
        if spec.layer == "raw" and column.name.endswith(("user_id", "unit_id")) and column.identifies is None
    ]
    assert silent == []


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", threads=1, memory_limit="1GB")


def after(settings: Settings, table: str, values: dict[str, str], rows: str) -> tuple[dict[str, int], list[Any]]:
    """What is found of Ann, and what the rows look like without her."""
    spec = registry(INCLUDE).get(table)
    columns = {column.name: f"CAST(NULL AS {column.type})" for column in spec.columns}
    given = f"SELECT * FROM ({rows}) AS given"
    with open_lake(settings) as lake:
        have = [name for name, *_ in lake.con.execute(f"DESCRIBE {given}").fetchall()]
        nulls = "".join(f", {null} AS {name}" for name, null in columns.items() if name not in have)
        staged = lake.stage(spec, f"SELECT *{nulls} FROM ({given})", values, made_by={})
        lake.commit(spec, [staged], replace={})
        places = Places(lake, TableRegistry(INCLUDE), [ANN], ("knowledge", "beauty"), cleaned_text)
        found = {("own" if one.own else "mention"): one.rows for one in places.find(spec)}
        rewrite_partition(lake, spec, values, lambda live: places.without(spec, live))
        assert places.find(spec) == []
        kept = lake.con.sql(
            f"SELECT {', '.join(have)} FROM ({lake.relation(spec, lake.partitions(spec))}) ORDER BY ALL"
        )
        return found, kept.fetchall()


RAW = {"feed": "f", "delivered_ds": "2026-01-05"}
FIXED = "'f.csv' AS _file, TIMESTAMPTZ '2026-01-06' AS _until, DATE '2026-01-05' AS ds"


def test_raw_rows_by_id_and_domain(settings: Settings) -> None:
    rows = f"""
        SELECT user_id, domain, text, extra, row_number() OVER () AS _line, {FIXED} FROM (VALUES
            ('K10023', 'knowledge', 'a', NULL), (' K10023\u3000', 'KNOWLEDGE ', 'b', NULL),
            ('K10023', NULL, 'c', NULL), ('K10023', '??', 'd', NULL),
            ('K10023', 'beauty', 'e', NULL), ('K100234', 'knowledge', 'f', NULL), ('k10023', 'knowledge', 'g', NULL),
            (NULL, NULL, NULL, '{{"_line": "9,K10023,x"}}'), (NULL, NULL, NULL, '{{"_line": "9,K100234,x"}}'),
            ('K5', 'knowledge', '问K10023的人', '{{"invited_by": "K10023"}}'),
            ('K6', 'knowledge', 'K10023x _K10023', NULL)) AS t(user_id, domain, text, extra)
    """
    found, kept = after(settings, "raw.reviews", RAW, rows)
    assert found == {"own": 5, "mention": 1}
    assert {(row[0], row[2], row[3]) for row in kept} == {
        ("K10023", "e", None),
        ("K100234", "f", None),
        ("k10023", "g", None),
        (None, None, '{"_line": "9,K100234,x"}'),
        ("K5", "问[erased]的人", '{"invited_by": "[erased]"}'),
        ("K6", "K10023x _K10023", None),
    }


def test_links_by_the_side_that_the_id_is_of(settings: Settings) -> None:
    rows = f"""
        SELECT *, row_number() OVER () AS _line, {FIXED} FROM (VALUES
            ('K10023', 'B1'), ('K7', 'K10023'), ('K8', 'B8')) AS t(knowledge_user_id, beauty_user_id)
    """
    found, kept = after(settings, "raw.identity_links", RAW, rows)
    assert found == {"own": 1}
    assert {row[:2] for row in kept} == {("K7", "K10023"), ("K8", "B8")}, "an id of the other side is another's"


def test_quarantined_records_by_what_they_hold(settings: Settings) -> None:
    rows = """
        SELECT 'events' AS table_name, 'f' AS feed, DATE '2026-01-05' AS delivered_ds, 'r' AS reason, 'f.csv' AS file,
               row_number() OVER () AS line, record FROM (VALUES
            ('{"user_id":"K10023","domain":"knowledge","extra":null}'),
            ('{"user_id":"K10023","domain":"beauty","extra":null}'),
            ('{"user_id":null,"domain":null,"extra":"{\\"_line\\":\\"K10023;;\\"}"}'),
            ('{"user_id":"K5","domain":"knowledge","text":"ask K10023"}'),
            ('{"knowledge_user_id":"K10023","beauty_user_id":"B1"}'),
            ('{"unit_type":"device","unit_id":"K10023"}')) AS t(record)
    """
    found, kept = after(settings, "raw.quarantine", {"ds": "2026-01-05"}, rows)
    assert found["own"] == 3
    records = [row[-1] for row in kept]
    assert any('"domain":"beauty"' in record for record in records)
    assert any('"ask [erased]"' in record for record in records)
    assert len(records) == 3


def test_people_and_those_they_named(settings: Settings) -> None:
    ann = ANN.account.hex()
    low, high = "00" * 16, "ff" * 16
    flags = ", ".join(
        f"true AS {name}"
        for name in ("personalisation", "cross_domain", "profiling", "marketing_email", "marketing_sms")
    )
    rows = f"""
        SELECT unhex(account) AS account, unhex(person) AS person, 'beauty' AS domain, {flags}, true AS marketing_push
        FROM (VALUES ('{ann}', '{ann}'), ('{high}', '{ann}'), ('{"ee" * 16}', '{ann}'), ('{low}', '{low}'))
            AS t(account, person)
    """
    found, kept = after(settings, "derived.people", {"ds": "2026-01-05"}, rows)
    assert found == {"own": 1}
    assert {(account.hex(), person.hex()) for account, person, *_ in kept} == {
        (low, low),
        ("ee" * 16, "ee" * 16),
        (high, "ee" * 16),
    }


def test_experiment_units_of_a_person_under_any_name(settings: Settings) -> None:
    other = KEYS.account("unit:device", "K10023").hex()
    rows = f"""
        SELECT 'x' AS experiment_id, unit_type, unhex(unit) AS unit, 'a' AS variant, now() AS ts,
               DATE '2026-01-05' AS delivered_ds, 'f' AS feed FROM (VALUES
            ('account', '{ANN.account.hex()}'), ('person', '{ANN.unit.hex()}'), ('device', '{other}'))
            AS t(unit_type, unit)
    """
    found, kept = after(settings, "clean.exposures", {"ds": "2026-01-05"}, rows)
    assert found == {"own": 2}
    assert [row[1] for row in kept] == ["device"]
