"""Letting a refused day through: by whom, for what, and for nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from crossdomain.errors import InputError
from crossdomain.jobs.runner import open_lake
from crossdomain.quality.overrides import (
    OVERRIDES,
    Override,
    decline,
    describe,
    overridden,
    override,
    read_overrides,
    refusals,
)
from crossdomain.quality.results import GateResult, RuleResult, to_quality_rows, verdict
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableRegistry, registry

DAY = date(2026, 1, 5)
NOW = datetime(2026, 1, 6, 9, tzinfo=UTC)
WHY = "the supplier's prices are right"
TABLES = registry(Settings().include)


def rule(name: str, rows: int, *, severity: str = "fail", holds: bool = False) -> RuleResult:
    return RuleResult(name, severity, holds, f"{rows} of 100 rows", rows, 100, "Because.")  # type: ignore[arg-type]


def judged(*rules: RuleResult) -> list[GateResult]:
    return [GateResult("clean.items", DAY, 100, rules)]


REFUSED = judged(rule("items.price", 3), rule("items.status", 9), rule("items.title", 4, severity="warn"))


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """A lake whose gate refused the day."""
    with open_lake(Settings(home=tmp_path / "home")) as lake:
        record(lake, REFUSED)
        yield lake


def record(lake: Lake, results: Sequence[GateResult]) -> None:
    spec, values = TABLES.get("serving.quality_results"), {"ds": DAY.isoformat()}
    staged = lake.stage(spec, to_quality_rows(results), values, made_by={})
    lake.commit(spec, [staged], replace={"ds": [values["ds"]]})


def let_through(lake: Lake, tables: TableRegistry = TABLES, **changes: object) -> list[Override]:
    wanted = {"by": "li.na", "reason": WHY, "decided_at": NOW, "via": "test", **changes}
    return override(lake, tables, DAY, **wanted)  # type: ignore[arg-type]


def given(lake: Lake) -> list[Override]:
    """What the job reads of the day."""
    spec = TABLES.get(OVERRIDES)
    lake.view(spec, [partition for partition in lake.partitions(spec) if partition.ds == DAY], schema="derived")
    return read_overrides(lake.con)


def test_a_person_is_shown_the_rules_that_refused(lake: Lake) -> None:
    refused = refusals(lake, TABLES, DAY)
    assert [(one.rule_id, one.unexpected_rows) for one in refused] == [("items.status", 9), ("items.price", 3)]
    text = describe(DAY, refused)
    assert "2026-01-05" in text
    assert "- `items.status`: 9 of 100 rows. Because." in text
    assert "items.title" not in text


def test_an_override_is_a_row_a_rule_and_a_line_of_the_audit_log(lake: Lake) -> None:
    let_through(lake)
    expected = [Override("items.price", "li.na", WHY, 3), Override("items.status", "li.na", WHY, 9)]
    assert given(lake) == expected
    (line,) = audit.read(lake.home)
    assert (line["action"], line["by"], line["reason"]) == ("gate.override", "li.na", WHY)
    assert line["facts"] == {"ds": "2026-01-05", "rules": {"items.price": 3, "items.status": 9}, "via": "test"}


def test_what_was_overridden_refuses_no_more_and_the_day_says_so(lake: Lake) -> None:
    let_through(lake)
    results = overridden(REFUSED, given(lake))
    assert verdict(results) == "overridden"
    assert [one.rule_id for one in results[0].overridden] == ["items.price", "items.status"]
    assert [one.rule_id for one in results[0].warnings] == ["items.title"]
    rows = to_quality_rows(results).to_pylist()
    assert {row["run_verdict"] for row in rows} == {"overridden"}
    assert [row["success"] for row in rows] == [False, False, False], "the rules are broken all the same"


@pytest.mark.parametrize(
    "again",
    [
        judged(rule("items.price", 4), rule("items.status", 9)),
        judged(rule("items.price", 3), rule("items.status", 9), rule("items.sales", 1)),
    ],
    ids=["more rows", "another rule"],
)
def test_nothing_more_is_let_through(lake: Lake, again: list[GateResult]) -> None:
    let_through(lake)
    assert verdict(overridden(again, given(lake))) == "refused"


def test_a_mended_day_passes_as_if_nobody_had_decided(lake: Lake) -> None:
    let_through(lake)
    mended = judged(rule("items.price", 0, holds=True), rule("items.status", 0, holds=True))
    assert overridden(mended, given(lake)) == mended
    assert verdict(mended) == "passed"


def test_single_rules_can_be_overridden_one_after_the_other(lake: Lake) -> None:
    let_through(lake, rules={"items.price": 3})
    assert verdict(overridden(REFUSED, given(lake))) == "refused"
    let_through(lake, rules={"items.status": 9}, by="wang.wei")
    assert [(one.rule_id, one.by) for one in given(lake)] == [("items.price", "li.na"), ("items.status", "wang.wei")]
    let_through(lake, rules={"items.status": 9}, by="li.na")
    assert [one.by for one in given(lake)] == ["li.na", "li.na"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": " "}, "say who"),
        ({"reason": "ok"}, "at least 10 characters"),
        ({"rules": {"items.title": 4}}, r"items.title did not refuse 2026-01-05; these rules did: items.price, items"),
        ({"rules": {"items.price": 2}}, "items.price: more rows break it than when you looked"),
    ],
)
def test_what_is_no_decision_is_refused_and_leaves_no_trace(
    lake: Lake, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        let_through(lake, **changes)
    assert given(lake) == []
    assert audit.read(lake.home) == []


@pytest.mark.parametrize("results", [judged(rule("items.price", 0, holds=True)), overridden(
    REFUSED, [Override("items.price", "a", WHY, 3), Override("items.status", "a", WHY, 9)])],
    ids=["passed", "overridden"])  # fmt: skip
def test_a_day_that_was_not_refused_cannot_be_overridden(lake: Lake, results: list[GateResult]) -> None:
    record(lake, results)
    with pytest.raises(InputError, match="nothing to override"):
        let_through(lake)


def test_declining_is_written_down_and_changes_nothing(lake: Lake) -> None:
    decline(lake, DAY, by="li.na", reason="the file is broken", rules={"items.price": 3}, via="airflow")
    (line,) = audit.read(lake.home)
    assert (line["action"], line["by"]) == ("gate.override_declined", "li.na")
    assert given(lake) == []


def test_without_the_audit_line_nothing_is_let_through(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise InputError("the disk is full")

    monkeypatch.setattr(audit, "record", full)
    with pytest.raises(InputError, match="disk is full"):
        let_through(lake)
    assert given(lake) == []
