import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crossdomain.errors import CrossdomainError, InputError
from crossdomain.storage import audit
from crossdomain.storage.home import Home


def only_file(home: Home) -> Path:
    (path,) = home.audit.glob("*.jsonl")
    return path


def test_records_come_back_in_order_with_their_facts(home: Home) -> None:
    audit.record(home, "vault.read", by="li.wei", reason="客服 case 7", subject="ab" * 16, fields=["phone"])
    audit.record(home, "keys.rotate", by="ops")
    first, second = audit.read(home)
    assert first["action"] == "vault.read"
    assert first["by"] == "li.wei"
    assert first["reason"] == "客服 case 7"
    assert first["facts"] == {"subject": "ab" * 16, "fields": ["phone"]}
    assert second["facts"] == {}
    assert datetime.fromisoformat(first["ts"]).tzinfo == UTC


def test_there_is_nothing_to_read_before_the_first_record(home: Home) -> None:
    assert audit.read(home) == []
    assert audit.breaks(home) == []


def test_only_the_owner_may_read_the_log(home: Home) -> None:
    audit.record(home, "a", by="x")
    assert only_file(home).stat().st_mode & 0o777 == 0o600
    assert home.audit.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("fact", [b"\x00" * 16, {"nested": [b"key"]}, float("nan"), object()])
def test_bytes_and_other_things_that_are_not_json_are_refused(home: Home, fact: object) -> None:
    with pytest.raises(InputError, match="JSON"):
        audit.record(home, "vault.read", by="x", thing=fact)
    assert audit.read(home) == []


def test_nobody_is_not_a_name(home: Home) -> None:
    with pytest.raises(InputError, match="who"):
        audit.record(home, "vault.read", by=" ")


def write_many(root: Path, name: str) -> None:
    for number in range(25):
        audit.record(Home(root), "act", by=name, number=number, padding="x" * number * 40)


def test_concurrent_writers_lose_nothing_and_keep_the_chain(home: Home) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(home.root, f"writer {number}")) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    said = [(line["by"], line["facts"]["number"]) for line in audit.read(home)]
    assert sorted(said) == sorted((f"writer {writer}", number) for writer in range(3) for number in range(25))
    assert audit.breaks(home) == []


@pytest.mark.parametrize("edit", ["change", "remove", "insert", "swap"])
def test_an_edited_log_shows_where(home: Home, edit: str) -> None:
    for number in range(4):
        audit.record(home, "act", by="x", number=number)
    path = only_file(home)
    lines = path.read_bytes().splitlines()
    match edit:
        case "change":
            lines[1] = lines[1].replace(b'"number": 1', b'"number": 7')
        case "remove":
            del lines[1]
        case "insert":
            lines.insert(2, json.dumps({"action": "made up", "previous": ""}).encode())
        case "swap":
            lines[1], lines[2] = lines[2], lines[1]
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert audit.breaks(home)
    assert audit.breaks(home)[0].startswith(f"{path}:")


def test_the_chain_goes_on_over_days_and_a_clock_that_was_set_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in (3, 4, 2):

        class Clock(datetime):
            moment = datetime(2026, 1, day, tzinfo=UTC)

            @classmethod
            def now(cls, tz: object = None) -> datetime:
                return cls.moment

        monkeypatch.setattr(audit, "datetime", Clock)
        audit.record(home, "act", by="x", day=day)
    assert [path.name for path in sorted(home.audit.glob("*.jsonl"))] == ["2026-01-03.jsonl", "2026-01-04.jsonl"]
    assert [line["facts"]["day"] for line in audit.read(home)] == [3, 4, 2]
    assert audit.breaks(home) == []
    (home.audit / "2026-01-03.jsonl").unlink()  # its retention is over
    assert audit.breaks(home) == []


def test_what_a_power_cut_left_of_a_line_is_not_a_record(home: Home) -> None:
    audit.record(home, "act", by="x", number=1)
    path = only_file(home)
    with path.open("ab") as file:
        file.write(b'{"ts": "2026-01-0')
    assert [line["facts"]["number"] for line in audit.read(home)] == [1]
    audit.record(home, "act", by="x", number=2)
    assert [line["facts"]["number"] for line in audit.read(home)] == [1, 2]
    assert audit.breaks(home) == []


def test_a_line_that_is_no_record_is_named(home: Home) -> None:
    audit.record(home, "act", by="x")
    with only_file(home).open("ab") as file:
        file.write(b"not JSON\n")
    with pytest.raises(CrossdomainError, match=r"\.jsonl:2"):
        audit.read(home)


def test_a_log_that_cannot_be_written_is_an_error(home: Home) -> None:
    home.root.mkdir()
    home.audit.write_text("a file in the way")
    with pytest.raises(CrossdomainError, match="audit"):
        audit.record(home, "act", by="x")
