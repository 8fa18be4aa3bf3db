"""Job ``recommendation_drift``: how far models, scores, coverage and exposure moved since the day before."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from crossdomain.jobs.model import Input, Job, JobContext
from crossdomain.settings import Settings

if TYPE_CHECKING:
    from crossdomain.recommend.als import AlsModel
    from crossdomain.recommend.drift import Drift
    from crossdomain.recommend.interactions import Ints

KIND = "als"
_SCORED = """
SELECT ds, target_domain, source, score FROM serving.recommendations
WHERE source NOT IN ('unpersonalised', 'promoted', 'buy_again')
"""
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("target_domain", "segment", "source", "measure")),
        *((name, pa.float64()) for name in ("value", "before", "drift", "threshold")),
        ("status", pa.string()),
        ("n", pa.int64()),
        ("model_version", pa.string()),
        ("reason", pa.string()),
    ]
)


def build(ctx: JobContext) -> None:
    """Compares the day's lists and models with those of the day before."""
    drifts = [*_factors(ctx), *_scores(ctx), *_levels(ctx)]
    table = pa.Table.from_pylist([asdict(drift) for drift in drifts], schema=_SCHEMA)
    ctx.write("serving.recommendation_drift", table)
    ctx.note(measures=len(drifts), alarms=[_said(drift) for drift in drifts if drift.status == "alarm"])


def _factors(ctx: JobContext) -> list[Drift]:
    """Of each target domain how far the champion is from that of the day before."""
    from crossdomain.recommend.drift import FACTORS, factor_distance, judged

    rows = ctx.con.execute("SELECT ds, target_domain, model, model_version FROM serving.champions ORDER BY ALL")
    champions: dict[date, dict[str, str]] = {}
    for ds, domain, kind, version in rows.fetchall():
        champions.setdefault(ds, {}).update({domain: version} if kind == KIND else {})
    models: dict[str, AlsModel | None] = {}
    found = []
    for domain, version in champions.get(ctx.ds, {}).items():
        old = champions.get(_day_before(ctx), {}).get(domain)
        before, now = (None if name is None else _model(ctx, models, name) for name in (old, version))
        drift, n = (None, 0) if before is None or now is None else factor_distance(before, now, domain)
        why = (
            "there was no model the day before"
            if old is None
            else f"{old} and {version} have nothing in common, or are gone"
        )
        found.append(judged(FACTORS, (domain, "all", KIND), drift=drift, n=n, model_version=version, why=why))
    return found


def _model(ctx: JobContext, models: dict[str, AlsModel | None], version: str) -> AlsModel | None:
    """A model of the store; None where it was removed."""
    from crossdomain.recommend.als import from_files

    if version not in models:
        stored = version in ctx.models.versions(KIND)
        models[version] = from_files("model", ctx.models.load(KIND, version)) if stored else None
    return models[version]


def _scores(ctx: JobContext) -> list[Drift]:
    """Of each target domain and source how far the distribution of scores is from that of the day before."""
    from crossdomain.recommend.drift import SCORES, judged, middle, stability_index

    histograms = _histograms(ctx)
    found = []
    for ds, domain, source in sorted(histograms):
        if ds != ctx.ds:
            continue
        now, old = (histograms.get((day, domain, source)) for day in (ctx.ds, _day_before(ctx)))
        if now is None:
            continue
        found.append(
            judged(
                SCORES,
                (domain, "all", source),
                value=middle(now),
                before=None if old is None else middle(old),
                drift=None if old is None else stability_index(old, now),
                n=int(now[1].sum()) if old is None else int(min(now[1].sum(), old[1].sum())),
                why="there were no such rows the day before",
            )
        )
    return found


def _histograms(ctx: JobContext) -> dict[tuple[date, str, str], tuple[Ints, Ints]]:
    """Steps and rows of the histograms of both days, by day, target domain and source."""
    import numpy as np

    from crossdomain.recommend.drift import histogram_sql

    found: dict[tuple[date, str, str], list[tuple[int, int]]] = {}
    for ds, domain, source, step, rows in ctx.con.execute(histogram_sql(_SCORED)).fetchall():
        found.setdefault((ds, domain, source), []).append((step, rows))
    return {of: (column[:, 0], column[:, 1]) for of, column in ((of, np.array(rows)) for of, rows in found.items())}


def _levels(ctx: JobContext) -> list[Drift]:
    from crossdomain.recommend.drift import level_drifts

    rows = ctx.con.sql("FROM serving.recommendation_coverage").to_arrow_table().to_pylist()
    today, before = ([row for row in rows if row["ds"] == day] for day in (ctx.ds, _day_before(ctx)))
    return level_drifts(today, before or None)


def _day_before(ctx: JobContext) -> date:
    return ctx.ds - timedelta(days=1)


def _said(drift: Drift) -> str:
    return f"{drift.target_domain} {drift.segment} {drift.source} {drift.measure}: {drift.reason}"


def _config(settings: Settings) -> dict[str, Any]:
    from crossdomain.recommend.drift import LEAST, THRESHOLDS

    return {"thresholds": dict(THRESHOLDS), "least": dict(LEAST)}


JOB = Job(
    name="recommendation_drift",
    version=1,
    inputs=(
        Input(table="serving.recommendations", days=2),
        Input(table="serving.recommendation_coverage", days=2),
        Input(table="serving.champions", days=2),
    ),
    outputs=("serving.recommendation_drift",),
    run=build,
    config=_config,
)
