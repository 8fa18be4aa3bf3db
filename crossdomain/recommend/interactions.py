"""Events become weighted pairs of account and item, and pairs become sparse matrices.

A *unit* is whose taste a row of a matrix describes: the person where all its accounts grant
``cross_domain``, else each account on its own, so that no pair crosses the domains without consent.
Only accounts that grant ``personalisation`` give evidence of taste; popularity counts everybody. What
somebody owns or rejected is not recommended to that person; whoever refuses personal recommendations is shown what
everybody is shown, so that nothing of their behaviour is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from crossdomain.errors import InputError
from crossdomain.recommend.holdings import REJECTS, Held
from crossdomain.recommend.settings import RATING_WEIGHTS, RecommendSettings

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PRODUCTS = """
  SELECT domain, item_id, first_value(item_id) OVER (
    PARTITION BY domain, group_id ORDER BY status = 'off', item_id
  ) AS product
  FROM derived.duplicate_items JOIN derived.catalogue USING (domain, item_id)
"""
"""SQL of the items that are one product with others of their domain, and the item that stands for them."""
CATALOGUE_SQL = f"""
SELECT domain, item_id, status, creator FROM derived.catalogue LEFT JOIN ({PRODUCTS}) USING (domain, item_id)
WHERE coalesce(product = item_id, true) ORDER BY domain, item_id
"""  # noqa: S608 - our own text
"""SQL of the items that may be recommended, one of each product: domain, item_id, status, creator."""
_SEPARATOR = "\x1f"


def people_sql(withdrawn: str) -> str:
    """SQL of the accounts that may be processed, in their order: account, domain, person and the consents that hold.

    Args:
        withdrawn: SQL of (account, purposes), one row per account: consents that were withdrawn, if need be after
            ``derived.people`` of the day was built.
    """
    return f"""
SELECT account, domain, person,
  personalisation AND NOT list_contains(coalesce(purposes, []), 'personalisation') AS personalisation,
  cross_domain AND NOT list_contains(coalesce(purposes, []), 'cross_domain') AS cross_domain
FROM derived.people LEFT JOIN ({withdrawn}) USING (account) ORDER BY account
"""  # noqa: S608 - our own text


def pairs_sql(settings: RecommendSettings) -> str:
    """SQL that folds ``clean.events`` to one row per account and item, in that order.

    Parameters to bind: ``first`` and ``last`` (business days, both included; ages count back from
    ``last``) and ``tz``, the business time zone: an event counts on the day of its time, since the opening
    partition holds all history. Columns: account, domain, item_id, weight (decayed sum; DECIMAL, so that the
    sum does not depend on the order of the rows), last_age (days since the last positive event, null without
    one). A rejection takes back evidence of the same instant or before; only accounts in ``derived.people``
    count. Items that are one product (``derived.duplicate_items``) count as one: what somebody has met under
    another id is not new to them.
    """
    weights = " ".join(f"WHEN '{name}' THEN {weight!r}" for name, weight in sorted(settings.weights.items()))
    lowest = RATING_WEIGHTS[-1][1]
    ratings = " ".join(f"WHEN value >= {least!r} THEN {weight!r}" for least, weight in RATING_WEIGHTS)
    decay = f"pow(0.5, age / {settings.half_life_days!r})" if settings.half_life_days else "1.0"
    return f"""
