"""Pages of experiments on the disk: found by experiment and day, and by nothing else."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from crossdomain.experiments.page_files import page_days, read_page, write_page
from crossdomain.storage.home import Home

DAY = date(2026, 1, 5)


def test_what_is_written_is_found(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert page_days(home) == {}
    for experiment, step in (("b", 1), ("a.v2", 0), ("b", 0)):
        write_page(home, experiment, DAY + timedelta(days=step), f"{experiment} 第 {step}")
    write_page(home, "b", DAY, "again")
    assert page_days(home) == {"a.v2": [DAY], "b": [DAY, DAY + timedelta(days=1)]}
    assert read_page(home, "b", "2026-01-05") == b"again"
    assert read_page(home, "a.v2", "2026-01-05") == "a.v2 第 0".encode()


@pytest.mark.parametrize(
    ("experiment", "day"),
    [("b", "2026-01-07"), ("c", "2026-01-05"), ("..", "2026-01-05"), ("../x", "2026-01-05"), ("b", "../b/2026-01-05"),
     ("", "2026-01-05"), ("b\n", "2026-01-05"), ("b", "2026-01-05\n")],
)  # fmt: skip
def test_nothing_else_is_read(tmp_path: Path, experiment: str, day: str) -> None:
    home = Home(tmp_path)
    write_page(home, "b", DAY, "page")
    (tmp_path / "reports" / "2026-01-05.html").write_text("not a page of an experiment")
    assert read_page(home, experiment, day) is None
