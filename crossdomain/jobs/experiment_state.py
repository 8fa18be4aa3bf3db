"""Job ``experiment_state``: the running state of every experiment's units, its moments, and counts for its checks.

A day is folded onto the day before. Where there is nothing to fold onto (a new experiment, or a design that counts
something else now), the experiment is computed from its first day. Where rows were taken out of the state since
(erasure), its moments are read again from what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.errors import InputError
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.experiments.design import Design
    from crossdomain.experiments.moments import Strata
    from crossdomain.experiments.promoting import Promotion
    from crossdomain.experiments.tallies import Tallies
    from crossdomain.storage.lake import Lake, Partition
    from crossdomain.tables import TableRegistry

STATE = "derived.experiment_state"
KEPT_DAYS = 28
"""Partitions that hold the state between them: whatever changed last is in one of as many days."""
_LEFT_OUT = """
CREATE OR REPLACE TEMP TABLE left_out AS
SELECT account AS unit FROM withdrawn_now WHERE list_has_any(purposes, $purposes)
"""


@dataclass(frozen=True)
class _Lineage:
    """What the day before rested on: checksums of the state's partitions by day, fingerprints of the designs."""

    partitions: dict[str, str]
    designs: dict[str, str]


def build(ctx: JobContext) -> None:
    """Folds the day into the state of every experiment over exposures.

    Raises:
        InputError: A design is not valid or has persons as units.
    """
    from crossdomain.experiments.moments import carried
    from crossdomain.experiments.promoting import ended
    from crossdomain.experiments.tallies import added

    lineage, kept = _read_lineage(ctx), _kept(ctx)
    ctx.lake.view(ctx.tables.get(STATE), kept, schema="held")
    # A partition that differs from what the day before saw has lost rows (or was built again meanwhile).
    intact = all(lineage.partitions.get(one.ds.isoformat()) == one.checksum for one in kept)
    _make_rows(ctx)
    strata: dict[str, Strata] = {}
    tallies: dict[str, Tallies] = {}
    fingerprints: dict[str, str] = {}
    from_scratch = []
    promoted = found_promotions(ctx.lake, ctx.tables)
    for design in (ended(one, promoted) for one in designs_over_exposures(ctx.settings)):
        name = design.experiment_id
        fingerprints[name] = _leave_out(ctx, design)
        held = lineage.designs.get(name) == fingerprints[name]
        if not held:
            from_scratch.append(name)
        before = _before(ctx, design, fingerprints[name], held=held, intact=intact)
        difference = _fold(ctx, design, fingerprints[name], held=held)
        strata[name] = carried(before[0], difference[0])
        tallies[name] = added(before[1], difference[1])
    staged = ctx.write(STATE, "FROM state_rows")
    ctx.write("derived.experiment_moments", moment_rows(strata))
    ctx.write("derived.experiment_tallies", tally_rows(tallies))
    first_kept = (ctx.ds - timedelta(days=KEPT_DAYS - 1)).isoformat()
    seen = {one.ds.isoformat(): one.checksum for one in kept if one.ds.isoformat() >= first_kept}
    ctx.write("derived.experiment_lineage", _lineage_rows(seen | {ctx.ds.isoformat(): staged.checksum}, fingerprints))
    ctx.note(experiments=len(strata), state_rows=staged.rows, from_the_first_day=from_scratch, reread=not intact)


def _fold(ctx: JobContext, design: Design, fingerprint: str, *, held: bool) -> tuple[Strata, Tallies]:
    from crossdomain.experiments.moments import day_difference
    from crossdomain.experiments.state import Fold, fold_state, state_rows
    from crossdomain.experiments.tallies import day_tallies

    fold = Fold(
        first=ctx.ds if held else date.min,
        last=ctx.ds,
        held=held,
        design=fingerprint,
        leaving=ctx.ds - timedelta(days=KEPT_DAYS) if held else None,
        left_out=bool(design.audience.consent),
    )
    fold_state(ctx.con, design, fold)
    ctx.con.execute(f"INSERT INTO state_rows {state_rows(design, fold)}")
    return day_difference(ctx.con, design), day_tallies(ctx.con, design, fold)


def _before(ctx: JobContext, design: Design, fingerprint: str, *, held: bool, intact: bool) -> tuple[Strata, Tallies]:
    from crossdomain.experiments.moments import held_moments
    from crossdomain.experiments.tallies import held_tallies

    if not held:
        return {}, {}
    counted = read_tallies(ctx, design.experiment_id, schema="previous")
    if not intact:
        return held_moments(ctx.con, design, fingerprint), held_tallies(ctx.con, design, fingerprint, counted)
    return read_moments(ctx, design.experiment_id, schema="previous"), counted


def designs_over_exposures(settings: Settings) -> list[Design]:
    """The designs whose units the platform knows, by experiment id.

    Raises:
        InputError: A design is not valid or has persons as units.
    """
    from crossdomain.experiments.design import load_designs

    designs = [one for one in load_designs(settings.include / "experiments") if one.data == "exposures"]
    for design in designs:
        if design.unit == "person":
            raise InputError(
                f"{design.source}: unit: the daily job reads no links between accounts; expose and design by account"
            )
    return designs


def found_promotions(lake: Lake, tables: TableRegistry) -> list[Promotion]:
    """Variants that people promoted; their experiments end on the day of the decision."""
    from crossdomain.experiments.promoting import promotions

    return promotions(lake, tables)


def promotions_version(settings: Settings) -> list[tuple[str, str, str]]:
    """Day, experiment and variant of all promotions: part of the fingerprint of what they end."""
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    with open_lake(settings) as lake:
        found = found_promotions(lake, registry(settings.include))
    return [(one.ds.isoformat(), one.experiment_id, one.variant) for one in found]


