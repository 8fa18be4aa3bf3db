"""Tokenizers beside each other on real texts: megabytes a second on one thread, and how often they agree with jieba.

The bare engines cut the raw texts; the platform's tokenizer does all its steps (HTML, folding, Latin words and numbers,
stop words). jieba_fast is no dependency: it is measured where it can be imported.

Usage: python benchmarks/tokenizer_engines.py [--data DIR]
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stages import RESULTS, ROOT, commit, machine
from topics import read

from crossdomain.settings import Settings
from crossdomain.text.tokens import make_tokenizer, word_lists

Cut = Callable[[str], list[str]]


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    texts = [text for _, _, text in read(options.data)]
    size = sum(len(text.encode()) for text in texts) / 1e6
    report: dict[str, Any] = {
        "machine": machine(),
        "commit": commit(),
        "documents": len(texts),
        "megabytes": round(size, 2),
    }
    rows, reference = [], None
    for name, cut in cutters().items():
        cut("第一次要读词典")
        began = time.perf_counter()
        found = [cut(text) for text in texts]
        seconds = time.perf_counter() - began
        row: dict[str, Any] = {"tokenizer": name, "mb_per_second": round(size / seconds, 2)}
        if name == "jieba":
            reference = found
        elif reference is not None and not name.startswith("platform"):
            row["documents_as_jieba"] = round(sum(map(list.__eq__, found, reference)) / len(texts), 4)
        rows.append(row)
        print(row, flush=True)
    report["tokenizers"] = rows
    path = RESULTS / f"tokenizers-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def cutters() -> dict[str, Cut]:
    """Tokenizers by name, jieba first."""
    import jieba
    import rjieba

    jieba.setLogLevel(60)
    found: dict[str, Cut] = {"jieba": jieba.lcut, "rjieba": rjieba.cut}
    try:
        fast = importlib.import_module("jieba_fast")
    except ImportError:
        print("jieba_fast is not installed: not measured")
    else:
        fast.setLogLevel(60)
        found["jieba_fast"] = fast.lcut
    for engine in ("rjieba", "jieba"):
        tokenizer = make_tokenizer(engine=engine, **word_lists(Settings().include / "text"))
        found[f"platform with {engine}"] = tokenizer.tokens
    return found


if __name__ == "__main__":
    main()
