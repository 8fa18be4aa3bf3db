"""The command line as people and programs meet it: output, messages, exit codes, nothing half written."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from crossdomain.cli.main import main
from crossdomain.settings import Settings

INCLUDE = Settings().include
DAY = "2026-01-05"
GOOD = "event,user,domain,item,unix_ts\n1,u1,beauty,i1,1767600000\n2,u2,beauty,i1,1767600060\n"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with keys, and an include folder with one feed: shared_behaviour, which may not be empty."""
    include = tmp_path / "include"
    shutil.copytree(INCLUDE, include, ignore=shutil.ignore_patterns("feeds"))
    (include / "feeds").mkdir()
    feed = (INCLUDE / "feeds" / "shared_behaviour.yaml").read_text(encoding="utf-8")
    (include / "feeds" / "shared_behaviour.yaml").write_text(feed.replace("may_be_empty: true\n", ""), encoding="utf-8")
    shutil.copy(INCLUDE / "feeds" / "feed.schema.json", include / "feeds")
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CROSSDOMAIN_INCLUDE", str(include))
    monkeypatch.setenv("CROSSDOMAIN_START", DAY)
    return tmp_path / "home"


@pytest.fixture
def crossdomain(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], home: Path) -> Command:
    def call(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["crossdomain", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out, err)

    call("keys", "create")
    return call


def deliver(home: Path, content: bytes | str = GOOD, name: str = "events.csv", day: str = DAY) -> Path:
    path = home / "landing" / "shared_behaviour" / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def nothing_was_written(home: Path) -> bool:
    return not list((home / "lake").rglob("*.parquet")) if (home / "lake").exists() else True


def test_a_day_runs_and_reports_one_json_document(crossdomain: Command, home: Path) -> None:
    deliver(home)
    done = crossdomain("run", "ingest", "--date", DAY, "--json")
    assert (done.code, json.loads(done.out)["days"]) == (0, [DAY])
    cleaned = json.loads(crossdomain("run", "clean", "--date", DAY, "--json").out)
    assert cleaned["tables"]["clean.events"]["rows"] == 2
    again = json.loads(crossdomain("run", "clean", "--date", DAY, "--json").out)
    assert again["status"] == "up_to_date"
    parts = json.loads(crossdomain("lake", "partitions", "clean.events", "--json").out)
    assert [part["rows"] for part in parts] == [2]
    verified = json.loads(crossdomain("lake", "verify", "--json").out)
    assert (verified["damaged"], verified["unreferenced"]) == ([], [])


def test_jobs_are_listed_in_order(crossdomain: Command) -> None:
    listed = json.loads(crossdomain("jobs", "--json").out)
    assert [job["name"] for job in listed][:2] == ["ingest", "clean"]
    kinds = {job["name"]: job["kind"] for job in listed}
    assert (kinds["clean"], kinds["people"], kinds["ingest"]) == ("independent", "sequential", "delivery")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("SEED", "-1", "give 0 to 2147483647"), ("SEED", str(2**31), "give 0 to"), ("THREADS", "0", "give 1 or more")],
)
def test_numbers_that_a_setting_cannot_have_are_refused(
    crossdomain: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"CROSSDOMAIN_{name}", value)
    done = crossdomain("run", "clean", "--date", DAY)
    assert done.code == 2
    assert f"CROSSDOMAIN_{name}='{value}' is not valid: {message}" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "clean", "--date", "2026-02-30"), "a day that exists"),
        (("run", "clean", "--date", "05/01/2026"), "YYYY-MM-DD"),
        (("run", "cleaning", "--date", DAY), "there is no job 'cleaning'"),
        (("run", "people", "--date", "2026-01-01"), "before the declared start"),
        (("run", "people", "--date", DAY), r"clean.users is missing for 2026-01-05; run `crossdomain run clean"),
        (("run", "ingest", "--date", DAY), "2026-01-05"),
        (("run", "clean", "--date", DAY), "nothing was delivered"),
        (("lake", "partitions", "clean.shoes"), "there is no table"),
        (("backfill", "--from", "2026-01-09", "--to", "2026-01-08"), "lies after"),
        (("backfill", "--from", "2026-01-09", "--to", "2999-01-08"), "is not over"),
    ],
)
def test_wrong_use_is_told_with_exit_code_2(
    crossdomain: Command, home: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = crossdomain(*arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert nothing_was_written(home)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (GOOD.replace("user,", "customer,"), "events.csv", "user"),
        (GOOD.replace("u1", "用户").encode("gb18030"), "events.csv", "utf-8"),
        (gzip.compress(GOOD.encode() * 2000, mtime=0)[:-200], "events.csv.gz", "events.csv.gz"),
        (b"PK\x03\x04 this is no text", "events.xlsx", "events.xlsx"),
        (GOOD.splitlines()[0] + "\n", "events.csv", "no row"),
        (b"", "events.csv", "events.csv"),
    ],
    ids=["unknown column", "wrong encoding", "truncated", "wrong kind of file", "empty day", "empty file"],
)
def test_a_bad_file_is_refused_whole_with_its_name(
    crossdomain: Command, home: Path, content: bytes | str, name: str, message: str
) -> None:
    deliver(home, content, name)
    done = crossdomain("run", "ingest", "--date", DAY)
    assert done.code == 2, done.err
    assert message in done.err
    assert "shared_behaviour" in done.err
    assert "Traceback" not in done.err
    assert nothing_was_written(home)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "shared_behaviour.yaml"),
        ("feed: [unclosed", "not YAML"),
        ("feed: shared_behaviour\ntable: shoes\nkind: append\nformat: csv\ncolumns: {a: b}\n", "shoes"),
        ("feed: shared_behaviour\ntable: events\nkind: often\nformat: csv\ncolumns: {a: b}\n", "kind"),
    ],
)
def test_a_bad_feed_file_is_named_with_its_key(crossdomain: Command, home: Path, text: str, message: str) -> None:
    deliver(home)
    (home.parent / "include" / "feeds" / "shared_behaviour.yaml").write_text(text, encoding="utf-8")
    done = crossdomain("run", "ingest", "--date", DAY)
    assert done.code == 2
    assert message in done.err
    assert nothing_was_written(home)