WITH signals AS (
  SELECT account, domain, item_id, event_type, ts, date_diff('day', day, $last) AS age,
    CASE WHEN event_type = 'rating'
      THEN CASE WHEN value IS NULL THEN {lowest!r} {ratings} ELSE 0 END
      ELSE CASE event_type {weights} ELSE 0 END
    END::DOUBLE AS strength,
    {REJECTS} AS rejects
  FROM (
    SELECT e.* REPLACE (coalesce(product, item_id) AS item_id), CAST(timezone($tz, ts) AS DATE) AS day
    FROM clean.events e LEFT JOIN ({PRODUCTS}) USING (domain, item_id)
  )
  WHERE day BETWEEN $first AND $last AND item_id IS NOT NULL
    AND account IN (SELECT account FROM derived.people)
),
rejections AS (
  SELECT account, domain, item_id, max(ts) AS rejected_at FROM signals WHERE rejects GROUP BY ALL
),
standing AS (
  SELECT s.account, s.domain, s.item_id, s.age, s.strength,
    s.strength > 0 AND (r.rejected_at IS NULL OR s.ts > r.rejected_at) AS counts
  FROM signals s LEFT JOIN rejections r USING (account, domain, item_id)
  WHERE s.strength > 0 OR s.rejects
)
SELECT account, domain, item_id,
  coalesce(sum(CASE WHEN counts THEN (strength * {decay})::DECIMAL(18, 9) END), 0)::DOUBLE AS weight,
  (min(age) FILTER (WHERE counts))::INTEGER AS last_age
FROM standing GROUP BY account, domain, item_id ORDER BY account, domain, item_id
"""  # noqa: S608 - every value pasted is a constant or a checked number of the settings


@dataclass(frozen=True)
class Items:
    """All items of a run: those of the catalogue and those of the events, by domain, then item_id.

    Attributes:
        domains: The two domains, in the order of the settings.
        domain: Index into ``domains`` of each item, ascending.
        item_id: Item ids; within a domain in byte order, which is the tie-break of every ranking.
        on_sale: Whether the item may be recommended.
        creator: A number for each item's creator (lecturer or brand of its domain); -1 where none is known. None
            without a catalogue.
    """

    domains: tuple[str, str]
    domain: Ints
    item_id: pa.Array
    on_sale: Bools
    creator: Ints | None = None

    def __len__(self) -> int:
        return len(self.domain)

    @cached_property
    def keys(self) -> pa.Array:
        """One string per item that holds domain and id."""
        return _keys(pa.array(self.domains, pa.string()).take(pa.array(self.domain)), self.item_id)

    def span(self, domain: int) -> slice:
        """Where the items of a domain lie."""
        return slice(*(int(x) for x in np.searchsorted(self.domain, [domain, domain + 1])))

    def codes_table(self) -> pa.Table:
        """The items and their positions: domain, item_id, code."""
        domain = pa.array(self.domains, pa.string()).take(pa.array(self.domain))
        return pa.table({"domain": domain, "item_id": self.item_id, "code": np.arange(len(self))})

    def codes(self, domain: pa.Array, item_id: pa.Array) -> Ints:
        """Positions of items; -1 for those that are not here."""
        return _positions(_keys(domain, item_id), self.keys)


@dataclass(frozen=True)
class People:
    """Accounts and persons that may be processed.

    Attributes:
        account: Account keys, ascending.
        account_domain: Index of each account's domain.
        account_person: Index of each account's person.
        personalisation: Whether the account's behaviour may be used.
        person: Person keys, ascending.
        joined: Per person, whether all its accounts grant ``cross_domain``.
    """

    account: pa.Array
    account_domain: Ints
    account_person: Ints
    personalisation: Bools
    person: pa.Array
    joined: Bools

    @cached_property
    def unit(self) -> Ints:
        """Unit of each account: its person's index, or the number of persons plus its own index."""
        own = len(self.person) + np.arange(len(self.account))
        return np.where(self.joined[self.account_person], self.account_person, own)

    def codes_table(self) -> pa.Table:
        """The accounts, their positions and those of their persons: account, code, person."""
        return pa.table({"account": self.account, "code": np.arange(len(self.account)), "person": self.account_person})

    @property
    def units(self) -> int:
        """Exclusive upper bound of ``unit``."""
        return len(self.person) + len(self.account)

    @cached_property
    def unit_keys(self) -> pa.Array:
        """Key of each possible unit."""
        return pa.concat_arrays([self.person, self.account])

    def known_in(self, domain: int) -> Bools:
        """Per person, whether one of its accounts lives in the domain."""
        return self._any(self.account_domain == domain)

    def may_reach(self, target: int) -> Bools:
        """Per person, whether it may be recommended the target domain's items.

        The person is known outside the target, and all its accounts grant ``cross_domain``.
        """
        return self.joined & self.known_in(1 - target)

    def may_personalise(self, target: int) -> Bools:
        """Per person, whether the target domain's recommendations may use its behaviour elsewhere.

        They may reach the person, and no account withholds ``personalisation``: who refuses on one side is not shown
        personal recommendations there by way of the other.
        """
        return self.may_reach(target) & ~self._any(~self.personalisation)

    def _any(self, accounts: Bools) -> Bools:
        found = np.zeros(len(self.person), dtype=bool)
        found[self.account_person[accounts]] = True
        return found


