from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crossdomain.settings import Settings
from crossdomain.storage.engine import connection
from crossdomain.storage.home import Home
from crossdomain.storage.lake import Lake
from crossdomain.tables import Column, TableSpec


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "家 with spaces")


@pytest.fixture
def lake(home: Home) -> Iterator[Lake]:
    with home.scratch() as scratch, connection(Settings(home=home.root), scratch) as con:
        yield Lake(home, con)


@pytest.fixture
def spec(tmp_path: Path) -> TableSpec:
    return TableSpec(
        layer="clean",
        name="orders",
        version=1,
        columns=(
            Column("order_id", "VARCHAR", required=True),
            Column("amount", "DECIMAL(18,2)"),
            Column("delivered_ds", "DATE"),
        ),
        description="orders",
        owner="tests",
        grain="order",
        partition=("ds",),
        key=("order_id",),
        order=("amount", "order_id"),
        job="orders",
        kind="independent",
        restatement="restated",
        retention_days=1,
        personal_data=False,
        home=tmp_path,
    )
