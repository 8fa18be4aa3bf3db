"""Analysis of an experiment that is known only as daily counts per arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from crossdomain.errors import InputError
from crossdomain.experiments.checks import sample_ratio_check
from crossdomain.experiments.comparing import compare_all
from crossdomain.experiments.design import Design
from crossdomain.experiments.design_parts import Metric
from crossdomain.experiments.metrics import Window
from crossdomain.experiments.results import Analysis, CheckResult, NoResult
from crossdomain.experiments.samples import Sample
from crossdomain.stats.proportions import Successes

Table = dict[str, dict[date, dict[str, int]]]
"""Count name to day to variant to value."""


@dataclass(frozen=True)
class DailyCount:
    """A count of one arm on one day; a value of None is not known (yet)."""

    variant: str
    day: date
    metric: str
    value: int | None


def analyze_daily_counts(design: Design, counts: Iterable[DailyCount], until: date) -> Analysis | NoResult:
    """Proportions of daily counts, summed over the days that are known.

    A day counts for a metric if its numerator and its denominator are known in every arm: payments come
    weeks after clicks, and clicks whose payments cannot be known yet must not stand in the denominator.
    The order of the rows changes nothing.

    Args:
        design: A design with ``data: counts``.
        counts: At most one row per variant, day and metric.
        until: Last day that may count.

    Returns:
        The analysis, or why there is none.

    Raises:
        InputError: A count is given twice or is negative, or a metric has more successes than trials.
    """
    last = min(until, design.end) if design.end else until
    rows = [row for row in counts if (design.start is None or design.start <= row.day) and row.day <= last]
    table = _tabulate(design, rows)
    if not table:
        return NoResult(design.experiment_id, f"no daily counts up to {last}")
    days = sorted({day for by_day in table.values() for day in by_day})
    window = Window(design.start or days[0], min(last, days[-1]))
    samples: dict[tuple[str, str], Sample] = {}
    gaps: list[str] = []
    missing: set[date] = set()
    for metric in design.metrics:
        known = _known_days(design, metric, table)
        for variant, _ in design.variants:
            samples[metric.name, variant] = _successes(design, metric, variant, table, known)
        unknown = [day for day in days if day not in known]
        # Days after the last known one are not known yet; those between known days are lost.
        lost = [day for day in unknown if known and day < known[-1]] if known else unknown
        missing |= set(lost)
        if unknown:
            gaps.append(_gap(metric, len(known), len(unknown) - len(lost), lost))
    detail = "; ".join(gaps) or f"every count is known for all {len(days)} days"
    known_arms = {variant for variant, _ in design.variants}
    unknown_rows = sum(row.variant not in known_arms for row in rows)
    checks = (
        *(sample_ratio_check(design, _totals(design, table, name), of=name) for name in design.sample_ratio_metrics),
        CheckResult(
            design.experiment_id,
            "unknown_variants",
            unknown_rows == 0,
            None,
            unknown_rows,
            f"{unknown_rows} counts are of variants that the design does not have",
        ),
        CheckResult(design.experiment_id, "missing_days", not missing, None, len(missing), detail),
    )
    return Analysis(design, window, compare_all(design, samples, window), checks)


def _tabulate(design: Design, rows: Sequence[DailyCount]) -> Table:
    known_arms = {variant for variant, _ in design.variants}
    table: Table = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row.value is None or row.variant not in known_arms:
            continue
        where = f"{design.experiment_id}, {row.variant}, {row.day}: {row.metric}"
        if row.value < 0:
            raise InputError(f"{where} is {row.value}: a count cannot be negative")
        if row.variant in table[row.metric][row.day]:
            raise InputError(f"{where} is given twice")
        table[row.metric][row.day][row.variant] = row.value
    return table


def _known_days(design: Design, metric: Metric, table: Table) -> list[date]:
    arms = len(design.variants)
    parts = [table.get(str(name), {}) for name in (metric.numerator, metric.denominator)]
    return sorted(day for day in parts[0] if all(len(part.get(day, {})) == arms for part in parts))


def _successes(design: Design, metric: Metric, variant: str, table: Table, days: Sequence[date]) -> Successes:
    numerator, denominator = (
        sum(table[str(name)][day][variant] for day in days) for name in (metric.numerator, metric.denominator)
    )
    if numerator > denominator:
        raise InputError(
            f"{design.experiment_id}, {variant}: {metric.name} has {numerator} {metric.numerator} of only"
            f" {denominator} {metric.denominator}: the two are swapped, or this is not a proportion"
        )
    return Successes(numerator, denominator)


def _totals(design: Design, table: Table, name: str) -> dict[str, int]:
    days = table.get(name, {}).values()
    return {variant: sum(arms.get(variant, 0) for arms in days) for variant, _ in design.variants}


def _gap(metric: Metric, known: int, not_yet: int, lost: Sequence[date]) -> str:
    text = f"{metric.name}: {known} days known in every arm"
    if not_yet:
        text += f", the last {not_yet} not yet"
    if lost:
        text += f", {len(lost)} lost ({lost[0]} …)" if len(lost) > 1 else f", 1 lost ({lost[0]})"
    return text
