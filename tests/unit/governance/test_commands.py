"""`crossdomain privacy …`: one JSON document, exit codes, nobody's id in what is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from crossdomain.cli.main import app
from crossdomain.errors import CrossdomainError, InputError
from tests.unit.governance.conftest import ANN, DAY, Platform

WHO = ["--user", ANN[1], "--domain", ANN[0]]


@pytest.fixture
def command(filled: Platform, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(filled.settings.home))
    monkeypatch.setenv("CROSSDOMAIN_START", DAY.isoformat())

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(app, ["privacy", *arguments], catch_exceptions=True)
        return result, json.loads(result.stdout) if result.stdout.startswith("{") else None

    return run


def test_find_erase_and_prove(command: Any, filled: Platform) -> None:
    result, found = command("verify", *WHO, "--json")
    assert isinstance(result.exception, CrossdomainError)
    assert result.exception.exit_code == 1
    assert (found["clean"], found["unreadable"]) == (False, [])
    assert {"file", "within", "where", "what", "count"} == set(found["findings"][0])
    result, planned = command("erase", *WHO, "--by", "dpo", "--dry-run", "--json")
    result, done = command("erase", *WHO, "--by", "dpo", "--reason", "letter", "--json")
    assert result.exit_code == 0
    (erasure,) = done["erasures"]
    assert (erasure["status"], erasure["places"]) == ("done", planned["erasures"][0]["places"])
    assert ANN[1] not in result.stdout
    assert filled.subject(ANN).account.hex() not in result.stdout
    result, found = command("verify", *WHO, "--also", "13800000000", "--json")
    assert (result.exit_code, found["clean"], found["findings"]) == (0, True, [])


def test_holds_are_placed_listed_and_released(command: Any, filled: Platform) -> None:
    command("hold", "place", *WHO, "--by", "legal", "--reason", "case 12", "--json")
    result, _ = command("hold", "list")
    assert "case 12" in result.stdout
    assert filled.subject(ANN).name in result.stdout
    result, _ = command("hold", "release", *WHO, "--by", "legal", "--reason", "closed", "--json")
    assert result.exit_code == 0
    result, _ = command("hold", "release", *WHO, "--by", "legal", "--reason", "closed", "--json")
    assert isinstance(result.exception, InputError)


def test_retention_says_what_would_go(command: Any, filled: Platform) -> None:
    result, said = command("retention", "--date", "2026-04-05", "--dry-run", "--json")
    assert result.exit_code == 0
    assert {"landing", "raw.events"} <= {one["place"] for one in said["decisions"]}
    assert len(filled.rows("raw.events")) == 4


@pytest.mark.parametrize(
    "arguments",
    [("verify",), ("erase", "--dry-run"), ("erase",), ("hold", "place", "--by", "legal", "--reason", "case 12")],
    ids=["verify", "dry run", "erase", "hold"],
)
def test_a_mistyped_domain_proves_and_promises_nothing(command: Any, arguments: tuple[str, ...]) -> None:
    result, said = command(*arguments, "--user", ANN[1], "--domain", "Knowledge", "--json")
    assert said is None
    assert isinstance(result.exception, InputError)
    assert "there is no domain 'Knowledge'; there are" in str(result.exception)
