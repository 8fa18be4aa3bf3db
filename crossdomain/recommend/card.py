"""The model card: what a model was made from, how it is used, what it reached and where it fails, in Markdown.

What is known when a model is stored lies beside it (``card.md``); what it reached is measured later and added when the
card is read (Mitchell et al., Model Cards for Model Reporting, 2019, whose sections these are).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FILE = "card.md"
_SETTINGS = (
    "factors", "regularization", "alpha", "iterations", "patience", "half_life_days", "pair_cap", "max_items",
    "popularity_power", "popularity_half_life_days", "window_days", "seed",
)  # fmt: skip
_METRICS = ("hr@10", "recall@20", "ndcg@10")


def describe(metadata: Mapping[str, Any]) -> str:
    """The card of a model from its metadata, without results."""
    first, second = metadata["domains"]
    settings = metadata["settings"]
    ranks = metadata["model"] == "ranker"
    return "\n".join(
        [
            f"# Model card: {metadata['model']}, trained to {metadata['trained_to']}",
            "",
            "## Model",
            "",
            *(_ranker(metadata) if ranks else [_ALS]),
            "",
            f"- Libraries: {_listed(dict(sorted(metadata['libraries'].items())))}; device {metadata['device']}.",
            f"- Settings: {_listed({name: settings[name] for name in _SETTINGS if name in settings})}.",
            "",
            "## Intended use",
            "",
            f"Recommending items of {first} to people known in {second}, and the other way round, to people who grant "
            "`cross_domain` and `personalisation`; others are shown what is popular. Not for prices, credit, or "
            "anything that decides about a person.",
            "",
            "## Training data",
            "",
            f"- Events from {metadata['window_from']} to {metadata['trained_to']}; the twin that is measured to "
            f"{metadata['twin_trained_to']}.",
            f"- {metadata['people']:,} people, {metadata['items']:,} items, {metadata['pairs']:,} pairs of both.",
            "- Consented events only; refunds, hides, dislikes, complaints and low ratings take evidence back; bots "
            f"and bulk buyers are capped at {settings['max_items']} items an account.",
            "",
            "## Limits",
            "",
            "- Items that nobody met are not recommended by the model.",
            "- It recommends what is new to the person: what was met within the window is not shown again."
            if ranks
            else "- What is popular is recommended more: scores carry popularity to the power "
            f"{settings['popularity_power']}.",
            "- Tests are on what people met by themselves or were shown: they favour what was shown.",
            "",
        ]
    )


_ALS = (
    "Confidence-weighted alternating least squares over the items of both domains (Hu, Koren, Volinsky, 2008). "
    "It holds item factors only: people are folded in from their history when they are scored."
)


def _ranker(metadata: Mapping[str, Any]) -> list[str]:
    answers = ", ".join(f"{name} by {what}" for name, what in sorted(metadata["gates"].items()))
    return [
        f"Gradient-boosted trees ({metadata['trees']}; LambdaMART, Burges, 2010) over the scores of several sources, "
        "what is known of the item and of the person, labelled with what people met next. It holds nothing of a "
        "person: the sources learn from the day's behaviour whenever it is used.",
        "",
        f"- Sources: {', '.join(metadata['sources'])}.",
        f"- Who answers: {answers}. A single source answers where the trees were not better on validation.",
    ]


def results(
    version: str,
    metrics: Iterable[Mapping[str, Any]],
    champions: Iterable[Mapping[str, Any]],
    transfer: Iterable[Mapping[str, Any]],
    drift: Iterable[Mapping[str, Any]] = (),
) -> str:
    """What a version reached, what was decided, and how far things moved, from rows of the serving tables of a day.

    Of drift the version's own is said, and that of the domains it is champion of.
    """
    rows = list(metrics)
    others = [row for row in rows if row["model_version"] != version]
    measured = [row for row in rows if row["model_version"] == version and row["metric"] in _METRICS and row["n"]]
    table = [
        (row["direction"], row["segment"], row["model"], row["metric"], f"{row['n']:,}", _span(row), _difference(row))
        for row in measured
    ]
    own = [row for row in champions if row["model_version"] == version]
    decided = [(row["target_domain"], row["decision"], row["reason"]) for row in own]
    targets = {row["target_domain"] for row in own}
    moved = [
        (row["target_domain"], row["segment"], row["source"], row["measure"], _number(row["value"]),
         _number(row["before"]), _number(row["drift"]), f"{row['threshold']:g}", row["status"])
        for row in drift if row["target_domain"] in targets
    ]  # fmt: skip
    helped = [
        (row["direction"], row["segment"], row["verdict"], row["serves"], row["reason"])
        for row in transfer
        if row["model_version"] == version
    ]
    names = sorted({row["model"] for row in others})
    return "\n".join(
        [
            "## Results",
            "",
            "On the last days, which the measured twin did not see; measured beside it: "
            f"{', '.join(names) or 'nothing'}. Intervals at 95 %; the difference is to decayed popularity on the same "
            "people.",
            "",
            *_table(("direction", "segment", "model", "metric", "people", "value", "difference"), table),
            "",
            "## Decisions",
            "",
            *_table(("target", "decision", "why"), decided),
            "",
            *_table(("direction", "segment", "does the other side help?", "shown", "why"), helped),
            "",
            "## Drift since the day before",
            "",
            *_table(
                ("target", "segment", "source", "measure", "now", "before", "drift", "alarm above", "status"), moved
            ),
            "",
        ]
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _span(row: Mapping[str, Any]) -> str:
    ends = "" if row["low"] is None else f" ({row['low']:.4f} to {row['high']:.4f})"
    return f"{row['value']:.4f}{ends}"


def _difference(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return ""
    return f"{row['difference']:+.4f} ({row['difference_low']:+.4f} to {row['difference_high']:+.4f})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["None."]
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
