"""Small synthetic logs for the tests of offline evaluation."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from crossdomain.recommend.offline.log import Log, make_logs

DAY = 86_400


def events(
    rows: list[tuple[str, str, str]], ts: list[int] | None = None, rejects: list[bool] | None = None
) -> pa.Table:
    """A table as ``reading`` gives it."""
    user, domain, item = zip(*rows, strict=True)
    table = pa.table(
        {
            "user_id": pa.array(user, pa.string()),
            "domain": pa.array(domain, pa.string()),
            "item_id": pa.array(item, pa.string()),
            "ts": pa.array(ts if ts is not None else [None] * len(rows), pa.int64()),
            "weight": pa.array(np.ones(len(rows), dtype=np.float32)),
        }
    )
    return table if rejects is None else table.append_column("rejects", pa.array(rejects))


def log(rows: list[tuple[str, str, str]], ts: list[int] | None = None, rejects: list[bool] | None = None) -> Log:
    """The log of such a table."""
    return make_logs([events(rows, ts, rejects)])[0]


def rejecting(table: pa.Table, rows: list[tuple[str, str, str, int]]) -> pa.Table:
    """The table with rejections (person, domain, item, time) after its rows."""
    plain = table.append_column("rejects", pa.array(np.zeros(len(table), dtype=bool)))
    more = events([row[:3] for row in rows], [row[3] for row in rows], [True] * len(rows))
    return pa.concat_tables([plain, more])


def blocks(*, people: int = 120, items: int = 12, kinds: int = 4, days: int = 400, seed: int = 1) -> pa.Table:
    """People of a kind meet only items of their kind, in both domains; times spread evenly."""
    rng = np.random.default_rng(seed)
    rows, times = [], []
    for person in range(people):
        kind = person % kinds
        for domain in ("art", "books"):
            met = rng.permutation(items)[: items // 2 + 1]
            for item in met:
                rows.append((f"u{person}", domain, f"{domain}-{kind}-{item}"))
                times.append(int(rng.integers(days * DAY)))
    return events(rows, times)


def random_log(*, people: int = 40, items: int = 25, seed: int = 3, timed: bool = True) -> pa.Table:
    """Interactions without any structure."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        for item in rng.permutation(2 * items)[: rng.integers(4, 12)]:
            domain = "art" if item < items else "books"
            rows.append((f"u{person:03d}", domain, f"i{item:03d}"))
    times = [int(x) for x in rng.integers(0, 600 * DAY, len(rows))] if timed else None
    return events(rows, times)
