"""Quality on the command line: a refused day, what refused it, and a person who lets it through."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crossdomain.cli.main import main
from crossdomain.quality.data_docs import folder
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.home import Home

INCLUDE = Settings().include
DAY = "2026-01-05"
HEAD = "event,user,domain,item,unix_ts\n"
GOOD = "".join(f"{number},u1,beauty,i1,{1767600000 + number}\n" for number in range(10))
WHY = "the supplier cannot mend these"
Command = Callable[..., tuple[int, str, str]]


def unusable(rows: int) -> str:
    return "".join(f"b{number},u1,beauty,i1,no time\n" for number in range(rows))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one feed."""
    include = tmp_path / "include"
    shutil.copytree(INCLUDE, include, ignore=shutil.ignore_patterns("feeds"))
    (include / "feeds").mkdir()
    for name in ("shared_behaviour.yaml", "feed.schema.json"):
        shutil.copy(INCLUDE / "feeds" / name, include / "feeds")
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CROSSDOMAIN_INCLUDE", str(include))
    monkeypatch.setenv("CROSSDOMAIN_START", DAY)
    return tmp_path / "home"


@pytest.fixture
def crossdomain(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], home: Path) -> Command:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["crossdomain", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0, out, err

    call("keys", "create")
    return call


def deliver(home: Path, text: str) -> None:
    path = home / "landing" / "shared_behaviour" / DAY / "events.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + text, encoding="utf-8")


def answer(crossdomain: Command, *arguments: str) -> Any:
    code, out, err = crossdomain(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_refused_day_is_let_through_by_name_and_the_log_says_so(crossdomain: Command, home: Path) -> None:
    deliver(home, GOOD + unusable(30))
    assert crossdomain("run", "ingest", "--date", DAY)[0] == 0
    code, _, err = crossdomain("run", "clean", "--date", DAY)
    assert code == 3
    assert f"crossdomain quality override --date {DAY} --by NAME --reason TEXT" in err
    broken = {row["rule_id"]: row for row in answer(crossdomain, "quality", "rules", "--date", DAY)}
    assert set(broken) == {"events.rows.kept", "events.rows.mostly_kept"}
    assert broken["events.rows.kept"]["run_verdict"] == "refused"

    person = ("--by", "li.na", "--reason", WHY)
    code, _, err = crossdomain("quality", "override", "--date", DAY, *person, "--rule", "events.ts.on_the_day")
    assert code == 2
    assert "did not refuse" in err
    given = answer(crossdomain, "quality", "override", "--date", DAY, *person)
    assert [(one["rule_id"], one["by"]) for one in given] == [("events.rows.kept", "li.na")]
    cleaned = answer(crossdomain, "run", "clean", "--date", DAY)
    assert (cleaned["status"], cleaned["tables"]["clean.events"]["rows"]) == ("done", 10)
    assert answer(crossdomain, "run", "clean", "--date", DAY)["status"] == "up_to_date"
    verdicts = {row["run_verdict"] for row in answer(crossdomain, "quality", "rules", "--date", DAY)}
    assert verdicts == {"overridden"}
    (line,) = [line for line in audit.read(Home(home)) if line["action"] == "gate.override"]
    assert (line["by"], line["reason"], line["facts"]["via"]) == ("li.na", WHY, "cli")
    page = (folder(Home(home)) / f"rules-{DAY}.html").read_text(encoding="utf-8")
    assert "✕ li.na" in page
    report = json.loads((home / "reports" / "quality" / f"{DAY}.json").read_text())
    assert report["verdict"] == "overridden"
    assert report["tables"]["clean.events"]["overridden"] == {"events.rows.kept": "li.na"}


def test_another_broken_rule_refuses_the_day_again(crossdomain: Command, home: Path) -> None:
    deliver(home, GOOD + unusable(30))
    crossdomain("run", "ingest", "--date", DAY)
    assert crossdomain("run", "clean", "--date", DAY)[0] == 3
    answer(crossdomain, "quality", "override", "--date", DAY, "--by", "li.na", "--reason", WHY)
    feed = Path(Settings.from_env().include) / "feeds" / "shared_behaviour.yaml"
    feed.write_text(
        feed.read_text(encoding="utf-8").replace("may_be_empty: true\n", "expected: daily\n"), encoding="utf-8"
    )
    deliver(home, unusable(30))
    code, _, err = crossdomain("run", "ingest", "--date", DAY)
    assert code == 0, err
    code, _, err = crossdomain("run", "clean", "--date", DAY)
    assert code == 3
    assert "events.rows.present" in err
    assert "events.rows.kept" not in err


def test_drift_of_a_day(crossdomain: Command, home: Path) -> None:
    code, _, err = crossdomain("quality", "drift", "--date", DAY)
    assert code == 2
    assert f"crossdomain run watch --date {DAY}" in err
    deliver(home, GOOD)
    for job in ("ingest", "clean", "watch"):
        answer(crossdomain, "run", job, "--date", DAY)
    assert answer(crossdomain, "quality", "drift", "--date", DAY) == []
    every = answer(crossdomain, "quality", "drift", "--date", DAY, "--all", "--table", "clean.events")
    rows = next(row for row in every if row["measure"] == "rows")
    assert (rows["status"], rows["observed"]) == ("learning", 10)
    assert "learning" in crossdomain("quality", "drift", "--date", DAY, "--all")[1]
    rules = answer(crossdomain, "quality", "rules", "--date", DAY, "--all")
    assert "events.item_id.exists_in.items" in {row["rule_id"] for row in rules}
