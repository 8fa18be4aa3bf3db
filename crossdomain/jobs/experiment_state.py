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

from crossdomain.errors import InputError, NotReady
from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.experiments.design import Design
    from crossdomain.experiments.moments import PartStrata
    from crossdomain.experiments.promoting import Promotion
    from crossdomain.experiments.tallies import Tallies
    from crossdomain.storage.lake import Lake, Partition
    from crossdomain.tables import TableRegistry

STATE = "derived.experiment_state"
ACCOUNTS, PEOPLE = "derived.accounts", "derived.people"
KEPT_DAYS = 14
"""Partitions that hold the state between them: whatever changed last is in one of as many days. More are more to look
through for the people of a day, fewer write those again more often who do nothing (docs/adr/0007)."""
MOST_VALUES = 200
"""Values that a dimension may have."""


@dataclass(frozen=True)
class _Lineage:
    """What the day before rested on: checksums of the state's partitions by day, fingerprints of the designs."""

    partitions: dict[str, str]
    designs: dict[str, str]


def build(ctx: JobContext) -> None:
    """Folds the day into the state of every experiment over exposures.

    Raises:
        InputError: A design is not valid, has persons as units, or a dimension with too many values.
        NotReady: Dimensions are read from the accounts of the day before, which are not there yet.
    """
    from crossdomain.experiments.moments import carried
    from crossdomain.experiments.promoting import ended
    from crossdomain.experiments.tallies import added

    designs = designs_over_exposures(ctx.settings)
    _require_accounts(ctx, designs)
    lineage, kept = _read_lineage(ctx), _kept(ctx)
    ctx.lake.view(ctx.tables.get(STATE), kept, schema="held")
    # A partition that differs from what the day before saw has lost rows (or was built again meanwhile).
    intact = all(lineage.partitions.get(one.ds.isoformat()) == one.checksum for one in kept)
    _make_rows(ctx)
    moments: dict[str, PartStrata] = {}
    tallies: dict[str, Tallies] = {}
    fingerprints: dict[str, str] = {}
    from_scratch = []
    promoted = found_promotions(ctx.lake, ctx.tables)
    for design in (ended(one, promoted) for one in designs):
        name = design.experiment_id
        fingerprints[name] = _fingerprint(ctx, design)
        held = lineage.designs.get(name) == fingerprints[name]
        if not held:
            from_scratch.append(name)
        before = _before(ctx, design, fingerprints[name], held=held, intact=intact)
        difference = _fold(ctx, design, fingerprints[name], held=held)
        moments[name] = carried(before[0], difference[0])
        _check_values(design, moments[name])
        tallies[name] = added(before[1], difference[1])
    staged = ctx.write(STATE, "FROM state_rows")
    ctx.write("derived.experiment_moments", moment_rows(moments))
    ctx.write("derived.experiment_tallies", tally_rows(tallies))
    first_kept = (ctx.ds - timedelta(days=KEPT_DAYS - 1)).isoformat()
    seen = {one.ds.isoformat(): one.checksum for one in kept if one.ds.isoformat() >= first_kept}
    ctx.write("derived.experiment_lineage", _lineage_rows(seen | {ctx.ds.isoformat(): staged.checksum}, fingerprints))
    ctx.note(experiments=len(moments), state_rows=staged.rows, from_the_first_day=from_scratch, reread=not intact)


def _fold(ctx: JobContext, design: Design, fingerprint: str, *, held: bool) -> tuple[PartStrata, Tallies]:
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


def _before(
    ctx: JobContext, design: Design, fingerprint: str, *, held: bool, intact: bool
) -> tuple[PartStrata, Tallies]:
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


def _fingerprint(ctx: JobContext, design: Design) -> str:
    """Fingerprint of the design and of what consent decides about its units.

    Makes table ``left_out`` of who says no to the audience's purposes by now, and ``withheld`` of who says no to
    ``profiling``, where the design heeds them. Whoever withdraws is taken out of the whole experiment, or out of its
    values: the set is part of the fingerprint, so a change of it computes the experiment from its first day.
    """
    from crossdomain.experiments.attributes import needs_profiling
    from crossdomain.experiments.state import fingerprint

    versions = [str(KEPT_DAYS)]
    if design.audience.consent:
        versions.append(_refusing(ctx, design, "left_out", design.audience.consent))
    if needs_profiling(design):
        versions.append(_refusing(ctx, design, "withheld", ("profiling",)))
    return fingerprint(design, *versions)


def _refusing(ctx: JobContext, design: Design, table: str, purposes: Sequence[str]) -> str:
    """Makes a table (unit) of who says no to one of the purposes by now; the version of its exposed units."""
    from crossdomain.jobs.consent_now import withdrawn_now

    ctx.con.execute(f"CREATE OR REPLACE TEMP VIEW withdrawn_now AS {withdrawn_now(ctx.lake, ctx.tables)}")
    ctx.con.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS "  # noqa: S608 - our own name
        "SELECT account AS unit FROM withdrawn_now WHERE list_has_any(purposes, $purposes)",
        {"purposes": list(purposes)},
    ).fetchall()
    ((version,),) = ctx.con.execute(
        f"SELECT sha256(coalesce(string_agg(hex(unit), '' ORDER BY unit), '')) FROM {table} SEMI JOIN "  # noqa: S608
        "(SELECT unit FROM clean.exposures WHERE experiment_id = ?) USING (unit)",
        [design.experiment_id],
    ).fetchall()
    return str(version)