def test_a_backfill_without_an_airflow_makes_none_and_says_where_to_go(
    crossdomain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    done = crossdomain("backfill", "--from", DAY, "--to", DAY)
    assert (done.code, done.out) == (2, "")
    assert "no Airflow is configured in this shell" in done.err
    assert not (tmp_path / "somebody").exists()


def test_bad_rows_are_put_aside_and_the_good_ones_stay(crossdomain: Command, home: Path) -> None:
    deliver(home, GOOD + "3,u3,beauty,i1,yesterday\n4,,beauty,i1,1767600120\n5,u5,garden,i1,1767600120\n")
    crossdomain("run", "ingest", "--date", DAY)
    done = json.loads(crossdomain("run", "clean", "--date", DAY, "--json").out)
    assert done["notes"]["quarantined"] == {
        "events.missing_user_id": 1,
        "events.unknown_domain": 1,
        "events.unparseable_ts": 1,
    }
    assert done["tables"]["clean.events"]["rows"] == 2


def test_a_refused_day_ends_with_exit_code_3_and_keeps_the_last_good_rows(crossdomain: Command, home: Path) -> None:
    deliver(home)
    crossdomain("run", "ingest", "--date", DAY)
    crossdomain("run", "clean", "--date", DAY)
    bad = "".join(f"{number},,beauty,i1,1767600120\n" for number in range(10, 60))
    deliver(home, GOOD.splitlines()[0] + "\n" + bad)
    crossdomain("run", "ingest", "--date", DAY)
    done = crossdomain("run", "clean", "--date", DAY)
    assert done.code == 3, done.err
    assert "events.rows.kept" in done.err
    assert "report" in done.err
    parts = json.loads(crossdomain("lake", "partitions", "clean.events", "--json").out)
    assert [part["rows"] for part in parts] == [2]


def test_no_secret_is_printed(crossdomain: Command, home: Path) -> None:
    deliver(home)
    secrets = [path.read_bytes() for path in (home / "keys").iterdir() if path.stat().st_size]
    done = crossdomain("run", "ingest", "--date", DAY, "--json")
    for secret in secrets:
        assert secret.hex() not in done.out + done.err


def test_an_experiment_without_a_design_or_a_result_is_said_so(crossdomain: Command) -> None:
    unknown = crossdomain("experiment", "show", "exp_none", "--date", DAY)
    assert (unknown.code, "exp_bundle_banner" in unknown.err) == (2, True)
    early = crossdomain("experiment", "show", "exp_bundle_banner", "--date", DAY)
    assert (early.code, "no result for 2026-01-05" in early.err) == (2, True)


def test_the_result_of_an_experiment_is_shown_in_both_languages_and_as_json(crossdomain: Command, home: Path) -> None:
    counts = [
        f"free_trial_screener,{arm},2026-01-05,{metric},{count}"
        for arm, found in (("control", (5000, 1000, 200, 110)), ("experiment", (5000, 1000, 180, 111)))
        for metric, count in zip(("pageviews", "clicks", "enrollments", "payments"), found, strict=True)
    ]
    feeds = home.parent / "include" / "feeds"
    shutil.copy(INCLUDE / "feeds" / "experiment_counts.yaml", feeds)
    deliver(home)
    folder = home / "landing" / "experiment_counts" / DAY
    folder.mkdir(parents=True)
    (folder / "counts.csv").write_text(
        "experiment,variant,day,metric,count\n" + "\n".join(counts) + "\n", encoding="utf-8"
    )
    for job in ("ingest", "clean", "experiment_state", "experiments"):
        assert crossdomain("run", job, "--date", DAY, "--json").code == 0
    shown = ("experiment", "show", "free_trial_screener", "--date", DAY)
    document = json.loads(crossdomain(*shown, "--json").out)
    assert document["metrics"]["gross_conversion"]["experiment"]["estimate"] == pytest.approx(-0.02)
    assert "gross_conversion" in crossdomain(*shown).out
    assert "检查" in crossdomain(*shown, "--language", "zh").out
