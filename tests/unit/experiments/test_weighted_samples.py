"""Caps, quantiles and CUPED while weights move: nothing new where they do not, unbiased where they do."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import pytest

from crossdomain.experiments.assignment import WeightPeriod
from crossdomain.experiments.comparing import compare_samples
from crossdomain.experiments.moments import Stratum, Sums
from crossdomain.experiments.samples import NoSample
from crossdomain.experiments.state_samples import state_samples
from crossdomain.experiments.weighted_samples import weighted_samples
from tests.unit.experiments.conftest import DESIGN, FIRST

SECOND = FIRST + timedelta(days=1)
ARMS = ("control", "treatment")
METRICS = """cuped_days: 7
primary_metric: adjusted
metrics:
  - {name: adjusted, kind: mean, events: [purchase], column: value, cuped: true}
  - {name: capped, kind: mean, events: [purchase], column: value, winsorize: 0.9}
  - {name: capped_adjusted, kind: mean, events: [purchase], column: value, winsorize: 0.9, cuped: true}
  - {name: p80, kind: quantile, quantile: 0.8, events: [purchase], column: value}
  - {name: per_event, kind: quantile, quantile: 0.8, per: event, events: [purchase], column: value}
"""
TEXT = DESIGN[: DESIGN.index("primary_metric")] + METRICS
MOVED = (
    WeightPeriod(None, (("control", 0.8), ("treatment", 0.2))),
    WeightPeriod(SECOND, (("control", 0.3), ("treatment", 0.7))),
)


def _units(rng: np.random.Generator, n: int = 400, effect: float = 3.0, shares=(0.2, 0.7)) -> pd.DataFrame:
    """Units of two days; the second day's are worth more, and the weights have moved by then."""
    found = []
    for day, level, share in zip((FIRST, SECOND), (10.0, 40.0), shares, strict=True):
        arm = rng.random(n) < share
        before = rng.gamma(2, 5, n)
        value = level + before + rng.gamma(2, 4, n) + effect * arm
        found.append(
            pd.DataFrame(
                {
                    "unit": [f"{day}-{i:04d}" for i in range(n)], "variant": np.where(arm, *reversed(ARMS)),
                    "first_ds": day, "first_ts": pd.Timestamp(day), "value": value.round(2), "before": before.round(2),
                }
            )
        )  # fmt: skip
    return pd.concat(found, ignore_index=True)


