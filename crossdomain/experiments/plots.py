"""Charts of an experiment: effects with intervals, effect by day with its bound, split of the units, power curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

from crossdomain.charts.svg import INK, LINE, SOFT, Drawing, text_width
from crossdomain.experiments.plan import Plan
from crossdomain.experiments.results import Analysis, DailyEffect, MetricResult
from crossdomain.experiments.words import Language, words

GOOD, BAD, NEUTRAL, BAND = "#15803d", "#b91c1c", "#475569", "#cbd5e1"
_WIDTH = 860.0
_ROW = 26.0


def draw_effects(results: Sequence[MetricResult], *, language: Language = "en") -> bytes:
    """Forest plot of the relative effects (SVG): a row a metric and variant, the primary metric's marked.

    An interval wholly on the good side of zero is green, wholly on the bad side red.

    Args:
        results: Results in the order in which they are shown.
        language: Language of the words.
    """
    said = words(language)
    shown = [result for result in results if result.relative is not None]
    ends = [
        100 * end for one in shown for end in (one.relative_low, one.relative_high, one.relative) if end is not None
    ]
    low, high = _span([0.0, *ends])
    left, right = 300.0, _WIDTH - 150.0
    drawing = Drawing(_WIDTH, 60 + _ROW * max(len(results), 1), said["relative_effects"])

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    bottom = 34 + _ROW * len(results)
    for tick in _ticks(low, high):
        drawing.line(x(tick), 24, x(tick), bottom, stroke=INK if tick == 0 else LINE)
        drawing.text(x(tick), bottom + 16, f"{tick:+.3g}%" if tick else "0", size=11, fill=SOFT, text_anchor="middle")
    for place, result in enumerate(results):
        y = 44 + _ROW * place
        name = f"{result.metric} · {result.variant}"
        drawing.text(12, y + 4, _short(name, 280), font_weight="700" if result.is_primary else "400")
        if result.relative is None:
            drawing.text(right + 12, y + 4, said[result.verdict], size=11, fill=SOFT)
            continue
        colour = _colour(result)
        if result.relative_low is not None and result.relative_high is not None:
            drawing.line(
                x(100 * result.relative_low), y, x(100 * result.relative_high), y, stroke=colour, stroke_width=2
            )
        drawing.circle(x(100 * result.relative), y, 4.5, title=_numbers(result), fill=colour)
        drawing.text(right + 12, y + 4, f"{result.relative:+.2%}", size=12, fill=colour)
    return drawing.to_bytes()


def draw_days(daily: Sequence[DailyEffect], variant: str, *, language: Language = "en") -> bytes:
    """Effect of all units so far, day by day (SVG), with the interval of the day and the bound over all days.

    Args:
        daily: Days in order; those of other variants are left out.
        variant: The variant.
        language: Language of the words.
    """
    said = words(language)
    days = [one for one in daily if one.variant == variant and one.estimate is not None]
    drawing = Drawing(_WIDTH, 300, f"{said['daily_effect']} · {variant}")
    if not days:
        drawing.text(12, 40, said["no_days"], fill=SOFT)
        return drawing.to_bytes()
    # The first days' bounds are so wide that they would hide the rest: the scale is that of later ones.
    settled = days[len(days) // 3 :]
    ends = [end for one in settled for end in (one.bound_low, one.bound_high, one.low, one.high) if end is not None]
    low, high = _span([0.0, *ends])
    left, right, top, bottom = 80.0, _WIDTH - 20.0, 34.0, 250.0

    def x(place: int) -> float:
        return left + place * (right - left) / max(len(days) - 1, 1)

    def y(value: float) -> float:
        return min(max(bottom - (value - low) / (high - low) * (bottom - top), top), bottom)

    for tick in _ticks(low, high):
        drawing.line(left, y(tick), right, y(tick), stroke=INK if tick == 0 else LINE)
        drawing.text(left - 8, y(tick) + 4, f"{tick:.3g}", size=11, fill=SOFT, text_anchor="end")
    for name, look in (
        ("bound", {"fill": BAND, "fill_opacity": "0.6"}),
        ("day", {"fill": "#94a3b8", "fill_opacity": "0.6"}),
    ):
        pairs = [(one.bound_low, one.bound_high) if name == "bound" else (one.low, one.high) for one in days]
        known = [(place, a, b) for place, (a, b) in enumerate(pairs) if a is not None and b is not None]
        outline = [(x(place), y(b)) for place, _, b in known] + [(x(place), y(a)) for place, a, _ in reversed(known)]
        if len(known) > 1:
            drawing.path(outline, closed=True, **look)
    line = [(x(place), y(one.estimate)) for place, one in enumerate(days) if one.estimate is not None]
    drawing.path(line, fill="none", stroke=INK, stroke_width=2)
    for place, one in enumerate(days):
        if one.estimate is not None:
            drawing.circle(x(place), y(one.estimate), 2.5, title=f"{one.day}: {one.estimate:+.4g}", fill=INK)
    for place in sorted({0, len(days) // 2, len(days) - 1}):
        anchor = "start" if place == 0 else "end" if place == len(days) - 1 else "middle"
        drawing.text(x(place), bottom + 18, days[place].day, size=11, fill=SOFT, text_anchor=anchor)
    drawing.text(left, 22, f"{variant} · {said['daily_legend']}", size=12, fill=SOFT)
    return drawing.to_bytes()


def draw_split(analysis: Analysis, *, language: Language = "en") -> bytes:
    """Share of the units in each variant beside the design's weight (SVG)."""
    said = words(language)
    names = [name for name, _ in analysis.design.variants]
    drawing = Drawing(_WIDTH, 40 + 34 * len(names), said["split"])
    if analysis.units is None or sum(analysis.units) == 0:
        drawing.text(12, 30, said["no_units"], fill=SOFT)
        return drawing.to_bytes()
    total, left, width = sum(analysis.units), 180.0, 480.0
    for place, ((name, weight), units) in enumerate(zip(analysis.design.variants, analysis.units, strict=True)):
        y, share = 24 + 34.0 * place, units / total
        drawing.text(12, y + 13, _short(name, 160))
        drawing.rect(left, y, width * share, 18, fill="#94a3b8", title=f"{name}: {units:,}")
        drawing.line(left + width * weight, y - 4, left + width * weight, y + 22, stroke=INK, stroke_width=2)
        label = f"{units:,} · {share:.2%} / {weight:.2%}"
        drawing.text(left + width * max(share, weight) + 10, y + 13, label, size=12, fill=SOFT)
    return drawing.to_bytes()


