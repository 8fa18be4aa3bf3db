"""What was planted in a world, as the tables and the description that `truth/` keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossdomain.demo import campaigns, contacts
from crossdomain.demo.catalogue import Catalogue
from crossdomain.demo.clock import Calendar, local_text, stream
from crossdomain.demo.dirt import MEANING, NOT_CLEAN, RATES
from crossdomain.demo.experiment import EXPERIMENT_ID, PLACEMENT, VARIANTS, BannerTest
from crossdomain.demo.people import LINK_KINDS, PURPOSES, Accounts, ConsentBook, People
from crossdomain.demo.rows import CAMPAIGN_ID
from crossdomain.demo.topics import (
    BEAUTY,
    DOMAINS,
    KNOWLEDGE,
    TOPIC_KEYS,
    TOPICS,
    carry_over_matrix,
    shared_topics,
    topics_of,
)

HELD_OUT = 10
"""Items a one-sided person would take on the other side."""

_NEVER = np.iinfo(np.int64).max


def description(test: BannerTest, calendar: Calendar, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What `truth/world.json` says: the parameters given, then the planted numbers."""
    past = {
        arm: dict(zip(("click", "enrolment", "payment"), rates, strict=True))
        for arm, rates in campaigns.PAST_RATES.items()
    }
    return {
        **parameters,
        "history_days": calendar.history_days,
        "delivery_days": [day.isoformat() for day in calendar.delivery_days],
        "knowledge_topics": [TOPIC_KEYS[number] for number in topics_of(KNOWLEDGE)],
        "beauty_topics": [TOPIC_KEYS[number] for number in topics_of(BEAUTY)],
        "shared_topics": [TOPIC_KEYS[number] for number in shared_topics()],
        "topics": [{"key": topic.key, "name": topic.name, "words": list(topic.words)} for topic in TOPICS],
        "carry_over": carry_over_matrix().tolist(),
        "experiment": _experiment(test, calendar),
        "past_experiment": {"experiment_id": campaigns.PAST_EXPERIMENT_ID, "rates": past},
        "campaign_id": CAMPAIGN_ID,
        "dirt_rates": RATES,
        "dirt_meaning": MEANING,
        "not_clean": list(NOT_CLEAN),
        "contact_share": contacts.SHARE,
    }


def _experiment(test: BannerTest, calendar: Calendar) -> dict[str, Any]:
    last = test.truth[-1]
    return {
        "experiment_id": EXPERIMENT_ID,
        "variants": list(VARIANTS),
        "weights": [0.5, 0.5],
        "unit_type": "account",
        "assigned_by": "SHA-256 of '<experiment_id>:<domain>:<user_id>', first byte even: control, odd: treatment",
        "placement": PLACEMENT,
        "start": calendar.start.isoformat(),
        "end": calendar.last.isoformat(),
        "lift": test.lift,
        "outcome": "at least one purchase by the account on the knowledge side after its first exposure",
        "control_rate": last.control_rate,
        "treatment_rate": last.treatment_rate,
        "difference": last.difference,
    }


def experiment_truth(test: BannerTest) -> pa.Table:
    """The truth of the experiment, a row a day."""
    return pa.Table.from_pylist([{**asdict(row), "day": row.day.isoformat()} for row in test.truth])


def item_truth(catalogues: Iterable[Catalogue]) -> pa.Table:
    """Every item with its topic, popularity within it, first price in yuan and quality."""
    return pa.concat_tables([_items_of(catalogue) for catalogue in catalogues])


def _items_of(catalogue: Catalogue) -> pa.Table:
    keys = pa.array([TOPIC_KEYS[number] for number in topics_of(catalogue.domain)])
    return pa.table(
        {
            "domain": pa.array([catalogue.domain] * len(catalogue)),
            "item_id": catalogue.ids,
            "topic": keys.take(pa.array(catalogue.topic)),
            "weight": catalogue.weight,
            "price": catalogue.price / 100,
            "quality": catalogue.quality,
        }
    )


def bundle_truth(items: pa.Table) -> pa.Table:
    """The items of the topics that both domains sell, by topic, domain and item."""
    shared = pa.array([TOPIC_KEYS[number] for number in shared_topics()])
    chosen = items.filter(pc.is_in(items["topic"], value_set=shared)).select(["topic", "domain", "item_id", "weight"])
    return chosen.sort_by([(name, "ascending") for name in ("topic", "domain", "item_id")])


