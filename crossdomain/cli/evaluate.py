"""How good tokens, topics and similarity are on a corpus: JSON lines of ``id, domain, text``, maybe ``title, tags``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Measure on a corpus of your own: JSON lines of id, domain, text, maybe title and tags.",
)

CorpusFile = Annotated[
    Path, typer.Option("--corpus", help="JSON lines (.gz too): id, domain, text, optional title and tags.")
]


@app.command()
def tokens(corpus: CorpusFile, json: Json = False) -> None:
    """Measure the tokenizer's speed and how its words differ from jieba's."""
    from crossdomain.content.corpus import read_corpus
    from crossdomain.content.evaluating import evaluate_tokens
    from crossdomain.content.settings import TopicSettings
    from crossdomain.text.tokens import make_tokenizer, word_lists

    lists = word_lists(Settings.from_env().include / "text")
    tokenizer = make_tokenizer(engine=TopicSettings.from_env().engine, **lists)
    found = evaluate_tokens(read_corpus(corpus), tokenizer, make_tokenizer(engine="jieba", **lists))
    show(found, json=json, title=f"tokens of {corpus.name}", facts=found)


@app.command()
def topics(
    corpus: CorpusFile, seeds: Annotated[int, typer.Option(min=1, help="Models to compare.")] = 5, json: Json = False
) -> None:
    """Measure topics: coherence on seen and held-out texts, stability over seeds, neighbours against tags."""
    from crossdomain.content.corpus import read_corpus
    from crossdomain.content.evaluating import evaluate_topics
    from crossdomain.content.settings import TopicSettings
    from crossdomain.jobs.topics import tokenizer_of

    settings = Settings.from_env()
    choices = TopicSettings.from_env(seed=settings.seed)
    found = evaluate_topics(read_corpus(corpus), tokenizer_of(settings, choices), choices, seeds=seeds)
    show(found, json=json, title=f"topics of {corpus.name}", facts=found)


@app.command()
def similarity(corpus: CorpusFile, json: Json = False) -> None:
    """Measure similarity: the search against exact search, thresholds, and shared tags of the nearest items."""
    document = _similarity(corpus)
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


def _similarity(path: Path) -> dict[str, Any]:
    from crossdomain.content import choosing, corpus, documents, topics, training
    from crossdomain.content.settings import SimilaritySettings, TopicSettings
    from crossdomain.content.similarity_evaluation import evaluate_similarity
    from crossdomain.jobs.similar import blend
    from crossdomain.jobs.topics import tokenizer_of

    settings = Settings.from_env()
    choices = SimilaritySettings.from_env(seed=settings.seed)
    about = TopicSettings.from_env(seed=settings.seed)
    read = corpus.read_corpus(path)
    tokens = corpus.token_table(read, tokenizer_of(settings, about))
    terms, texts = documents.term_matrix(tokens), documents.texts_of(tokens)
    number, _ = choosing.choose_topics(terms, texts, about)
    model = training.train_topics(terms, texts, about, topics=number) if number else None
    return evaluate_similarity(
        terms,
        [one.title for one in read],
        topics.weights_or_none(model, terms, iterations=about.iterations, least=about.min_weight),
        [one.tags for one in read],
        weights=blend(choices),
        neighbours=choices.neighbours,
        least=choices.min_similarity,
        fdr=choices.theta_fdr,
        sample=choices.theta_sample,
        seed=choices.seed,
        threads=choices.similarity_threads,
    )
