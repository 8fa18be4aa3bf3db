"""A small world of exposures and events, and designs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from crossdomain.experiments.design import Design, load_design
from crossdomain.settings import Settings

INCLUDE = Settings().include / "experiments"
FIRST = date(2026, 1, 5)
INSERT_EVENT = (
    "INSERT INTO clean.events (ds, account, event_type, ts, value, quantity, placement) VALUES (?, ?, ?, ?, ?, ?, ?)"
)

DESIGN = """
experiment_id: exp
name: {zh: 试验, en: Trial}
hypothesis: {zh: 更多, en: More}
owner: growth
unit: account
variants: {control: 0.5, treatment: 0.5}
control: control
primary_metric: purchase_rate
metrics:
  - {name: click_rate, kind: proportion, events: [click], where: {placement: home}}
  - {name: purchase_rate, kind: proportion, events: [purchase]}
  - {name: revenue, kind: mean, events: [purchase], subtract: [refund], column: value}
  - {name: units_bought, kind: mean, events: [purchase], column: quantity, relative: log}
  - name: value_per_order
    kind: ratio
    numerator: {events: [purchase], subtract: [refund], column: value}
    denominator: {events: [purchase]}
"""

COUNTS = """
experiment_id: past
name: {zh: 过去, en: Past}
hypothesis: {zh: 更少, en: Fewer}
owner: growth
unit: trial
data: counts
variants: {control: 0.5, treatment: 0.5}
control: control
primary_metric: gross
sample_ratio_metrics: [views]
metrics:
  - {name: gross, kind: proportion, numerator: enrolments, denominator: clicks, interval: pooled}
  - {name: net, kind: proportion, numerator: payments, denominator: clicks}
"""


@pytest.fixture
def design(tmp_path: Path) -> Callable[[str], Design]:
    """Reads a design from its text."""

    def read(text: str = DESIGN) -> Design:
        path = tmp_path / "design.yaml"
        path.write_text(text, encoding="utf-8")
        return load_design(path, schema=INCLUDE / "design.schema.json")

    return read


@pytest.fixture
def counts_design(design: Callable[[str], Design]) -> Design:
    return design(COUNTS)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB with empty clean tables."""
    with duckdb.connect() as connection:
        connection.execute("""
            SET TimeZone = 'UTC';
            CREATE SCHEMA clean;
            CREATE SCHEMA derived;
            CREATE TABLE clean.exposures (ds DATE, experiment_id VARCHAR, unit_type VARCHAR, unit BLOB,
                variant VARCHAR, ts TIMESTAMPTZ, placement VARCHAR);
            CREATE TABLE clean.events (ds DATE, account BLOB, domain VARCHAR, item_id VARCHAR,
                event_type VARCHAR, ts TIMESTAMPTZ, value DECIMAL(18,2), quantity INTEGER, channel VARCHAR,
                campaign_id VARCHAR, placement VARCHAR);
            CREATE TABLE clean.experiment_counts (ds DATE, delivered_ds DATE, experiment_id VARCHAR,
                variant VARCHAR, day DATE, metric VARCHAR, value BIGINT);
            CREATE TABLE derived.people (ds DATE, account BLOB, person BLOB, profiling BOOLEAN);
            CREATE TABLE derived.accounts (ds DATE, account BLOB, domain VARCHAR, registered_at TIMESTAMPTZ,
                gender VARCHAR, birth_year INTEGER, province VARCHAR);
        """)
        yield connection


def moment(hours: float) -> datetime:
    """Hours after the first business day began (UTC)."""
    return datetime.combine(FIRST, datetime.min.time(), UTC) + timedelta(hours=hours)


def expose(
    con, unit: bytes, variant: str, hours: float, *, experiment: str = "exp", unit_type: str = "account", placement=None
):
    ts = moment(hours)
    con.execute("INSERT INTO clean.exposures VALUES (?, ?, ?, ?, ?, ?, ?)",
                [ts.date(), experiment, unit_type, unit, variant, ts, placement])  # fmt: skip


def act(con, account: bytes, event_type: str, hours: float, *, value=None, quantity=None, placement=None):
    ts = moment(hours)
    con.execute(
        INSERT_EVENT,
        [ts.date(), account, event_type, ts, value, quantity, placement],
    )


def world(seed: int = 1, people: int = 400, days: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Random exposures (some repeated, some in two variants) and events before and after them."""
    rng = np.random.default_rng(seed)
    exposures, events = [], []
    for person in range(people):
        unit = person.to_bytes(16, "big")
        variant = ("control", "treatment")[rng.integers(2)]
        hours = np.sort(rng.integers(0, 24 * days, rng.integers(1, 4)))
        arms = [variant] * len(hours)
        if person % 50 == 0 and len(hours) > 1:
            arms[-1] = "treatment" if variant == "control" else "control"
        exposures += [(unit, arm, moment(int(hour))) for arm, hour in zip(arms, hours, strict=True)]
        for _ in range(rng.poisson(4)):
            kind = rng.choice(["click", "purchase", "refund", "view"], p=[0.4, 0.3, 0.1, 0.2])
            paid = Decimal(int(rng.integers(100, 90000))) / 100 if kind in ("purchase", "refund") else None
            placement = rng.choice(["home", "item"])
            events.append(
                (unit, kind, moment(int(rng.integers(0, 24 * days))), paid, int(rng.integers(1, 4)), placement)
            )
    return (
        pd.DataFrame(exposures, columns=["unit", "variant", "ts"]),
        pd.DataFrame(events, columns=["account", "event_type", "ts", "value", "quantity", "placement"]),
    )


def fill(con, exposures: Sequence[tuple], events: Sequence[tuple]):
    """Inserts rows in the order given."""
    exposed = pd.DataFrame(exposures, columns=["unit", "variant", "ts"])
    acted = pd.DataFrame(events, columns=["account", "event_type", "ts", "value", "quantity", "placement"])
    con.register("exposed", exposed)
    con.register("acted", acted)
    con.execute("INSERT INTO clean.exposures SELECT ts::DATE, 'exp', 'account', unit, variant, ts, NULL FROM exposed")
    con.execute(
        "INSERT INTO clean.events (ds, account, event_type, ts, value, quantity, placement)"
        " SELECT ts::DATE, account, event_type, ts, value, quantity, placement FROM acted"
    )
