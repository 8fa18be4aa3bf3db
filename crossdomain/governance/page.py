"""The daily account as a page for people, in English and Chinese, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

from crossdomain.governance.compliance import SECTIONS, Fact

TITLES = {
    "volumes": ("Volumes", "数据量"),
    "consent": ("Consent", "同意"),
    "erasure": ("Erasure", "删除"),
    "holds": ("Legal holds", "法定保留"),
    "access": ("Access", "访问"),
    "retention": ("Retention", "保存期限"),
    "processing": ("Register of processing", "处理活动登记"),
    "models": ("Models", "模型"),
}
MEASURES = {
    "rows_of_the_day": ("rows of the day", "当日行数"),
    "rows_clean": ("rows clean", "合格行数"),
    "rows_quarantined": ("rows quarantined", "隔离行数"),
    "rows_duplicate": ("rows duplicate", "重复行数"),
    "rows_superseded": ("rows superseded", "被更新版本取代的行数"),
    "rows_replaced": ("rows replaced by a redelivery", "被重新交付替换的行数"),
    "rows_suppressed": ("rows suppressed (erased people)", "因已删除而屏蔽的行数"),
    "given_on_the_day": ("consents given on the day", "当日给予的同意"),
    "withdrawn_on_the_day": ("consents withdrawn on the day", "当日撤回的同意"),
    "accounts_known": ("accounts known", "已知账户"),
    "accounts_processed": ("accounts processed", "处理中的账户"),
    "minors_excluded": ("minors excluded", "排除的未成年人"),
    "accounts_granted": ("accounts whose newest word is yes", "最近表示同意的账户"),
    "accounts_refused": ("accounts whose newest word is no", "最近表示拒绝的账户"),
    "accounts_allowed": ("accounts that may be processed for it", "可为此目的处理的账户"),
    "accounts_withdrawn_since": ("accounts that withdrew since", "此后撤回的账户"),
    "share_not_personalised": ("share without personalisation", "未个性化的比例"),
    "people_served_recommendations": ("people with recommendations", "获得推荐的人数"),
    "people_served_not_personalised": ("of them not personalised", "其中非个性化的人数"),
    "asked_on_the_day": ("asked on the day", "当日申请"),
    "asked_so_far": ("asked so far", "累计申请"),
    "done_on_the_day": ("done on the day", "当日完成"),
    "done_late_on_the_day": ("of them late", "其中逾期完成"),
    "done_so_far": ("accounts erased so far", "累计已删除账户"),
    "rows_removed_on_the_day": ("rows removed on the day", "当日删除行数"),
    "open": ("open", "未完成"),
    "open_held": ("open, under legal hold", "未完成（法定保留）"),
    "open_overdue": ("open and overdue", "未完成且逾期"),
    "open_due_soon": ("open, due within five days", "未完成，五日内到期"),
    "term_working_days": ("term in working days", "期限（工作日）"),
    "in_force": ("in force", "生效中"),
    "placed_on_the_day": ("placed on the day", "当日设立"),
    "released_on_the_day": ("released on the day", "当日解除"),
    "audit_lines": ("lines of the audit log", "审计日志条数"),
    "vault_reads": ("reads of the vault", "保险库读取次数"),
    "people_read": ("people who were read", "被读取的人数"),
    "vault_reads_by": ("reads by whom and why", "读取者与事由"),
    "audit_breaks": ("places where the audit log was changed", "审计日志被改动之处"),
    "expired_partitions": ("expired partitions or files", "到期的分区或文件"),
    "expired_rows": ("expired rows", "到期行数"),
    "held_partitions": ("kept under legal hold", "因法定保留而留存"),
    "held_rows": ("rows kept under legal hold", "因法定保留而留存的行数"),
    "not_ingested_partitions": ("expired deliveries that were never taken in", "到期但从未接收的交付"),
    "controller": ("controller", "处理者"),
    "contact": ("contact", "联系方式"),
    "purpose": ("purpose", "目的（英文）"),
    "purpose_zh": ("purpose (Chinese)", "目的"),
    "basis": ("lawful basis", "合法性基础"),
    "cross_border": ("leaves the country", "出境"),
    "impact_assessment": ("impact assessment", "影响评估"),
    "tables_without_activity": ("tables of people without an activity", "未登记的含个人信息的表"),
    "activities_cross_border": ("activities that leave the country", "出境的处理活动"),
    "in_force_that_learned_from_erased": ("in force that learned from erased people", "曾学习已删除者数据的在用模型"),
    "in_force_past_their_day": ("of them past their day", "其中逾期未更换"),
    "retrain_by": ("to be replaced by", "更换期限"),
}
"""Words for every measure; a measure without them is shown by its name."""


def as_json(ds: date, facts: Sequence[Fact]) -> bytes:
    """The account as one JSON document."""
    sections = {name: [asdict(fact) for fact in facts if fact.section == name] for name in SECTIONS}
    return json.dumps({"ds": ds.isoformat(), "sections": sections}, ensure_ascii=False, indent=1).encode()


def as_markdown(ds: date, facts: Sequence[Fact]) -> bytes:
    """The account as a page: what needs somebody first, then every section."""
    lines = [f"# Compliance report {ds} · 合规日报", ""]
    concerns = _concerns(facts)
    lines += ["**Needs attention · 需要处理**", "", *(concerns or ["- nothing · 无"]), ""]
    for section in SECTIONS:
        rows = [fact for fact in facts if fact.section == section]
        title = " · ".join(TITLES[section])
        lines += [f"## {title}", ""]
        if not rows:
            lines += ["nothing on this day · 当日无", ""]
            continue
        lines += ["| measure · 指标 | of · 对象 | value · 数值 |", "| --- | --- | ---: |"]
        lines += [f"| {_words(fact.measure)} | {_cell(fact.item)} | {_cell(_value(fact))} |" for fact in rows]
        lines.append("")
    return "\n".join(lines).encode()


def _concerns(facts: Sequence[Fact]) -> list[str]:
    """What somebody must look at."""
    watched = (
        "open_overdue", "open_due_soon", "audit_breaks", "not_ingested_partitions", "tables_without_activity",
        "in_force_past_their_day", "done_late_on_the_day",
    )  # fmt: skip
    found = [fact for fact in facts if fact.measure in watched and fact.value]
    lines = [f"- {_words(fact.measure)}: {fact.value}" + (f" ({fact.text})" if fact.text else "") for fact in found]
    missing = [fact.item for fact in facts if fact.measure == "impact_assessment" and fact.text == "none"]
    if missing:
        lines.append(f"- no impact assessment · 缺少影响评估: {', '.join(missing)}")
    return lines


def _words(measure: str) -> str:
    return " · ".join(MEASURES[measure]) if measure in MEASURES else measure


def _value(fact: Fact) -> str:
    if fact.share is not None:
        return f"{fact.share:.1%}"
    if fact.measure == "cross_border":
        return ("yes · 是" if fact.value else "no · 否") + (f" ({fact.text})" if fact.text else "")
    if fact.value is not None:
        return f"{fact.value:,}" + (f" ({fact.text})" if fact.text else "")
    return fact.text or ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
