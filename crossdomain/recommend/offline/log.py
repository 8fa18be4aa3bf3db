"""A log of interactions as arrays: who met what, in which order, and if known when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from crossdomain.errors import InputError
from crossdomain.recommend.interactions import Bools, Floats, Ints

Codes = npt.NDArray[np.int32]
_SEPARATOR = "\x1f"
UNDATED = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Names:
    """What the codes of people and items stand for.

    Attributes:
        users: User ids in byte order; one id in two domains is one person.
        domains: Names of the domains in byte order.
        item_ids: Item ids, by domain, then id in byte order: an item's position is the tie-break of rankings.
        item_domain: Index into ``domains`` of each item, ascending.
        item_group: Group of each item (its type) as an index, -1 where the items are not described.
        texts: Text of each item, empty where it has none; None without a catalogue that has texts.
        listed: Seconds at which each item was put on sale, ``UNDATED`` where that is not known; None without a
            catalogue that says so.
    """

    users: pa.Array
    domains: tuple[str, ...]
    item_ids: pa.Array
    item_domain: Codes
    item_group: Codes
    texts: pa.Array | None = None
    listed: Ints | None = None

    def span(self, domain: int) -> slice:
        """Where the items of a domain lie."""
        return slice(*(int(x) for x in np.searchsorted(self.item_domain, [domain, domain + 1])))


@dataclass(frozen=True)
class Rejections:
    """Who rejected what, by person, then time, then the order in which they were given.

    Attributes:
        user: Person of each rejection.
        item: Item of each rejection.
        ts: Time in seconds; zeros where the log has none.
        row: Place in what was given, as ``Log.row``.
    """

    user: Codes
    item: Codes
    ts: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.user)

    def where(self, keep: Bools) -> Rejections:
        """The rejections that are kept."""
        return Rejections(self.user[keep], self.item[keep], self.ts[keep], self.row[keep])


@dataclass(frozen=True)
class Log:
    """Interactions, by person, then time, then the order in which they were given.

    Rejections lie beside them: what they take back depends on the moment up to which a model may know them, so whoever
    cuts a log cuts both and then asks for what is ``standing``.

    Attributes:
        names: People and items.
        user: Person of each interaction.
        item: Item of each interaction.
        ts: Time in seconds; zeros where the log has none.
        weight: Evidence of one interaction, greater than 0.
        timed: Whether ``ts`` is known.
        row: Place of each interaction in what was given; None where nothing was rejected.
        rejections: What people rejected; None where nothing was.
    """

    names: Names
    user: Codes
    item: Codes
    ts: Ints
    weight: npt.NDArray[np.float32]
    timed: bool
    row: Ints | None = None
    rejections: Rejections | None = None

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def indptr(self) -> Ints:
        """Where each person's interactions begin; one longer than the people."""
        return np.searchsorted(self.user, np.arange(len(self.names.users) + 1)).astype(np.int64)

    @cached_property
    def from_end(self) -> Ints:
        """Place of each interaction counted from its person's last one, which has 0."""
        return self.indptr[self.user + 1] - 1 - np.arange(len(self))

    @cached_property
    def domain(self) -> Codes:
        """Domain of each interaction."""
        return self.names.item_domain[self.item]

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """People × items, 1 where somebody met an item; float32, sorted indices."""
        shape = (len(self.names.users), len(self.names.item_ids))
        met = sp.csr_matrix((np.ones(len(self), dtype=np.float32), (self.user, self.item)), shape=shape)
        met.sum_duplicates()
        met.data[:] = 1
        return met

    @cached_property
    def counts(self) -> Floats:
        """People who met each item."""
        return np.bincount(self.matrix.indices, minlength=len(self.names.item_ids)).astype(np.float64)

    @cached_property
    def seen(self) -> sp.csr_matrix:
        """People × items, 1 where somebody met or rejected an item: what is not new to people, nor shown to them."""
        if self.rejections is None:
            return self.matrix
        rejected = np.ones(len(self.rejections), dtype=np.float32)
        cells = (self.rejections.user, self.rejections.item)
        found = (self.matrix + sp.csr_matrix((rejected, cells), shape=self.matrix.shape)).tocsr()
        found.sort_indices()
        found.data[:] = 1
        return found

    @cached_property
    def stands(self) -> Bools:
        """Which interactions no rejection of their item by the same person takes back: none at their time or later."""
        if self.rejections is None or self.row is None:
            return np.ones(len(self), dtype=bool)
        items = len(self.names.item_ids)
        rejected, at = np.unique(
            self.rejections.user.astype(np.int64) * items + self.rejections.item, return_inverse=True
        )
        last = np.full(len(rejected) + 1, np.iinfo(np.int64).min)
        np.maximum.at(last, at, self.rejections.ts if self.timed else self.rejections.row)
        own = self.user.astype(np.int64) * items + self.item
        place = np.searchsorted(rejected, own)
        place[np.append(rejected, -1)[place] != own] = len(rejected)
        stands: Bools = (self.ts if self.timed else self.row) > last[place]
        return stands

    def standing(self) -> Log:
        """What no rejection takes back; the rejections stay, so that nobody is shown what they name."""
        return self if self.stands.all() else self.where(self.stands)

    def where(self, keep: Bools, rejected: Bools | None = None) -> Log:
        """The interactions that are kept, with the same people and items, and the rejections that are; None: all."""
        row = None if self.row is None else self.row[keep]
        rejections = self.rejections if rejected is None or self.rejections is None else self.rejections.where(rejected)
        return replace(
            self, user=self.user[keep], item=self.item[keep], ts=self.ts[keep], weight=self.weight[keep], row=row,
            rejections=rejections,
        )  # fmt: skip

    def between(self, start: int | None, until: int | None, *, rejected_until: int | None) -> Log:
        """What happened from ``start`` on and before ``until``, rejected before ``rejected_until``; None: no bound."""
        rejected = None if self.rejections is None else _within(self.rejections.ts, start, rejected_until)
        return self.where(_within(self.ts, start, until), rejected)

    def before(self, moment: int) -> Log:
        """What happened before a time in seconds."""
        return self.between(None, moment, rejected_until=moment)


