"""Data Docs: a page a day of what the rules found, another of what was watched, and an index of both.

Great Expectations' own pages load scripts and styles from content networks and need them to be read, so these are
written here, from the same validation results that the reports keep. They are plain HTML with one style sheet beside
them, nothing in them is executed, and everything that comes from data is escaped. The same results give the same
bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from crossdomain.quality.drift_results import ALARM, LEARNING, OK, Drift, amount
from crossdomain.quality.results import GateResult, RuleResult, verdict
from crossdomain.storage.home import Home, write_whole
from crossdomain.storage.locks import exclusive

FOLDER = "data_docs"
INDEX = "index.html"
STYLE = "data_docs.css"
PAGE_NAME = re.compile(r"^(index\.html|data_docs\.css|(rules|watch)-\d{4}-\d{2}-\d{2}\.html)$")
"""Every name that a file of the Data Docs can have."""
_SUMMARY = re.compile(r"<!-- summary: (?P<state>[a-z]+), (?P<text>[^<>]*) -->")
_HEAD_BYTES = 1000
_VERDICTS = {"passed": "通过 passed", "overridden": "人工放行 let through by a person", "refused": "拒绝 refused"}
_SEVERITIES = {"fail": "拒绝 refuses", "warn": "提醒 warns"}
_STATUSES = {OK: "正常 ok", ALARM: "异常 alarm", LEARNING: "学习中 learning"}
_CSS = """:root { color-scheme: light dark; --line: #c9d0d8; --bad: #b42318; --good: #1a7f37; --some: #9a6700; }
body { font: 14px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; margin: 16px auto;
  max-width: 1300px; padding: 0 16px; }
table { border-collapse: collapse; margin: 4px 0 16px; } th, td { border: 1px solid var(--line); padding: 3px 8px;
  text-align: left; vertical-align: top; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12px; }
.refused, .alarm { color: var(--bad); font-weight: 600; } .passed, .ok { color: var(--good); }
.warned, .overridden { color: var(--some); font-weight: 600; } .quiet { opacity: .75; }
"""


def folder(home: Home) -> Path:
    """Where the pages lie."""
    return home.report(FOLDER)


def write_data_docs(home: Home, ds: date, results: Sequence[GateResult]) -> Path:
    """Writes the page of a day's rules, from the results as they are recorded, and the index.

    Args:
        home: The home.
        ds: The business day.
        results: The verdicts on its tables, overrides applied.

    Returns:
        The page.

    Raises:
        CrossdomainError: It cannot be written; the old page stays.
    """
    judged = verdict(results)
    broken = sum(1 for result in results for rule in result.rules if not rule.success)
    rules = sum(len(result.rules) for result in results)
    parts = [
        _paragraph(f"结论 Verdict: {_mark(judged, _VERDICTS[judged])}"),
        _paragraph(f"规则 Rules: {rules}. 不成立 Broken: {broken}."),
        *(part for result in results for part in _table_of(result)),
    ]
    title = f"质量规则 Quality rules · {ds}"
    return _write(home, f"rules-{ds}.html", title, judged, f"{rules} rules, {broken} broken", parts)


def write_watch_docs(
    home: Home, ds: date, drifts: Mapping[str, Sequence[Drift]], rules: Sequence[tuple[str, RuleResult]]
) -> Path:
    """Writes the page of a day's drift and of the rules beyond one table and day, and the index.

    Args:
        home: The home.
        ds: The business day.
        drifts: What ``judge`` said of each table.
        rules: Tables and results of references and keys across days.

    Returns:
        The page.

    Raises:
        CrossdomainError: It cannot be written; the old page stays.
    """
    alarms = [(table, drift) for table, found in drifts.items() for drift in found if drift.status == ALARM]
    broken = [rule for _, rule in rules if not rule.success]
    learning = sum(1 for found in drifts.values() for drift in found if drift.status == LEARNING)
    measures = sum(len(found) for found in drifts.values())
    state = "alarm" if alarms else "warned" if broken else "ok"
    parts = [
        _paragraph(
            f"指标 Measures: {measures}. 异常 Alarms: {_mark('alarm' if alarms else 'ok', str(len(alarms)))}. "
            f"学习中 Learning: {learning}."
        ),
        _heading("异常 Alarms"),
        _drift_table(alarms),
        _heading("跨表与跨日规则 Rules across tables and days"),
        _rule_table(rule for _, rule in rules),
        _heading("全部指标 All measures"),
        *(
            f"<details><summary>{escape(table)}</summary>{_drift_table([(table, drift) for drift in found])}</details>"
            for table, found in drifts.items()
        ),
    ]
    title = f"漂移与一致性 Drift and consistency · {ds}"
    summary = f"{measures} measures, {len(alarms)} alarms, {len(broken)} of {len(rules)} rules broken"
    return _write(home, f"watch-{ds}.html", title, state, summary, parts)


def page_days(home: Home) -> list[date]:
    """Days that have a page of rules, ascending."""
    return [entry.ds for entry in _entries(home) if entry.kind == "rules"]


@dataclass(frozen=True)
class _Entry:
    """A page as the index lists it."""

    ds: date
    kind: str
    name: str
    state: str
    text: str


def _write(home: Home, name: str, title: str, state: str, summary: str, parts: Iterable[str]) -> Path:
    path = folder(home) / name
    head = f"<!-- summary: {state}, {escape(summary)} -->"
    with exclusive(folder(home)):  # the index lists what lies there: one writer at a time
        write_whole(path, _page(title, [head, _paragraph(f'<a href="{INDEX}">全部日期 All days</a>'), *parts]))
        write_whole(folder(home) / STYLE, _CSS.encode())
        write_whole(folder(home) / INDEX, _index(_entries(home)))
    return path


def _entries(home: Home) -> list[_Entry]:
    found = []
    for path in sorted(folder(home).glob("*-????-??-??.html")):
        with path.open("rb") as file:
            said = _SUMMARY.search(file.read(_HEAD_BYTES).decode("utf-8", "replace"))
        if said:
            kind, _, day = path.stem.partition("-")
            found.append(_Entry(date.fromisoformat(day), kind, path.name, said["state"], said["text"]))
    return found


def _index(entries: Sequence[_Entry]) -> bytes:
    days = sorted({entry.ds for entry in entries}, reverse=True)
    of = {(entry.ds, entry.kind): entry for entry in entries}
    rows = [[f"<td>{day}</td>", *(_link(of.get((day, kind))) for kind in ("rules", "watch"))] for day in days]
    table = _table(("业务日 Business day", "质量规则 Rules", "漂移与一致性 Drift and consistency"), rows)
    return _page("数据文档 Data Docs", [table])


def _link(entry: _Entry | None) -> str:
    if entry is None:
        return "<td>–</td>"
    return f'<td><a href="{entry.name}">{_mark(entry.state, entry.state)}</a> {entry.text}</td>'


def _table_of(result: GateResult) -> list[str]:
    """One table's rules, with what the record of the validation says of each."""
    recorded = {_rule_of(entry): entry for entry in result.record.get("results", ())}
    meta: Mapping[str, Any] = result.record.get("meta", {})
    source = meta.get("counted_by") or f"Great Expectations {meta.get('great_expectations_version', '')}".strip()
    state = "refused" if result.broken else "overridden" if result.overridden else "passed"
    rows = []
    for rule in result.rules:
        config: Mapping[str, Any] = recorded.get(rule.rule_id, {}).get("expectation_config", {})
        said = " ".join(
            f"{name}={value}" for name, value in sorted(config.get("kwargs", {}).items()) if name != "batch_id"
        )
        rows.append(
            [*_rule_cells(rule), f"<td><code>{escape(str(config.get('type', '')))}<br>{escape(said)}</code></td>"]
        )
    rows.sort(key=lambda cells: "passed" in cells[0])
    return [
        _heading(f"{escape(result.table)} · {_mark(state, _VERDICTS[state])}"),
        _paragraph(f"行数 Rows: {result.rows:,}. 来源 Counted by: {escape(str(source))}.", quiet=True),
        _table((*_RULE_HEADINGS, "期望 Expectation"), rows),
    ]


_RULE_HEADINGS = ("成立 Holds", "规则 Rule", "级别 Severity", "所见 Seen", "不合行数 Rows off", "为何 Why")


def _rule_table(rules: Iterable[RuleResult]) -> str:
    rows = [_rule_cells(rule) for rule in rules]
    rows.sort(key=lambda cells: "passed" in cells[0])
    return _table(_RULE_HEADINGS, rows)


def _rule_cells(rule: RuleResult) -> list[str]:
    if rule.success:
        held = _mark("passed", "✓")
    elif rule.overridden_by:
        held = _mark("overridden", f"✕ {rule.overridden_by}")
    else:
        held = _mark("refused" if rule.refuses else "warned", "✕")
    texts = (f"<code>{escape(rule.rule_id)}</code>", escape(_SEVERITIES[rule.severity]), escape(rule.observed))
    cells = [f"<td>{text}</td>" for text in (held, *texts)]
    return [*cells, f'<td class="number">{rule.unexpected_rows:,}</td>', f"<td>{escape(rule.reason)}</td>"]


def _drift_table(drifts: Sequence[tuple[str, Drift]]) -> str:
    if not drifts:
        return _paragraph("无 none", quiet=True)
    rows = []
    for table, drift in drifts:
        key = drift.key
        names = (table, key.measure, key.column, key.category)
        values = [
            "–" if value is None else amount(key.measure, value)
            for value in (drift.observed, drift.expected, drift.low, drift.high)
        ]
        rows.append(
            [
                f"<td>{_mark(drift.status, _STATUSES[drift.status])}</td>",
                *(f"<td>{escape(name)}</td>" for name in names),
                *(f'<td class="number">{escape(value)}</td>' for value in values),
                f"<td>{escape(drift.reason)}</td>",
            ]
        )
    headings = (
        "状态 Status", "表 Table", "指标 Measure", "列 Column", "类别 Category", "所见 Seen", "预期 Expected",
        "下限 Low", "上限 High", "为何 Why",
    )  # fmt: skip
    return _table(headings, rows)


def _rule_of(entry: Mapping[str, Any]) -> str:
    return str(entry.get("expectation_config", {}).get("meta", {}).get("rule", ""))


def _mark(state: str, text: str) -> str:
    return f'<span class="{state}">{escape(text)}</span>'


def _heading(html: str) -> str:
    return f"<h2>{html}</h2>"


def _paragraph(html: str, *, quiet: bool = False) -> str:
    return f'<p class="quiet">{html}</p>' if quiet else f"<p>{html}</p>"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headings)
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _page(title: str, parts: Sequence[str]) -> bytes:
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="zh">\n<head>\n<meta charset="utf-8">\n'
        f'<title>{escape(title)}</title>\n<link rel="stylesheet" href="{STYLE}">\n</head>\n<body>\n'
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    ).encode()