@dataclass(frozen=True)
class Pairs:
    """Accounts and items that met, ordered by account, then item.

    Attributes:
        account: Index into ``People.account``.
        item: Index into ``Items``.
        weight: Decayed sum of event weights; 0 where a rejection took all back, or where it is very old.
        last_age: Days since the last positive event; -1 without one.
    """

    account: Ints
    item: Ints
    weight: Floats
    last_age: Ints

    def __len__(self) -> int:
        return len(self.account)

    @property
    def positive(self) -> Bools:
        """Whether there is evidence of taste, however old; the weight of old evidence may round to 0."""
        return self.last_age >= 0


def read_people(rows: pa.Table, domains: tuple[str, str]) -> People:
    """People from the rows of ``people_sql``.

    Raises:
        InputError: An account lives in a domain that the settings do not name.
    """
    account = _binary(rows["account"])
    person = _binary(rows["person"])
    distinct = person.unique()
    distinct = distinct.take(pc.sort_indices(distinct))
    account_person = _positions(person, distinct)
    cross = _bools(rows["cross_domain"])
    joined = np.ones(len(distinct), dtype=bool)
    joined[account_person[~cross]] = False
    return People(
        account=account,
        account_domain=_domain_codes(_strings(rows["domain"]), domains),
        account_person=account_person,
        personalisation=_bools(rows["personalisation"]),
        person=distinct,
        joined=joined,
    )


def read_items(pairs: Sequence[pa.Table], catalogue: pa.Table | None, domains: tuple[str, str]) -> Items:
    """Items of the rows of ``pairs_sql`` and of ``CATALOGUE_SQL``, and which are on sale.

    A domain without a single item in the catalogue (behaviour data without texts) sells all items that its
    events name; elsewhere what the catalogue does not know, or lists as off, is not on sale.

    Raises:
        InputError: An item belongs to a domain that the settings do not name.
    """
    columns = ("domain", "item_id")
    parts = [table.select(columns).cast(_ITEM_SCHEMA) for table in (*pairs, *([catalogue] if catalogue else []))]
    distinct = pa.concat_tables(parts).group_by(list(columns)).aggregate([])
    domain = _domain_codes(_strings(distinct["domain"]), domains)
    item_id = _strings(distinct["item_id"])
    order = np.lexsort((np.asarray(pc.rank(item_id, tiebreaker="dense")), domain))
    items = Items(domains, domain[order], item_id.take(pa.array(order)), np.ones(len(order), dtype=bool))
    if catalogue is None or not len(catalogue):
        return items
    listed_domain = _domain_codes(_strings(catalogue["domain"]), domains)
    on_sale = ~np.isin(items.domain, np.unique(listed_domain))
    selling = np.asarray(pc.fill_null(pc.not_equal(_strings(catalogue["status"]), "off"), True))
    listed = items.codes(_strings(catalogue["domain"]), _strings(catalogue["item_id"]))
    on_sale[listed[selling]] = True
    return Items(domains, items.domain, items.item_id, on_sale, _creators(catalogue, listed, len(items)))


def _creators(catalogue: pa.Table, listed: Ints, items: int) -> Ints:
    named = _keys(_strings(catalogue["domain"]), _strings(catalogue["creator"]))
    distinct = named.drop_null().unique()
    creator = np.full(items, -1, dtype=np.int64)
    creator[listed] = _positions(named, distinct.take(pc.sort_indices(distinct)))
    return creator


