"""Tables of people for others: k-anonymous, written to a file, noted in the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from crossdomain.errors import InputError
from crossdomain.jobs.allowed_people import view_people
from crossdomain.jobs.runner import open_lake
from crossdomain.people.attributes import FLAGS, RELEASE_PURPOSE, person_attributes
from crossdomain.people.generalise import release
from crossdomain.settings import Settings
from crossdomain.storage import audit
from crossdomain.storage.home import write_whole
from crossdomain.tables import registry

FORMATS = (".csv", ".parquet")


def release_people(
    settings: Settings,
    day: date,
    columns: Sequence[str],
    out: Path,
    *,
    k: int | None = None,
    sensitive: str | None = None,
    most_suppressed: float = 0.05,
    by: str,
    reason: str,
) -> dict[str, Any]:
    """Writes a k-anonymous table of the day's people who allow profiling, one row a person, and reports on it.

    Args:
        settings: Deployment settings; ``export_k`` is the least k.
        day: The day whose ``derived.people`` is taken; who withdrew since is left out.
        columns: Quasi-identifiers, of ``people.generalise.HIERARCHIES``.
        out: File to write, .csv or .parquet; one that exists is left alone.
        k: Least number of people with the same values; the setting when not given.
        sensitive: One of ``people.attributes.FLAGS``, released as it is.
        most_suppressed: Share of the people that may be left out.
        by: Who takes the table out, for the audit log.
        reason: What for, for the audit log.

    Raises:
        InputError: A wrong column, format or number, the file exists, k below the setting, or ``by`` or ``reason`` is
            empty.
        MissingInput: The day is not built.
        CrossdomainError: There are fewer than k people.
    """
    wanted = settings.export_k if k is None else k
    _check(settings, out, k=wanted, sensitive=sensitive, by=by, reason=reason)
    with open_lake(settings) as lake:
        view_people(lake, registry(settings.include), day, purpose=RELEASE_PURPOSE)
        lake.con.execute(f"CREATE TEMP TABLE persons AS {person_attributes()}")
        done = release(lake.con, "persons", columns, k=wanted, sensitive=sensitive, most_suppressed=most_suppressed)
        anonymity = asdict(done.anonymity)
        facts = {
            "day": day.isoformat(),
            "columns": dict(done.steps),
            "sensitive": sensitive,
            "least_k": wanted,
            "people": done.people,
            "suppressed": done.suppressed,
            **{name: anonymity[name] for name in ("rows", "groups", "k")},
            **({name: anonymity[name] for name in ("l_distinct", "l_entropy", "t")} if sensitive else {}),
        }
        audit.record(lake.home, "export.people", by=by, reason=reason, file=out.name, **facts)
        write_whole(out, _content(done.rows, out.suffix), mode=0o600)
    return {**facts, "file": str(out)}


def _check(settings: Settings, out: Path, *, k: int, sensitive: str | None, by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise InputError("say who takes the table out and what for; the audit log keeps both")
    if out.suffix not in FORMATS:
        raise InputError(f"{out}: give a file that ends with {' or '.join(FORMATS)}")
    if out.exists():
        raise InputError(f"{out} exists; a table that was taken out is not written over: give another name")
    if k < settings.export_k:
        raise InputError(f"k = {k} is less than CROSSDOMAIN_EXPORT_K = {settings.export_k}; the setting is the least")
    if sensitive is not None and sensitive not in FLAGS:
        raise InputError(f"column {sensitive!r} cannot be released as sensitive; there are {', '.join(FLAGS)}")


def _content(rows: pa.Table, suffix: str) -> bytes:
    sink = pa.BufferOutputStream()
    if suffix == ".csv":
        pa_csv.write_csv(rows, sink)
    else:
        pq.write_table(rows, sink, compression="zstd")
    return bytes(sink.getvalue())
