"""What every DAG file must be: parsed without errors, light, documented, wired as the asset table says."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import DAGS

EXPECTED = {
    "ingest_daily",
    "clean_daily",
    "quality_daily",
    "gate_override",
    "governance_daily",
    "people_daily",
    "content_daily",
    "recs_train",
    "recs_score",
    "recs_drift",
    "experiments_daily",
    "experiment_promotion",
    "serving_publish",
}
RUNS_ON = {
    "clean_daily": {"raw"},
    "quality_daily": {"clean"},
    "governance_daily": {"clean"},
    "people_daily": {"clean"},
    "content_daily": {"catalogue", "people"},
    "experiments_daily": {"clean", "people"},
    "recs_train": {"catalogue", "people", "holdings"},
    "recs_score": {"models"},
    "recs_drift": {"recommendations"},
    "serving_publish": {
        "topics",
        "similar",
        "bundles",
        "pages",
        "recommendations",
        "recommendation_drift",
        "experiments",
        "quality",
        "compliance",
    },
}
EMITS = {
    "ingest_daily": {"raw"},
    "clean_daily": {"clean"},
    "quality_daily": {"quality"},
    "governance_daily": {"vault", "governed", "compliance"},
    "gate_override": {"clean"},
    "people_daily": {"catalogue", "people", "holdings"},
    "content_daily": {"topics", "together", "similar", "bundles", "pages"},
    "experiments_daily": {"experiment_state", "experiments"},
    "experiment_promotion": set(),
    "recs_train": {"models"},
    "recs_score": {"recommendations"},
    "recs_drift": {"recommendation_drift"},
    "serving_publish": {"published"},
}
BY_HAND = {"gate_override", "experiment_promotion"}
"""Started by people: steps that ask them come before the one that emits."""
HEAVY = {
    "pandas", "numpy", "pyarrow", "duckdb", "deltalake", "sklearn", "scipy", "implicit", "gensim", "jieba", "rjieba",
    "great_expectations", "statsmodels", "tomotopy",
}  # fmt: skip


@pytest.fixture(scope="module")
def bag(database: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(DAGS), bundle_name="dags-folder")


def test_the_exact_set_of_dags(bag: Any) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED


def test_one_dag_a_file_named_after_it(bag: Any) -> None:
    assert {path.stem for path in DAGS.glob("*.py")} == EXPECTED
    for dag_id, dag in bag.dags.items():
        assert Path(dag.fileloc).stem == dag_id


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_a_dag_is_a_runbook_with_explicit_limits(bag: Any, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    for heading in ("**Does**", "**Outputs**", "**Emits**", "**Rerun**", "**Owner**"):
        assert heading in dag.doc_md, f"{dag_id} does not say {heading}"
    assert dag.catchup is False
    assert dag.max_active_runs == (1 if dag_id != "serving_publish" else 4)
    assert dag.tags
    assert dag.start_date is not None
    for task in dag.tasks:
        assert task.retries == 2
        assert task.outlets or dag_id in BY_HAND, f"{dag_id}.{task.task_id} emits nothing"


@pytest.mark.parametrize("dag_id", sorted(EXPECTED))
def test_a_dag_survives_serialisation(bag: Any, dag_id: str) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    data = DagSerialization.to_dict(bag.dags[dag_id])
    again = DagSerialization.from_dict(json.loads(json.dumps(data)))
    assert again.dag_id == dag_id
    assert [task.task_id for task in again.tasks] == [task.task_id for task in bag.dags[dag_id].tasks]


def _waits_for(dag: Any) -> set[str]:
    from airflow.serialization.serialized_objects import DagSerialization

    condition = DagSerialization.to_dict(dag)["dag"]["timetable"]["__var"]["asset_condition"]
    assert condition["__type"] in ("asset", "asset_any"), "a & b would leave a consumer waiting for ever"
    return {asset["name"] for asset in condition.get("objects", [condition])}


def test_wiring_by_assets(bag: Any) -> None:
    emitted = {dag_id: {o.name for task in dag.tasks for o in task.outlets} for dag_id, dag in bag.dags.items()}
    assert emitted == EMITS
    waits = {dag_id: _waits_for(dag) for dag_id, dag in bag.dags.items() if dag_id not in BY_HAND | {"ingest_daily"}}
    assert waits == RUNS_ON


def test_no_dag_file_imports_a_heavy_library(database: Path) -> None:
    program = """
import json, sys
from pathlib import Path
import airflow.sdk
before = set(sys.modules)
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": path.stem, "__doc__": ""})
print(json.dumps([sorted(set(sys.modules) - before), sorted(before)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(DAGS)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(DAGS)},
    )
    added, _ = json.loads(done.stdout.splitlines()[-1])
    assert "_common.defaults" in added, "the files were really run"
    assert {name.split(".")[0] for name in added} & (HEAVY | {"crossdomain"}) == set()


@pytest.mark.parametrize("path", sorted(DAGS.rglob("*.py")), ids=lambda path: path.name)
def test_dag_code_holds_no_sql_and_no_paths(path: Path) -> None:
    strings = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    docs = {ast.get_docstring(node, clean=False) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)}  # fmt: skip
    for text in (text for text in strings if text not in docs):
        assert "SELECT " not in text.upper()
        assert not text.startswith(("/", "./"))
