"""``crossdomain experiment assign``: files in, variants out, clear words for bad files."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from crossdomain.cli.main import main
from crossdomain.experiments.assignment import assign, assignment_sql, plan_of
from crossdomain.experiments.design import load_design
from crossdomain.settings import Settings

SCHEMA = Settings().include / "experiments" / "design.schema.json"
DESIGN = """
experiment_id: exp
name: {zh: 试验, en: Trial}
hypothesis: {zh: 更多, en: More}
owner: growth
unit: account
variants: {control: 0.5, treatment: 0.5}
control: control
layer: {name: page, from: 0.0, to: 0.8}
primary_metric: clicks
metrics:
  - {name: clicks, kind: mean, events: [click]}
"""


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROSSDOMAIN_HOME", str(tmp_path / "home"))
    path = tmp_path / "design.yaml"
    path.write_text(DESIGN, encoding="utf-8")
    return path


def call(monkeypatch, capfd, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["crossdomain", "experiment", "assign", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capfd.readouterr()
    return ended.value.code or 0, out, err


def test_units_of_a_csv_get_the_variants_of_the_library(design, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("CROSSDOMAIN_HOLDOUT", "0.1")
    names = [f"u{number}" for number in range(500)]
    units = tmp_path / "units.csv"
    units.write_text("unit\n" + "\n".join(names) + "\n", encoding="utf-8")
    code, out, _ = call(monkeypatch, capfd, "--design", design, "--units", units, "--json")
    found = json.loads(out)
    plan = plan_of(load_design(design, schema=SCHEMA), holdout=0.1)
    want = assign([name.encode() for name in names], plan)
    assert code == 0
    assert [row["variant"] for row in found["assignments"]] == list(want.variants)
    assert [row["outside"] for row in found["assignments"]] == list(want.outside)
    assert sum(found["assigned"].values()) + sum(found["outside"].values()) == found["units"] == 500
    assert set(found["outside"]) == {"holdout", "outside_layer"}


def test_account_keys_of_a_parquet_file_and_what_was_given_before(design, tmp_path, monkeypatch, capfd):
    units, out = tmp_path / "units.parquet", tmp_path / "out.parquet"
    plan = plan_of(load_design(design, schema=SCHEMA))
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE t AS SELECT unhex(md5(i::VARCHAR)) AS unit, if(i < 10, 'treatment', NULL) AS variant"
            " FROM range(300) AS r(i)"
        )
        con.execute(f"COPY t TO '{units}' (FORMAT parquet)")
        code, said, _ = call(monkeypatch, capfd, "--design", design, "--units", units, "--out", out, "--json")
        assert (code, json.loads(said)["kept"], json.loads(said)["file"]) == (0, 10, str(out))
        want = con.execute(f"SELECT lower(hex(unit)), coalesce(variant, {assignment_sql(plan)}) FROM t").fetchall()
        assert con.execute(f"SELECT unit, variant FROM '{out}'").fetchall() == want


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("units.txt", "unit\na\n", "units come as .csv or .parquet"),
        ("units.csv", "person\na\n", "there is no column unit; the columns are person"),
        ("units.csv", "unit\na\nb\na\n", "unit a stands twice"),
        ("units.csv", 'unit,x\na,1\n"",2\n', "row 3: the unit is empty"),
        ("units.csv", "unit,variant\na,blue\n", "'blue' was given earlier and is no variant"),
        ("units.parquet", "no parquet", "cannot be read"),
        (None, "", "there is no such file"),
    ],
)
def test_bad_files_are_refused_with_what_is_wrong(design, tmp_path, monkeypatch, capfd, name, content, message):
    units = tmp_path / (name or "none.csv")
    if name:
        units.write_text(content, encoding="utf-8")
    code, _, err = call(monkeypatch, capfd, "--design", design, "--units", units)
    assert code == 2
    assert message in err