def _require_accounts(ctx: JobContext, designs: Sequence[Design]) -> None:
    """Dimensions are of the accounts as of the day before; of the first day of the data there is none."""
    from crossdomain.experiments.attributes import needs_accounts, needs_profiling

    day_before = ctx.ds - timedelta(days=1)
    if ctx.settings.start is None or day_before < ctx.settings.start:
        return
    for name, needs in ((ACCOUNTS, needs_accounts), (PEOPLE, needs_profiling)):
        if not any(needs(one) for one in designs):
            continue
        if all(one.ds != day_before for one in ctx.lake.partitions(ctx.tables.get(name))):
            raise NotReady(
                f"experiment_state {ctx.ds}: {name} is missing for {day_before}, which dimensions of the designs are "
                f"read from; run `crossdomain run people --date {day_before}` first"
            )


def _any_accounts(settings: Settings) -> bool:
    from crossdomain.experiments.attributes import needs_accounts

    return any(needs_accounts(one) for one in designs_over_exposures(settings))


def _any_profiling(settings: Settings) -> bool:
    from crossdomain.experiments.attributes import needs_profiling

    return any(needs_profiling(one) for one in designs_over_exposures(settings))


def _check_values(design: Design, moments: PartStrata) -> None:
    """Every value of a dimension has moments of its own: a list of them must be short.

    Raises:
        InputError: A dimension has more than ``MOST_VALUES`` values.
    """
    for dimension in design.dimensions:
        values = sum((part.kind, part.name) == ("dimension", dimension) for part in moments)
        if values > MOST_VALUES:
            raise InputError(
                f"{design.source}: dimensions: {dimension} has {values} values, more than {MOST_VALUES}: leave it out"
            )


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


def read_moments(ctx: JobContext, experiment_id: str, *, schema: str, parts: bool = True) -> PartStrata:
    """Moments of an experiment from a schema's view ``experiment_moments``, of all units only or of its parts too."""
    from crossdomain.experiments.moments import SUMS, PartName, Stratum, Sums

    rows = ctx.con.execute(
        "SELECT part, part_name, part_value, first_ds, variant, metric, "  # noqa: S608 - our own names
        f"{', '.join(SUMS)} FROM {schema}.experiment_moments WHERE experiment_id = ? AND (? OR part = '') "
        "ORDER BY ALL",
        [experiment_id, parts],
    ).fetchall()
    found: PartStrata = {}
    for row in rows:
        found.setdefault(PartName(*row[:3]), {})[Stratum(*row[3:6])] = Sums(*row[6:])
    return found


def read_tallies(ctx: JobContext, experiment_id: str, *, schema: str) -> Tallies:
    """Counts for the checks of an experiment from a schema's view ``experiment_tallies``."""
    from crossdomain.experiments.tallies import Tally

    rows = ctx.con.execute(
        f"SELECT tally, day, variant, value FROM {schema}.experiment_tallies WHERE experiment_id = ? ORDER BY ALL",  # noqa: S608
        [experiment_id],
    ).fetchall()
    return {Tally(*row[:3]): row[3] for row in rows}


def moment_rows(moments: dict[str, PartStrata]) -> pa.Table:
    """Rows of ``derived.experiment_moments``."""
    from crossdomain.experiments.moments import SUMS

    rows = [
        (name, *part, one.first_ds, one.variant, one.metric, *(getattr(sums, column) for column in SUMS))
        for name, parts in moments.items()
        for part, strata in parts.items()
        for one, sums in strata.items()
    ]
    names = ("experiment_id", "part", "part_name", "part_value", "first_ds", "variant", "metric")
    types = [*[pa.string()] * 4, pa.date32(), pa.string(), pa.string(), pa.int64()]
    types += [pa.decimal128(38, 4)] * (len(SUMS) - 1)
    return _table((*names, *SUMS), types, rows)


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
    from crossdomain.experiments.attributes import needs_profiling
    from crossdomain.experiments.state import fingerprint
    from crossdomain.jobs.consent_now import withdrawals_version

    designs = designs_over_exposures(settings)
    found: dict[str, Any] = {
        "designs": {one.experiment_id: fingerprint(one) for one in designs},
        "kept": KEPT_DAYS,
        "promotions": promotions_version(settings),
    }
    if any(one.audience.consent or needs_profiling(one) for one in designs):
        found["withdrawals"] = withdrawals_version(settings)
    return found


JOB = Job(
    name="experiment_state",
    version=2,
    inputs=(
        Input(table="clean.events", days=None),
        Input(table="clean.exposures", days=None),
        Input(table=ACCOUNTS, days=None, before=True, optional=True, when=_any_accounts),
        Input(table=PEOPLE, days=None, before=True, optional=True, when=_any_profiling),
    ),
    outputs=(STATE, "derived.experiment_moments", "derived.experiment_tallies", "derived.experiment_lineage"),
    run=build,
    config=config,
    tells_unchanged=True,  # of daily counts, which the job after it reads from clean
)
