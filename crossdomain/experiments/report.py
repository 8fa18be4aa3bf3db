"""A short summary of one experiment's results, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

from crossdomain.experiments.design import Design
from crossdomain.experiments.results import CheckResult, MetricResult

Language = Literal["zh", "en"]

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "units": "units", "passed": "all checks passed", "failed": "CHECKS FAILED, do not decide on these numbers",
        "measured": "measured", "too_few_units": "too few units to test", "primary": "primary",
        "zero_variance": "no variation to test", "zero_denominator": "the denominator is zero",
        "interval": "interval", "relative": "relative", "to": "to",
    },
    "zh": {
        "units": "样本", "passed": "检查全部通过", "failed": "检查未通过，请勿据此决策",
        "measured": "已测量", "too_few_units": "样本太少，无法检验", "primary": "主要指标",
        "zero_variance": "没有差异，无法检验", "zero_denominator": "分母为零",
        "interval": "区间", "relative": "相对", "to": "至",
    },
}  # fmt: skip


def results_from_rows(
    metric_rows: Iterable[Mapping[str, Any]], check_rows: Iterable[Mapping[str, Any]], experiment_id: str
) -> tuple[tuple[MetricResult, ...], tuple[CheckResult, ...]]:
    """One experiment's results from rows of the serving tables (other columns, such as ds, are ignored).

    Args:
        metric_rows: Rows of ``serving.experiment_metrics`` of one day.
        check_rows: Rows of ``serving.experiment_checks`` of that day.
        experiment_id: The experiment.
    """
    metric_names = [field.name for field in fields(MetricResult)]
    check_names = [field.name for field in fields(CheckResult)]
    return (
        tuple(
            MetricResult(**{name: row[name] for name in metric_names})
            for row in metric_rows
            if row["experiment_id"] == experiment_id
        ),
        tuple(
            CheckResult(**{name: row[name] for name in check_names})
            for row in check_rows
            if row["experiment_id"] == experiment_id
        ),
    )


def summarize(design: Design, metrics: Sequence[MetricResult], checks: Sequence[CheckResult]) -> dict[str, Any]:
    """The results as one JSON-able document.

    Args:
        design: The design.
        metrics: Its metric results, at least one.
        checks: Its checks.

    Returns:
        ``experiment_id``, ``name``, ``first_ds``, ``last_ds``, ``trusted`` (no check failed), ``srm``
        ({p, ok}; the smallest p of several), ``checks`` and ``metrics``: name to variant to estimate, low,
        high, p, relative, relative_low, relative_high, mean, mean_control, n, n_control, verdict, ….
    """
    by_metric: dict[str, dict[str, Any]] = {metric.name: {} for metric in design.metrics}
    left_out = {"experiment_id", "metric", "variant", "first_ds", "last_ds"}
    for result in metrics:
        values = {name: value for name, value in asdict(result).items() if name not in left_out}
        by_metric.setdefault(result.metric, {})[result.variant] = values
    ratios = [check for check in checks if check.check_name.partition(":")[0] == "sample_ratio"]
    tested = [check.p for check in ratios if check.p is not None]
    return {
        "experiment_id": design.experiment_id,
        "name": design.name,
        "first_ds": metrics[0].first_ds.isoformat(),
        "last_ds": metrics[0].last_ds.isoformat(),
        "trusted": all(check.ok for check in checks),
        "srm": {"p": min(tested, default=None), "ok": all(check.ok for check in ratios)},
        "checks": [
            {name: value for name, value in asdict(check).items() if name != "experiment_id"} for check in checks
        ],
        "metrics": by_metric,
    }


def describe(summary: Mapping[str, Any], *, language: Language = "en") -> str:
    """The summary as a few lines of text: failed checks first, then the primary metric, then the others.

    Args:
        summary: What ``summarize`` gives.
        language: ``en`` or ``zh``.
    """
    words = _WORDS[language]
    lines = [f"{summary['name'][language]} ({summary['experiment_id']}), {summary['first_ds']} – {summary['last_ds']}"]
    lines.append(f"  {words['passed'] if summary['trusted'] else words['failed']}")
    lines += [f"  ✗ {check['check_name']}: {check['detail']}" for check in summary["checks"] if not check["ok"]]
    rows = [(name, variant, row) for name, arms in summary["metrics"].items() for variant, row in arms.items()]
    rows.sort(key=lambda row: not row[2]["is_primary"])  # stable: the design's order stays
    return "\n".join(lines + [_line(*row, words) for row in rows])


def _line(metric: str, variant: str, row: Mapping[str, Any], words: Mapping[str, str]) -> str:
    name = f"  {metric}" + (f" ({words['primary']})" if row["is_primary"] else "") + f", {variant}: "
    units = f"{words['units']} {row['n']:,} / {row['n_control']:,}"
    if row["verdict"] != "measured":
        return f"{name}{words[row['verdict']]}; {units}"
    text = (
        f"{row['mean']:.4f} − {row['mean_control']:.4f} = {row['estimate']:+.4f}, "
        f"{1 - row['alpha']:.0%} {words['interval']} {row['low']:+.4f} {words['to']} {row['high']:+.4f}, "
        f"p {row['p']:.3g}"
    )
    if row["relative"] is not None:
        text += f", {words['relative']} {row['relative']:+.1%}"
    return f"{name}{text}; {units}"