def _connected(units: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    columns = ", ".join(f"value AS x{place}, before AS cx{place}" for place in range(5))
    con.execute(
        f"CREATE TEMP TABLE experiment_totals AS SELECT unit, variant, first_ds, first_ts, {columns} FROM units"
    )
    con.execute("CREATE SCHEMA clean")
    con.execute(
        "CREATE VIEW clean.events AS SELECT unit AS account, first_ds AS ds, first_ts AS ts, "
        "'purchase' AS event_type, x0 AS value FROM experiment_totals"
    )
    return con


def _strata(units: pd.DataFrame) -> dict[Stratum, Sums]:
    found = {}
    for (day, variant), part in units.groupby(["first_ds", "variant"]):
        x, c = ([Decimal(str(value)) for value in part[name]] for name in ("value", "before"))
        sums = Sums(
            n=len(part), x=sum(x), cx=sum(c), xx=sum(v * v for v in x), cxcx=sum(v * v for v in c),
            xcx=sum(a * b for a, b in zip(x, c, strict=True)),
        )  # fmt: skip
        found |= {
            Stratum(day, variant, name): sums for name in ("adjusted", "capped", "capped_adjusted", "p80", "per_event")
        }
    return found


def _compared(made, found, name: str):
    return compare_samples(*(found[name, arm] for arm in ARMS), made.metric(name), alpha=0.05)


@pytest.fixture
def made(design):
    return design(TEXT)


def test_weights_that_stay_change_nothing(made):
    units = _units(np.random.default_rng(1), shares=(0.5, 0.5))
    con, strata = _connected(units), _strata(units)
    same = [WeightPeriod(None, made.variants), WeightPeriod(SECOND, made.variants)]
    plain = state_samples(con, made, strata, SECOND, lambda: None)
    found = weighted_samples(con, made, strata, same, SECOND, lambda: None)
    for name in ("adjusted", "capped", "capped_adjusted", "p80", "per_event"):
        got, want = _compared(made, found, name), _compared(made, plain, name)
        assert (got.estimate, got.mean, got.n) == pytest.approx((want.estimate, want.mean, want.n), rel=1e-9), name
        # The share of values below a quantile has its sample's variance here, and the binomial one there.
        assert got.se == pytest.approx(want.se, rel=0.02 if name == "p80" else 1e-9), name


def test_the_adjusted_mean_is_the_weighted_regressions(made):
    units = _units(np.random.default_rng(2))
    found = weighted_samples(_connected(units), made, _strata(units), MOVED, SECOND, lambda: None)
    got = _compared(made, found, "adjusted")
    share = np.where(units.first_ds == FIRST, 0.2, 0.7)
    treated = (units.variant == "treatment").to_numpy()
    w = 1 / np.where(treated, share, 1 - share)
    x, c = units.value.to_numpy(), units.before.to_numpy()
    arms = [(w[one], x[one], c[one]) for one in (~treated, treated)]
    means = [((w * x).sum() / w.sum(), (w * c).sum() / w.sum()) for w, x, c in arms]
    terms = [
        (w * (x - mx) / w.mean(), w * (c - mc) / w.mean()) for (w, x, c), (mx, mc) in zip(arms, means, strict=True)
    ]
    theta = sum((u * v).sum() for u, v in terms) / sum((v * v).sum() for _, v in terms)
    estimate = means[1][0] - means[0][0] - theta * (means[1][1] - means[0][1])
    assert got.estimate == pytest.approx(estimate, rel=1e-9)
    se = np.sqrt(sum((u - theta * v).var(ddof=1) / len(u) for u, v in terms))
    assert got.se == pytest.approx(se, rel=1e-9)


def test_estimates_are_unbiased_and_intervals_cover_where_pooling_is_fooled(made):
    rng = np.random.default_rng(3)
    whole = _units(np.random.default_rng(4), n=200_000, effect=0.0)
    cap = np.quantile(whole.value, 0.9)
    truth = {
        "adjusted": 3.0,
        "p80": 3.0,
        "capped": float((np.minimum(whole.value + 3, cap + 1.5) - np.minimum(whole.value, cap + 1.5)).mean()),
    }
    covered = dict.fromkeys(truth, 0)
    errors: dict[str, list[float]] = {name: [] for name in truth}
    pooled, narrower = [], []
    for _ in range(150):
        units = _units(rng, n=250)
        con, strata = _connected(units), _strata(units)
        found = weighted_samples(con, made, strata, MOVED, SECOND, lambda: None)
        plain = state_samples(con, made, strata, SECOND, lambda: None)
        pooled.append(_compared(made, plain, "p80").estimate)
        for name, want in truth.items():
            got = _compared(made, found, name)
            covered[name] += got.low <= want <= got.high
            errors[name].append(got.estimate - want)
        narrower.append(_compared(made, found, "adjusted").se / _compared(made, found, "capped").se)
    for name, found_errors in errors.items():
        assert abs(np.mean(found_errors)) < 4 * np.std(found_errors) / np.sqrt(150) + 0.05, name
        assert 0.9 <= covered[name] / 150 <= 0.99, name
    assert np.mean(pooled) > 4.5  # the better day has more of the treatment
    assert np.mean(narrower) < 1.0


def test_days_without_a_variant_count_for_none(made):
    units = _units(np.random.default_rng(5))
    stopped = [WeightPeriod(None, made.variants), WeightPeriod(SECOND, (("control", 0.0), ("treatment", 1.0)))]
    con, strata = _connected(units), _strata(units)
    found = weighted_samples(con, made, strata, stopped, SECOND, lambda: None)
    first = units[units.first_ds == FIRST]
    for name in ("adjusted", "capped", "p80"):
        samples = [found[name, arm] for arm in ARMS]
        assert [getattr(one, "units", one.n) for one in samples] == [(first.variant == arm).sum() for arm in ARMS]
    none = weighted_samples(con, made, strata, [stopped[1]], SECOND, lambda: None)
    assert none["p80", "control"] == NoSample("too_few_units", 0)


def test_a_ratio_is_adjusted_for_its_own_covariates(design):
    text = TEXT[: TEXT.index("primary_metric")] + (
        "primary_metric: ratio\nmetrics:\n  - name: ratio\n    kind: ratio\n    cuped: true\n"
        "    numerator: {events: [purchase], column: value}\n    denominator: {events: [purchase]}\n"
    )
    made = design(text)
    rng = np.random.default_rng(6)
    strata = {}
    for day in (FIRST, SECOND):
        for arm in ARMS:
            cy, y = (rng.integers(1, 5, 200) for _ in range(2))
            cx = cy * rng.integers(5, 9, 200)
            x = y * 6 + cx
            values = {"x": x, "y": y, "cx": cx, "cy": cy}
            names = list(values)
            products = {
                a + b: Decimal(int((values[a] * values[b]).sum())) for i, a in enumerate(names) for b in names[i:]
            }
            plain = {name: Decimal(int(value.sum())) for name, value in values.items()}
            strata[Stratum(day, arm, "ratio")] = Sums(n=200, **plain, **products)
    same = [WeightPeriod(None, made.variants), WeightPeriod(SECOND, made.variants)]
    got = weighted_samples(duckdb.connect(), made, strata, same, SECOND, lambda: None)
    want = state_samples(duckdb.connect(), made, strata, SECOND, lambda: None)
    a, b = (
        compare_samples(*(found["ratio", arm] for arm in ARMS), made.metric("ratio"), alpha=0.05)
        for found in (got, want)
    )
    assert (a.estimate, a.se, a.p) == pytest.approx((b.estimate, b.se, b.p), rel=1e-12)
