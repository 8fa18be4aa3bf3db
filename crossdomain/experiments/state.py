"""The running state of an experiment's units: a day touches only the units that were active on it.

The unit of analysis is the unit over the whole experiment: its totals are formed first, then squared. Adding up daily
moments instead would ignore that a unit's days belong together (43 % false positives were measured that way).

A unit has a row in the partition of each day that changed it; its newest row is its state. Rows that are about to
fall out of the last partitions that are kept are written again, so these partitions always hold every unit, and
nothing is rewritten as a whole. See docs/adr/0007-experiment-state.md.

What is folded for one day is the same SQL as for the whole experiment at once: the days differ, and what was there
before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from crossdomain.experiments.attributes import PLACEMENT, make_attributes
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Selection
from crossdomain.experiments.selections import (
    EVENTS_OF,
    NUMBER,
    Binder,
    Part,
    condition,
    event_types,
    parts,
    total_sql,
)

if TYPE_CHECKING:
    import duckdb

STATE_COLUMNS = (
    "experiment_id", "design", "unit", "variant", "several", "exposed_ts", "exposed_ds", "met_ts", "first_ts",
    "first_ds", "exposures", "attributes", "totals", "covariates",
)  # fmt: skip
_EMPTY = f"CAST([] AS {NUMBER}[])"


@dataclass(frozen=True)
class Fold:
    """What is folded onto what.

    Attributes:
        first: First business day whose exposures and events are folded in.
        last: Last one.
        held: Whether there is a state before; False folds the whole experiment at once.
        design: Fingerprint that held rows must have, and that written rows get.
        leaving: Day whose rows fall out of the kept partitions and are written again; None: none do.
        left_out: Whether exposures of the units in table ``left_out`` (unit) do not count; then no held row is theirs.
    """

    first: date
    last: date
    held: bool
    design: str = ""
    leaving: date | None = None
    left_out: bool = False


def fingerprint(design: Design, *versions: str) -> str:
    """Changes when a design counts other units or other numbers, or the same in another order.

    What a design only says about the analysis (alpha, looks, guardrails) is not part of it.

    Args:
        design: The design.
        versions: Versions of what else decides who is counted and as what, such as the set of units that do not count.
    """
    content = design.as_json()
    names = (
        "experiment_id", "unit", "start", "end", "cuped_days", "exposure_event", "trigger", "dimensions", "segments",
    )  # fmt: skip
    measured = {name: content[name] for name in names}
    measured["versions"] = versions
    measured["variants"] = [name for name, _ in design.variants]
    measured["metrics"] = [
        (metric.name, metric.kind, metric.numerator, metric.denominator, metric.cuped) for metric in design.metrics
    ]
    return blake2b(json.dumps(measured, sort_keys=True, default=repr).encode(), digest_size=8).hexdigest()


def covariate_parts(design: Design) -> tuple[Part, ...]:
    """Parts that have a covariate: those of metrics with CUPED, if the design looks back at all."""
    if design.cuped_days is None:
        return ()
    return tuple(part for part in parts(design) if part.metric.cuped and part.selection is not None)


def fold_state(con: duckdb.DuckDBPyConnection, design: Design, fold: Fold) -> None:
    """Makes temporary tables ``state_before``, ``state_after`` and ``state_leaving`` of an experiment.

    ``state_before`` has the held rows of all units that days of the fold may change, ``state_after`` these units as
    they are then, with ``counted`` (analysed: one variant, known, and begun) and ``written`` (changed, or leaving).
    ``state_leaving`` has the rows that fall out of the kept partitions of all other units.

    An event counts if its business day lies in the design's window and its time is not before the unit's first
    exposure (with an exposure event or a trigger: the first such event from there on); one in the same second counts,
    since logs are often that coarse. A covariate is the same number over the ``cuped_days`` times 24 hours before it.

    Args:
        con: Connection with views ``clean.exposures`` and ``clean.events``, ``held.experiment_state`` (ds and the
            state's columns) where there is a state before, and what the design's dimensions need (``attributes``).
        design: A design over exposures of accounts.
        fold: What is folded onto what.
    """
    first, last = window_of(design, fold)
    _exposed(con, design, first, last, left_out=fold.left_out)
    _before(con, design, fold, first, last)
    attributes, known_of = "CAST([] AS VARCHAR[])", ""
    if design.dimensions:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE state_new AS FROM state_exposed ANTI JOIN state_before USING (unit)"
        ).fetchall()
        make_attributes(con, design)
        attributes, known_of = (
            "coalesce(k.old_attributes, n.attributes)",
            " LEFT JOIN state_attributes AS n ON n.unit = k.unit",
        )
    bind = Binder()
    own, covariates = parts(design), covariate_parts(design)
    prior = " LEFT JOIN prior AS p ON p.unit = k.unit" if fold.held else ""
    query = f"""
CREATE OR REPLACE TEMP TABLE state_after AS
WITH known AS ({_known(fold, bind)}),
met AS ({_met(design, bind, first, last)}),
begun AS ({_begun(design, bind, first, last)}),
counted AS (
  SELECT *, NOT several AND first_ts IS NOT NULL AND variant IN ({bind.all([name for name, _ in design.variants])})
    AS counted
  FROM begun
),
{_sums(design, fold, bind)}
SELECT k.unit, k.variant, k.several, k.exposed_ts, k.exposed_ds, k.met_ts, k.first_ts, k.first_ds,
  k.exposures, k.counted, {attributes} AS attributes,
  {_totals(own)} AS totals,
  {_covariates(covariates, "p" if fold.held else "g")} AS covariates,
  k.is_new OR k.seen OR k.leaving OR k.begins
    OR k.met_ts IS DISTINCT FROM k.old_met_ts OR totals IS DISTINCT FROM k.old_totals AS written
FROM counted AS k LEFT JOIN gained AS g ON g.unit = k.unit{prior}{known_of}
"""  # noqa: S608 - our own text; every value of the design is bound
    con.execute(query, bind.values).fetchall()


def state_rows(design: Design, fold: Fold) -> str:
    """SQL of the rows to be written after a fold, as the table's columns."""
    own = ", ".join(STATE_COLUMNS[2:])
    return (
        f"SELECT {_text(design.experiment_id)} AS experiment_id, {_text(fold.design)} AS design, {own} "  # noqa: S608
        f"FROM (SELECT {own} FROM state_after WHERE written UNION ALL SELECT {own} FROM state_leaving)"
    )


def view_totals(con: duckdb.DuckDBPyConnection, design: Design, held: str) -> None:
    """Makes temporary table ``experiment_totals`` of the newest rows of ``held.experiment_state``.

    One row an analysed unit: unit, variant, exposed_ts, first_ts, first_ds, attributes, ``x<i>`` and ``y<i>`` for
    metric i of the design, and ``cx<i>``, ``cy<i>`` for its covariates, where it has them.

    Args:
        con: Connection with view ``held.experiment_state`` of the kept days.
        design: The design.
        held: Fingerprint of the rows.
    """
    names = ", ".join(_text(name) for name, _ in design.variants)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE experiment_totals AS SELECT {totals_columns(design)} "  # noqa: S608 - our names
        f"FROM ({newest_rows(design, held)}) WHERE NOT several AND first_ts IS NOT NULL AND variant IN ({names})"
    ).fetchall()


