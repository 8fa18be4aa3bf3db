"""Measures of content understanding on any corpus given as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Measures on a corpus of your own: JSON lines with id, domain, text, tags."
)

CorpusFile = Annotated[Path, typer.Option("--corpus", help="JSON lines: id, domain, text, optional title and tags.")]


@app.callback()
def evaluate() -> None:
    """Measures on a corpus of your own."""


@app.command()
def similarity(corpus: CorpusFile, json: Json = False) -> None:
    """Measure similarity: the search against exact search, thresholds, and shared tags of the nearest items."""
    from crossdomain.content.similarity_evaluation import read_corpus

    document = _similarity(read_corpus(corpus))
    tagged = document["precision_at_10"]
    rows = [
        [name, value["value"], value["low"], value["high"]]
        for name, value in (tagged or {}).items()
        if isinstance(value, dict)
    ]
    facts = {
        "recall of the search": document["recall"]["value"],
        **{f"theta {row['domain']} to {row['other_domain']}": row["theta"] for row in document["theta"]},
        "tags shared by chance": tagged["chance"] if tagged else "no tags",
    }
    title = f"similarity of {document['items']} items"
    columns = ("nearest by", "precision@10 of shared tags", "low", "high")
    show(document, json=json, title=title, facts=facts, columns=columns, rows=rows)


def _similarity(corpus: Any) -> dict[str, Any]:
    from crossdomain.content import documents, topics, training
    from crossdomain.content.settings import SimilaritySettings, TopicSettings
    from crossdomain.content.similarity_evaluation import evaluate_similarity
    from crossdomain.jobs.similar import blend
    from crossdomain.jobs.topics import tokenizer_of

    settings = Settings.from_env()
    choices = SimilaritySettings.from_env(seed=settings.seed)
    about = TopicSettings.from_env(seed=settings.seed)
    nothing = documents.TOKEN_SCHEMA.empty_table()
    terms = documents.term_matrix(documents.tokenise(corpus.items, nothing, tokenizer_of(settings, about)).items)
    model = training.train_topics(terms, about)
    columns = (corpus.items[name].to_pylist() for name in ("domain", "item_id", "title"))
    titles = {(domain, item): title for domain, item, title in zip(*columns, strict=True)}
    keys = list(zip(terms.domains, terms.item_ids, strict=True))
    return evaluate_similarity(
        terms,
        [titles[key] for key in keys],
        topics.weights_or_none(model, terms, iterations=about.iterations, least=about.min_weight),
        [corpus.tags[key] for key in keys],
        weights=blend(choices),
        neighbours=choices.neighbours,
        least=choices.min_similarity,
        fdr=choices.theta_fdr,
        sample=choices.theta_sample,
        seed=choices.seed,
        threads=choices.similarity_threads,
    )
