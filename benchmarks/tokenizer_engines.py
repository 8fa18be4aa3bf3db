"""Tokenizers beside each other on real texts: megabytes a second of one processor, and how often they agree with jieba.

The bare engines cut the raw texts; the platform's tokenizer does all its steps (HTML, folding, Latin words and numbers,
stop words). jieba_fast is no dependency: it is measured where it can be imported. The coverage says how often words of
the user dictionary, and the names of the shops in the listings, stay whole, with and without the dictionary.

Usage: python benchmarks/tokenizer_engines.py [--data DIR]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import io
import json
import time
from collections import Counter
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
        began = time.process_time()
        found = [cut(text) for text in texts]
        seconds = time.process_time() - began
        row: dict[str, Any] = {"tokenizer": name, "mb_per_second": round(size / seconds, 2)}
        if name == "jieba":
            reference = found
        elif reference is not None and not name.startswith("platform"):
            row["documents_as_jieba"] = round(sum(map(list.__eq__, found, reference)) / len(texts), 4)
        rows.append(row)
        print(row, flush=True)
    report["tokenizers"] = rows
    titles, shops = listings(options.data)
    report["coverage"] = coverage([*texts, *titles], shops)
    print(report["coverage"])
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


def listings(data: Path) -> tuple[list[str], list[str]]:
    """Titles of the listings by id, and the shops' names."""
    with gzip.open(data / "beauty_shop/double11_listings.utf8bom.csv.gz") as file:
        rows = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig")))
    return list({row["id"]: row["title"] for row in rows}.values()), sorted({row["店名"] for row in rows})


def coverage(texts: list[str], shops: list[str]) -> dict[str, Any]:
    """Of the places where a word stands in the texts, the share in which it is one token."""
    lists = word_lists(Settings().include / "text")
    words = sorted(entry.word for entry in lists["user_words"])
    found: dict[str, Any] = {}
    for name, tokenizer in (
        ("with", make_tokenizer(**lists)),
        ("without", make_tokenizer(**{**lists, "user_words": ()})),
    ):
        tokens = [Counter(tokenizer.tokens(text)) for text in texts]
        for kind, chosen in (("dictionary", words), ("shops", shops)):
            places, whole, seen = 0, 0, 0
            for word in (word.lower() for word in chosen):
                counts = [(text.lower().count(word), bag[word]) for text, bag in zip(texts, tokens, strict=True)]
                here = sum(count for count, _ in counts)
                places, seen = places + here, seen + (here > 0)
                whole += sum(min(count, kept) for count, kept in counts)
            found[f"{kind} {name} the dictionary"] = {
                "words": len(chosen), "words_seen": seen, "places": places, "whole": round(whole / places, 4),
            }  # fmt: skip
    return found


if __name__ == "__main__":
    main()
