"""The daily account of processing, every number from a table or the audit log; it names nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa

from crossdomain.governance import holds, requests, retraining
from crossdomain.governance.erasing import RECEIPTS, Ground
from crossdomain.governance.register import Register, load_register
from crossdomain.governance.retention import RUNS
from crossdomain.storage import audit
from crossdomain.tables import TableSpec

COMPLIANCE = "serving.compliance"
SECTIONS = ("volumes", "consent", "erasure", "holds", "access", "retention", "processing", "models")
DUE_SOON = timedelta(days=5)
"""Open erasures that are due within these days are counted apart."""

_READS = "vault.read"
_SERVED = "serving.recommendations"
_COUNTED_LAYERS = ("raw", "vault", "clean", "derived", "serving")


@dataclass(frozen=True)
class Fact:
    """A row of ``serving.compliance``.

    Attributes:
        section: One of ``SECTIONS``.
        measure: What is counted.
        item: Of what; empty where of all.
        value: The count.
        share: Where the measure is a share.
        text: Where it is a statement.
    """

    section: str
    measure: str
    item: str = ""
    value: int | None = None
    share: float | None = None
    text: str | None = None


def account_for(ground: Ground) -> list[Fact]:
    """All facts of the ground's business day, in the order of ``SECTIONS``.

    Raises:
        InputError: The register of processing activities is missing or wrong.
    """
    register = load_register(ground.settings.include, ground.tables)
    volumes = {spec.full_name: rows for spec in ground.tables if (rows := _rows_of_day(ground, spec)) is not None}
    return [
        *_volumes(ground, volumes),
        *_consent(ground),
        *_erasure(ground),
        *_holds(ground),
        *_access(ground),
        *_retention(ground),
        *_processing(ground, register, volumes),
        *_models(ground),
    ]


def as_table(facts: list[Fact]) -> pa.Table:
    """Facts as rows of ``serving.compliance``."""
    return pa.table(
        {
            "section": pa.array([fact.section for fact in facts], pa.string()),
            "measure": pa.array([fact.measure for fact in facts], pa.string()),
            "item": pa.array([fact.item for fact in facts], pa.string()),
            "value": pa.array([fact.value for fact in facts], pa.int64()),
            "share": pa.array([fact.share for fact in facts], pa.float64()),
            "text": pa.array([fact.text for fact in facts], pa.string()),
        }
    )


def _rows_of_day(ground: Ground, spec: TableSpec) -> int | None:
    """Rows of a table's partitions of the day (of raw: of the delivery day); None if there is none."""
    of_day = [one for one in ground.lake.partitions(spec) if one.ds == ground.ds]
    return sum(one.rows for one in of_day) if of_day else None


def _volumes(ground: Ground, volumes: dict[str, int]) -> Iterator[Fact]:
    for name, rows in sorted(volumes.items()):
        if name.split(".")[0] in _COUNTED_LAYERS and name != COMPLIANCE:
            yield Fact("volumes", "rows_of_the_day", name, rows)
    counts = _query(ground, "derived.row_counts", "class, sum(rows)", "GROUP BY class")
    yield from (Fact("volumes", f"rows_{name}", "", int(rows)) for name, rows in counts)


def _consent(ground: Ground) -> Iterator[Fact]:
    said = _query(
        ground,
        "clean.consents",
        "if(granted, 'given', 'withdrawn'), domain || '/' || purpose, count(*)",
        "GROUP BY ALL",
    )
    yield from (Fact("consent", f"{word}_on_the_day", item, count) for word, item, count in said)
    counts = {
        (domain, measure): accounts
        for domain, measure, accounts in _query(ground, "derived.people_counts", "domain, measure, accounts")
    }
    for (domain, measure), accounts in sorted(counts.items()):
        if measure in ("known", "processed"):
            yield Fact("consent", f"accounts_{measure}", domain, accounts)
        elif measure == "minor":
            yield Fact("consent", "minors_excluded", domain, accounts)
        elif measure.startswith(("granted_", "refused_", "allowed_", "withdrawn_since_")):
            state, _, purpose = measure.partition("_") if not measure.startswith("withdrawn") else (
                "withdrawn_since", "", measure.removeprefix("withdrawn_since_")
            )  # fmt: skip
            yield Fact("consent", f"accounts_{state}", f"{domain}/{purpose}", accounts)
    for domain in ground.settings.domains:
        processed = counts.get((domain, "processed"), 0)
        allowed = counts.get((domain, "allowed_personalisation"), 0)
        if processed:
            yield Fact("consent", "share_not_personalised", domain, share=(processed - allowed) / processed)
    served = _query(
        ground, _SERVED, "count(DISTINCT person), count(DISTINCT person) FILTER (source = 'unpersonalised')"
    )
    for people, unpersonalised in served:
        if people:
            yield Fact("consent", "people_served_recommendations", "", people)
            yield Fact("consent", "people_served_not_personalised", "", unpersonalised)