def on_sale_counts(items: Items) -> pa.Table:
    """How many items of each domain are on sale: target_domain, items; domains that sell nothing are left out."""
    counts = [int(items.on_sale[items.span(domain)].sum()) for domain in (0, 1)]
    rows = [(name, count) for name, count in zip(items.domains, counts, strict=True) if count]
    return pa.table({"target_domain": pa.array([name for name, _ in rows], pa.string()), "items": [n for _, n in rows]})


def creators_on_sale(items: Items) -> pa.Table:
    """Items on sale and their creators: target_domain, item_id, creator (a number, -1 where none is known)."""
    selling = np.flatnonzero(items.on_sale)
    creator = np.full(len(items), -1, dtype=np.int64) if items.creator is None else items.creator
    return pa.table(
        {
            "target_domain": pa.array(items.domains, pa.string()).take(pa.array(items.domain[selling])),
            "item_id": items.item_id.take(pa.array(selling)),
            "creator": creator[selling],
        }
    )


def read_pairs(rows: pa.Table, people: People, items: Items) -> Pairs:
    """Pairs from the rows of ``pairs_sql``; accounts and items must be in ``people`` and ``items``."""
    account = _positions(_binary(rows["account"]), people.account)
    item = items.codes(_strings(rows["domain"]), _strings(rows["item_id"]))
    order = np.lexsort((item, account))
    last_age = pc.fill_null(rows["last_age"].cast(pa.int64()), -1)
    return Pairs(
        account=account[order],
        item=item[order],
        weight=np.asarray(rows["weight"], dtype=np.float64)[order],
        last_age=np.asarray(last_age, dtype=np.int64)[order],
    )


def coded_pairs(rows: pa.Table) -> Pairs:
    """Pairs whose accounts and items are positions already, in their order."""
    last_age = pc.fill_null(rows["last_age"].cast(pa.int64()), -1)
    return Pairs(
        account=np.asarray(rows["account"], dtype=np.int64),
        item=np.asarray(rows["item"], dtype=np.int64),
        weight=np.asarray(rows["weight"], dtype=np.float64),
        last_age=np.asarray(last_age, dtype=np.int64),
    )


def coded_held(rows: pa.Table) -> Held:
    """What is held, of accounts and items that are positions already."""
    return Held(np.asarray(rows["account"], dtype=np.int64), np.asarray(rows["item"], dtype=np.int64))


@dataclass(frozen=True)
class Known:
    """What is known of some persons.

    Attributes:
        evidence: Confidence, persons × items: consented evidence of joined persons only.
        unwanted: Items that are owned or were ever rejected, persons × items.
    """

    evidence: sp.csr_matrix
    unwanted: sp.csr_matrix

    @classmethod
    def of(
        cls, pairs: Pairs, held: Held, people: People, items: Items, settings: RecommendSettings, persons: slice
    ) -> Known:
        """From all pairs of the persons' accounts, and all that these hold."""
        shape = (persons.stop - persons.start, len(items))
        row = people.account_person[pairs.account] - persons.start
        joined = people.joined[people.account_person[pairs.account]]
        return cls(
            evidence=_confidence(pairs, row, joined & people.personalisation[pairs.account], shape, settings),
            unwanted=_ones(people.account_person[held.account] - persons.start, held.item, shape),
        )


def taste(pairs: Pairs, people: People, items: Items, settings: RecommendSettings) -> sp.csr_matrix:
    """Confidence of units in items: ``1 + alpha * weight`` where there is evidence, nothing elsewhere.

    The weight of a pair is capped at ``pair_cap``, an account's items at the ``max_items`` heaviest (ties:
    the first items). implicit gives an observed cell the weight ``confidence - 1``, hence the 1.

    Returns:
        float32, ``people.units`` × ``len(items)``; column indices sorted.
    """
    shape = (people.units, len(items))
    return _confidence(pairs, people.unit[pairs.account], people.personalisation[pairs.account], shape, settings)


