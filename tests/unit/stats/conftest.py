"""Published numbers that the statistics must reproduce, where the checkout has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"


@pytest.fixture
def vector() -> Callable[[str], dict[str, Any]]:
    """Reads one file of published numbers; skips, saying so, where they are not at hand."""

    def read(name: str) -> dict[str, Any]:
        path = VECTORS / name
        if not path.exists():
            pytest.skip(f"published numbers ../shared/vectors/{name} are not at hand")
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content

    return read
