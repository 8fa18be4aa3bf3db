"""The short report at the end of a demo: what came in, who is recommended what and why, what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crossdomain.cli.output import wide_console
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.lake import Lake
from crossdomain.tables import registry

_TABLES = ("derived.row_counts", "derived.catalogue")
_TOPICS = """
SELECT domain, item_id, arg_max(label, {'weight': weight, 'first': -topic})
FROM item_topics JOIN topics USING (topic) GROUP BY domain, item_id
"""
"""Of each item its greatest topic, of equal ones the first, as `topic_cap` takes it."""


def print_report(settings: Settings, days: Sequence[date]) -> None:
    """Prints the report of the given delivery days from what lies in the lake and is published."""
    from crossdomain.storage.serving import current, open_current

    console = wide_console()
    publication = current(Home(settings.home))
    with open_lake(settings) as lake:
        for name in _TABLES:
            spec = registry(settings.include).get(name)
            lake.view(spec, lake.partitions(spec), schema=spec.layer)
        _intake(console, lake, days)
        with open_current(Home(settings.home)) as serving:
            _recommendations(console, lake, serving, settings.domains)
            _experiments(console, serving)
    if publication is not None:
        console.print(f"\npublished: {publication.path} (business day {publication.ds})", highlight=False)


def _intake(console: Console, lake: Lake, days: Sequence[date]) -> None:
    counted = lake.con.execute(
        "SELECT table_name, class, sum(rows)::BIGINT FROM derived.row_counts GROUP BY ALL"
    ).fetchall()
    classes = ["clean", "quarantined", "duplicate", "superseded", "suppressed"]
    table = Table("table", "rows in", *classes, title=f"{len(days)} delivery days, {days[0]} to {days[-1]}")
    totals: dict[str, dict[str, int]] = {}
    for name, kind, rows in counted:
        totals.setdefault(name, {})[kind] = rows
    for name, rows in sorted(totals.items()):
        table.add_row(name, f"{sum(rows.values()):,}", *(f"{rows.get(kind, 0):,}" for kind in classes))
    console.print(table)


def _recommendations(
    console: Console, lake: Lake, serving: duckdb.DuckDBPyConnection, domains: tuple[str, str]
) -> None:
    from crossdomain.recommend.reasons import decode, describe

    titles, creators = _called(lake)
    topics = {(domain, item): label for domain, item, label in serving.execute(_TOPICS).fetchall()}
    for source, target in (domains, domains[::-1]):
        people = serving.execute(
            """
            SELECT person, source, list({'item_id': item_id, 'reason': reason} ORDER BY rank)[:3]
            FROM recommendations
            WHERE target_domain = ?
            GROUP BY person, source
            QUALIFY row_number() OVER (PARTITION BY source ORDER BY person) <= 2
            ORDER BY source, person
            LIMIT 3
            """,
            [target],
        ).fetchall()
        table = Table("person", "source", "item", "reason", title=f"{source} → {target}: three people", show_lines=True)
        for person, origin, items in people:
            names = "\n".join(escape(titles.get((target, one["item_id"]), one["item_id"])) for one in items)
            told = [describe(decode(one["reason"]), titles, creators=creators, topics=topics) for one in items]
            table.add_row(person.hex()[:12], origin, names, "\n".join(escape(" / ".join(words)) for words in told))
        console.print(table)


def _called(lake: Lake) -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    """Titles of items, and names of their lecturers or brands, by the newest catalogue."""
    rows = lake.con.execute(
        "SELECT domain, item_id, title, creator FROM derived.catalogue "
        "WHERE ds = (SELECT max(ds) FROM derived.catalogue)"
    ).fetchall()
    titles = {(domain, item): title for domain, item, title, _ in rows if title}
    return titles, {(domain, item): creator for domain, item, _, creator in rows if creator}


def _experiments(console: Console, serving: duckdb.DuckDBPyConnection) -> None:
    rows = serving.execute(
        "SELECT experiment_id, metric, variant, mean_control, mean, estimate, low, high, p, n, n_control "
        "FROM experiment_metrics ORDER BY experiment_id, metric, variant"
    ).fetchall()
    table = Table("experiment", "metric", "control", "variant mean", "difference", "95 % interval", "p", "people")
    for experiment, metric, variant, control, mean, estimate, low, high, p, n, n_control in rows:
        interval = "–" if low is None else f"{low:+.4f} … {high:+.4f}"
        table.add_row(
            experiment,
            f"{metric} ({variant})",
            _number(control),
            _number(mean),
            _number(estimate, sign=True),
            interval,
            _p_value(p),
            f"{n_control:,} / {n:,}",
        )
    console.print(table)
    failed = serving.execute("SELECT experiment_id, check_name FROM experiment_checks WHERE NOT ok").fetchall()
    console.print(f"experiment checks that failed: {', '.join(f'{e}: {c}' for e, c in failed) or 'none'}")


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.4f}" if sign else f"{value:.4f}"


def _p_value(p: float | None) -> str:
    return "< 0.0001" if p is not None and p < 0.0001 else _number(p)
