"""Times the search for similar items on large synthetic catalogues, beside brute force, and measures its recall.

A large catalogue is made from a small one by mixing: a synthetic item takes about seven tenths of the words of
one item, three tenths of another's, and a few rare words of its own, so that words are shared as often as in the
texts it was made from. These are the real catalogues where the data is (only counts come out), else the demo
world's.

Usage: python benchmarks/similarity.py [--items N] [--data DIR] [--threads N]
       [--short] [--rows N] [--parts N ...] [--memory]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa
from scipy import sparse
from stages import commit, machine

from crossdomain.content import similarity
from crossdomain.content.documents import TEXT_COLUMNS, TOKEN_SCHEMA, TermMatrix, term_matrix, tokenise
from crossdomain.content.features import Features, GramMatrix, features, gram_matrix, learn_weights
from crossdomain.content.neighbours import Neighbours, nearest, score_pairs
from crossdomain.content.settings import SimilaritySettings
from crossdomain.content.similarity import Pool, Search, blend_weights, find_pool, similar_items
from crossdomain.demo.catalogue import build_catalogues
from crossdomain.demo.clock import Calendar
from crossdomain.settings import Settings
from crossdomain.text.tokens import make_tokenizer, read_stop_words, read_user_words

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
DOMAINS = ("beauty", "knowledge")
CHOICES = SimilaritySettings()
SAMPLE = 100
TIMED = 10
FEW = 250
TOPICS = 50


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--short", action="store_true", help="both domains from the short texts alone (beauty's)")
    parser.add_argument("--rows", type=int, help="only the search, by so many of the items against all")
    parser.add_argument("--memory", action="store_true", help="only the memory: the search looks at few items")
    parser.add_argument("--parts", type=int, nargs="+", default=[16, 4, 1], help="of the items, one size each")
    options = parser.parse_args()
    source, rows = real_texts(options.data) if options.data.is_dir() else demo_texts()
    if options.short:
        source, rows = f"{source}, short texts alone", only_short(rows)
    small = read(rows)
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "texts": source, "threads": options.threads}
    if options.memory:
        report["memory"] = measure_memory(small, options.items, options.threads)
        return write(report)
    if options.rows:
        report["search"] = measure_rows(small, options.items, options.rows, options.threads)
        return write(report)
    report["sizes"] = [measure(small, options.items // part, options.threads) for part in options.parts]
    if len(options.parts) > 1:
        report["growth"] = growth(report["sizes"])
        print(f"exponent of time over items: {report['growth']}")
    return write(report)


def write(report: dict[str, Any]) -> None:
    """Keeps the result."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"similarity-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def real_texts(data: Path) -> tuple[str, list[dict[str, Any]]]:
    """The paid columns and the shop listings."""
    rows = []
    with gzip.open(data / "knowledge_columns/columns.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            found = json.loads(line)
            texts = (found["title"], (found["tags"] or "").split("、"), found["description"], found.get("sample_text"))
            rows.append(row("knowledge", f"k{number}", texts))
    listings = {}
    with gzip.open(data / "beauty_shop/double11_listings.utf8bom.csv.gz") as file:
        for found in csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig")):
            listings[found["id"]] = found["title"]
    rows += [row("beauty", item, (title, [], None, None)) for item, title in sorted(listings.items())]
    return "real columns and listings, mixed", rows


def demo_texts() -> tuple[str, list[dict[str, Any]]]:
    """The demo world's items."""
    rows = []
    world = build_catalogues(items=4000, calendar=Calendar(date(2026, 1, 5), 5, 60), seed=1)
    for domain, found in world.items():
        for place, item in enumerate(found.ids.to_pylist()):
            texts = (found.title[place], found.tags[place].split("、"), found.description[place], found.text[place])
            rows.append(row(domain, item, texts))
    return "synthetic: the demo world, mixed", rows


def only_short(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items of the first domain, every other one in the second domain."""
    short = [found for found in rows if found["domain"] == DOMAINS[0]]
    return [{**found, "domain": DOMAINS[number % 2]} for number, found in enumerate(short)]


def row(domain: str, item: str, texts: tuple[Any, ...]) -> dict[str, Any]:
    """An item as the catalogue has it."""
    keys = {"domain": domain, "item_id": item, "content_hash": f"{domain}/{item}"}
    return {**keys, **dict(zip(TEXT_COLUMNS, texts, strict=True))}


def read(rows: list[dict[str, Any]]) -> tuple[TermMatrix, GramMatrix]:
    """Words and n-grams of the texts."""
    folder = Settings().include / "text"
    tokenizer = make_tokenizer(
        user_words=read_user_words(folder / "user_dictionary.txt"),
        stop_words=read_stop_words(folder / "stop_words.txt"),
    )
    terms = term_matrix(tokenise(pa.Table.from_pylist(rows), TOKEN_SCHEMA.empty_table(), tokenizer).items)
    titles = {(one["domain"], one["item_id"]): one["title"] for one in rows}
    return terms, gram_matrix([titles[key] for key in zip(terms.domains, terms.item_ids, strict=True)])


def mixed_catalogue(small: tuple[TermMatrix, GramMatrix], items: int, seed: int) -> Features:
    """Features of a catalogue of that many items, half of them of each domain, by mixing the small one's."""
    rng = np.random.default_rng(seed)
    terms, grams = small
    first, second = (
        np.concatenate([rng.choice(terms.rows_of(domain), items // 2) for domain in DOMAINS]) for _ in range(2)
    )
    words = mixed(terms.counts, first, second, rng)
    rare = sparse.csr_matrix(
        (np.ones(3 * items), (np.repeat(np.arange(items), 3), rng.zipf(1.2, 3 * items) % (4 * items))),
        shape=(items, 4 * items),
    )
    counts = sparse.hstack([words, rare], format="csr")
    counts.sort_indices()
    domains = np.repeat(np.array(DOMAINS, dtype=object), items // 2)
    ids = np.array([f"i{number:07}" for number in range(items)], dtype=object)
    vocabulary = np.array([f"w{number:08}" for number in range(counts.shape[1])], dtype=object)
    large = TermMatrix(domains, ids, vocabulary, counts)
    spelling = GramMatrix(grams.vocabulary, mixed(grams.counts, first, second, rng))
    topics = rng.dirichlet(np.full(TOPICS, 0.05), items)
    topics[topics < 0.01] = 0
    return features(large, spelling, np.round(topics, 6), learn_weights(large, spelling))


def mixed(
    counts: sparse.csr_matrix, first: np.ndarray, second: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Rows with seven tenths of one row's entries and three tenths of another's."""
    parts = []
    for rows, share in ((first, 0.7), (second, 0.3)):
        taken = counts[rows]
        taken.data = taken.data * (rng.random(taken.nnz) < share)
        taken.eliminate_zeros()
        parts.append(taken)
    both = sparse.csr_matrix(parts[0].maximum(parts[1]))
    both.sort_indices()
    return both


def measure(small: tuple[TermMatrix, GramMatrix], items: int, threads: int) -> dict[str, Any]:
    """A first day, a day with 1 % of new and changed items, and brute force on a sample."""
    data, search = mixed_catalogue(small, items, seed=7), default_search(threads)
    few = np.arange(50)
    once = find_pool(data_of(data, few), **arguments(search, len(few)))  # compiles
    find_pool(data_of(data, few), **arguments(search, len(few)), previous=(once.table(), once.state))
    similar_items(once, few.astype(object), neighbours=search.neighbours)
    result, first, after = two_days(data, search)
    result |= {
        "words_per_item": round(data.words.nnz / items, 1),
        "shared_words_per_pair": shared(data.words),
        "shared_ngrams_per_pair": shared(data.grams),
        "day_gives_the_same": all(map(np.array_equal, first, (after.counts, after.other))),
        "day_share_of_search": round(result["day_search_cpu_seconds"] / result["search_cpu_seconds"], 4),
    }
    whole = [sum(result[f"{part}_cpu_seconds"] for part in parts) for parts in (DAY, FIRST)]
    result["day_share_of_all"] = round(whole[0] / whole[1], 4)
    result |= brute_force(data, after, search, SAMPLE if items <= 50_000 else SAMPLE // 4)
    print(json.dumps(result), flush=True)
    return result


def measure_memory(small: tuple[TermMatrix, GramMatrix], items: int, threads: int) -> dict[str, Any]:
    """The peaks of both days where the search looks at one other in 250: its own arrays are as large as ever."""
    search = replace(default_search(threads), least=1e-6)  # nearly every pair that it sees counts
    with patch.object(similarity, "nearest", few_others):
        result, _, _ = two_days(mixed_catalogue(small, items, seed=7), search)
    print(json.dumps(result), flush=True)
    return result


def few_others(data: Features, rows: np.ndarray, others: np.ndarray, **choices: Any) -> Neighbours:
    """:func:`nearest` among some of the others."""
    step = FEW if len(others) >= SAMPLE * FEW // 5 else max(1, len(others) // SAMPLE)
    found = nearest(data, rows, others[::step], **choices)
    return Neighbours(row=found.row, other=found.other * step)


def two_days(data: Features, search: Search) -> tuple[dict[str, Any], tuple[np.ndarray, np.ndarray], Pool]:
    """Seconds and peaks of a first day and of a day with 1 % changed items; what the first found; the second's pool."""
    items = len(data)
    prints, groups = data.item_ids.copy(), np.arange(items).astype(object)
    find = {"domains": DOMAINS, "prints": prints, "candidate": np.ones(items, dtype=bool), "search": search}
    result: dict[str, Any] = {"items": items, "features_gib": round(resident(), 2)}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as con:
        kept = Path(folder) / "pool.parquet"
        with timed(result, "search"):
            pool = find_pool(data, **find, version="v")
        with timed(result, "write"):
            write_tables(con, pool, groups, search, kept)
        result["pairs_kept"] = len(pool.other)
        state, first = pool.state, (pool.counts, pool.other)
        del pool  # a job starts from the tables
        changed = np.random.default_rng(8).choice(items, items // 100, replace=False)
        prints[changed] = prints[changed] + " changed"
        with timed(result, "day_read"):
            table = con.sql(f"FROM '{kept}'").to_arrow_table()
        with timed(result, "day_search"):
            after = find_pool(data, **find, version="v", previous=(table, state))
        del table
        with timed(result, "day_write"):
            write_tables(con, after, groups, search, kept)
    result["day_items_compared_with_all"] = after.asked
    return result, first, after


FIRST, DAY = ("search", "write"), ("day_read", "day_search", "day_write")


def write_tables(con: duckdb.DuckDBPyConnection, pool: Pool, groups: np.ndarray, search: Search, kept: Path) -> None:
    """What a job writes of a pool: the served rows and the pool, as compressed Parquet."""
    served = similar_items(pool, groups, neighbours=search.neighbours)
    con.execute(f"COPY (FROM served) TO '{kept.with_name('served.parquet')}' (COMPRESSION zstd)")
    del served
    pairs = pool.table()  # noqa: F841 - DuckDB reads it by its name
    con.execute(f"COPY (FROM pairs) TO '{kept}' (COMPRESSION zstd)")


@contextmanager
def timed(result: dict[str, Any], name: str) -> Iterator[None]:
    """Adds seconds, processor seconds and the peak of the memory to the result."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    started, cpu = time.perf_counter(), time.process_time()
    yield
    result[f"{name}_seconds"] = round(time.perf_counter() - started, 2)
    result[f"{name}_cpu_seconds"] = round(time.process_time() - cpu, 2)
    result[f"{name}_peak_gib"] = round(resident("VmHWM"), 2)
    print(
        f"{result['items']} items, {name}: {result[f'{name}_seconds']} s, {result[f'{name}_peak_gib']} GiB", flush=True
    )


def resident(line: str = "VmRSS") -> float:
    """Memory of the process in GiB, now or (``VmHWM``) at the peak."""
    (found,) = (row.split()[1] for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(line))
    return int(found) / 2**20


def measure_rows(small: tuple[TermMatrix, GramMatrix], items: int, rows: int, threads: int) -> dict[str, Any]:
    """The search of some rows at full size, in both domains, and its recall: rows do not depend on each other."""
    data = mixed_catalogue(small, items, seed=7)
    search = default_search(threads)
    find_pool(data_of(data, np.arange(50)), **arguments(search, 50))  # compiles
    asked = np.sort(np.random.default_rng(3).choice(items, rows, replace=False))
    baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    found = {}
    for domain in DOMAINS:
        others = data.rows_of(domain)
        near = nearest(
            data, asked, others, weights=search.weights, count=search.size, least=search.least, threads=threads
        )
        found[domain] = (near, others)
        score_pairs(data, asked[near.row], others[near.other], weights=search.weights, threads=threads)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    hits = wanted = 0
    for place in np.random.default_rng(9).choice(rows, SAMPLE, replace=False):
        for near, others in found.values():
            first = np.full(len(others), asked[place])
            similarity = score_pairs(data, first, others, weights=search.weights, threads=threads).similarity
            similarity[others == asked[place]] = -1.0
            best = np.lexsort((others, -similarity))[: search.neighbours]
            best = best[similarity[best] >= search.least]
            hits += len(np.intersect1d(near.other[near.row == place][: search.neighbours], best))
            wanted += len(best)
    result = {
        "items": items,
        "rows": rows,
        "shared_words_per_pair": shared(data.words),
        "shared_ngrams_per_pair": shared(data.grams),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "seconds_of_all_rows": round(seconds * items / rows, 1),
        "cpu_seconds_of_all_rows": round(cpu * items / rows, 1),
        "recall": round(hits / wanted, 5),
        "recall_pairs": wanted,
        "features_gib": round(baseline / 2**20, 2),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    print(json.dumps(result), flush=True)
    return result


def default_search(threads: int) -> Search:
    """The search of the default settings."""
    weights = blend_weights(
        cosine=CHOICES.cosine_weight,
        ngram=CHOICES.ngram_weight,
        jaccard=CHOICES.jaccard_weight,
        topic=CHOICES.topic_weight,
    )
    return Search(
        weights=weights,
        neighbours=CHOICES.neighbours,
        reserve=CHOICES.reserve,
        least=CHOICES.min_similarity,
        threads=threads,
    )


def data_of(data: Features, rows: np.ndarray) -> Features:
    """Some of the items."""
    return Features(data.domains[rows], data.item_ids[rows], data.words[rows], data.grams[rows], data.topics[rows])


def arguments(search: Search, count: int) -> dict[str, Any]:
    """Arguments of a first search of that many items."""
    ids = np.array([str(number) for number in range(count)], dtype=object)
    return {"domains": DOMAINS, "prints": ids, "candidate": np.ones(count, bool), "search": search, "version": "v"}


def shared(matrix: sparse.csr_matrix) -> float:
    """Mean number of terms that two items share."""
    share = np.bincount(matrix.indices, minlength=matrix.shape[1]) / matrix.shape[0]
    return round(float((share**2).sum()), 3)


def brute_force(data: Features, pool: Pool, search: Search, rows: int) -> dict[str, Any]:
    """The peer on a sample of rows: SciPy's product gives all cosines, then every pair is scored in full.

    Recall is that of the served neighbours; the seconds are the sample's, times all rows by sampled ones.
    """
    rng = np.random.default_rng(9)
    sample = np.sort(rng.choice(len(data), rows, replace=False))
    started = time.perf_counter()
    transposed = data.words.T.tocsr()
    for item in sample[:TIMED]:
        found = (data.words[item] @ transposed).toarray().ravel()
        np.argpartition(-found, search.neighbours)[: search.neighbours]
    cosine = time.perf_counter() - started
    start = np.concatenate([[0], np.cumsum(pool.counts)])
    hits = wanted = 0
    for item in sample:
        for side, domain in enumerate(sorted(DOMAINS)):
            others = data.rows_of(domain)
            others = others[(others != item) & data.described()[others]]
            first = np.full(len(others), item)
            scores = score_pairs(data, first, others, weights=search.weights, threads=search.threads)
            similarity = scores.similarity
            best = np.lexsort((others, -similarity))[: search.neighbours]
            best = best[similarity[best] >= search.least]
            begin = start[item * len(DOMAINS) + side]
            mine = pool.other[begin : start[item * len(DOMAINS) + side + 1]][: search.neighbours]
            hits += len(np.intersect1d(mine, others[best]))
            wanted += len(best)
    return {
        "recall": round(hits / wanted, 5),
        "recall_pairs": wanted,
        "brute_force_cosine_seconds": round(cosine * len(data) / TIMED, 1),
    }


def growth(sizes: list[dict[str, Any]]) -> dict[str, float]:
    """Slope of log seconds over log items; all pairs are looked at, so that 2 is expected of a first day."""
    items = np.log([size["items"] for size in sizes])
    return {
        name: round(float(np.polyfit(items, np.log([size[name] for size in sizes]), 1)[0]), 3)
        for name in ("search_cpu_seconds", "day_search_cpu_seconds", "write_cpu_seconds", "day_read_cpu_seconds")
    }


if __name__ == "__main__":
    main()