def met(
    pairs: Pairs, people: People, items: Items, *, held: Held | None = None, positive_only: bool = False
) -> sp.csr_matrix:
    """Per unit the items of its pairs (with ``positive_only`` those with evidence) and what it holds.

    Only accounts that grant ``personalisation`` count.
    """
    use = pairs.positive | (not positive_only)
    account, item = pairs.account[use], pairs.item[use]
    if held is not None:
        account, item = np.concatenate([account, held.account]), np.concatenate([item, held.item])
    told = people.personalisation[account]
    return _ones(people.unit[account[told]], item[told], (people.units, len(items)))


def hide(matrix: sp.csr_matrix, items: Items, units: Ints, domain: int) -> sp.csr_matrix:
    """A copy of a matrix of units without the given units' items of a domain."""
    hidden = np.zeros(matrix.shape[0], dtype=bool)
    hidden[units] = True
    keep = ~(np.repeat(hidden, np.diff(matrix.indptr)) & (items.domain[matrix.indices] == domain))
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[keep]
    copy = sp.csr_matrix((matrix.data[keep], (rows, matrix.indices[keep])), shape=matrix.shape)
    copy.sort_indices()
    return copy


def _confidence(
    pairs: Pairs, row: Ints, allowed: Bools, shape: tuple[int, int], settings: RecommendSettings
) -> sp.csr_matrix:
    use = pairs.positive & allowed
    weight = np.minimum(pairs.weight[use], settings.pair_cap)
    kept = np.flatnonzero(use)[_heaviest(pairs.account[use], pairs.item[use], weight, settings.max_items)]
    weight = np.minimum(pairs.weight[kept], settings.pair_cap)
    matrix = _matrix(row[kept], pairs.item[kept], weight, shape)
    matrix.data = (1.0 + settings.alpha * np.minimum(matrix.data, settings.pair_cap)).astype(np.float32)
    return matrix.astype(np.float32)


def _heaviest(account: Ints, item: Ints, weight: Floats, most: int) -> Ints:
    counts = np.bincount(account) if len(account) else np.zeros(0, dtype=np.int64)
    if not len(counts) or counts.max() <= most:
        return np.arange(len(account))
    order = np.lexsort((item, -weight, account))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(len(order)) - starts[account[order]]
    return np.sort(order[rank < most])


def _matrix(rows: Ints, columns: Ints, values: Floats, shape: tuple[int, int]) -> sp.csr_matrix:
    matrix = sp.coo_matrix((values, (rows, columns)), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix


def _ones(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sp.csr_matrix:
    matrix = _matrix(rows, columns, np.ones(len(rows)), shape).astype(np.float32)
    matrix.data[:] = 1
    return matrix


_ITEM_SCHEMA = pa.schema([("domain", pa.string()), ("item_id", pa.string())])


def _keys(domain: pa.Array, item_id: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(domain, item_id, _SEPARATOR)


def _positions(values: pa.Array, among: pa.Array) -> Ints:
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found, dtype=np.int64)


def _domain_codes(values: pa.Array, domains: tuple[str, str]) -> Ints:
    codes = _positions(values, pa.array(domains, pa.string()))
    if (codes < 0).any():
        stray = values[int(np.argmax(codes < 0))].as_py()
        raise InputError(f"domain {stray!r} is none of {', '.join(domains)}: set CROSSDOMAIN_DOMAINS to the two in use")
    return codes


def _binary(column: pa.ChunkedArray) -> pa.Array:
    return _whole(column).cast(pa.binary())


def _strings(column: pa.ChunkedArray) -> pa.Array:
    return _whole(column).cast(pa.string())


def _bools(column: pa.ChunkedArray) -> Bools:
    return np.asarray(_whole(column).cast(pa.bool_()), dtype=bool)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.combine_chunks() if isinstance(combined, pa.ChunkedArray) else combined