def build_totals(con: duckdb.DuckDBPyConnection, design: Design) -> None:
    """Makes temporary table ``experiment_totals``, as ``view_totals`` does, of ``state_after`` of a whole fold."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE experiment_totals AS SELECT {totals_columns(design)} "  # noqa: S608 - our names
        "FROM state_after WHERE counted"
    ).fetchall()


def count_mismatches(con: duckdb.DuckDBPyConnection, design: Design, held: str, assigned: str) -> tuple[int, int]:
    """Units first exposed on the days looked at, and those of them that saw another variant than they were dealt.

    Units seen in several variants are not among them: they are counted by themselves.

    Args:
        con: Connection with view ``derived.experiment_state`` of these days.
        design: The design.
        held: Fingerprint of the rows.
        assigned: SQL of the variant that a row's ``unit`` was dealt on its ``exposed_ds``.
    """
    ((units, otherwise),) = con.execute(
        f"SELECT count(*), count_if(variant IS DISTINCT FROM {assigned}) FROM derived.experiment_state "  # noqa: S608
        "WHERE experiment_id = ? AND design = ? AND ds = exposed_ds AND NOT several",
        [design.experiment_id, held],
    ).fetchall()
    return units, otherwise


def newest_rows(design: Design, held: str) -> str:
    """SQL of the newest row of each unit of an experiment in ``held.experiment_state``."""
    return (
        f"SELECT * FROM held.experiment_state WHERE experiment_id = {_text(design.experiment_id)} "  # noqa: S608
        f"AND design = {_text(held)} {_NEWEST}"
    )


def totals_columns(design: Design) -> str:
    """SQL of unit, variant, exposed_ts, first_ts, first_ds, attributes and a state's numbers, a column each."""
    columns = ["unit", "variant", "exposed_ts", "first_ts", "first_ds", "attributes"]
    columns += [
        f"totals[{place}] AS {part.column}" if part.selection else f"CAST(exposures AS {NUMBER}) AS {part.column}"
        for place, part in enumerate(parts(design), 1)
    ]
    columns += [f"covariates[{place}] AS c{part.column}" for place, part in enumerate(covariate_parts(design), 1)]
    return ", ".join(columns)


