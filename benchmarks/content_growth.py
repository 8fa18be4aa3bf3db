"""How the stages of content grow with the number of items: processor seconds at three sizes, and the exponent.

Items are those of demo worlds (synthetic), people take twenty of them each, as many people as items. The search for
similar items looks at all pairs and is measured in ``similarity.py``; tokens and topics, on real texts, in
``topics.py``.

Usage: python benchmarks/content_growth.py [--items N]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from similarity import DOMAINS, default_search, row
from stages import RESULTS, ROOT, commit, machine

from crossdomain.content import bundles, documents, duplicates, features, pages, similarity, topics, training
from crossdomain.content.settings import BundleSettings, TopicSettings
from crossdomain.content.together import Rules, Shelf, Taken, choices, taken_together
from crossdomain.demo.catalogue import build_catalogues
from crossdomain.demo.clock import Calendar
from crossdomain.settings import Settings
from crossdomain.text.tokens import make_tokenizer, read_stop_words, word_lists

CALENDAR = Calendar(date(2026, 1, 5), 5, 60)
DAYS = 56
TAKEN_EACH = 20
THETA = 0.2


def main() -> None:
    """Runs the benchmark and writes one result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=16_000)
    options = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "data": "synthetic: demo worlds"}
    stages(400)  # compiles and reads dictionaries
    sizes = [options.items // part for part in (16, 4, 1)]
    measured = [stages(size) for size in sizes]
    report["items"] = sizes
    report["processor_seconds"] = {name: [round(one[name], 3) for one in measured] for name in measured[0]}
    report["exponents"] = {
        name: round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 2)
        for name, values in report["processor_seconds"].items()
    }
    print(json.dumps({name: report[name] for name in ("items", "processor_seconds", "exponents")}, indent=1))
    path = RESULTS / f"content-growth-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def stages(items: int) -> dict[str, float]:
    """Processor seconds of each stage."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        seconds[name] = time.process_time() - began

    rows = world(items)
    folder = Settings().include / "text"
    tokens = documents.tokenise(
        pa.Table.from_pylist([one["texts"] for one in rows]),
        documents.TOKEN_SCHEMA.empty_table(),
        make_tokenizer(**word_lists(folder)),
    ).items
    terms = documents.term_matrix(tokens)
    by_key = {(one["texts"]["domain"], one["texts"]["item_id"]): one for one in rows}
    ordered = [by_key[key] for key in zip(terms.domains, terms.item_ids, strict=True)]
    listings = duplicates.Listings(
        **{name: [one["texts"][name] for one in ordered] for name in ("domain", "item_id", "title")},
        creator=[one["creator"] for one in ordered],
        price=np.array([one["price"] for one in ordered]),
        on_sale=np.ones(items, dtype=bool),
    )
    with timed("duplicates"):
        duplicates.find_duplicates(
            listings,
            variant_words=read_stop_words(folder / "variant_words.txt"),
            rules=duplicates.DuplicateRules(),
            seed=7,
        )
    taken, shelf = behaviour(terms)
    with timed("taken together"):
        taken_together(taken, shelf, Rules())
    with timed("later choices"):
        arguments = {"after": DAYS - 8, "days": 7, "before": 42, "most": 20_000, "seed": 7}
        choices(taken, shelf, Rules(), fold="check", **arguments)
    model = training.train_topics(terms, documents.texts_of(tokens), TopicSettings(), topics=20)
    weights = topics.item_topics(model, terms)
    with timed("topics told"):
        topics.topics_table(
            model, terms, weights, first_domain="knowledge", settings=TopicSettings(), trained_ds=None, version=None
        )
    titles = [one["texts"]["title"] for one in ordered]
    with timed("features"):
        grams = features.gram_matrix(titles)
        data = features.features(terms, grams, weights, features.learn_weights(terms, grams))
    search = default_search(2)
    pool = similarity.find_pool(
        data, domains=DOMAINS, prints=data.item_ids, candidate=np.ones(items, dtype=bool), search=search, version="v"
    )
    with timed("similar items told"):
        similar = similarity.similar_items(pool, np.arange(items).astype(object), neighbours=search.neighbours)
    with timed("pages"):
        page(similar, search.weights)
    pairs = pairs_between(similar)
    both = topics.topics_by_item(topics.item_topics_table(model, terms, weights), domains=DOMAINS)
    words = tokens_by_item(tokens)
    with timed("bundles"):
        bundles.find_bundles(
            pairs, rules(), topics=both, tokens=words, words=dict(zip(model.ids, model.words(20), strict=True))
        )
    return seconds


def world(items: int) -> list[dict[str, Any]]:
    """Items of a demo world with what duplicates are found by."""
    rows = []
    for domain, found in build_catalogues(items=items, calendar=CALENDAR, seed=1).items():
        for place, item in enumerate(found.ids.to_pylist()):
            texts = (found.title[place], found.tags[place].split("、"), found.description[place], found.text[place])
            facts = {"creator": found.creator[place], "price": float(found.price[place])}
            rows.append({"texts": row(domain, item, texts), **facts})
    return rows


def behaviour(terms: documents.TermMatrix) -> tuple[Taken, Shelf]:
    """As many people as items; each takes twenty items that lie near each other."""
    items = len(terms.item_ids)
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(items), TAKEN_EACH)
    near = np.repeat(rng.integers(items, size=items), TAKEN_EACH) + rng.normal(0, 30, items * TAKEN_EACH).astype(int)
    products = np.arange(items).astype(object)
    shelf = Shelf(terms.domains, terms.item_ids, products)
    order = np.lexsort((near % items, day := rng.integers(DAYS, size=len(person)), person))
    return Taken(person[order], (near % items)[order], day[order]), shelf


def page(similar: pa.Table, weights: tuple[float, ...]) -> None:
    """Page recommendations under the shipped rules."""
    directions = {(domain, other) for domain in DOMAINS for other in DOMAINS}
    empty = pa.schema([("domain", pa.string()), ("item_id", pa.string()), ("people", pa.int64())]).empty_table()
    pages.page_recommendations(
        similar.cast(similarity.SIMILAR_SCHEMA),
        weights=dict.fromkeys(directions, weights),
        thetas=dict.fromkeys(directions, THETA),
        popularity=empty,
        on_sale=set(),
        rules=pages.read_rules(Settings().include / "pages" / "rules.yaml"),
    )


def pairs_between(similar: pa.Table) -> pa.Table:
    """Pairs of the first domain's items with the second one's, above the threshold."""
    table = similar.cast(similarity.SIMILAR_SCHEMA)
    mask = pa.array(
        [
            domain == DOMAINS[0] and other == DOMAINS[1] and value > THETA
            for domain, other, value in zip(
                *(table[name].to_pylist() for name in ("domain", "other_domain", "similarity")), strict=True
            )
        ]
    )
    kept = table.filter(mask).select(["item_id", "other_item_id", "similarity", "cosine"])
    return kept.rename_columns(["first", "second", "similarity", "cosine"])


def tokens_by_item(tokens: pa.Table) -> Any:
    """Words of the items by id, for each domain."""
    facts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for one in tokens.to_pylist():
        facts[DOMAINS.index(one["domain"])][one["item_id"]] = one
    return bundles.tokens_of(facts)


def rules() -> bundles.BundleRules:
    """The bundles of the default settings."""
    chosen = BundleSettings()
    return bundles.BundleRules(
        theta=THETA,
        most_items=chosen.bundle_items,
        most_bundles=chosen.bundles_per_item,
        least_topic=chosen.bundle_topic,
        least_words=chosen.bundle_words,
    )


if __name__ == "__main__":
    main()
