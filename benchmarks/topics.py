"""Topic engines beside each other on real texts, and how tokens and topics grow with the number of documents.

``python benchmarks/topics.py --data ../shared/data [--only NAME]``. The corpus is that of docs/content.md: the paid
columns with their sample texts and the labelled shop reviews; jieba words longer than one character, in at least five
documents and at most 30 % of them. A fifth of the documents is held out from every training. Each engine runs in a
process of its own (peak memory), with two workers; so that all see the same texts, their words are read once.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from stages import RESULTS, ROOT, commit, machine

TOPICS = 50
SEEDS = (7, 8, 9, 10, 11)
_STOP_AFTER = 20
"""Engines that take longer a training are run with two seeds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", action="append", choices=[*ENGINES, "growth"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child[0], Path(options.child[1]))))
        return
    if not options.data.is_dir():
        raise SystemExit(f"{options.data} is not there: give the folder of the real files with --data")
    documents = read(options.data)
    report: dict[str, Any] = {"machine": machine(), "commit": commit(), "documents": len(documents), "engines": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.pickle"
        path.write_bytes(pickle.dumps(reference_words(documents)))
        for name in options.only or [*ENGINES, "growth"]:
            if name == "growth":
                report["growth"] = growth(documents)
                print(report["growth"])
                continue
            command = [sys.executable, __file__, "--child", name, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            report["engines"].append(json.loads(done.stdout.splitlines()[-1]))
            print(report["engines"][-1], flush=True)
    path = RESULTS / f"topics-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(ROOT)}")


def read(data: Path) -> list[tuple[str, str, str]]:
    """Domain, id and text of all documents."""
    found = []
    with gzip.open(data / "knowledge_columns" / "columns.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            column = json.loads(line)
            texts = (column.get(name) for name in ("title", "description", "sample_text"))
            found.append(("knowledge", column["columnid"], "\n".join(filter(None, texts))))
    content = gzip.decompress((data / "reviews_labelled" / "shop_reviews.csv.gz").read_bytes()).decode("utf-8-sig")
    reviews = csv.DictReader(io.StringIO(content))
    return found + [("beauty", f"r{number:05}", row["review"]) for number, row in enumerate(reviews)]


def reference_words(documents: list[tuple[str, str, str]]) -> dict[str, list[list[str]]]:
    """Words of the texts to train on and of those held out, without the too rare and the too common."""
    import jieba

    jieba.setLogLevel(60)
    words = [[word for word in jieba.lcut(text) if len(word.strip()) > 1] for _, _, text in documents]
    order = np.random.default_rng(0).permutation(len(words))
    held, train = ([words[row] for row in part] for part in np.split(order, [len(words) // 5]))
    items = Counter(word for text in train for word in set(text))
    kept = {word for word, count in items.items() if 5 <= count <= 0.3 * len(train)}
    return {
        name: [[w for w in text if w in kept] for text in part] for name, part in (("train", train), ("held", held))
    }


def measure(name: str, path: Path) -> dict[str, Any]:
    """Trains an engine with several seeds and says what its topics are worth."""
    from gensim.corpora import Dictionary
    from gensim.models.coherencemodel import CoherenceModel

    from crossdomain.content.choosing import agreement
    from crossdomain.content.coherence import c_v, npmi
    from crossdomain.content.reading import Texts

    given = pickle.loads(path.read_bytes())  # noqa: S301 - written by the parent
    train, held = Texts.of(given["train"]), Texts.of(given["held"])
    seconds: list[float] = []
    models: list[list[list[str]]] = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in SEEDS:
        began = time.perf_counter()
        models.append(ENGINES[name](given["train"], seed))
        seconds.append(time.perf_counter() - began)
        if len(seconds) == 2 and seconds[0] > _STOP_AFTER:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = [agreement(a, b) for n, a in enumerate(models) for b in models[:n]]
    gensims = CoherenceModel(
        topics=models[0], texts=given["train"], dictionary=Dictionary(given["train"]), coherence="c_npmi", processes=1
    )
    return {
        "engine": name,
        "seeds": len(seconds),
        "seconds": round(float(np.median(seconds)), 1),
        "npmi": round(float(np.mean([npmi(words, train).mean() for words in models])), 4),
        "npmi_by_gensim": round(float(gensims.get_coherence()), 4),
        "npmi_held_out": round(float(np.mean([npmi(words, held).mean() for words in models])), 4),
        "c_v": round(float(np.mean([c_v(words, train).mean() for words in models])), 4),
        "c_v_held_out": round(float(np.mean([c_v(words, held).mean() for words in models])), 4),
        "stability": round(float(np.mean(pairs)), 4),
        "added_mib": round((peak - before) / 1024),
    }


def table(texts: list[list[str]], domains: list[str] | None = None) -> pa.Table:
    return pa.table(
        {
            "domain": domains or ["all"] * len(texts),
            "item_id": [f"{number:07}" for number in range(len(texts))],
            "tokens": pa.array(texts, pa.list_(pa.string())),
        }
    )


def ours(engine: str, **choices: Any) -> Callable[[list[list[str]], int], list[list[str]]]:
    def train(texts: list[list[str]], seed: int) -> list[list[str]]:
        from crossdomain.content.documents import term_matrix, texts_of
        from crossdomain.content.settings import TopicSettings
        from crossdomain.content.training import train_topics

        rows = table(texts)
        settings = TopicSettings(topic_engine=engine, seed=seed, **choices)
        model = train_topics(term_matrix(rows), texts_of(rows), settings, topics=TOPICS)
        return model.words(10) if model else []

    return train


def tomotopy_plain(texts: list[list[str]], seed: int) -> list[list[str]]:
    import tomotopy

    lda = tomotopy.LDAModel(k=TOPICS, seed=seed)
    for text in texts:
        if text:
            lda.add_doc(text)
    lda.train(200, workers=2, parallel=tomotopy.ParallelScheme.PARTITION)
    return [[word for word, _ in lda.get_topic_words(topic, top_n=10)] for topic in range(TOPICS)]


def gensim_plain(texts: list[list[str]], seed: int) -> list[list[str]]:
    from gensim.corpora import Dictionary
    from gensim.models import LdaMulticore

    words = Dictionary(texts)
    corpus = [words.doc2bow(text) for text in texts]
    lda = LdaMulticore(corpus, num_topics=TOPICS, id2word=words, passes=10, workers=2, random_state=seed)
    return [[word for word, _ in lda.show_topic(topic, 10)] for topic in range(TOPICS)]


def gensim_learned(texts: list[list[str]], seed: int) -> list[list[str]]:
    from gensim.corpora import Dictionary
    from gensim.models import LdaModel

    words = Dictionary(texts)
    corpus = [words.doc2bow(text) for text in texts]
    lda = LdaModel(
        corpus,
        num_topics=TOPICS,
        id2word=words,
        passes=20,
        alpha="auto",
        eta="auto",
        random_state=seed,
        eval_every=None,
    )  # fmt: skip
    return [[word for word, _ in lda.show_topic(topic, 10)] for topic in range(TOPICS)]


def sklearn_online(texts: list[list[str]], seed: int) -> list[list[str]]:
    from sklearn.decomposition import LatentDirichletAllocation
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(analyzer=lambda text: text)
    counts = vectorizer.fit_transform(texts)
    lda = LatentDirichletAllocation(TOPICS, learning_method="online", random_state=seed, n_jobs=2).fit(counts)
    words = vectorizer.get_feature_names_out()
    return [[words[place] for place in np.argsort(-row)[:10]] for row in lda.components_]


ENGINES: dict[str, Callable[[list[list[str]], int], list[list[str]]]] = {
    "platform": ours("tomotopy"),
    "platform, all words": ours("tomotopy", min_share=0.0),
    "platform, gensim": ours("gensim"),
    "tomotopy 200 iterations": tomotopy_plain,
    "gensim multicore 10 passes": gensim_plain,
    "gensim learned priors 20 passes": gensim_learned,
    "scikit-learn online": sklearn_online,
}


def growth(documents: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Seconds of each stage at 1, 4 and 16 times as many documents, and the exponent of a power of their number.

    The documents are the corpus in parts: a sixteenth, a quarter, all.
    """
    from crossdomain.content.documents import term_matrix, texts_of
    from crossdomain.content.settings import TopicSettings
    from crossdomain.content.topics import item_topics
    from crossdomain.content.training import train_topics
    from crossdomain.settings import Settings
    from crossdomain.text.tokens import make_tokenizer, word_lists

    tokenizer = make_tokenizer(**word_lists(Settings().include / "text"))
    tokenizer.tokens("第一次")
    order = np.random.default_rng(1).permutation(len(documents))
    sizes: list[int] = []
    seconds: dict[str, list[float]] = {"tokens": [], "matrix": [], "training": [], "fold_in": []}
    whole: Any = None  # new items are read by a model that is there: the same one for all sizes
    for part in (1, 4, 16):
        chosen = [documents[row] for row in order[: len(order) // part]]
        sizes.append(len(chosen))
        marks = [time.perf_counter()]
        texts = [tokenizer.tokens(text) for _, _, text in chosen]
        marks.append(time.perf_counter())
        rows = table(texts, [domain for domain, _, _ in chosen])
        terms, read_texts = term_matrix(rows), texts_of(rows)
        marks.append(time.perf_counter())
        model = train_topics(terms, read_texts, TopicSettings(), topics=TOPICS)
        marks.append(time.perf_counter())
        whole = whole or model
        item_topics(whole, terms)
        marks.append(time.perf_counter())
        for name, value in zip(seconds, np.diff(marks), strict=True):
            seconds[name].append(round(float(value), 3))
    exponents = {
        name: round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 2) for name, values in seconds.items()
    }
    return {"documents": sizes, "seconds": seconds, "exponents": exponents}


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
