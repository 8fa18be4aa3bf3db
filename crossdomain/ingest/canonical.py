"""The canonical input tables: columns that feeds map onto, how each is read, and what places a row in its day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crossdomain.errors import InputError

ColumnKind = Literal["text", "rich_text", "word", "time", "day", "money", "integer", "number", "boolean", "tags"]


@dataclass(frozen=True)
class CanonicalColumn:
    """A column of a canonical table.

    Attributes:
        name: Its name.
        kind: How its text is read: ``text`` is trimmed, ``rich_text`` also loses line-break tags and the
            commonest entities, ``word`` is a lower-case code, ``time`` an instant, ``day`` a calendar day,
            ``money`` an amount in CNY, ``tags`` a list.
        required: Whether a row without it is quarantined.
        signed: Whether a number may be negative.
    """

    name: str
    kind: ColumnKind = "text"
    required: bool = False
    signed: bool = False


@dataclass(frozen=True)
class CanonicalTable:
    """A canonical table.

    Attributes:
        name: Its name, without layer.
        columns: Its columns.
        day: The column whose time places a row in its business day; None: the delivery day does.
        accounts: (namespace, id column) pairs that name people: the namespace is the column ``domain``, a
            position in the settings' domains, or ``unit`` (the domain for accounts, else the unit's type).
        key: What identifies a row among deliveries, in columns of the clean table.
    """

    name: str
    columns: tuple[CanonicalColumn, ...]
    day: str | None
    key: tuple[str, ...]
    accounts: tuple[tuple[str | int, str], ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> CanonicalColumn:
        """A column by name."""
        return next(column for column in self.columns if column.name == name)


_USER = (("domain", "user_id"),)


def _required(*names: str, kind: ColumnKind = "text") -> tuple[CanonicalColumn, ...]:
    return tuple(CanonicalColumn(name, kind, required=True) for name in names)


def _optional(*names: str, kind: ColumnKind = "text") -> tuple[CanonicalColumn, ...]:
    return tuple(CanonicalColumn(name, kind) for name in names)


_DOMAIN = CanonicalColumn("domain", "word", required=True)

_TABLES = (
    CanonicalTable(
        "users",
        (
            *_required("user_id"), _DOMAIN, *_required("registered_at", kind="time"),
            *_optional("phone", "email", "name"), *_optional("gender", kind="word"),
            *_optional("birth_year", kind="integer"), *_optional("province", "city"),
        ),
        day=None, key=("account",), accounts=_USER,
    ),
    CanonicalTable(
        "items",
        (
            *_required("item_id"), _DOMAIN, *_optional("title"), *_optional("type", kind="word"),
            *_optional("description", "text", kind="rich_text"), *_optional("tags", kind="tags"),
            *_optional("creator"), *_optional("price", kind="money"), *_optional("listed_at", kind="time"),
            *_optional("status", kind="word"), *_optional("sales", "comments", kind="integer"),
            *_optional("updated_at", kind="time"),
        ),
        day=None, key=("domain", "item_id"),
    ),
    CanonicalTable(
        "events",
        (
            *_required("event_id", "user_id"), _DOMAIN, *_optional("item_id"), *_required("event_type", kind="word"),
            *_required("ts", kind="time"), CanonicalColumn("value", "money", signed=True),
            *_optional("quantity", kind="integer"),
            *_optional("channel", kind="word"), *_optional("campaign_id", "session_id", "placement"),
            *_optional("position", kind="integer"), *_optional("rec_id", "ref_event_id"),
        ),
        day="ts", key=("domain", "event_id"), accounts=_USER,
    ),
    CanonicalTable(
        "reviews",
        (
            *_required("review_id", "user_id", "item_id"), _DOMAIN, *_required("text", kind="rich_text"),
            *_required("ts", kind="time"), *_optional("rating", kind="number"),
        ),
        day="ts", key=("domain", "review_id"), accounts=_USER,
    ),
    CanonicalTable(
        "consents",
        (
            *_required("user_id"), _DOMAIN, *_required("purpose", kind="word"),
            *_required("granted", kind="boolean"), *_required("ts", kind="time"),
        ),
        day="ts", key=("account", "purpose", "ts"), accounts=_USER,
    ),
    CanonicalTable(
        "identity_links",
        (
            *_required("knowledge_user_id", "beauty_user_id"), *_required("linked_at", kind="time"),
            *_optional("method", kind="word"),
        ),
        day="linked_at", key=("knowledge_account", "beauty_account"),
        accounts=((0, "knowledge_user_id"), (1, "beauty_user_id")),
    ),
    CanonicalTable(
        "exposures",
        (
            *_required("experiment_id"), *_required("unit_type", kind="word"), *_required("unit_id"),
            *_optional("domain", kind="word"), *_required("variant"), *_required("ts", kind="time"),
            *_optional("placement"),
        ),
        day="ts", key=("experiment_id", "unit_type", "unit", "ts", "variant", "placement"),
        accounts=(("unit", "unit_id"),),
    ),
    CanonicalTable(
        "experiment_counts",
        (
            *_required("experiment_id", "variant"), *_required("day", kind="day"), *_required("metric", kind="word"),
            *_required("value", kind="integer"),
        ),
        day="day", key=("experiment_id", "variant", "day", "metric"),
    ),
    CanonicalTable(
        "campaign_costs",
        (
            *_required("campaign_id"), *_required("day", kind="day"), *_optional("channel", kind="word"),
            *_required("cost", kind="money"),
        ),
        day="day", key=("campaign_id", "day", "channel"),
    ),
    CanonicalTable(
        "coupons",
        (
            *_required("coupon_id"), *_optional("campaign_id"), *_required("user_id"), _DOMAIN,
            *_required("issued_at", kind="time"), *_optional("amount", kind="money"),
            *_optional("redeemed_event_id"),
        ),
        day="issued_at", key=("domain", "coupon_id"), accounts=_USER,
    ),
    CanonicalTable(
        "sends",
        (
            *_required("send_id"), *_optional("campaign_id"), *_required("user_id"), _DOMAIN,
            *_required("channel", kind="word"), *_required("ts", kind="time"),
        ),
        day="ts", key=("domain", "send_id"), accounts=_USER,
    ),
    CanonicalTable(
        "support_entries",
        (*_required("entry_id"), _DOMAIN, *_required("question", "answer", kind="rich_text")),
        day=None, key=("domain", "entry_id"),
    ),
    CanonicalTable(
        "erasure_requests",
        (*_required("user_id"), _DOMAIN, *_required("requested_at", kind="time")),
        day="requested_at", key=("account", "requested_at"), accounts=_USER,
    ),
)  # fmt: skip

CANONICAL = {table.name: table for table in _TABLES}
"""All canonical tables by name, in the order in which the clean job builds them."""


def canonical_table(name: str) -> CanonicalTable:
    """A canonical table by name.

    Raises:
        InputError: There is no such table; the message lists them.
    """
    try:
        return CANONICAL[name]
    except KeyError:
        raise InputError(f"there is no canonical table {name!r}; there are {', '.join(CANONICAL)}") from None