def make_logs(tables: Sequence[pa.Table], items: pa.Table | None = None) -> tuple[Log, ...]:
    """Logs that share their people and items.

    Args:
        tables: ``user_id, domain, item_id`` (strings), ``ts`` (int64 seconds, all null where unknown), ``weight``,
            maybe ``rejects`` (bool): rows that are no interaction but reject their item.
        items: ``item_id, domain`` and maybe ``group``, ``text`` and ``listed_at`` (int64 seconds) of a catalogue.

    Raises:
        InputError: The first table is empty.
    """
    if not tables or not (~_rejects(tables[0])).any():
        raise InputError("the events hold no interaction: give rows of user_id, domain, item_id")
    names = _names(tables, items)
    return tuple(_log(table, names) for table in tables)


def _names(tables: Sequence[pa.Table], items: pa.Table | None) -> Names:
    parts = [table.select(["domain", "item_id"]) for table in (*tables, *([items] if items is not None else []))]
    pairs = pa.concat_tables(parts).group_by(["domain", "item_id"]).aggregate([])
    pairs = pairs.sort_by([("domain", "ascending"), ("item_id", "ascending")]).combine_chunks()
    users = pc.unique(pa.concat_tables([table.select(["user_id"]) for table in tables])["user_id"])
    domains = tuple(sorted(pc.unique(pairs["domain"]).to_pylist()))
    domain = _codes(pairs["domain"], pa.array(domains, pa.string()))
    group = np.full(len(pairs), -1, dtype=np.int32)
    labels, texts, listed = (_described(pairs, items, name) for name in ("group", "text", "listed_at"))
    if labels is not None:
        group = _codes(labels, pc.unique(labels.drop_null()).sort())
    if texts is not None:
        texts = pc.fill_null(texts, "")
    since = None if listed is None else pc.fill_null(listed, UNDATED).to_numpy().astype(np.int64)
    return Names(users.sort(), domains, pairs["item_id"].combine_chunks(), domain, group, texts, since)


def _described(pairs: pa.Table, items: pa.Table | None, column: str) -> pa.Array | None:
    """A column of the catalogue for each item, null where the catalogue lacks it; None without the column."""
    if items is None or column not in items.column_names:
        return None
    found = pc.index_in(_keys(pairs["domain"], pairs["item_id"]), _keys(items["domain"], items["item_id"]))
    return items[column].combine_chunks().take(found)


def _log(table: pa.Table, names: Names) -> Log:
    keys = _keys(pa.array(names.domains, pa.string()).take(pa.array(names.item_domain)), names.item_ids)
    item = _codes(_keys(table["domain"], table["item_id"]), keys)
    user = _codes(table["user_id"], names.users)
    timed = table["ts"].null_count < len(table) if len(table) else False
    if timed and table["ts"].null_count:
        row = int(np.flatnonzero(table["ts"].is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f"row {row + 1} of the events has no ts: give a time to every row or to none")
    ts = table["ts"].to_numpy().astype(np.int64) if timed else np.zeros(len(table), dtype=np.int64)
    order = np.lexsort((np.arange(len(table)), ts, user))
    weight = table["weight"].to_numpy().astype(np.float32)
    rejects = _rejects(table)[order]
    if not rejects.any():
        return Log(names, user[order], item[order], ts[order], weight[order], timed)
    met, rejected = order[~rejects], order[rejects]
    rejections = Rejections(user[rejected], item[rejected], ts[rejected], rejected)
    return Log(names, user[met], item[met], ts[met], weight[met], timed, met, rejections)


def _rejects(table: pa.Table) -> Bools:
    if "rejects" not in table.column_names:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table["rejects"].to_numpy(), dtype=bool)


def _within(ts: Ints, start: int | None, until: int | None) -> Bools:
    kept = np.ones(len(ts), dtype=bool)
    if start is not None:
        kept &= ts >= start
    if until is not None:
        kept &= ts < until
    return kept


def _keys(domain: pa.ChunkedArray | pa.Array, item_id: pa.ChunkedArray | pa.Array) -> pa.Array:
    joined = pc.binary_join_element_wise(domain, item_id, _SEPARATOR)
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _codes(values: pa.ChunkedArray | pa.Array, known: pa.Array) -> Codes:
    found = pc.fill_null(pc.index_in(values, known), -1)
    return np.asarray(found.to_numpy(), dtype=np.int32)
