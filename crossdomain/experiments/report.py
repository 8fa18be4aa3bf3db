"""A short summary of one experiment's results, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from crossdomain.experiments.deciding import summarize_decisions
from crossdomain.experiments.design import Design
from crossdomain.experiments.results import CheckResult, Decision, MetricResult, Part
from crossdomain.experiments.words import Language, words


def summarize(
    design: Design,
    metrics: Sequence[MetricResult],
    checks: Sequence[CheckResult],
    decisions: Sequence[Decision] = (),
    parts: Sequence[Part] = (),
    warnings: Sequence[CheckResult] = (),
) -> dict[str, Any]:
    """The results as one JSON-able document.

    Args:
        design: The design.
        metrics: Its metric results, at least one.
        checks: Its checks.
        decisions: Its decisions.
        parts: Results by segment and dimension.
        warnings: What to bear in mind with the numbers; ``trusted`` does not depend on them.

    Returns:
        ``experiment_id``, ``name``, ``first_ds``, ``last_ds``, ``trusted`` (no check failed), ``srm``
        ({p, ok}; the smallest p of several), ``checks``, ``warnings``, ``metrics``: name to variant to estimate, low,
        high, p, p_adjusted, relative, relative_low, relative_high, mean, mean_control, n, n_control, verdict, …;
        ``decision`` (of the whole; null where none may be made) with its ``decision_variant`` and ``decision_rule``,
        ``decisions`` by variant; ``segments`` and ``dimensions`` by name (and value) as ``metrics``.
    """
    ratios = [check for check in checks if check.check_name.partition(":")[0] == "sample_ratio"]
    tested = [check.p for check in ratios if check.p is not None]
    first, last = metrics[0].first_ds, metrics[0].last_ds
    whole = summarize_decisions(decisions, metrics)
    dimensions: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part.kind == "dimension":
            dimensions.setdefault(part.name, {})[part.value] = _by_metric(part.metrics)
    return {
        "experiment_id": design.experiment_id,
        "name": design.name,
        "first_ds": first.isoformat() if first else None,
        "last_ds": last.isoformat() if last else None,
        "trusted": all(check.ok for check in checks),
        "srm": {"p": min(tested, default=None), "ok": all(check.ok for check in ratios)},
        "checks": _plain(checks),
        "warnings": _plain(warnings),
        "metrics": {metric.name: {} for metric in design.metrics} | _by_metric(metrics),
        "decision": whole.decision if whole else None,
        "decision_variant": whole.variant if whole else None,
        "decision_rule": whole.rule if whole else None,
        "decisions": {
            one.variant: {"decision": one.decision, "rule": one.rule, "detail": one.detail} for one in decisions
        },
        "segments": {part.name: _by_metric(part.metrics) for part in parts if part.kind == "segment"},
        "dimensions": dimensions,
    }


def _plain(checks: Sequence[CheckResult]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(check).items() if name != "experiment_id"} for check in checks]


def _by_metric(metrics: Sequence[MetricResult]) -> dict[str, dict[str, Any]]:
    """Metric to variant to the fields of a result that say something of it."""
    left_out = {"experiment_id", "metric", "variant", "first_ds", "last_ds"}
    found: dict[str, dict[str, Any]] = {}
    for result in metrics:
        values = {name: value for name, value in asdict(result).items() if name not in left_out}
        found.setdefault(result.metric, {})[result.variant] = values
    return found


def describe(summary: Mapping[str, Any], *, language: Language = "en") -> str:
    """The summary as a few lines of text: failed checks first, then the primary metric, then the others.

    Args:
        summary: What ``summarize`` gives.
        language: ``en`` or ``zh``.
    """
    said = words(language)
    span = f", {summary['first_ds']} – {summary['last_ds']}" if summary["first_ds"] else ""
    lines = [f"{summary['name'][language]} ({summary['experiment_id']}){span}"]
    lines.append(f"  {said['passed'] if summary['trusted'] else said['failed']}")
    lines += [f"  ✗ {check['check_name']}: {check['detail']}" for check in summary["checks"] if not check["ok"]]
    lines += [f"  ! {one['check_name']}: {one['detail']}" for one in summary["warnings"]]
    rows = [(name, variant, row) for name, arms in summary["metrics"].items() for variant, row in arms.items()]
    rows.sort(key=lambda row: not row[2]["is_primary"])  # stable: the design's order stays
    lines += [_line(*row, said) for row in rows]
    for variant, one in summary["decisions"].items():
        lines.append(
            f"  {said['decision']}, {variant}: {said[one['decision'] or 'none']} [{one['rule']}] {one['detail']}"
        )
    return "\n".join(lines)


def _line(metric: str, variant: str, row: Mapping[str, Any], said: Mapping[str, str]) -> str:
    name = f"  {metric}" + (f" ({said['primary']})" if row["is_primary"] else "") + f", {variant}: "
    units = f"{said['units']} {row['n']:,} / {row['n_control']:,}"
    if row["verdict"] != "measured":
        return f"{name}{said[row['verdict']]}; {units}"
    text = (
        f"{row['mean']:.4f} − {row['mean_control']:.4f} = {row['estimate']:+.4f}, "
        f"{1 - row['alpha']:.0%} {said['interval']} {row['low']:+.4f} {said['to']} {row['high']:+.4f}, "
        f"p {row['p']:.3g}"
    )
    if row.get("p_adjusted") is not None and row["p_adjusted"] != row["p"]:
        text += f" ({said['adjusted']} {row['p_adjusted']:.3g})"
    if row["relative"] is not None:
        text += f", {said['relative']} {row['relative']:+.1%}"
    return f"{name}{text}; {units}"
