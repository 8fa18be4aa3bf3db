"""Proof of an erasure: everything under the home is decoded and searched for every name a person had.

Looked for are the id as a whole word, its plain hashes, the pseudonym as bytes, hexadecimal digits and base64, the
keyed hashes of contacts that are still known, and whatever else the caller names. Only the folder of the keys is left
out: the keys are what turns an id into a pseudonym, and hold no person.

An id that could mean something else in a text (``10``), or that lives in the other domain too, is looked for only
where ids stand: in the tables by their schemas, in deliveries by their feeds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossdomain.governance.erasing import Ground, landed_files
from crossdomain.governance.landing import Searcher
from crossdomain.governance.places import Places
from crossdomain.governance.subjects import Subject
from crossdomain.storage.contents import Needle, Unreadable, search
from crossdomain.storage.lake import Lake

ID = "the id"
_CONTACTS = (("phone_hash", "a contact's keyed hash"), ("email_hash", "a contact's keyed hash"))
_CONTACT_TABLES = ("clean.users", "derived.accounts")
_ENCODINGS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be")


@dataclass(frozen=True)
class Finding:
    """A trace of the person.

    Attributes:
        path: The file, from the home.
        within: Member, table and column.
        where: First line, byte or row.
        what: What was found there.
        count: How often.
    """

    path: str
    within: str
    where: str
    what: str
    count: int


@dataclass(frozen=True)
class Proof:
    """The outcome of a search.

    Attributes:
        findings: Traces, by file.
        unreadable: (file and place, reason) of what could not be decoded: nothing is proved of it.
        files: Files that were read.
        size: Their bytes.
        notes: How the search was limited, and why.
    """

    findings: tuple[Finding, ...]
    unreadable: tuple[tuple[str, str], ...]
    files: int
    size: int
    notes: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found and everything could be read."""
        return not self.findings and not self.unreadable


def verify(ground: Ground, domain: str, user_id: str, *, also: Sequence[str] = ()) -> Proof:
    """Searches everything under the home.

    Args:
        ground: The platform.
        domain: Side of the business.
        user_id: The source's id.
        also: More texts to look for, such as a phone number; their keyed hashes as contacts are looked for too.
    """
    subject = ground.subject(domain, user_id)
    shared = _lives_elsewhere(ground, subject)
    in_texts = subject.distinctive and not shared
    needles = [*_names(subject, in_texts=in_texts), *_contacts(ground, subject), *_others(ground, also)]
    findings = [*_in_deliveries(ground, subject), *_in_tables(ground, subject)]
    unreadable: list[tuple[str, str]] = []
    files = size = 0
    for path in _files(ground.lake):
        name = path.relative_to(ground.lake.home.root).as_posix()
        try:
            size += path.stat().st_size
            for hit in search(ground.lake.con, path, needles):
                if isinstance(hit, Unreadable):
                    unreadable.append((f"{name} {hit.within}".rstrip(), hit.reason))
                else:
                    findings.append(Finding(name, hit.within, hit.where, hit.what, hit.count))
            files += 1
        except FileNotFoundError:
            continue  # a running task's
        except OSError as error:
            unreadable.append((name, error.strerror or str(error)))
    notes = []
    if shared:
        notes.append("the same id lives in the other domain: in texts it could mean either, only id columns count")
    elif not in_texts:
        notes.append("the id is too short or plain to be told from other words: only id columns were searched for it")
    return Proof(tuple(dict.fromkeys(findings)), tuple(unreadable), files, size, tuple(notes))


def _files(lake: Lake) -> Iterator[Path]:
    keys = lake.home.keys
    for path in sorted(lake.home.root.rglob("*")):
        if path.is_file() and not path.is_symlink() and keys not in path.parents:
            yield path


# needles -------------------------------------------------------------------------------------------


def _names(subject: Subject, *, in_texts: bool) -> Iterator[Needle]:
    if in_texts:
        for content in sorted({subject.user_id.encode(name) for name in _ENCODINGS}):
            yield Needle(ID, content, whole_word=True, is_text=content == subject.user_id.encode())
    plain = subject.user_id.encode()
    for name in ("sha256", "md5", "sha1"):
        digest = hashlib.new(name, plain, usedforsecurity=False).digest()
        yield from _written(f"the id's {name}", digest)
    yield from _written("the pseudonym", subject.account)
    yield from _written("the key as an experiment's unit", subject.unit)


def _written(what: str, content: bytes) -> Iterator[Needle]:
    """Bytes, and how they are written as text."""
    yield Needle(what, content, is_text=False)
    for text in (content.hex(), content.hex().upper()):
        yield Needle(what, text.encode())
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        yield Needle(what, encode(content).rstrip(b"="))


def _contacts(ground: Ground, subject: Subject) -> Iterable[Needle]:
    """Keyed hashes of the person's phone and mail, as long as a table still holds them."""
    found: dict[bytes, str] = {}
    for table in _CONTACT_TABLES:
        spec = ground.tables.get(table)
        rows = ground.lake.relation(spec, ground.lake.partitions(spec))
        for column, what in _CONTACTS:
            sql = f"SELECT DISTINCT {column} FROM ({rows}) WHERE account = ? AND {column} IS NOT NULL"  # noqa: S608
            found |= {value: what for (value,) in ground.lake.con.execute(sql, [subject.account]).fetchall()}
    return [needle for value, what in sorted(found.items()) for needle in _written(what, value)]


def _others(ground: Ground, also: Sequence[str]) -> Iterator[Needle]:
    for number, text in enumerate((one.strip() for one in also if one.strip()), start=1):
        what = f"given text {number}"
        for content in sorted({text.encode(name) for name in _ENCODINGS}):
            yield Needle(what, content, whole_word=True, is_text=content == text.encode())
        digits = "".join(character for character in text if character.isdigit())
        for kind, value in (("phone", digits), ("phone", digits[-11:]), ("email", text.lower())):
            if value:
                yield from _written(f"{what}, its keyed hash", ground.keys.contact(kind, value))


# where ids stand -----------------------------------------------------------------------------------


def _lives_elsewhere(ground: Ground, subject: Subject) -> bool:
    """Whether an account of another domain has the same id."""
    others = [
        ground.keys.account(domain, subject.user_id) for domain in ground.settings.domains if domain != subject.domain
    ]
    for table in _CONTACT_TABLES:
        spec = ground.tables.get(table)
        rows = ground.lake.relation(spec, ground.lake.partitions(spec))
        sql = f"SELECT count(*) FROM ({rows}) WHERE account IN (SELECT unnest($1::BLOB[]))"  # noqa: S608
        if ground.lake.con.execute(sql, [others]).fetchall()[0][0]:
            return True
    return False


def _in_tables(ground: Ground, subject: Subject) -> Iterator[Finding]:
    places = Places(ground.lake, ground.tables, [subject], ground.settings.domains, ground.cleaned)
    for spec in ground.tables:
        folder = ground.lake.home.table(spec).relative_to(ground.lake.home.root).as_posix()
        for trace in places.find(spec):
            what = "the person's rows" if trace.own else f"{ID}, mentioned"
            yield Finding(folder, spec.full_name, "/".join(trace.values), what, trace.rows)


def _in_deliveries(ground: Ground, subject: Subject) -> Iterator[Finding]:
    searcher = Searcher(ground.lake.con, [subject], ground.settings.domains)
    for path, form in landed_files(ground):
        for (_, verdict), count in searcher.find(path, form).counts.items():
            what = "the person's records" if verdict == "own" else f"{ID}, mentioned"
            yield Finding(path.relative_to(ground.lake.home.root).as_posix(), "", "", what, count)
