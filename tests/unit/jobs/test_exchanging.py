"""Two homes exchange keyed hashes: who takes part, what is matched, what the log and the files say."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from crossdomain.cli.main import main
from crossdomain.errors import InputError, MissingInput
from crossdomain.jobs.exchanging import Source, export_list, match_list
from crossdomain.jobs.runner import open_lake
from crossdomain.people.exchange import ExchangeKey, new_key
from crossdomain.settings import Settings
from crossdomain.storage import audit, vault
from crossdomain.storage.home import Home
from crossdomain.storage.keys import create_keys, load_keys
from crossdomain.storage.person_keys import KeyWrapper
from crossdomain.tables import registry
from tests.unit.jobs.lake_tables import put

DAY = date(2026, 1, 5)
NEXT = date(2026, 1, 6)
WHY = {"by": "zhao.min", "reason": "joint campaign 12"}
Contacts = Mapping[str, tuple[str | None, str | None]]

OURS: Contacts = {
    "li": ("138 0000 0001", None),
    "wang": (None, "Wang@Example.com"),
    "refused": ("13800000003", None),
    "withdrew": ("13800000004", None),
    "erased": ("13800000005", None),
    "other_side": ("13800000006", None),
    "alone": ("13800000007", None),
}
THEIRS = {f"b{n}": (f"+86 1380000000{n}", None) for n in range(1, 7)} | {"bw": ("13900000000", "wang@example.com")}


@pytest.fixture
def key() -> ExchangeKey:
    return new_key()


def _account(settings: Settings, name: str) -> bytes:
    return load_keys(Home(settings.home)).account("beauty", name)


def _fill_vault(settings: Settings, people: Contacts) -> None:
    tables = registry(settings.include)
    with open_lake(settings) as lake:
        rows = [
            {"account": _account(settings, name), "user_id": f"id-{name}", "phone": phone, "email": email}
            for name, (phone, email) in people.items()
        ]
        schema = pa.schema([("account", pa.binary()), *((field, pa.string()) for field in vault.FIELDS)])
        lake.con.register("people", pa.Table.from_pylist(rows, schema))
        wrapper = KeyWrapper(load_keys(lake.home).vault)
        sealed = vault.encrypt_people(lake, tables, wrapper, DAY, "FROM people")
        staged = lake.stage(tables.get(vault.PERSONAL_FIELDS), sealed, {"ds": str(DAY)}, made_by={"job": "vault"})
        lake.commit(tables.get(vault.PERSONAL_FIELDS), [staged], replace={"ds": [str(DAY)]})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Our home: seven accounts of beauty, of which five may not take part or are alone."""
    settings = Settings(home=tmp_path / "home", memory_limit="500MB")
    create_keys(Home(settings.home))
    _fill_vault(settings, OURS)
    flags = dict.fromkeys(("personalisation", "profiling", "marketing_email", "marketing_sms", "marketing_push"), False)
    people, accounts = [], []
    for name in OURS:
        account = _account(settings, name)
        domain = "knowledge" if name == "other_side" else "beauty"
        people.append(
            {"account": account, "domain": domain, "person": account, "cross_domain": name != "refused", **flags}
        )
        accounts.append(
            {"account": account, "domain": domain, "consent_assumed": False, "consents": [], "first_ds": DAY}
        )
    put(settings, "derived.people", DAY, people)
    put(settings, "derived.accounts", DAY, accounts)
    word = {"domain": "beauty", "ts": datetime(2026, 1, 6, 4, tzinfo=UTC)}
    withdrawal = {**word, "account": _account(settings, "withdrew"), "purpose": "cross_domain", "granted": False}
    put(settings, "clean.consents", NEXT, [withdrawal])
    request = {"domain": "beauty", "account": _account(settings, "erased"), "requested_at": word["ts"]}
    put(settings, "clean.erasure_requests", NEXT, [request])
    return settings


def _their_file(path: Path, people: Contacts) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("user_id", "phone", "email"))
        writer.writerows((name, phone or "", email or "") for name, (phone, email) in people.items())
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_both_sides_match_those_who_agreed_and_nobody_else(
    settings: Settings, key: ExchangeKey, tmp_path: Path
) -> None:
    ours, theirs = Source(day=DAY, domain="beauty"), Source(file=_their_file(tmp_path / "b.csv", THEIRS))
    done = export_list(settings, key, ours, tmp_path / "ours", **WHY)
    assert (done["accounts"], done["hashes"], done["lines"]) == (3, 3, 1000)
    export_list(settings, key, theirs, tmp_path / "theirs", **WHY)

    here = match_list(settings, key, ours, tmp_path / "theirs", tmp_path / "here.csv", **WHY)
    there = match_list(settings, key, theirs, tmp_path / "ours", tmp_path / "there.csv", **WHY)
    assert (here["matched"], there["matched"], here["ambiguous"]) == (2, 2, 0)
    mine, yours = _rows(tmp_path / "here.csv"), _rows(tmp_path / "there.csv")
    assert {row["account"] for row in mine} == {_account(settings, name).hex() for name in ("li", "wang")}
    assert {row["user_id"] for row in yours} == {"b1", "bw"}
    assert {row["token"] for row in mine} == {row["token"] for row in yours}