def people_truth(people: People) -> pa.Table:
    """Every person with accounts, link and tastes on both sides."""
    ids = {}
    for domain in DOMAINS:
        place = people.account_of[domain]
        ids[domain] = people.accounts[domain].user_ids.take(pa.array(np.maximum(place, 0), mask=place < 0))
    linked = pa.array(people.linked >= 0)
    return pa.table(
        {
            "person": pa.array(np.arange(len(people))),
            "knowledge_user_id": ids[KNOWLEDGE],
            "beauty_user_id": ids[BEAUTY],
            "link": pa.array(LINK_KINDS).take(pa.array(people.link)),
            "linked_at": pc.if_else(linked, local_text(np.maximum(people.linked, 0)), pa.scalar(None, pa.string())),
            "knowledge_taste": pa.array(list(people.taste[KNOWLEDGE])),
            "beauty_taste": pa.array(list(people.taste[BEAUTY])),
        }
    )


def held_out_truth(people: People, catalogues: Mapping[str, Catalogue], *, seed: int) -> pa.Table:
    """Ten items that one-sided people would take on the other side: by taste, then by popularity, with repetition."""
    parts = []
    for known, target in ((KNOWLEDGE, BEAUTY), (BEAUTY, KNOWLEDGE)):
        person = np.flatnonzero((people.account_of[known] >= 0) & (people.account_of[target] < 0))
        chosen = _would_take(people.taste[target][person], catalogues[target], stream(seed, f"held-out-{target}"))
        account = np.repeat(people.account_of[known][person], HELD_OUT)
        parts.append(
            pa.table(
                {
                    "person": pa.array(np.repeat(person, HELD_OUT)),
                    "known_domain": pa.array([known] * len(account), pa.string()),
                    "user_id": people.accounts[known].user_ids.take(pa.array(account)),
                    "target_domain": pa.array([target] * len(account), pa.string()),
                    "item_id": catalogues[target].ids.take(pa.array(chosen.ravel())),
                    "place": pa.array(np.tile(np.arange(1, HELD_OUT + 1), len(person))),
                }
            )
        )
    return pa.concat_tables(parts)


def _would_take(taste: np.ndarray, catalogue: Catalogue, rng: np.random.Generator) -> np.ndarray:
    """Item numbers of shape (people, HELD_OUT)."""
    order = np.argsort(catalogue.topic, kind="stable")
    running = np.cumsum(catalogue.weight[order])
    ends = np.searchsorted(catalogue.topic[order], np.arange(taste.shape[1] + 1))
    low = np.concatenate([[0.0], running])[ends]
    steps = np.cumsum(taste, axis=1)
    topic = (rng.random((len(taste), HELD_OUT, 1)) >= steps[:, None, :-1]).sum(axis=2)
    aim = low[topic] + rng.random(topic.shape) * (low[topic + 1] - low[topic])
    place = np.searchsorted(running, aim, side="right")
    return np.asarray(order[np.clip(place, ends[topic], ends[topic + 1] - 1)])


def withdrawal_truth(people: People, consents: Mapping[str, ConsentBook]) -> pa.Table:
    """Every withdrawn consent, with the delivery that brings it."""
    parts = []
    for domain, book in consents.items():
        account, purpose = np.nonzero(book.withdrawn < _NEVER)
        named = _named(people.accounts[domain], account, "withdrawn_at", book.withdrawn[account, purpose])
        parts.append(named.append_column("purpose", pa.array(PURPOSES).take(pa.array(purpose))))
    return pa.concat_tables(parts)


def erasure_truth(people: People) -> pa.Table:
    """Every erasure request, with the delivery that brings it."""
    parts = []
    for accounts in people.accounts.values():
        account = np.flatnonzero(accounts.erased < _NEVER)
        parts.append(_named(accounts, account, "requested_at", accounts.erased[account]))
    return pa.concat_tables(parts)


def _named(accounts: Accounts, account: np.ndarray, moment: str, seconds: np.ndarray) -> pa.Table:
    when = local_text(seconds)
    return pa.table(
        {
            "domain": pa.array([accounts.domain] * len(account), pa.string()),
            "user_id": accounts.user_ids.take(pa.array(account)),
            moment: when,
            "delivery_day": pc.utf8_slice_codeunits(when, 0, 10),
        }
    )


def counted(counts: Mapping[tuple[Any, ...], int], names: tuple[str, ...]) -> pa.Table:
    """Counts as a table in the order of their keys; days as ISO text; zeros are left out."""
    ordered = sorted(([str(part) for part in key], rows) for key, rows in counts.items() if rows)
    columns: dict[str, Any] = {
        name: pa.array([key[place] for key, _ in ordered], pa.string()) for place, name in enumerate(names)
    }
    columns["rows"] = pa.array([rows for _, rows in ordered], pa.int64())
    return pa.table(columns)
