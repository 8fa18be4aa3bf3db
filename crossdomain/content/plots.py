"""Pictures of a day's topics and similarities, as SVG with text in both languages.

Colours are told apart by people who see no red or no green; what a colour says is written beside it or in the label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from crossdomain.charts.svg import INK, LINE, PAPER, SOFT, Drawing, text_width
from crossdomain.content.topic_layout import plane, pushed_apart

_KNOWLEDGE, _BOTH, _BEAUTY = (31, 119, 180), (150, 140, 165), (214, 79, 120)
_SERIES = ("#1f77b4", "#e08214", "#2a9d78", "#c23b6b", "#7b6bb7", "#8c6d4f", "#4fb3bf", "#b5a12a", "#6b7f2a")
_OTHER = "#c9ced6"
_LABEL = 12.0
_SHUFFLED = "#e08214"
_REAL = "#1f77b4"


@dataclass(frozen=True)
class TopicMark:
    """A topic as the map shows it.

    Attributes:
        topic: Its id.
        label: Its label.
        share: Share of the weight of all items, 0 to 1.
        knowledge_share: Part of the first domain in it, 0 to 1.
    """

    topic: int
    label: str
    share: float
    knowledge_share: float


@dataclass(frozen=True)
class DayShare:
    """Share of a topic on a day."""

    ds: date
    topic: int
    label: str
    share: float


@dataclass(frozen=True)
class Histogram:
    """Similarities of pairs in one direction, beside those of shuffled pairs.

    Attributes:
        title: The direction.
        edges: Edges of the bins, ascending, one more than bins.
        real: Pairs in each bin.
        shuffled: Shuffled pairs in each bin.
        theta: The threshold; null where there is none.
        above: Real pairs with at least θ.
    """

    title: str
    edges: tuple[float, ...]
    real: tuple[int, ...]
    shuffled: tuple[int, ...]
    theta: float | None
    above: int = 0


def topic_map(marks: Sequence[TopicMark], distances: np.ndarray, *, caption: str) -> bytes:
    """Topics on a plane: near = alike in words (Hellinger distance), size = share, colour = which side's topic it is.

    Args:
        marks: The topics.
        distances: Distance of each two of them, in their order.
        caption: Day and model, below the title.

    Returns:
        The picture.
    """
    width, height, top, bottom = 1080, 760, 74, 70
    drawing = Drawing(width, height, "主题地图 Topic map")
    _head(drawing, "主题地图 Topic map", caption)
    if not marks:
        return _empty(drawing)
    radii = 10 + 200 * np.sqrt(np.array([mark.share for mark in marks])) / np.sqrt(max(1.0, len(marks) / 4))
    long = np.array([text_width(mark.label, _LABEL) for mark in marks])
    halves = np.column_stack([np.maximum(radii, long / 2) + 6, radii + _LABEL / 2 + 7])
    places = _spread(plane(distances), halves, width - 80, height - top - bottom)
    places += np.array([width / 2, top + (height - top - bottom) / 2])
    for (x, middle), radius, mark in zip(places, radii, marks, strict=True):
        y = middle - _LABEL / 2 - 2
        said = f"{mark.topic}: {mark.label} · {_percent(mark.share)} · 知识 knowledge {_percent(mark.knowledge_share)}"
        drawing.circle(x, y, radius, title=said, fill=_side_colour(mark.knowledge_share), fill_opacity=0.85)
        if radius >= 17:
            drawing.text(x, y + 4, _percent(mark.share), size=11, fill=PAPER, text_anchor="middle", font_weight="600")
        drawing.text(x, y + radius + _LABEL + 2, mark.label, size=_LABEL, text_anchor="middle")
    _side_legend(drawing, 40, height - 40)
    drawing.text(
        width - 40, height - 26, "面积＝占比，越近用词越相似 area = share, near = alike in words",
        size=12, fill=SOFT, text_anchor="end",
    )  # fmt: skip
    return drawing.to_bytes()


def topic_shares(shares: Sequence[DayShare], *, caption: str, most: int = len(_SERIES)) -> bytes:
    """Share of each topic by day, a column a day: the greatest topics by themselves, the rest together.

    Args:
        shares: Shares by day and topic, any order; the label of the last day counts.
        caption: Days, below the title.
        most: Topics shown by themselves, those with the greatest mean share.

    Returns:
        The picture.
    """
    drawing = Drawing(1080, 520, "主题占比 Topic shares by day")
    _head(drawing, "每日主题占比 Topic shares by day", caption)
    days = sorted({share.ds for share in shares})
    if not days:
        return _empty(drawing)
    table = {(share.ds, share.topic): share.share for share in shares}
    labels = {share.topic: share.label for share in sorted(shares, key=lambda share: share.ds)}
    mean = {topic: sum(table.get((day, topic), 0.0) for day in days) for topic in labels}
    shown = sorted(mean, key=lambda topic: (-round(mean[topic], 9), topic))[:most]
    left, right, top, floor = 64, 1080 - 330, 84, 460
    for tick in range(0, 101, 25):
        y = floor - (floor - top) * tick / 100
        drawing.line(left, y, right, y, stroke=LINE)
        drawing.text(left - 8, y + 4, f"{tick} %", size=11, fill=SOFT, text_anchor="end")
    step = (right - left) / len(days)
    bar = min(64.0, step * 0.86)
    for place, day in enumerate(days):
        centre = left + step * (place + 0.5)
        base = float(floor)
        for number, topic in enumerate([*shown, None]):
            share = 1 - sum(table.get((day, t), 0.0) for t in shown) if topic is None else table.get((day, topic), 0.0)
            size = max(0.0, share) * (floor - top)
            label = "其余 others" if topic is None else labels[topic]
            fill = _OTHER if topic is None else _SERIES[number % len(_SERIES)]
            said = f"{day} · {label}: {_percent(share)}"
            drawing.rect(
                centre - bar / 2, base - size, bar, size, title=said, fill=fill, stroke=PAPER, stroke_width=0.75
            )
            base -= size
        if place % max(1, -(-len(days) // 10)) == 0:
            drawing.text(centre, floor + 18, f"{day:%m-%d}", size=11, fill=SOFT, text_anchor="middle")
    _share_legend(drawing, [*reversed(shown)], labels, {t: table.get((days[-1], t), 0.0) for t in shown}, right + 24)
    return drawing.to_bytes()


def similarity_distribution(histograms: Sequence[Histogram], *, caption: str) -> bytes:
    """Similarities of real pairs beside shuffled ones, with θ; a panel a direction, pairs on a logarithmic scale.

    Args:
        histograms: What is shown, in order; two panels a row.
        caption: Day and how θ was found, below the title.

    Returns:
        The picture.
    """
    rows = max(1, -(-len(histograms) // 2))
    drawing = Drawing(1080, 106 + 290 * rows, "相似度分布 Distribution of similarities")
    _head(drawing, "相似度分布与阈值 θ Similarities and the threshold θ", caption)
    if not histograms:
        return _empty(drawing)
    for place, histogram in enumerate(histograms):
        _panel(drawing, histogram, 64 + (place % 2) * 530, 142 + (place // 2) * 290, 446, 186)
    y = 92
    drawing.rect(64, y - 10, 14, 10, fill=_REAL, fill_opacity=0.35)
    drawing.text(84, y, "真实的对 real pairs", size=12, fill=SOFT)
    drawing.line(250, y - 4, 276, y - 4, stroke=_SHUFFLED, stroke_width=2)
    drawing.text(282, y, "打乱的对 shuffled pairs", size=12, fill=SOFT)
    return drawing.to_bytes()


def _panel(drawing: Drawing, histogram: Histogram, left: float, top: float, width: float, height: float) -> None:
    floor, edges = top + height, histogram.edges
    greatest = max(1, *histogram.real, *histogram.shuffled)
    decades = max(1, int(np.ceil(np.log10(greatest + 1))))
    last = _last_filled(histogram)

    def across(value: float) -> float:
        return left + width * min(1.0, (value - edges[0]) / (edges[last] - edges[0]))

    def up(count: int) -> float:
        return floor - height * float(np.log10(count + 1)) / decades

    drawing.text(left, top - 12, histogram.title, size=13, font_weight="600")
    for decade in range(decades + 1):
        y = up(10**decade - 1) if decade else floor
        drawing.line(left, y, left + width, y, stroke=LINE)
        drawing.text(left - 6, y + 4, f"{10**decade:,}" if decade else "0", size=10, fill=SOFT, text_anchor="end")
    steps = [(edges[n], edges[n + 1], n) for n in range(last)]
    filled = [(across(x), up(histogram.real[n])) for a, b, n in steps for x in (a, b)]
    drawing.path([(left, floor), *filled, (left + width, floor)], closed=True, fill=_REAL, fill_opacity=0.35)
    line = [(across(x), up(histogram.shuffled[n])) for a, b, n in steps for x in (a, b)]
    drawing.path(line, fill="none", stroke=_SHUFFLED, stroke_width=2, stroke_linejoin="round")
    for tick in _ticks(edges[0], edges[last]):
        drawing.text(across(tick), floor + 16, f"{tick:g}", size=10, fill=SOFT, text_anchor="middle")
    _theta(drawing, histogram, across, top, floor, left + width)
    drawing.text(left + width / 2, floor + 34, "相似度 S similarity", size=11, fill=SOFT, text_anchor="middle")


def _theta(
    drawing: Drawing, histogram: Histogram, across: Callable[[float], float], top: float, floor: float, right: float
) -> None:
    if histogram.theta is None:
        label = "无 θ no threshold"
    else:
        label = f"θ = {histogram.theta:.3f} · {histogram.above:,} 对 pairs"
        x = across(histogram.theta)
        drawing.line(x, top, x, floor, stroke=INK, stroke_width=1.5, stroke_dasharray="5 4")
    drawing.text(right, top - 12, label, size=11, text_anchor="end")


def _last_filled(histogram: Histogram) -> int:
    """Number of bins up to the last with a pair, at least up to θ."""
    filled = [n for n in range(len(histogram.real)) if histogram.real[n] or histogram.shuffled[n]]
    beyond = [n for n, edge in enumerate(histogram.edges[1:]) if histogram.theta is None or edge >= histogram.theta]
    return max(1, (filled[-1] + 1) if filled else 1, (beyond[0] + 1) if beyond and histogram.theta is not None else 1)


def _ticks(low: float, high: float) -> list[float]:
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / step <= 8)
    return [round(step * n, 6) for n in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]


def _head(drawing: Drawing, title: str, caption: str) -> None:
    drawing.text(40, 36, title, size=18, font_weight="600")
    drawing.text(40, 58, caption, size=12, fill=SOFT)


def _empty(drawing: Drawing) -> bytes:
    drawing.text(drawing.width / 2, drawing.height / 2, "无 none", size=14, fill=SOFT, text_anchor="middle")
    return drawing.to_bytes()


def _spread(points: np.ndarray, halves: np.ndarray, width: float, height: float) -> np.ndarray:
    """Points as far apart as the paper allows, the boxes around them apart, the middle at zero."""
    paper = np.array([width, height])
    extent = np.ptp(points, axis=0)
    placed = pushed_apart(points / np.where(extent > 0, extent, 1) * (paper - 2 * halves.max(axis=0)), halves)
    low, high = (placed - halves).min(axis=0), (placed + halves).max(axis=0)
    shrink = np.minimum(1.0, (paper - 2 * halves.max(axis=0)) / np.maximum(np.ptp(placed, axis=0), 1))
    return pushed_apart((placed - (low + high) / 2) * shrink, halves)


def _side_legend(drawing: Drawing, x: float, y: float) -> None:
    cells, wide = 24, 14
    for cell in range(cells):
        drawing.rect(x + cell * wide, y, wide + 0.5, 12, fill=_side_colour((cell + 0.5) / cells))
    drawing.text(x, y + 27, "美妆 beauty", size=11, fill=SOFT)
    drawing.text(x + cells * wide / 2, y + 27, "共有 shared", size=11, fill=SOFT, text_anchor="middle")
    drawing.text(x + cells * wide, y + 27, "知识 knowledge", size=11, fill=SOFT, text_anchor="end")


def _share_legend(
    drawing: Drawing, topics: Sequence[int], labels: dict[int, str], shares: dict[int, float], x: float
) -> None:
    y = 96.0
    others = max(0.0, 1 - sum(shares.values()))
    if others >= 0.0005:
        drawing.rect(x, y - 10, 12, 12, fill=_OTHER)
        drawing.text(x + 18, y, f"其余 others  {_percent(others)}", size=12)
    for number, topic in zip(range(len(topics) - 1, -1, -1), topics, strict=True):
        y += 34
        drawing.rect(x, y - 10, 12, 12, fill=_SERIES[number % len(_SERIES)])
        drawing.text(x + 18, y, f"{labels[topic]}  {_percent(shares[topic])}", size=12)
    drawing.text(x, 460, "占比：最后一天 share: of the last day", size=11, fill=SOFT)


def _side_colour(knowledge_share: float) -> str:
    """From the one side's colour over grey to the other's."""
    low, high = (_BEAUTY, _BOTH) if knowledge_share < 0.5 else (_BOTH, _KNOWLEDGE)
    part = 2 * knowledge_share - (knowledge_share >= 0.5)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(low, high, strict=True))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"
