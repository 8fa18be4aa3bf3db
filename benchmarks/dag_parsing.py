"""Seconds to import each DAG file in a fresh process, beside importing ``airflow.sdk`` alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

DAGS = Path(__file__).parents[1] / "dags"


def main() -> None:
    """Prints one line a file."""
    alone = seconds("import airflow.sdk")
    print(f"{'airflow.sdk alone':<24} {alone:6.2f} s")
    for path in sorted(DAGS.glob("*.py")):
        print(f"{path.name:<24} {seconds(f'import airflow.sdk, runpy; runpy.run_path({str(path)!r})'):6.2f} s")


def seconds(program: str) -> float:
    """Best of three runs."""
    found = []
    for _ in range(3):
        before = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(DAGS)},
        )
        found.append(time.monotonic() - before)
    return min(found)


if __name__ == "__main__":
    main()
