from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from crossdomain.demo.truth import WorldTruth, read_truth
from crossdomain.demo.world import WorldSummary, write_world

START = date(2026, 1, 5)
SIZE = {"users": 400, "items": 160, "days": 6, "start": START, "seed": 3, "history_days": 5}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldSummary:
    return write_world(tmp_path_factory.mktemp("world"), **SIZE)


@pytest.fixture(scope="session")
def folder(world: WorldSummary) -> Path:
    return world.folder


@pytest.fixture(scope="session")
def truth(folder: Path) -> WorldTruth:
    return read_truth(folder)
