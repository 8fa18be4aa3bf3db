"""The real run: real catalogues, behaviour and an experiment through the chain, and what came out, in Markdown.

Prints counts, measures and ids only, no text of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from crossdomain.demo.chain import run_days
from crossdomain.demo.real import LISTINGS, Laid, lay_behaviour, lay_catalogues
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.home import Home
from crossdomain.storage.keys import create_keys
from crossdomain.storage.lake import Lake
from crossdomain.tables import registry

BEHAVIOUR_SETTINGS = {
    # years of thin behaviour: read all of it, and measure on the last ninety days
    "CROSSDOMAIN_RECOMMEND_WINDOW_DAYS": "0",
    "CROSSDOMAIN_RECOMMEND_TEST_DAYS": "90",
}


def run_real(settings: Settings, data: Path) -> None:
    """Runs all three parts under ``settings.home`` and prints the report."""
    first, other = LISTINGS
    shop = _home(settings, "catalogues")
    laid = lay_catalogues(data, Home(shop.home), listings=first)
    chain = run_days(shop, laid.first, laid.last, title=f"catalogues, {laid.first} to {laid.last}")
    _say("\n## Catalogues and the past experiment\n")
    _say(f"`{chain.command}`: {chain.runs} DAG runs over {len(chain.days)} delivery days.\n")
    _report_catalogues(shop, laid)
    _report_bundles(shop)
    _report_encodings(settings, data, shop, other)
    _report_experiment(shop)
    people = _home(settings, "behaviour")
    behaviour = lay_behaviour(data, Home(people.home))
    chain = run_days(
        people,
        behaviour.first,
        behaviour.last,
        title=f"behaviour, {behaviour.first} to {behaviour.last}",
        env=BEHAVIOUR_SETTINGS,
    )
    _say("\n## Behaviour (electronics stands in for knowledge; consent assumed)\n")
    _say(f"`{chain.command}`: {chain.runs} DAG runs over {len(chain.days)} delivery days.\n")
    _report_behaviour(people, behaviour)


def _home(settings: Settings, name: str) -> Settings:
    chosen = replace(settings, home=settings.home / name)
    create_keys(Home(chosen.home), chosen.keys)
    return chosen


def _report_catalogues(settings: Settings, laid: Laid) -> None:
    tables = ("derived.row_counts", "raw.quarantine", "derived.catalogue", "serving.topics", "serving.similar_items")
    with _views(settings, (*tables, "serving.bundles", "serving.quality_results")) as lake:
        _table(
            ["feed", "rows delivered", "clean", "quarantined", "duplicates", "superseded"],
            lake.con.execute(
                """
                SELECT feed, sum(rows)::BIGINT,
                       coalesce(sum(rows) FILTER (class = 'clean'), 0)::BIGINT,
                       coalesce(sum(rows) FILTER (class = 'quarantined'), 0)::BIGINT,
                       coalesce(sum(rows) FILTER (class = 'duplicate'), 0)::BIGINT,
                       coalesce(sum(rows) FILTER (class = 'superseded'), 0)::BIGINT
                FROM derived.row_counts GROUP BY feed ORDER BY feed
                """
            ).fetchall(),
        )
        _say(f"\nRows in the files: {laid.rows}.\n\nQuarantined, by reason:\n")
        _table(
            ["feed", "reason", "rows"],
            lake.con.execute("SELECT feed, reason, count(*) FROM raw.quarantine GROUP BY ALL ORDER BY ALL").fetchall(),
        )
        _say("\nContent of the last day:\n")
        _table(
            ["measure", "value"],
            lake.con.execute(
                """
                SELECT 'items of ' || domain, count(*)::VARCHAR FROM derived.catalogue
                WHERE ds = (SELECT max(ds) FROM derived.catalogue) GROUP BY domain
                UNION ALL SELECT 'topics', count(*)::VARCHAR FROM serving.topics
                WHERE ds = (SELECT max(ds) FROM serving.topics)
                UNION ALL SELECT 'pairs between domains', count(*)::VARCHAR FROM serving.similar_items
                WHERE ds = (SELECT max(ds) FROM serving.similar_items) AND domain <> other_domain
                UNION ALL SELECT 'bundles', count(*)::VARCHAR FROM serving.bundles
                WHERE ds = (SELECT max(ds) FROM serving.bundles)
                UNION ALL SELECT 'quality rules broken (warnings)', count(*)::VARCHAR FROM serving.quality_results
                WHERE NOT success
                """
            ).fetchall(),
        )


def _report_bundles(settings: Settings) -> None:
    """Thresholds, and the strongest bundles by ids and measures; no text of the data."""
    tables = ("serving.similarity_thresholds", "serving.similar_items", "serving.bundles")
    with _views(settings, tables) as lake:
        _say("\nThresholds between the domains:\n")
        _table(
            ["direction", "θ", "pairs", "above θ", "shuffled pairs above θ"],
            lake.con.execute(
                """
                SELECT domain || ' > ' || other_domain, theta, pairs, pairs_above, null_pairs_above
                FROM serving.similarity_thresholds
                WHERE ds = (SELECT max(ds) FROM serving.similarity_thresholds) AND domain <> other_domain ORDER BY ALL
                """
            ).fetchall(),
        )
        _say("\nThe strongest pairs between the domains, one a knowledge item:\n")
        _table(
            ["knowledge item", "beauty item", "similarity", "cosine", "ngram", "jaccard", "topic"],
            lake.con.execute(
                """
                SELECT item_id, other_item_id, similarity, cosine, ngram, jaccard, topic FROM serving.similar_items
                WHERE ds = (SELECT max(ds) FROM serving.similar_items) AND cosine > 0
                  AND (domain, other_domain) = (?, ?)
                QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY similarity DESC, other_item_id) = 1
                ORDER BY similarity DESC, item_id LIMIT 10
                """,
                list(settings.domains),
            ).fetchall(),
        )
        _say("\nThe strongest bundles of the last day, at most ten:\n")
        _table(
            ["bundle", "topic", "knowledge items", "beauty items", "strength", "strongest pair", "shared words"],
            lake.con.execute(
                """
                SELECT bundle_id, topic::VARCHAR, array_to_string(knowledge_items, ' '),
                       array_to_string(beauty_items, ' '), strength, strongest_similarity, len(shared_words)
                FROM serving.bundles WHERE ds = (SELECT max(ds) FROM serving.bundles)
                ORDER BY strength DESC, bundle_id LIMIT 10
                """
            ).fetchall(),
        )


def _report_encodings(settings: Settings, data: Path, shop: Settings, feed: str) -> None:
    """The same listings in the other encoding, by hand instead of through Airflow, compared row by row."""
    other = _home(settings, "catalogues-gb18030")
    laid = lay_catalogues(data, Home(other.home), listings=feed, columns=False, experiment=False)
    other = replace(other, start=laid.first)
    for step in range((laid.last - laid.first).days + 1):
        for name in ("ingest", "clean"):
            run_job(job(name), laid.first + timedelta(days=step), other)
    spec = registry(settings.include).get("clean.items")
    columns = ", ".join(("ds", *(name for name in spec.column_names if name not in ("feed", "price"))))
    with open_lake(shop) as lake:
        lake.view(spec, lake.partitions(spec), schema="one", where="domain = 'beauty'")
        lake.view(spec, Lake(Home(other.home), lake.con).partitions(spec), schema="other")
        missing = "SELECT count(*) FROM (SELECT {columns} FROM {a}.items EXCEPT ALL SELECT {columns} FROM {b}.items)"
        ((only_one,),) = lake.con.execute(missing.format(columns=columns, a="one", b="other")).fetchall()
        ((only_other,),) = lake.con.execute(missing.format(columns=columns, a="other", b="one")).fetchall()
        ((prices,),) = lake.con.execute(
            "SELECT count(*) FROM one.items AS a JOIN other.items AS b USING (ds, item_id) "
            "WHERE a.price IS DISTINCT FROM b.price"
        ).fetchall()
    _say(
        f"\nUTF-8 beside GB18030: {only_one} + {only_other} clean rows differ in anything but the price; "
        f"{prices} prices differ (of the four that differ in the files, one stands in a row without counts).\n"
    )


def _report_experiment(settings: Settings) -> None:
    with _views(settings, ("serving.experiment_metrics", "serving.experiment_checks")) as lake:
        newest = "ds = (SELECT max(ds) FROM serving.experiment_metrics) AND experiment_id = 'free_trial_screener'"
        _say("\nThe past experiment, from daily counts:\n")
        _table(
            ["metric", "difference", "95 % interval", "p", "n control", "n experiment"],
            [
                (name, f"{estimate:+.4f}", f"({low:+.4f}, {high:+.4f})", f"{p:.2g}", n_control, n)
                for name, estimate, low, high, p, n_control, n in lake.con.execute(
                    "SELECT metric, estimate, low, high, p, n_control, n "  # noqa: S608 - our own text
                    f"FROM serving.experiment_metrics WHERE {newest} ORDER BY metric"
                ).fetchall()
            ],
        )
        _say("")
        _table(
            ["check", "passed", "p", "detail"],
            [
                (name, ok, "" if p is None else f"{p:.3f}", detail)
                for name, ok, p, detail in lake.con.execute(
                    "SELECT check_name, ok, p, detail "  # noqa: S608 - our own text
                    f"FROM serving.experiment_checks WHERE {newest} ORDER BY check_name"
                ).fetchall()
            ],
        )


def _report_behaviour(settings: Settings, laid: Laid) -> None:
    tables = ("derived.row_counts", "serving.model_metrics", "serving.champions", "serving.recommendations")
    with _views(settings, (*tables, "derived.people")) as lake:
        counts = lake.con.execute("SELECT class, sum(rows)::BIGINT FROM derived.row_counts GROUP BY 1 ORDER BY 1")
        _say(f"Rows in the files: {laid.rows}; classes: {dict(counts.fetchall())}.\n")
        _say(
            "Temporal split on the last day: trained to 90 days before, tested on the new items of those 90 days, full "
            "ranking of the target domain. Each version of als is one that stood for champion that day.\n"
        )
        _table(
            ["direction", "segment", "people", "model", "version", "HR@10", "recall@20", "NDCG@10"],
            lake.con.execute(
                """
                PIVOT (
                    FROM serving.model_metrics SELECT direction, segment, n, model, model_version, metric, value
                    WHERE ds = (SELECT max(ds) FROM serving.model_metrics) AND n > 0
                ) ON metric IN ('hr@10', 'recall@20', 'ndcg@10') USING any_value(value)
                ORDER BY direction, segment, model, model_version
                """
            ).fetchall(),
        )
        _say("\nChampions of the last day:\n")
        _table(
            ["target", "model", "decision", "value", "challenger"],
            lake.con.execute(
                "SELECT target_domain, model, decision, value, challenger_value FROM serving.champions "
                "WHERE ds = (SELECT max(ds) FROM serving.champions) ORDER BY ALL"
            ).fetchall(),
        )
        _say("\nRecommendations of the last day:\n")
        _table(
            ["target", "source", "people", "rows"],
            lake.con.execute(
                "SELECT target_domain, source, count(DISTINCT person), count(*) FROM serving.recommendations "
                "WHERE ds = (SELECT max(ds) FROM serving.recommendations) GROUP BY ALL ORDER BY ALL"
            ).fetchall(),
        )


@contextmanager
def _views(settings: Settings, names: Iterable[str]) -> Iterator[Lake]:
    """The lake with all partitions of some tables as views."""
    with open_lake(settings) as lake:
        for name in names:
            spec = registry(settings.include).get(name)
            lake.view(spec, lake.partitions(spec), schema=spec.layer)
        yield lake


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    _say("| " + " | ".join(header) + " |")
    _say("|" + " --- |" * len(header))
    for row in rows:
        _say("| " + " | ".join(_cell(value) for value in row) + " |")


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _say(text: str) -> None:
    print(text, flush=True)
