"""The data contract in words, for the engineers who deliver files: a template with tables that the code fills in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import Template

from crossdomain.contracts.classes import delivered_class
from crossdomain.contracts.odcs import Agreement
from crossdomain.errors import InputError
from crossdomain.ingest.canonical import CanonicalColumn, CanonicalTable, ColumnKind
from crossdomain.ingest.cleaning import VOCABULARY
from crossdomain.ingest.feeds import Feed
from crossdomain.ingest.judging import broken_rule
from crossdomain.quality.rules import FAIL, Rule
from crossdomain.sql import query

NAMES = {
    "users": "用户",
    "items": "商品与课程",
    "events": "行为事件",
    "reviews": "评论",
    "consents": "同意记录",
    "identity_links": "账号关联",
    "exposures": "实验曝光",
    "experiment_counts": "实验计数",
    "campaign_costs": "活动花费",
    "coupons": "优惠券",
    "sends": "触达记录",
    "support_entries": "客服问答",
    "erasure_requests": "删除请求",
}
"""Chinese names of the canonical tables."""

_WRITTEN: dict[ColumnKind, str] = {
    "text": "text",
    "rich_text": "text, may hold HTML",
    "word": "word, upper or lower case",
    "time": "time",
    "day": "date",
    "money": "amount of money",
    "integer": "whole number",
    "number": "number",
    "boolean": "yes or no",
    "tags": "list",
}
_REASON = re.compile(r"THEN '([^']+)'")
_RULES = re.compile(r"CASE(?:(?!\bCASE\b).)*?END AS reason", re.DOTALL)


def document(template: str, agreements: Sequence[Agreement]) -> str:
    """The document: the template's ``$overview``, ``$vocabulary`` and ``$tables`` filled in.

    Raises:
        InputError: The template names something else, or lacks one of the three.
    """
    parts = {
        "overview": _overview(agreements),
        "vocabulary": _vocabulary(agreements[0].settings.domains),
        "tables": "\n\n".join(_section(agreement) for agreement in agreements),
    }
    filled = Template(template)
    if set(filled.get_identifiers()) != set(parts) or not filled.is_valid():
        raise InputError(
            f"the template of the data contract must name {', '.join(f'${name}' for name in parts)} and no other"
        )
    return filled.substitute(parts)


def _overview(agreements: Iterable[Agreement]) -> str:
    rows = [
        (
            f"[{one.table.name}](#{one.table.name})",
            NAMES[one.table.name],
            one.clean.description.strip(),
            _code(one.table.day) if one.table.day else "the delivery day",
            ", ".join(_code(column.name) for column in one.table.columns if column.required),
        )
        for one in agreements
    ]
    return _table(("table", "表", "what", "a row's day is that of", "required columns"), rows)


def _vocabulary(domains: Sequence[str]) -> str:
    words = {
        "domain": domains,
        "event_type": VOCABULARY["event_types"],
        "purpose": VOCABULARY["purposes"],
        "unit_type": VOCABULARY["unit_types"],
        "status": VOCABULARY["statuses"],
    }
    rows = [(_code(column), ", ".join(_code(word) for word in known)) for column, known in words.items()]
    return _table(("column · 列", "words · 可用的词"), rows)


def _section(agreement: Agreement) -> str:
    table = agreement.table
    parts = [
        f'<a id="{table.name}"></a>\n\n### {table.name} · {NAMES[table.name]}',
        agreement.clean.description.strip() + " " + _identity(agreement),
        _columns(agreement),
        "**Set aside · 隔离原因** " + ", ".join(_code(reason) for reason in _reasons(agreement)),
        "**Feeds · 数据源** " + ("; ".join(_feed(feed) for feed in agreement.feeds) or "none yet"),
        "**Rules of the day · 当日规则**\n\n" + _rules(agreement.rules),
    ]
    return "\n\n".join(parts)


def _identity(agreement: Agreement) -> str:
    key = ", ".join(_code(name) for name in agreement.table.key)
    return f"Rows with the same {key} are one row: the newest version of it counts."


def _columns(agreement: Agreement) -> str:
    table = agreement.table
    rows = [
        (
            _code(column.name),
            "yes" if column.required else "",
            _WRITTEN[column.kind],
            agreement.meaning(column.name),
            _personal(table, column),
        )
        for column in table.columns
    ]
    return _table(("column · 列", "required · 必填", "written as · 写法", "meaning · 含义", "class · 分级"), rows)


def _personal(table: CanonicalTable, column: CanonicalColumn) -> str:
    kind = delivered_class(table, column.name)
    return f"{kind.level} ({kind.tag})" if kind.tag else kind.level


def _reasons(agreement: Agreement) -> list[str]:
    """Why a row of the table may be set aside: its day, its values in any of the feeds, and the table's own rules."""
    day = agreement.table.day
    found = [f"missing_{day}", f"unparseable_{day}", "too_early", "too_late"] if day else []
    for feed in agreement.feeds:
        found += _REASON.findall(broken_rule(feed))
    for rules in _RULES.findall(query(agreement.clean)):
        found += _REASON.findall(rules)
    return list(dict.fromkeys(found))


def _feed(feed: Feed) -> str:
    expected = "every day" if feed.expected == "daily" else "when there is something"
    text = f" in {feed.encoding}" if feed.format in ("csv", "tsv", "jsonl") else ""
    return f"{_code(feed.name)} ({feed.kind}, {feed.format}{text}, {expected}, up to {feed.late_days} days late)"


def _rules(rules: Iterable[Rule]) -> str:
    rows = [(_code(rule.id), "refuses the day" if rule.severity == FAIL else "warns", rule.reason) for rule in rules]
    return _table(("rule", "broken, it", "why"), rows)


def _code(text: str) -> str:
    return f"`{text}`"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
