"""Which person is recommended what under the running experiments whose variants change the recommendations.

A person is dealt like the account whose key is its own (the smallest of its accounts): a list has one variant,
whichever account it is shown to. What one of its accounts was given earlier stays, the earliest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crossdomain.errors import InputError
from crossdomain.jobs.consent_now import withdrawn_now
from crossdomain.jobs.experiment_state import KEPT_DAYS, found_promotions, promotions_version
from crossdomain.jobs.experiment_weights import WEIGHTS, read_history
from crossdomain.jobs.model import Input, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from crossdomain.experiments.design import Design
    from crossdomain.experiments.promoting import Promotion
    from crossdomain.recommend.arms import Arms

STATE = "derived.experiment_state"
APPLIES_TO = "recommendations"
_GIVEN = """
WITH newest AS (
  SELECT unit, variant, exposed_ts FROM derived.experiment_state WHERE experiment_id = $experiment
  QUALIFY row_number() OVER (PARTITION BY unit ORDER BY ds DESC) = 1
),
given AS (
  SELECT person, arg_min(variant, {{'at': exposed_ts, 'unit': unit}}) AS variant
  FROM newest JOIN derived.people ON account = unit WHERE list_contains($variants, variant) GROUP BY person
),
members AS (
  SELECT person FROM derived.people LEFT JOIN ({withdrawn}) USING (account) GROUP BY person
  HAVING bool_and({granted} AND NOT list_has_any(coalesce(purposes, []), $purposes))
)
SELECT person, variant FROM (
  SELECT person, coalesce(given.variant, {dealt}) AS variant FROM members LEFT JOIN given USING (person)
) WHERE variant IS NOT NULL ORDER BY person
"""
"""Persons and their variants. ``granted`` is a condition, ``dealt`` what the day's weights deal to ``person``. A unit
that was seen in several variants has none of them in its state: it is dealt anew."""


def variant_inputs() -> tuple[Input, ...]:
    """What the variants are read from: on the days before, so that no list waits for the results of its own day."""
    return (
        Input(table=STATE, days=KEPT_DAYS, optional=True, before=True, when=_any_design),
        Input(table=WEIGHTS, optional=True, before=True, when=_any_design),
        Input(table="serving.model_metrics", when=_any_design),
    )


def variant_config(settings: Settings) -> dict[str, Any]:
    """What the variants depend on beside that; nothing where no experiment changes the recommendations."""
    designs = applied_designs(settings)
    if not designs:
        return {}
    names = {design.experiment_id for design in designs}
    promoted = [one for one in promotions_version(settings) if one[1] in names]
    return {"arms": [design.as_json() for design in designs], "promotions": promoted, "holdout": settings.holdout}


def applied_designs(settings: Settings) -> list[Design]:
    """Designs whose variants change the recommendations, by experiment id.

    Raises:
        InputError: A design is not valid, or the recommender cannot do what it says; the message names file and key.
    """
    from crossdomain.experiments.design import load_designs

    designs = [one for one in load_designs(settings.include / "experiments") if one.applies_to == APPLIES_TO]
    for design in designs:
        _check(design)
    layers = {design.layer.name if design.layer else None for design in designs}
    if len(designs) > 1 and (len(layers) > 1 or None in layers):
        names = ", ".join(design.experiment_id for design in designs)
        raise InputError(
            f"{designs[1].source}: layer: several experiments change the recommendations ({names}): "
            "give them parts of one layer, so that nobody is in two"
        )
    return designs


def arms(ctx: JobContext, persons: pa.Array) -> Arms | None:
    """What each person is shown under the experiments of the day.

    A promoted variant is what everybody is shown from the day after its decision on, for as long as its design is
    there; its experiment has ended, so that it is no variant of the rows.

    Args:
        ctx: The job's context, with the views of ``variant_inputs`` and ``derived.people``.
        persons: Person keys, ascending.

    Returns:
        Arms by person, in their order; None where no experiment changes anything on the day.
    """
    from crossdomain.recommend.arms import ARM_SOURCES, Arms

    designs = applied_designs(ctx.settings)
    if not designs:
        return None
    promoted = {one.experiment_id: one for one in found_promotions(ctx.lake, ctx.tables) if one.ds < ctx.ds}
    running = [one for one in designs if one.experiment_id not in promoted and _runs(ctx, one)]
    shipped = _shipped(designs, promoted)
    if not running and shipped is None:
        return None
    names = sorted({name for design in running for name, _ in design.variants})
    found = Arms.none(names, len(persons))
    if shipped is not None:
        found.source[:] = ARM_SOURCES.index(shipped)
    counted: dict[str, int] = {}
    for design in running:
        members, variants = _dealt(ctx, design, persons)
        free = found.variant[members] < 0  # whoever was given a variant of an earlier design keeps that
        sources = _sources(design)
        for name, _ in design.variants:
            chosen = members[free & (variants == name)]
            found.variant[chosen] = names.index(name)
            found.source[chosen] = ARM_SOURCES.index(sources[name])
            counted[f"{design.experiment_id}: {name}"] = len(chosen)
    ctx.note(variants=counted)
    return found


def trial_versions(ctx: JobContext, champions: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Version of the model that arms name, by target domain: the champion, else the other's, else what was measured.

    Args:
        ctx: The job's context, with view ``serving.model_metrics``.
        champions: Model and version by target domain.

    Returns:
        Domains without any model are left out.
    """
    rows = ctx.con.execute(
        "SELECT DISTINCT model_version FROM serving.model_metrics WHERE model = 'als' ORDER BY ALL"
    ).fetchall()
    standing = [version for model, version in champions.values() if model == "als"]
    found = {}
    for domain, (model, version) in champions.items():
        known = [*([version] if model == "als" else []), *standing, *(name for (name,) in rows)]
        if known:
            found[domain] = known[0]
    return found