def _leave_out(ctx: JobContext, design: Design) -> str:
    """Fingerprint of the design; with an audience by consent, table ``left_out`` has who says no to it by now.

    Whoever withdraws is taken out of the whole experiment: the set is part of the fingerprint, so a change of it
    computes the experiment from its first day.
    """
    from crossdomain.experiments.state import fingerprint
    from crossdomain.jobs.consent_now import withdrawn_now

    if not design.audience.consent:
        return fingerprint(design)
    ctx.con.execute(f"CREATE OR REPLACE TEMP VIEW withdrawn_now AS {withdrawn_now(ctx.lake, ctx.tables)}")
    ctx.con.execute(_LEFT_OUT, {"purposes": list(design.audience.consent)}).fetchall()
    ((version,),) = ctx.con.execute(
        "SELECT sha256(coalesce(string_agg(hex(unit), '' ORDER BY unit), '')) FROM left_out SEMI JOIN "
        "(SELECT unit FROM clean.exposures WHERE experiment_id = ?) USING (unit)",
        [design.experiment_id],
    ).fetchall()
    return fingerprint(design, version)


def _kept(ctx: JobContext) -> list[Partition]:
    """Partitions of the state on the days before that may hold the newest row of a unit."""
    first = ctx.ds - timedelta(days=KEPT_DAYS)
    return [one for one in ctx.lake.partitions(ctx.tables.get(STATE)) if first <= one.ds < ctx.ds]


def _make_rows(ctx: JobContext) -> None:
    columns = ", ".join(f"{column.name} {column.type}" for column in ctx.tables.get(STATE).columns)
    ctx.con.execute(f"CREATE OR REPLACE TEMP TABLE state_rows ({columns})")


def _read_lineage(ctx: JobContext) -> _Lineage:
    rows = ctx.con.execute("SELECT kind, name, version FROM previous.experiment_lineage").fetchall()
    found: dict[str, dict[str, str]] = {"partition": {}, "design": {}}
    for kind, name, version in rows:
        found[kind][name] = version
    return _Lineage(found["partition"], found["design"])


def _lineage_rows(partitions: dict[str, str], designs: dict[str, str]) -> pa.Table:
    rows = [("partition", *one) for one in partitions.items()] + [("design", *one) for one in designs.items()]
    return _table(("kind", "name", "version"), [pa.string()] * 3, sorted(rows))


def read_moments(ctx: JobContext, experiment_id: str, *, schema: str) -> Strata:
    """Moments of an experiment from a schema's view ``experiment_moments``."""
    from crossdomain.experiments.moments import SUMS, Stratum, Sums

    rows = ctx.con.execute(
        f"SELECT first_ds, variant, metric, {', '.join(SUMS)} FROM {schema}.experiment_moments "  # noqa: S608 - ours
        "WHERE experiment_id = ? ORDER BY ALL",
        [experiment_id],
    ).fetchall()
    return {Stratum(*row[:3]): Sums(*row[3:]) for row in rows}


def read_tallies(ctx: JobContext, experiment_id: str, *, schema: str) -> Tallies:
    """Counts for the checks of an experiment from a schema's view ``experiment_tallies``."""
    from crossdomain.experiments.tallies import Tally

    rows = ctx.con.execute(
        f"SELECT tally, day, variant, value FROM {schema}.experiment_tallies WHERE experiment_id = ? ORDER BY ALL",  # noqa: S608
        [experiment_id],
    ).fetchall()
    return {Tally(*row[:3]): row[3] for row in rows}


def moment_rows(strata: dict[str, Strata]) -> pa.Table:
    """Rows of ``derived.experiment_moments``."""
    from crossdomain.experiments.moments import SUMS

    rows = [
        (name, one.first_ds, one.variant, one.metric, *(getattr(sums, column) for column in SUMS))
        for name, moments in strata.items()
        for one, sums in moments.items()
    ]
    types = [pa.string(), pa.date32(), pa.string(), pa.string(), pa.int64()]
    types += [pa.decimal128(38, 4)] * (len(SUMS) - 1)
    return _table(("experiment_id", "first_ds", "variant", "metric", *SUMS), types, rows)


def tally_rows(tallies: dict[str, Tallies]) -> pa.Table:
    """Rows of ``derived.experiment_tallies``."""
    rows = [
        (name, tally.name, tally.day, tally.variant, value)
        for name, counted in tallies.items()
        for tally, value in counted.items()
    ]
    types = [pa.string(), pa.string(), pa.date32(), pa.string(), pa.int64()]
    return _table(("experiment_id", "tally", "day", "variant", "value"), types, rows)


def _table(names: Sequence[str], types: Sequence[pa.DataType], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return pa.table({name: pa.array(values, kind) for name, kind, values in zip(names, types, columns, strict=True)})


def config(settings: Settings) -> dict[str, Any]:
    """What the designs count, so that a design that counts something else builds its days again."""
    from crossdomain.experiments.state import fingerprint
    from crossdomain.jobs.consent_now import withdrawals_version

    designs = designs_over_exposures(settings)
    found: dict[str, Any] = {
        "designs": {one.experiment_id: fingerprint(one) for one in designs},
        "kept": KEPT_DAYS,
        "promotions": promotions_version(settings),
    }
    if any(one.audience.consent for one in designs):
        found["withdrawals"] = withdrawals_version(settings)
    return found


JOB = Job(
    name="experiment_state",
    version=1,
    inputs=(Input(table="clean.events", days=None), Input(table="clean.exposures", days=None)),
    outputs=(STATE, "derived.experiment_moments", "derived.experiment_tallies", "derived.experiment_lineage"),
    run=build,
    config=config,
    tells_unchanged=True,  # of daily counts, which the job after it reads from clean
)
