"""Pairs of account and item as the log that the candidate sources learn from."""

from __future__ import annotations

import numpy as np

from crossdomain.recommend.interactions import Bools, Ints, Items, Pairs, People, evidence_of
from crossdomain.recommend.offline.log import Log, Names
from crossdomain.recommend.settings import RecommendSettings


def names_of(people: People, items: Items) -> Names:
    """The units of people and the items of a run; an item has the same position as in ``items``."""
    return Names(
        users=people.unit_keys,
        domains=items.domains,
        item_ids=items.item_id,
        item_domain=items.domain.astype(np.int32),
        item_group=np.full(len(items), -1, dtype=np.int32),
    )


def log_of(pairs: Pairs, people: People, names: Names, settings: RecommendSettings) -> Log:
    """Consented evidence of taste as a log of units: one interaction a pair, at its last positive event.

    Weights are not decayed: the sources decide how much what is old counts. Caps are those of ``interactions.taste``.
    """
    kept, _ = evidence_of(pairs, people.personalisation[pairs.account], settings)
    weight = np.minimum(pairs.strength[kept], settings.pair_cap)
    user, item, ts = people.unit[pairs.account[kept]], pairs.item[kept], pairs.last_at[kept]
    order = np.lexsort((item, ts, user))
    return Log(
        names,
        user[order].astype(np.int32),
        item[order].astype(np.int32),
        ts[order],
        np.maximum(weight[order], np.finfo(np.float32).tiny).astype(np.float32),
        timed=True,
    )


def without(log: Log, units: Ints, domain: int) -> Log:
    """The log without what some units did in a domain."""
    hidden: Bools = np.zeros(len(log.names.users), dtype=bool)
    hidden[units] = True
    return log.where(~(hidden[log.user] & (log.domain == domain)))


def within(log: Log, domain: int) -> Log:
    """What was done in a domain only."""
    return log.where(log.domain == domain)
