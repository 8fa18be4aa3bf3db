"""One page an experiment for people: what to do, whether to trust it, effects, days, parts. Chinese and English."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from crossdomain.experiments.deciding import summarize_decisions
from crossdomain.experiments.plots import draw_days, draw_effects, draw_split
from crossdomain.experiments.results import Analysis, Decision, MetricResult
from crossdomain.experiments.words import Language, words

_STYLE = """
body { font: 15px/1.5 system-ui, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif; color: #1a202c;
  max-width: 900px; margin: 24px auto; padding: 0 16px; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 24px; font-size: 14px; }
th, td { text-align: left; padding: 5px 8px; border-bottom: 1px solid #d9dee5; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.banner { padding: 10px 14px; border-radius: 6px; margin: 12px 0; font-weight: 600; }
.ship { background: #dcfce7; } .harm { background: #fee2e2; } .stop { background: #e2e8f0; }
.continue { background: #e0f2fe; } .none { background: #fef3c7; }
svg { max-width: 100%; height: auto; }
section + section { border-top: 3px solid #1a202c; margin-top: 48px; }
"""


def render_page(analysis: Analysis) -> str:
    """The page as HTML, in Chinese and then in English; charts are SVG within it, and nothing is loaded.

    The same analysis gives the same text. A failed check stands above everything else.

    Args:
        analysis: What one moment says of an experiment.
    """
    title = escape(f"{analysis.design.name['zh']} · {analysis.design.name['en']}")
    return (
        '<!doctype html>\n<html lang="zh">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
        f"</head>\n<body>\n{_section(analysis, 'zh')}\n{_section(analysis, 'en')}\n</body>\n</html>\n"
    )


def _section(analysis: Analysis, language: Language) -> str:
    design, said = analysis.design, words(language)
    parts = [
        f'<section lang="{language}">',
        f"<h1>{escape(design.name[language])}</h1>",
        _facts(analysis, language),
        _banner(analysis, language),
        f"<h2>{said['checks']}</h2>",
        _table(
            ("", said["check"], said["found"]),
            (
                ("✓" if check.ok else "✗", check.check_name, check.detail)
                for check in sorted(analysis.checks, key=lambda one: one.ok)
            ),
        ),
        f"<h2>{said['split']}</h2><p>{said['split_legend']}</p>",
        draw_split(analysis, language=language).decode(),
        f"<h2>{said['relative_effects']}</h2>",
        draw_effects(_primary_first(analysis.metrics), language=language).decode(),
        f"<h2>{said['results']}</h2>",
        _results(_primary_first(analysis.metrics), language),
    ]
    if analysis.daily:
        parts.append(f"<h2>{said['daily_effect']}: {escape(design.primary_metric)}</h2>")
        parts += [draw_days(analysis.daily, variant, language=language).decode() for variant in design.treatments]
    if analysis.parts:
        parts.append(f"<h2>{said['parts']}</h2>")
        for part in analysis.parts:
            parts.append(f"<h3>{escape(part.name)}{escape(f' = {part.value}' if part.value else '')}</h3>")
            parts.append(_results(_primary_first(part.metrics), language))
    return "\n".join([*parts, "</section>"])


def _facts(analysis: Analysis, language: Language) -> str:
    design, said = analysis.design, words(language)
    facts = [(said["hypothesis"], design.hypothesis.get(language, "")), (said["owner"], design.owner)]
    if analysis.window is not None:
        facts.append((said["days"], f"{analysis.window.first} – {analysis.window.last}"))
    facts.append((said["method"], said[design.analysis]))
    return "".join(f"<p><b>{name}</b> {escape(value)}</p>" for name, value in facts if value)


def _banner(analysis: Analysis, language: Language) -> str:
    said, whole = words(language), summarize_decisions(analysis.decisions, analysis.metrics)
    failed = [check.check_name for check in analysis.checks if not check.ok]
    found = []
    if failed:
        found.append(f'<div class="banner harm">{said["failed"]}: {escape(", ".join(failed))}</div>')
    if whole is not None:
        kind = whole.decision or "none"
        name = f" · {escape(whole.variant)}" if whole.decision == "ship" else ""
        found.append(f'<div class="banner {kind}">{said["decision"]}: {said[kind]}{name}</div>')
    found.append(_decisions(analysis.decisions, language))
    return "".join(found)


def _decisions(decisions: Sequence[Decision], language: Language) -> str:
    said = words(language)
    if not decisions:
        return ""
    rows = ((one.variant, said[one.decision or "none"], one.rule, one.detail) for one in decisions)
    return _table((said["variant"], said["decision"], said["rule"], said["why"]), rows)


def _results(results: Sequence[MetricResult], language: Language) -> str:
    said = words(language)
    head = [said[key] for key in ("metric", "variant", "control", "mean", "effect", "interval", "relative")]
    head += [said["p"], said["p_adjusted"], said["better"], said["units"]]
    return _table(head, (_result_row(result, said) for result in results), numbers=range(2, 11))


def _result_row(result: MetricResult, said: Mapping[str, str]) -> tuple[str, ...]:
    name = result.metric + (f" ({said['primary']})" if result.is_primary else "")
    units = "" if result.verdict == "too_small" else f"{result.n:,} / {result.n_control:,}"
    means = (_number(result.mean_control), _number(result.mean))
    if result.estimate is None:
        return (name, result.variant, *means, said[result.verdict], "", "", "", "", "", units)
    return (
        name,
        result.variant,
        *means,
        f"{result.estimate:+.4g}",
        f"{result.low:+.4g} … {result.high:+.4g}",
        "" if result.relative is None else f"{result.relative:+.2%}",
        f"{result.p:.3g}",
        "" if result.p_adjusted is None else f"{result.p_adjusted:.3g}",
        "" if result.better_probability is None else f"{result.better_probability:.1%}",
        units,
    )


def _primary_first(results: Sequence[MetricResult]) -> list[MetricResult]:
    return sorted(results, key=lambda one: not one.is_primary)  # stable: the design's order stays


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = ()) -> str:
    right = set(numbers)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' if place in right else ''}>{escape(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>\n"
        for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>\n{body}</table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