_NEWEST = "QUALIFY row_number() OVER (PARTITION BY unit ORDER BY ds DESC) = 1"


def window_of(design: Design, fold: Fold) -> tuple[date, date]:
    """Days of the fold that lie in the design's window; the first may lie after the last: then none does."""
    first = max(fold.first, design.start) if design.start else fold.first
    return first, min(fold.last, design.end) if design.end else fold.last


def _exposed(con: duckdb.DuckDBPyConnection, design: Design, first: date, last: date, *, left_out: bool) -> None:
    without = "ANTI JOIN left_out USING (unit)" if left_out else ""
    placement = ""
    if PLACEMENT in design.dimensions:
        at = "coalesce(placement, 'none')"
        placement = f", arg_min({at}, {{'ts': ts, 'placement': {at}}}) AS {PLACEMENT}"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE state_exposed AS "  # noqa: S608 - our own text
        "SELECT unit, min(ts) AS exposed_ts, min(ds) AS exposed_ds, "
        "if(min(variant) = max(variant), min(variant), '') AS variant, min(variant) <> max(variant) AS several, "
        f"count(*) AS exposures{placement} FROM clean.exposures {without} "
        "WHERE experiment_id = $experiment AND unit_type = $unit_type AND ds BETWEEN $first AND $last GROUP BY unit",
        {"experiment": design.experiment_id, "unit_type": design.unit, "first": first, "last": last},
    ).fetchall()


def _before(con: duckdb.DuckDBPyConnection, design: Design, fold: Fold, first: date, last: date) -> None:
    """Held rows of the units that are exposed or active in the days, and rows of others that are leaving."""
    columns = ", ".join(STATE_COLUMNS[2:])
    if not fold.held:
        con.execute(
            "CREATE OR REPLACE TEMP TABLE state_before (ds DATE, unit BLOB, variant VARCHAR, several BOOLEAN, "
            "exposed_ts TIMESTAMPTZ, exposed_ds DATE, met_ts TIMESTAMPTZ, first_ts TIMESTAMPTZ, first_ds DATE, "
            f"exposures BIGINT, attributes VARCHAR[], totals {NUMBER}[], covariates {NUMBER}[])"
        )
        con.execute("CREATE OR REPLACE TEMP TABLE state_leaving AS FROM state_before")
        return
    _wanted(con, design, first, last)
    own = f"experiment_id = {_text(design.experiment_id)} AND design = {_text(fold.design)}"
    leaving = f"DATE '{fold.leaving}'"
    # The newest row is found by the keys alone, so that only that one is read whole.
    con.execute(
        f"""
CREATE OR REPLACE TEMP TABLE state_newest AS
WITH looked_for AS (
  SELECT unit, true AS wanted FROM state_wanted
  UNION ALL
  SELECT unit, false AS wanted FROM held.experiment_state ANTI JOIN state_wanted USING (unit)
  WHERE ds = {leaving} AND {own}
)
SELECT unit, wanted, max(ds) AS ds FROM held.experiment_state JOIN looked_for USING (unit) WHERE {own}
GROUP BY unit, wanted HAVING wanted OR max(ds) = {leaving}"""  # noqa: S608 - our own text
    ).fetchall()
    for name, chosen in (("state_before", "n.wanted"), ("state_leaving", f"NOT n.wanted AND s.ds = {leaving}")):
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT s.ds, {columns} FROM held.experiment_state AS s "  # noqa: S608
            f"JOIN state_newest AS n USING (unit, ds) WHERE {own} AND {chosen}"
        ).fetchall()