def draw_power(plan: Plan, *, language: Language = "en") -> bytes:
    """Power over the true effect, the experiment being as large as planned (SVG)."""
    said = words(language)
    drawing = Drawing(640, 360, said["power_curve"])
    left, right, top, bottom = 60.0, 620.0, 40.0, 310.0
    last = plan.curve[-1][0]

    def x(effect: float) -> float:
        return left + effect / last * (right - left)

    def y(power: float) -> float:
        return bottom - power * (bottom - top)

    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        drawing.line(left, y(tick), right, y(tick), stroke=LINE)
        drawing.text(left - 8, y(tick) + 4, f"{tick:.0%}", size=11, fill=SOFT, text_anchor="end")
    for share in (0.0, 0.5, 1.0, 1.5, 2.0):
        effect = plan.effect * share
        drawing.text(x(effect), bottom + 18, f"{effect:+.3g}", size=11, fill=SOFT, text_anchor="middle")
    drawing.line(x(plan.effect), top, x(plan.effect), bottom, stroke=NEUTRAL, stroke_dasharray="4 4")
    drawing.path([(x(effect), y(power)) for effect, power in plan.curve], fill="none", stroke=GOOD, stroke_width=2.5)
    drawing.circle(x(plan.effect), y(plan.power), 5, fill=GOOD, title=f"{plan.power:.0%}")
    drawing.text(left, 24, f"{plan.metric} · {said['units']} {plan.units:,}", size=13)
    drawing.text((left + right) / 2, bottom + 40, said["true_effect"], size=12, fill=SOFT, text_anchor="middle")
    return drawing.to_bytes()


def _colour(result: MetricResult) -> str:
    if result.low is None or result.high is None:
        return NEUTRAL
    sign = 1 if result.better == "higher" else -1
    if min(sign * result.low, sign * result.high) > 0:
        return GOOD
    return BAD if max(sign * result.low, sign * result.high) < 0 else NEUTRAL


def _numbers(result: MetricResult) -> str:
    return f"{result.estimate:+.4g} ({result.low:+.4g} – {result.high:+.4g}), p {result.p:.3g}"


def _span(values: Sequence[float]) -> tuple[float, float]:
    """A range around the values, in percent where they are shares, with room on both sides."""
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or 1.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """About six round numbers between two."""
    rough = (high - low) / 6
    power = 10 ** math.floor(math.log10(rough))
    step = power * min((one for one in (1, 2, 5, 10) if one * power >= rough), default=10)
    first = math.ceil(low / step)
    return [round(place * step, 12) for place in range(first, math.floor(high / step) + 1)]


def _short(text: str, width: float) -> str:
    """The text, cut to a width in pixels."""
    while text_width(text, 12) > width:
        text = text[:-2] + "…"
    return text