def test_the_log_says_who_and_how_many_before_anything_is_read(
    settings: Settings, key: ExchangeKey, tmp_path: Path
) -> None:
    export_list(settings, key, Source(day=DAY, domain="beauty"), tmp_path / "ours", **WHY)
    lines = audit.read(Home(settings.home))
    assert [line["action"] for line in lines] == ["vault.read_many", "exchange.export"]
    assert {line["by"] for line in lines} == {"zhao.min"}
    assert lines[0]["facts"] == {"accounts": 3, "fields": ["phone", "email"]}
    assert lines[1]["facts"]["exchange"] == key.exchange
    assert lines[1]["facts"] == {
        "exchange": key.exchange, "day": "2026-01-05", "domain": "beauty", "accounts": 3, "hashes": 3,
    }  # fmt: skip


def test_no_contact_and_no_key_reach_a_file_or_the_log(settings: Settings, key: ExchangeKey, tmp_path: Path) -> None:
    export_list(settings, key, Source(day=DAY, domain="beauty"), tmp_path / "out" / "ours", **WHY)
    match_list(
        settings, key, Source(day=DAY, domain="beauty"), tmp_path / "out" / "ours", tmp_path / "out" / "m.csv", **WHY
    )
    written = [*(tmp_path / "out").iterdir(), *Home(settings.home).audit.iterdir()]
    assert len(written) >= 3
    for path in written:
        content = path.read_bytes().lower()
        for secret in (b"13800000001", b"wang@", key.secret, key.secret.hex().encode()):
            assert secret not in content
        assert path.stat().st_mode & 0o077 == 0


def test_wrong_use_is_refused_before_anything_is_read(settings: Settings, key: ExchangeKey, tmp_path: Path) -> None:
    out = tmp_path / "list"
    for source, wrong, why in (
        (Source(day=DAY, domain="books"), InputError, "no domain 'books'"),
        (Source(day=NEXT, domain="beauty"), MissingInput, "run people --date 2026-01-06"),
        (Source(file=tmp_path / "none.csv"), MissingInput, "none.csv is missing"),
        (Source(day=DAY), InputError, "a day and a domain"),
    ):
        with pytest.raises(wrong, match=why):
            export_list(settings, key, source, out, **WHY)
    (tmp_path / "b.csv").write_text("user_id,phone\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"b\.csv:1: column 'email'"):
        export_list(settings, key, Source(file=tmp_path / "b.csv"), out, **WHY)
    (tmp_path / "b.csv").write_bytes("user_id,phone,email\n1,2,林@x.com\n".encode("gb18030"))
    with pytest.raises(InputError, match=r"b\.csv: not a CSV file in UTF-8"):
        export_list(settings, key, Source(file=tmp_path / "b.csv"), out, **WHY)
    with pytest.raises(InputError, match="the audit log keeps both"):
        export_list(settings, key, Source(day=DAY, domain="beauty"), out, by="zhao.min", reason=" ")
    assert not out.exists()


def test_the_command_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(settings.home))
    monkeypatch.setenv("CROSSDOMAIN_MEMORY_LIMIT", "500MB")

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["crossdomain", "exchange", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return (ended.value.code or 0, out or err)  # type: ignore[return-value]

    why = ("--by", "zhao.min", "--reason", "test", "--json")
    assert call("key", "--out", str(tmp_path / "x.key"), "--json")[0] == 0
    _their_file(tmp_path / "b.csv", THEIRS)
    keyed = ("--key", str(tmp_path / "x.key"))
    code, out = call("export", *keyed, "--contacts", str(tmp_path / "b.csv"), "--out", str(tmp_path / "b"), *why)
    assert (code, json.loads(out)["lines"]) == (0, 1000)
    day = ("--date", str(DAY), "--domain", "beauty")
    code, out = call("match", *keyed, *day, "--partner", str(tmp_path / "b"), "--out", str(tmp_path / "m"), *why)
    assert (code, json.loads(out)["matched"]) == (0, 2)
    code, out = call("export", *keyed, "--date", str(DAY), "--out", str(tmp_path / "c"), *why)
    assert (code, "give --date and --domain" in out) == (2, True)