def _wanted(con: duckdb.DuckDBPyConnection, design: Design, first: date, last: date) -> None:
    """Who is exposed in the days, or did what the design counts."""
    bind = Binder()
    kinds = sorted({*event_types(parts(design)), *(kind for one in _anchors(design) for kind in one.events)})
    wanted = "SELECT unit FROM state_exposed"
    if kinds:
        wanted += (
            f" UNION SELECT account FROM {EVENTS_OF[design.unit]} WHERE ds BETWEEN {bind(first)} AND {bind(last)} "  # noqa: S608
            f"AND event_type IN ({bind.all(kinds)})"
        )
    con.execute(f"CREATE OR REPLACE TEMP TABLE state_wanted AS {wanted}", bind.values).fetchall()


def _known(fold: Fold, bind: Binder) -> str:
    """Every unit of the fold with its exposures so far, and from when on it was known to be analysed."""
    return f"""
  SELECT coalesce(b.unit, t.unit) AS unit,
    coalesce(b.several, false) OR coalesce(t.several, false) OR coalesce(b.variant <> t.variant, false) AS several,
    if(b.several OR t.several OR b.variant <> t.variant, '', coalesce(b.variant, t.variant)) AS variant,
    coalesce(b.exposed_ts, t.exposed_ts) AS exposed_ts,
    coalesce(b.exposed_ds, t.exposed_ds) AS exposed_ds,
    b.met_ts AS old_met_ts, b.first_ts AS old_first_ts, b.first_ds AS old_first_ds,
    coalesce(b.exposures, 0) + coalesce(t.exposures, 0) AS exposures,
    b.attributes AS old_attributes, b.totals AS old_totals, b.covariates AS old_covariates,
    b.unit IS NULL AS is_new, t.unit IS NOT NULL AS seen, coalesce(b.ds = {bind(fold.leaving)}, false) AS leaving
  FROM state_before AS b FULL JOIN state_exposed AS t ON b.unit = t.unit"""  # noqa: S608


def _met(design: Design, bind: Binder, first: date, last: date) -> str:
    """Units with the moment of their exposure: its row, or the first event that counts as exposure from there on."""
    if design.exposure_event is None:
        return "SELECT *, exposed_ts AS met_ts, exposed_ds AS met_ds FROM known"
    found = _first_event(
        design, design.exposure_event, bind, first, last, "known", "k.old_met_ts IS NULL", "exposed_ts"
    )
    return f"""
  SELECT k.*, coalesce(k.old_met_ts, a.ts) AS met_ts, a.ds AS met_ds
  FROM known AS k LEFT JOIN ({found}) AS a ON a.unit = k.unit"""  # noqa: S608


def _begun(design: Design, bind: Binder, first: date, last: date) -> str:
    """Units with the moment from which they are analysed: their exposure, or the trigger from there on."""
    begins = "first_ts IS NOT NULL AND old_first_ts IS NULL AS begins"
    if design.trigger is None:
        return (
            "SELECT *, coalesce(old_first_ts, met_ts) AS first_ts, "  # noqa: S608
            "coalesce(old_first_ds, met_ds) AS first_ds, "
            f"{begins} FROM met"
        )
    found = _first_event(design, design.trigger, bind, first, last, "met", "k.old_first_ts IS NULL", "met_ts")
    return f"""
  SELECT k.*, coalesce(k.old_first_ts, a.ts) AS first_ts, coalesce(k.old_first_ds, a.ds) AS first_ds, {begins}
  FROM met AS k LEFT JOIN ({found}) AS a ON a.unit = k.unit"""  # noqa: S608