def _erasure(ground: Ground) -> Iterator[Fact]:
    asked = requests.remembered(ground.lake, ground.tables, until=ground.ds)
    before = requests.remembered(ground.lake, ground.tables, until=ground.ds - timedelta(days=1))
    done = requests.done(ground.lake, ground.tables, until=ground.ds)
    yield Fact("erasure", "asked_on_the_day", "", len(asked.keys() - before.keys()))
    yield Fact("erasure", "asked_so_far", "", len(asked))
    finished = _query(ground, requests.DONE, "requested_at, done_at, rows")
    late = sum(_day(ground, moment) > ground.terms.due(_day(ground, began)) for began, moment, _ in finished)
    yield Fact("erasure", "done_on_the_day", "", len(finished))
    yield Fact("erasure", "done_late_on_the_day", "", late)
    yield Fact("erasure", "done_so_far", "", len(done))
    removed = _query(ground, RECEIPTS, "place, sum(rows)", "GROUP BY place")
    yield from (Fact("erasure", "rows_removed_on_the_day", place, int(rows)) for place, rows in removed)
    held = {hold.held for hold in holds.in_force(ground.lake, ground.tables, until=ground.ds)}
    open_ones = {erased: request for erased, request in asked.items() if erased not in done}
    dues = [
        ground.terms.due(_day(ground, request.requested_at))
        for erased, request in open_ones.items()
        if erased not in held
    ]
    yield Fact("erasure", "open", "", len(open_ones))
    yield Fact("erasure", "open_held", "", len(open_ones.keys() & held))
    yield Fact("erasure", "open_overdue", "", sum(due < ground.ds for due in dues))
    yield Fact("erasure", "open_due_soon", "", sum(ground.ds <= due <= ground.ds + DUE_SOON for due in dues))
    yield Fact("erasure", "term_working_days", "", ground.terms.erasure_working_days)


def _holds(ground: Ground) -> Iterator[Fact]:
    in_force = holds.in_force(ground.lake, ground.tables, until=ground.ds)
    for domain in ground.settings.domains:
        yield Fact("holds", "in_force", domain, sum(hold.domain == domain for hold in in_force))
    said = _query(ground, holds.HOLDS, "if(in_force, 'placed', 'released'), count(*)", "GROUP BY ALL")
    yield from (Fact("holds", f"{word}_on_the_day", "", count) for word, count in said)


def _access(ground: Ground) -> Iterator[Fact]:
    of_day = [
        line for line in audit.read(ground.lake.home) if _day(ground, datetime.fromisoformat(line["ts"])) == ground.ds
    ]
    actions = Counter(str(line["action"]) for line in of_day)
    yield from (Fact("access", "audit_lines", action, count) for action, count in sorted(actions.items()))
    reads = [line for line in of_day if line["action"] == _READS]
    by_whom = Counter(f"{line['by']}: {line['reason']}" for line in reads)
    yield Fact("access", "vault_reads", "", len(reads))
    yield Fact("access", "people_read", "", len({line["facts"].get("subject") for line in reads}))
    yield from (Fact("access", "vault_reads_by", who, count) for who, count in sorted(by_whom.items()))
    yield Fact("access", "audit_breaks", "", len(audit.breaks(ground.lake.home)))


def _retention(ground: Ground) -> Iterator[Fact]:
    found = _query(ground, RUNS, "action, place, count(*), coalesce(sum(rows), 0)", "GROUP BY ALL")
    for action, place, count, rows in found:
        yield Fact("retention", f"{action}_partitions", place, count)
        if rows:
            yield Fact("retention", f"{action}_rows", place, int(rows))


def _processing(ground: Ground, register: Register, volumes: dict[str, int]) -> Iterator[Fact]:
    yield Fact("processing", "controller", text=register.controller)
    yield Fact("processing", "contact", text=register.contact)
    for one in register.activities:
        rows = sum(volumes.get(spec.full_name, 0) for spec in ground.tables if one.covers(spec))
        yield Fact("processing", "purpose", one.id, text=one.purpose)
        yield Fact("processing", "purpose_zh", one.id, text=one.purpose_zh)
        yield Fact("processing", "basis", one.id, text=one.basis + (f": {one.consent}" if one.consent else ""))
        yield Fact("processing", "rows_of_the_day", one.id, rows)
        yield Fact("processing", "cross_border", one.id, int(one.cross_border), text=one.transfer_basis)
        yield Fact("processing", "impact_assessment", one.id, text=one.impact_assessment or "none")
    uncovered = register.uncovered(ground.tables)
    yield Fact("processing", "tables_without_activity", "", len(uncovered), text=", ".join(uncovered) or None)
    yield Fact("processing", "activities_cross_border", "", sum(one.cross_border for one in register.activities))


def _models(ground: Ground) -> Iterator[Fact]:
    spec = ground.tables.get(retraining.RETRAINING)
    until = [one for one in ground.lake.partitions(spec) if one.ds <= ground.ds]
    rows = ground.lake.con.execute(
        f"SELECT model_version, min(due_ds) FROM ({ground.lake.relation(spec, until)}) GROUP BY ALL"  # noqa: S608
    ).fetchall()
    champions = {version for (version,) in _query(ground, "serving.champions", "DISTINCT model_version")}
    due = {version: day for version, day in rows if version in champions}
    yield Fact("models", "in_force_that_learned_from_erased", "", len(due))
    yield Fact("models", "in_force_past_their_day", "", sum(day <= ground.ds for day in due.values()))
    yield from (Fact("models", "retrain_by", version, text=day.isoformat()) for version, day in sorted(due.items()))


def _query(ground: Ground, table: str, columns: str, tail: str = "") -> list[tuple]:  # type: ignore[type-arg]
    """Rows of the day's partition of a table, in order."""
    spec = ground.tables.get(table)
    of_day = [one for one in ground.lake.partitions(spec) if one.ds == ground.ds]
    rows = ground.lake.relation(spec, of_day)
    return ground.lake.con.execute(f"SELECT {columns} FROM ({rows}) {tail} ORDER BY ALL").fetchall()  # noqa: S608


def _day(ground: Ground, moment: datetime) -> date:
    return moment.astimezone(ground.settings.zone).date()
