"""What the look of a list as a whole depends on: topics and age of items, and what people were shown before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from crossdomain.jobs.behaviour import Histories
from crossdomain.jobs.model import Input, JobContext
from crossdomain.recommend.settings import RecommendSettings

if TYPE_CHECKING:
    import scipy.sparse as sp

    from crossdomain.recommend.interactions import Floats, Ints, Items
    from crossdomain.recommend.reranking.diversity import Vectors

_LISTS = "serving.recommendations"
_TOPICS = "serving.item_topics"
_GREATEST = f"""
SELECT domain, item_id, arg_max(topic, {{'weight': weight, 'first': -topic}}) AS topic
FROM {_TOPICS} GROUP BY domain, item_id ORDER BY domain, item_id
"""  # noqa: S608 - our own name
_MIXTURES = f"""
SELECT domain, item_id, topic, weight FROM {_TOPICS} ORDER BY domain, item_id, topic
"""  # noqa: S608 - our own name
_AGES = """
SELECT domain, item_id,
  greatest(date_diff('day', coalesce(CAST(timezone($tz, listed_at) AS DATE), first_ds), $ds), 0) AS age
FROM derived.catalogue ORDER BY domain, item_id
"""
_SHOWN = f"""
CREATE OR REPLACE TEMP TABLE shown AS
SELECT p.code AS person, i.code AS item
FROM {_LISTS} AS r JOIN shown_people AS p ON p.person = r.person
JOIN shown_items AS i ON i.domain = r.target_domain AND i.item_id = r.item_id
WHERE r.source <> 'unpersonalised'
GROUP BY ALL HAVING count(DISTINCT r.ds) = $days ORDER BY person, item
"""  # noqa: S608 - our own name


def list_inputs() -> tuple[Input, ...]:
    """What is read of the days before, where settings ask for it: a list waits for no other job of its own day."""
    days = RecommendSettings.from_env().repeat_days
    return (
        Input(table=_TOPICS, optional=True, before=True, when=lambda _: _reads_topics(RecommendSettings.from_env())),
        Input(table=_LISTS, days=max(days, 1), optional=True, before=True, when=lambda _: bool(days)),
    )


def _reads_topics(settings: RecommendSettings) -> bool:
    return bool(settings.topic_cap) or settings.mmr_lambda < 1


def greatest_topics(ctx: JobContext, items: Items) -> Ints:
    """The topic with the greatest weight of each item, of equal ones the first; -1 where none is known."""
    import numpy as np

    rows = ctx.con.sql(_GREATEST).to_arrow_table().combine_chunks()
    found = np.full(len(items), -1, dtype=np.int64)
    names = [rows[name].cast(pa.string()).combine_chunks() for name in ("domain", "item_id")]
    place = items.codes(*names)
    found[place[place >= 0]] = rows["topic"].to_numpy()[place >= 0]
    return found


def topic_mixtures(ctx: JobContext, items: Items) -> Vectors:
    """Vectors of items whose products are their similarities by topics."""
    from crossdomain.recommend.reranking.diversity import mixture_vectors

    rows = ctx.con.sql(_MIXTURES).to_arrow_table().combine_chunks()
    place = items.codes(*(rows[name].cast(pa.string()).combine_chunks() for name in ("domain", "item_id")))
    here = place >= 0
    topic, weight = rows["topic"].to_numpy()[here], rows["weight"].to_numpy()[here]
    return mixture_vectors(place[here], topic, weight, len(items))


def freshness(ctx: JobContext, items: Items, settings: RecommendSettings) -> Floats:
    """What the scores of items are multiplied by for their age: since they were listed, or first seen."""
    import numpy as np

    from crossdomain.recommend.reranking.freshness import fresh_factors

    values = {"tz": ctx.settings.tz, "ds": ctx.ds}
    rows = ctx.con.sql(_AGES, params=values).to_arrow_table().combine_chunks()
    place = items.codes(*(rows[name].cast(pa.string()).combine_chunks() for name in ("domain", "item_id")))
    age = np.full(len(items), -1, dtype=np.int64)
    age[place[place >= 0]] = rows["age"].to_numpy()[place >= 0]
    return fresh_factors(age, settings.fresh_boost, settings.fresh_half_life_days)


@dataclass(frozen=True)
class ShownLists:
    """Items that persons were shown on each of the last days, in a temporary table, by person.

    Attributes:
        ctx: The job's context.
        items: How many items there are.
    """

    ctx: JobContext
    items: int

    def of(self, persons: slice) -> sp.csr_matrix:
        """Persons × items; a stored cell is an item that was in the person's list on each of the days."""
        import numpy as np
        import scipy.sparse as sp

        values = {"first": persons.start, "last": persons.stop}
        rows = self.ctx.con.sql(
            "SELECT person - $first AS person, item FROM shown WHERE person >= $first AND person < $last ORDER BY ALL",
            params=values,
        ).to_arrow_table()
        place = (rows["person"].to_numpy(), rows["item"].to_numpy())
        shape = (persons.stop - persons.start, self.items)
        return sp.csr_matrix((np.ones(len(rows), dtype=np.float32), place), shape=shape)


def read_shown(ctx: JobContext, histories: Histories, days: int) -> ShownLists:
    """Folds the personal lists of the days before into a temporary table."""
    import numpy as np

    person = histories.people.person
    ctx.con.register("shown_people", pa.table({"person": person, "code": np.arange(len(person))}))
    ctx.con.register("shown_items", histories.items.codes_table())
    ctx.con.execute(_SHOWN, {"days": days})
    for name in ("shown_people", "shown_items"):
        ctx.con.unregister(name)
    return ShownLists(ctx, len(histories.items))