def _first_event(
    design: Design, chosen: Selection, bind: Binder, first: date, last: date, units: str, waiting: str, since: str
) -> str:
    """SQL of the first event of a selection of each waiting unit, from a moment of the unit on."""
    return f"""
    SELECT k.unit, min(e.ts) AS ts, min(e.ds) AS ds
    FROM {units} AS k JOIN {EVENTS_OF[design.unit]} AS e ON e.account = k.unit
    WHERE {waiting} AND e.ds BETWEEN {bind(first)} AND {bind(last)} AND e.ts >= k.{since}
      AND {condition(chosen.events, chosen, bind)}
    GROUP BY k.unit"""  # noqa: S608


def _anchors(design: Design) -> tuple[Selection, ...]:
    return tuple(one for one in (design.exposure_event, design.trigger) if one is not None)


def _sums(design: Design, fold: Fold, bind: Binder) -> str:
    """Sums of the fold's events by unit, ``gained``, and of those before, ``prior``.

    At once, both come of one pass over the events; day by day only units that begin are joined to the days before.
    """
    first, last = window_of(design, fold)
    own = [part for part in parts(design) if part.selection is not None]
    covariates = covariate_parts(design)
    kinds = event_types(own)
    if not kinds:
        return "gained AS (SELECT unit FROM counted WHERE false), prior AS (SELECT unit FROM counted WHERE false)"
    since, before = "e.ts >= k.first_ts", "e.ts < k.first_ts"
    if covariates:
        before += f" AND e.ts >= k.first_ts - to_days(CAST({bind(design.cuped_days)} AS INTEGER))"
    if not fold.held:
        sums = [f"{total_sql(part, bind, when=since)} AS {part.column}" for part in own]
        sums += [f"{total_sql(part, bind, when=before, all_days=True)} AS c{part.column}" for part in covariates]
        return f"gained AS ({_by_unit(design, sums, kinds, bind, date.min, last, 'k.counted')})"
    sums = [f"{total_sql(part, bind)} AS {part.column}" for part in own]
    gained = _by_unit(design, sums, kinds, bind, first, last, f"k.counted AND {since}")
    if not covariates:
        return f"gained AS ({gained}), prior AS (SELECT unit FROM gained WHERE false)"  # noqa: S608
    assert design.cuped_days is not None
    # A day more: the moment of a business day's beginning may lie a day before that of the unit's first event.
    earliest = first - timedelta(days=design.cuped_days + 1)
    sums = [f"{total_sql(part, bind, all_days=True)} AS c{part.column}" for part in covariates]
    kinds = event_types(covariates)
    prior = _by_unit(design, sums, kinds, bind, earliest, last, f"k.counted AND k.begins AND {before}")
    return f"gained AS ({gained}), prior AS ({prior})"


def _by_unit(
    design: Design, sums: Sequence[str], kinds: Sequence[str], bind: Binder, first: date, last: date, where: str
) -> str:
    return f"""
  SELECT k.unit, {", ".join(sums)}
  FROM counted AS k JOIN {EVENTS_OF[design.unit]} AS e ON e.account = k.unit
  WHERE {where} AND e.ds BETWEEN {bind(first)} AND {bind(last)} AND e.event_type IN ({bind.all(kinds)})
  GROUP BY k.unit"""  # noqa: S608


def _totals(own: tuple[Part, ...]) -> str:
    """The unit's numbers after the fold, in the order of the parts; empty for units that are not analysed."""
    numbers = []
    for place, part in enumerate(own, 1):
        if part.selection is None:
            numbers.append(f"CAST(0 AS {NUMBER})")  # the exposures have a column of their own
            continue
        old, new = f"coalesce(k.old_totals[{place}], 0)", f"coalesce(g.{part.column}, 0)"
        joined = f"greatest({old}, {new})" if part.keeps_largest else f"{old} + {new}"
        numbers.append(f"CAST({joined} AS {NUMBER})")
    return f"CASE WHEN k.counted THEN [{', '.join(numbers)}] ELSE {_EMPTY} END"


def _covariates(covariates: tuple[Part, ...], prior: str) -> str:
    if not covariates:
        return _EMPTY
    numbers = []
    for place, part in enumerate(covariates, 1):
        now = f"coalesce({prior}.c{part.column}, 0)"
        numbers.append(f"CAST(CASE WHEN k.begins THEN {now} ELSE k.old_covariates[{place}] END AS {NUMBER})")
    return f"CASE WHEN k.counted THEN [{', '.join(numbers)}] ELSE {_EMPTY} END"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
