"""An exchange of keyed hashes with another company, on the contacts of a home or of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv

from crossdomain.errors import InputError, MissingInput
from crossdomain.jobs.allowed_people import view_people
from crossdomain.jobs.runner import open_lake
from crossdomain.people.exchange import ExchangeKey, hash_contacts, match, read_list, write_list
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.engine import file_literal
from crossdomain.storage.home import write_whole
from crossdomain.storage.lake import Lake
from crossdomain.storage.vault import read_people
from crossdomain.tables import registry

PURPOSE = "cross_domain"
"""The purpose that an account must allow to take part."""

_FILE_COLUMNS = ("user_id", "phone", "email")


@dataclass(frozen=True)
class Source:
    """Where the own contacts come from.

    Attributes:
        day: Accounts of this day's ``derived.people`` that allow ``cross_domain``; their contacts come from the vault.
        domain: Their side.
        file: Instead, a CSV file (UTF-8) with columns user_id, phone, email of people who agreed to the exchange.
    """

    day: date | None = None
    domain: str | None = None
    file: Path | None = None

    def facts(self) -> dict[str, str]:
        """What the audit log says of it."""
        if self.file is not None:
            return {"file": self.file.name}
        return {"day": str(self.day), "domain": str(self.domain)}


@dataclass(frozen=True)
class _Own:
    lake: Lake
    hashed: pa.Table

    @property
    def accounts(self) -> int:
        return len(set(self.hashed.column("account").to_pylist()))


def export_list(
    settings: Settings, key: ExchangeKey, source: Source, out: Path, *, by: str, reason: str
) -> dict[str, Any]:
    """Writes the list for the partner and says what is in it; the audit log gets a line before it is written.

    Raises:
        InputError: The source is not whole, or ``by`` or ``reason`` is empty.
        MissingInput: The day is not built, or the file is not there.
    """
    with _own_contacts(settings, key, source, by=by, reason=reason) as own:
        facts = {"exchange": key.exchange, **source.facts(), "accounts": own.accounts, "hashes": own.hashed.num_rows}
        audit.record(own.lake.home, "exchange.export", by=by, reason=reason, **facts)
        lines = write_list(out, own.hashed, key)
    return {**facts, "lines": lines, "list": str(out)}


def match_list(
    settings: Settings, key: ExchangeKey, source: Source, partner: Path, out: Path, *, by: str, reason: str
) -> dict[str, Any]:
    """Writes a CSV of the own accounts that the partner's list holds, each with its hash, and says how many.

    Column ``account`` has the pseudonymous key in hexadecimal digits; of a file's people column ``user_id`` has
    their id.

    Raises:
        InputError: As for :func:`export_list`, or the partner's list cannot be taken.
        MissingInput: As for :func:`export_list`, or there is no list of the partner.
    """
    offered = read_list(partner, key)
    with _own_contacts(settings, key, source, by=by, reason=reason) as own:
        found = match(own.hashed, offered)
        facts = {
            "exchange": key.exchange,
            **source.facts(),
            "accounts": own.accounts,
            "matched": found.accounts,
            "ambiguous": found.ambiguous,
            "offered": found.offered,
        }
        audit.record(own.lake.home, "exchange.match", by=by, reason=reason, **facts)
        write_whole(out, _csv(own.lake.con, found.pairs, of_file=source.file is not None), mode=0o600)
    return {**facts, "pairs": str(out)}


@contextmanager
def _own_contacts(settings: Settings, key: ExchangeKey, source: Source, *, by: str, reason: str) -> Iterator[_Own]:
    """The own contacts, hashed; in the clear they are in memory only, and the vault's key never leaves it."""
    if not by.strip() or not reason.strip():
        raise InputError("say who exchanges and what for; the audit log keeps both")
    with open_lake(settings) as lake:
        if source.file is not None:
            sql = _file_contacts(source.file)
        elif source.day is not None and source.domain is not None:
            sql = _vault_contacts(lake, settings, source.day, source.domain, by=by, reason=f"{reason} ({key.exchange})")
        else:
            raise InputError("give a day and a domain, or a file of contacts")
        try:
            hashed = hash_contacts(lake.con, sql, key)
        except duckdb.Error as error:
            raise InputError(
                f"{source.file}: not a CSV file in UTF-8 that can be read: {_first_line(error)}"
            ) from error
        yield _Own(lake, hashed)


def _vault_contacts(lake: Lake, settings: Settings, day: date, domain: str, *, by: str, reason: str) -> str:
    if domain not in settings.domains:
        raise InputError(f"there is no domain {domain!r}; there are {', '.join(settings.domains)}")
    view_people(lake, registry(settings.include), day, purpose=PURPOSE)
    willing = lake.con.execute(
        "SELECT account FROM derived.people WHERE domain = ? ORDER BY account", [domain]
    ).fetchall()
    found = list(
        read_people(lake, settings, [account for (account,) in willing], ("phone", "email"), by=by, reason=reason)
    )
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    types = {"account": pa.binary(), "field": pa.string(), "value": pa.string()}
    contacts = pa.table(
        {name: pa.array(values, kind) for (name, kind), values in zip(types.items(), columns, strict=True)}
    )
    lake.con.register("vault_contacts", contacts)
    return (
        "SELECT account, if(field = 'phone', value, NULL) AS phone, if(field = 'email', value, NULL) AS email "
        "FROM vault_contacts"
    )


def _file_contacts(file: Path) -> str:
    if not file.exists():
        raise MissingInput(f"{file} is missing: give a CSV file with columns {', '.join(_FILE_COLUMNS)}")
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        header = lines.readline().strip().split(",")
    if missing := [name for name in _FILE_COLUMNS if name not in header]:
        raise InputError(f"{file}:1: column {missing[0]!r} is missing; the file needs {', '.join(_FILE_COLUMNS)}")
    return (
        "SELECT encode(user_id) AS account, phone, email FROM "  # noqa: S608 - quoted
        f"read_csv({file_literal(file)}, all_varchar = true, header = true, delim = ',') WHERE user_id IS NOT NULL"
    )


def _csv(con: duckdb.DuckDBPyConnection, pairs: pa.Table, *, of_file: bool) -> bytes:
    con.register("matched_pairs", pairs)
    own = "decode(account) AS user_id" if of_file else "lower(hex(account)) AS account"
    table = con.sql(f"SELECT {own}, lower(hex(token)) AS token FROM matched_pairs").to_arrow_table()  # noqa: S608
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink)
    return bytes(sink.getvalue())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
