"""Tables of people that leave: who is in them, how coarse they are, what the log says."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from crossdomain.cli.main import main
from crossdomain.errors import CrossdomainError, InputError, MissingInput
from crossdomain.jobs.releasing import release_people
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.home import Home
from crossdomain.storage.keys import create_keys
from tests.unit.jobs.lake_tables import put

DAY = date(2026, 1, 5)
WHY = {"by": "zhao.min", "reason": "market study"}
FLAGS = ("personalisation", "cross_domain", "profiling", "marketing_email", "marketing_sms", "marketing_push")
CITIES = [("浙江", "杭州"), ("浙江", "宁波"), ("广东", "广州"), ("广东", "深圳")]


def _key(number: int) -> bytes:
    return f"{number:016d}".encode()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A synthetic register of 400 persons; the first 40 have a second account, the last 60 may not be profiled."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), memory_limit="500MB", export_k=10)
    create_keys(Home(settings.home))
    people: list[dict[str, Any]] = []
    accounts: list[dict[str, Any]] = []
    for number in range(440):
        person = number - 400 if number >= 400 else number
        province, city = CITIES[person % 4]
        domain = "knowledge" if number >= 400 else "beauty"
        flags = dict.fromkeys(FLAGS, True) | {"profiling": not 340 <= person < 400, "cross_domain": person % 3 > 0}
        people.append({"account": _key(number), "domain": domain, "person": _key(person), **flags})
        accounts.append(
            {
                "account": _key(number), "domain": domain, "consent_assumed": False, "consents": [], "first_ds": DAY,
                "gender": "female" if person % 5 else None, "birth_year": 1950 + person % 53, "province": province,
                "city": city, "phone_hash": _key(number), "email_hash": _key(number),
            }
        )  # fmt: skip
    put(settings, "derived.people", DAY, people)
    put(settings, "derived.accounts", DAY, accounts)
    said = {"account": _key(339), "domain": "beauty", "purpose": "profiling", "granted": False}
    put(settings, "clean.consents", date(2026, 1, 6), [{**said, "ts": datetime(2026, 1, 6, tzinfo=UTC)}])
    return settings


def test_every_cell_has_k_people_of_those_who_agreed(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "people.csv"
    done = release_people(settings, DAY, ["gender", "birth_year", "city"], out, **WHY)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    cells = Counter(map(tuple, rows[1:]))
    assert rows[0] == ["gender", "birth_year", "city"]
    assert min(cells.values()) == done["k"] >= 10
    assert (done["people"], done["rows"] + done["suppressed"]) == (339, 339)  # 400 less 60, less one who withdrew
    assert done["suppressed"] <= 0.05 * 339
    assert done["columns"]["birth_year"] != "exact"
    assert len(cells) > 1


def test_a_person_counts_once_whatever_accounts_they_have(settings: Settings, tmp_path: Path) -> None:
    done = release_people(settings, DAY, ["sides"], tmp_path / "sides.csv", **WHY)
    rows = (tmp_path / "sides.csv").read_text("utf-8").split()
    assert Counter(rows[1:]) == {'"beauty"': 299, '"both"': 40}
    assert done["columns"] == {"sides": "exact"}


def test_a_sensitive_column_is_kept_and_its_diversity_told(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "people.parquet"
    done = release_people(settings, DAY, ["province"], out, sensitive="cross_domain", k=50, **WHY)
    rows = pq.read_table(out)
    assert rows.column_names == ["province", "cross_domain"]
    assert done["l_distinct"] == 2
    assert 1 < done["l_entropy"] <= 2
    assert done["least_k"] == 50 <= done["k"]


def test_the_log_says_what_left(settings: Settings, tmp_path: Path) -> None:
    before = len(audit.read(Home(settings.home)))
    done = release_people(settings, DAY, ["province"], tmp_path / "p.csv", **WHY)
    (line,) = audit.read(Home(settings.home))[before:]
    assert (line["action"], line["by"], line["reason"]) == ("export.people", "zhao.min", "market study")
    assert line["facts"]["file"] == "p.csv"
    assert {name: line["facts"][name] for name in ("rows", "k", "suppressed")} == {
        name: done[name] for name in ("rows", "k", "suppressed")
    }


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        (["account"], {}, InputError, "'account' cannot be released"),
        (["phone_hash"], {}, InputError, "'phone_hash' cannot be released"),
        (["gender"], {"k": 5}, InputError, "less than CROSSDOMAIN_EXPORT_K = 10"),
        (["gender"], {"k": 340}, CrossdomainError, "339 people are fewer than k = 340"),
        (["gender"], {"sensitive": "gender"}, InputError, "'gender' cannot be released as sensitive"),
        (["gender"], {"by": " "}, InputError, "say who takes the table out"),
        (["gender"], {"out": "people.xlsx"}, InputError, "ends with"),
        (["gender"], {"day": date(2026, 1, 7)}, MissingInput, "run people --date 2026-01-07"),
    ],
)
def test_what_may_not_leave_does_not(
    columns: list[str],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    settings: Settings,
    tmp_path: Path,
) -> None:
    given = {"day": DAY, "out": "people.csv", **WHY, **options}
    out = tmp_path / given.pop("out")
    before = len(audit.read(Home(settings.home)))
    with pytest.raises(error, match=message):
        release_people(settings, given.pop("day"), columns, out, **given)
    assert not out.exists()
    assert len(audit.read(Home(settings.home))) == before


def test_a_file_that_is_there_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "people.csv"
    out.write_text("of last month", encoding="utf-8")
    with pytest.raises(InputError, match=r"people\.csv exists"):
        release_people(settings, DAY, ["gender"], out, **WHY)
    assert out.read_text(encoding="utf-8") == "of last month"


def test_the_command_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(settings.home))
    monkeypatch.setenv("CROSSDOMAIN_EXPORT_K", "10")
    asked = ["--date", str(DAY), "--columns", "gender, province", "--out", str(tmp_path / "p.csv"), "--by", "zhao.min"]
    monkeypatch.setattr("sys.argv", ["crossdomain", "export", "people", *asked, "--reason", "study", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    done = json.loads(capfd.readouterr().out)
    assert done["columns"] == {"gender": "exact", "province": "exact"}
    assert done["k"] >= 10


@pytest.mark.parametrize("value", ["1", "-3", "many"])
def test_a_k_that_hides_nobody_is_no_setting(value: str) -> None:
    with pytest.raises(InputError, match="CROSSDOMAIN_EXPORT_K"):
        Settings.from_env({"CROSSDOMAIN_EXPORT_K": value})
