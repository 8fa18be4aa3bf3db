"""The data contracts: valid in their standard, true to the platform, current on disk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from crossdomain.cli.main import main
from crossdomain.contracts.document import document
from crossdomain.contracts.files import DOCUMENT, FOLDER, TEMPLATE, check_contracts, write_contracts
from crossdomain.contracts.odcs import Agreement, agreements, contract
from crossdomain.errors import CrossdomainError, InputError
from crossdomain.ingest.canonical import CANONICAL
from crossdomain.settings import Settings
from crossdomain.tables import registry

INCLUDE = Settings().include
GOLDEN = Path(__file__).parents[2] / "sql" / "clean"


@pytest.fixture(scope="module")
def standard() -> jsonschema.Draft201909Validator:
    """The schema that the standard publishes."""
    text = files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft201909Validator(json.loads(text))


@pytest.fixture(scope="module")
def agreed() -> dict[str, Agreement]:
    return {one.table.name: one for one in agreements(Settings())}


@pytest.fixture
def include(tmp_path: Path) -> Path:
    """An include folder whose contracts are current."""
    shutil.copytree(INCLUDE, tmp_path / "include")
    write_contracts(tmp_path / "include")
    return tmp_path / "include"


def properties(found: dict[str, Any], place: int) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in found["schema"][place]["properties"]}


def checks(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield from node.get("quality", [])
        node = list(node.values())
    for inner in node if isinstance(node, list) else []:
        yield from checks(inner)


@pytest.mark.parametrize("table", CANONICAL)
def test_a_contract_is_valid_in_the_standard(standard: Any, agreed: dict[str, Agreement], table: str) -> None:
    committed = yaml.safe_load((INCLUDE / FOLDER / f"{table}.odcs.yaml").read_text(encoding="utf-8"))
    assert list(standard.iter_errors(committed)) == []
    assert committed == contract(agreed[table]), "run `crossdomain contract write`"
    assert committed["schema"][0]["properties"][0].pop("name")
    assert list(standard.iter_errors(committed)), "a property without a name is no contract"


@pytest.mark.parametrize("table", CANONICAL)
def test_a_contract_names_every_column_key_and_rule(agreed: dict[str, Agreement], table: str) -> None:
    one = agreed[table]
    found = contract(one)
    delivered, clean = properties(found, 0), properties(found, 1)
    assert tuple(delivered) == one.table.column_names
    assert {name for name, row in delivered.items() if row["required"]} == {
        c.name for c in one.table.columns if c.required
    }
    assert tuple(clean) == ("ds", *one.clean.column_names)
    keyed = sorted((row["primaryKeyPosition"], name) for name, row in clean.items() if row.get("primaryKey"))
    assert tuple(name for _, name in keyed) == one.clean.key
    assert all(row["description"] for row in (*delivered.values(), *clean.values()))
    listed = list(checks(found["schema"]))
    assert {(check["name"], check["severity"]) for check in listed} == {
        (rule.id, "error" if rule.severity == "fail" else "warning") for rule in one.rules
    }
    assert len({check["id"] for check in listed}) == len(listed) == len(one.rules)
    server = {one["server"] for one in found["servers"]}
    assert server == {"lake", *(f"landing_{feed.name}" for feed in one.feeds)}


def test_what_depends_on_the_day_is_said_in_words(agreed: dict[str, Agreement]) -> None:
    text = json.dumps([contract(one) for one in agreed.values()])
    assert not re.search(r"2987|7919000|150461000", text)
    limits = {
        check["name"]: check.get("implementation", {}).get("kwargs") for check in checks(contract(agreed["events"]))
    }
    assert limits["events.ts.on_the_day"] == {
        "column": "ts", "min_value": "{start of the day}", "max_value": "{end of the day}", "strict_max": True,
    }  # fmt: skip
    assert limits["events.rows.mostly_kept"] == {"min_value": "{19 times the rows quarantined}"}
    assert limits["events.delivered_ds.not_before"] == {"column": "delivered_ds", "min_value": "{the day before}"}


def test_personal_columns_are_marked(agreed: dict[str, Agreement]) -> None:
    users, reviews, items = (contract(agreed[table]) for table in ("users", "reviews", "items"))
    levels = {name: (row["classification"], *row.get("tags", [])) for name, row in properties(users, 0).items()}
    assert {name for name, level in levels.items() if level[0] == "restricted"} == {"phone", "email", "name"}
    assert levels["user_id"] == ("confidential", "personal", "identifier")
    assert levels["birth_year"] == ("confidential", "personal", "attribute")
    assert properties(reviews, 0)["text"]["tags"] == ["personal", "free_text"]
    assert not any("tags" in row for row in properties(items, 0).values()), "goods are nobody's data"
    for one in agreed.values():
        clean = properties(contract(one), 1)
        assert all("pseudonym" in row["tags"] for row in clean.values() if row["physicalType"] == "BLOB")
        assert not {"user_id", "unit_id", "phone", "email", "name"} & set(clean)


@pytest.mark.parametrize("table", CANONICAL)
def test_the_document_lists_the_reasons_that_rows_are_set_aside_for(agreed: dict[str, Agreement], table: str) -> None:
    expected = yaml.safe_load((GOLDEN / table / "expect.yaml").read_text(encoding="utf-8"))
    section = document("$overview $vocabulary $tables", [agreed[table]])
    (listed,) = (line for line in section.splitlines() if line.startswith("**Set aside"))
    assert set(expected["quarantined"].values()) <= set(re.findall(r"`(\w+)`", listed))


@pytest.mark.parametrize("template", ["$overview $vocabulary", "$overview $vocabulary $tables $more", "$overview $"])
def test_a_template_with_other_names_is_refused(agreed: dict[str, Agreement], template: str) -> None:
    with pytest.raises(InputError, match=r"must name \$overview, \$vocabulary, \$tables"):
        document(template, list(agreed.values()))


def test_a_change_of_a_schema_is_noticed_and_written_once(include: Path) -> None:
    assert len(check_contracts(include)) == len(CANONICAL) + 1
    schema = include / "sql" / "clean" / "users_v1" / "schema.yaml"
    schema.write_text(
        schema.read_text(encoding="utf-8").replace("year of birth", "year of birth, four digits"), "utf-8"
    )
    stray = include / FOLDER / "gone.odcs.yaml"
    stray.write_text("kind: DataContract\n", encoding="utf-8")
    registry.cache_clear()
    with pytest.raises(CrossdomainError, match=r"data-contract\.md.*gone\.odcs.*users\.odcs.*contract write"):
        check_contracts(include)
    changed = {file.path.name for file in write_contracts(include)}
    assert changed == {"users.odcs.yaml", "gone.odcs.yaml", DOCUMENT.name}
    assert not stray.exists()
    assert write_contracts(include) == []
    assert "year of birth, four digits" in (include.parent / DOCUMENT).read_text(encoding="utf-8")


def test_the_environment_changes_nothing(include: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TZ": "Europe/Berlin", "LATE_DAYS": "9", "DOMAINS": "a,b", "INCLUDE": str(include)}.items():
        monkeypatch.setenv(f"CROSSDOMAIN_{name}", value)
    assert write_contracts(Settings.from_env().include) == []


def test_without_a_template_the_message_says_so(include: Path) -> None:
    (include / FOLDER / TEMPLATE).unlink()
    with pytest.raises(InputError, match=r"contracts/data-contract\.md is missing"):
        check_contracts(include)


@pytest.mark.parametrize(("command", "code"), [("check", 1), ("write", 0)])
def test_commands(
    include: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, code: int
) -> None:
    (include / FOLDER / "users.odcs.yaml").unlink()
    monkeypatch.setenv("CROSSDOMAIN_INCLUDE", str(include))
    monkeypatch.setattr("sys.argv", ["crossdomain", "contract", command, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code or 0) == code
    out, err = capsys.readouterr()
    assert "users.odcs.yaml" in (json.loads(out)["changed"][0] if code == 0 else err)
