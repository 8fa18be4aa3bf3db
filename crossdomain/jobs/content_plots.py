"""The pictures of a day: topics on a map, their shares by day, similarities beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossdomain.jobs.model import JobContext

if TYPE_CHECKING:
    from crossdomain.content.plots import Histogram

_SIDES = {0: "知识 knowledge", 1: "美妆 beauty"}
PICTURES_OF = {
    "topics": ("topics", "trained_ds", ("topic_map", "topic_shares")),
    "similarity": ("similarity_thresholds", "calibrated_ds", ("similarity",)),
}
"""By kind of model: the table that names its version, the column with the day of its training, its pictures."""
_MERGED = 4
"""Steps of the calibration that are one step of the picture."""


def draw_plots(ctx: JobContext) -> None:
    """Writes the day's pictures under ``reports/content/``, from ``serving.topics`` and the thresholds.

    On the day of a training they are also kept with the model. The same tables give the same bytes.
    """
    from crossdomain.content.report import write_plots

    pictures = {"topic_map": _topic_map(ctx), "topic_shares": _topic_shares(ctx), "similarity": _similarity(ctx)}
    write_plots(ctx.lake.home, ctx.ds, pictures)
    for kind, (table, trained, names) in PICTURES_OF.items():
        for (version,) in ctx.con.sql(
            f"SELECT DISTINCT model_version FROM serving.{table} "  # noqa: S608 - our own names
            f"WHERE ds = getvariable('ds') AND {trained} = ds"
        ).fetchall():
            ctx.models.save_pictures(kind, version, {name: pictures[name] for name in names})


def _topic_map(ctx: JobContext) -> bytes:
    import numpy as np

    from crossdomain.content.plots import TopicMark, topic_map
    from crossdomain.content.topic_layout import hellinger_distances
    from crossdomain.content.topics import TopicModel

    rows = ctx.con.sql(
        "SELECT topic, label, share, knowledge_share, model_version, trained_ds FROM serving.topics "
        "WHERE ds = getvariable('ds') ORDER BY topic"
    ).fetchall()
    if not rows:
        return topic_map([], np.zeros((0, 0)), caption=f"{ctx.ds}")
    version, trained = rows[0][4:]
    model = TopicModel.from_files(ctx.models.load("topics", version))
    place = {topic: number for number, topic in enumerate(model.ids)}
    shown = [place[row[0]] for row in rows]
    caption = f"{ctx.ds} · {len(rows)} 个主题 topics · 模型 model {version} · 训练于 trained {trained}"
    return topic_map(
        [TopicMark(*row[:4]) for row in rows], hellinger_distances(model.topic_word[shown]), caption=caption
    )


def _topic_shares(ctx: JobContext) -> bytes:
    from crossdomain.content.plots import DayShare, topic_shares

    rows = ctx.con.sql("SELECT ds, topic, label, share FROM serving.topics ORDER BY ds, topic").fetchall()
    days = sorted({row[0] for row in rows})
    caption = f"{days[0]} … {days[-1]} · {len(days)} 天 days" if days else f"{ctx.ds}"
    return topic_shares([DayShare(*row) for row in rows], caption=caption)


def _similarity(ctx: JobContext) -> bytes:
    from crossdomain.content.plots import similarity_distribution

    names = dict(zip(ctx.settings.domains, _SIDES.values(), strict=True))
    rows = ctx.con.sql(
        "SELECT domain, other_domain, theta, fdr, counts, null_counts, pairs_above, calibrated_ds "
        "FROM serving.similarity_thresholds ORDER BY domain = other_domain, domain DESC, other_domain DESC"
    ).fetchall()
    histograms = [
        _histogram(f"{names[domain]} → {names[other]}", counts, null, theta, above)
        for domain, other, theta, _, counts, null, above, _ in rows
    ]
    caption = f"{ctx.ds}"
    if rows:
        rate = " · ".join(sorted({f"{100 * row[3]:g} %" for row in rows if row[3] is not None}))
        caption += f" · 校准于 calibrated {rows[0][7]} · 错误发现率 false-discovery rate ≤ {rate}"
    return similarity_distribution(histograms, caption=caption)


def _histogram(title: str, counts: list[int], null: list[int], theta: float | None, above: int) -> Histogram:
    from crossdomain.content.plots import Histogram

    starts = range(0, len(counts), _MERGED)
    edges = tuple(round(min(start, len(counts)) / len(counts), 6) for start in (*starts, len(counts)))
    real, shuffled = (tuple(sum(values[start : start + _MERGED]) for start in starts) for values in (counts, null))
    return Histogram(title, edges, real, shuffled, theta, above)