def _any_design(settings: Settings) -> bool:
    return bool(applied_designs(settings))


def _check(design: Design) -> None:
    from crossdomain.recommend.arms import ARM_SOURCES

    if design.data != "exposures" or design.unit != "account":
        raise InputError(f"{design.source}: unit: recommendations are dealt by account, with exposures as data")
    if design.audience.segments:
        raise InputError(f"{design.source}: audience.segments: the recommender knows no segments of people")
    given = {variant: dict(values) for variant, values in design.parameters}
    for name, _ in design.variants:
        values = given.get(name, {})
        if set(values) != {"model"} or values["model"] not in ARM_SOURCES:
            raise InputError(
                f"{design.source}: parameters.{name}: give {{model: M}} with M one of {', '.join(ARM_SOURCES)}, "
                f"not {values or 'nothing'}"
            )


def _sources(design: Design) -> dict[str, str]:
    return {variant: dict(values)["model"] for variant, values in design.parameters}


def _runs(ctx: JobContext, design: Design) -> bool:
    return (design.start is None or design.start <= ctx.ds) and (design.end is None or ctx.ds <= design.end)


def _shipped(designs: Sequence[Design], promoted: Mapping[str, Promotion]) -> str | None:
    """Source of the variant that was promoted last; None where none was."""
    known = {design.experiment_id: design for design in designs}
    chosen = [one for name, one in promoted.items() if name in known]
    if not chosen:
        return None
    last = max(chosen, key=lambda one: (one.ds, one.experiment_id))
    return _sources(known[last.experiment_id])[last.variant]


def _weights(ctx: JobContext, design: Design) -> tuple[tuple[str, float], ...]:
    """Weights in force on the day; those of the design where none were written for its variants."""
    history = read_history(ctx.con, WEIGHTS).get(design.experiment_id, [])
    begun = [one.weights for one in history if one.first is None or one.first <= ctx.ds]
    if begun and [name for name, _ in begun[-1]] == [name for name, _ in design.variants]:
        return begun[-1]
    return design.variants


def _dealt(ctx: JobContext, design: Design, persons: pa.Array) -> tuple[Any, Any]:
    """Positions of the persons who take part, and their variants (texts)."""
    import numpy as np
    import pyarrow.compute as pc

    from crossdomain.experiments.assignment import assignment_sql, plan_of

    plan = plan_of(design, holdout=ctx.settings.holdout, first=_weights(ctx, design))
    purposes = design.audience.consent
    query = _GIVEN.format(
        withdrawn=withdrawn_now(ctx.lake, ctx.tables),
        granted=" AND ".join(purposes) or "true",
        dealt=assignment_sql(plan, unit="person", day=ctx.ds),
    )
    values = {
        "experiment": design.experiment_id,
        "variants": [name for name, _ in design.variants],
        "purposes": list(purposes),
    }
    rows = ctx.con.sql(query, params=values).to_arrow_table()
    members = np.asarray(pc.index_in(rows["person"].combine_chunks(), persons), dtype=np.int64)
    return members, np.array(rows["variant"].to_pylist(), dtype=object)
