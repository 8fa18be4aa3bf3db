"""Deployment settings, read from the environment once and passed on as a value.

Choices of a model or of a rule live beside the code that uses them (for example
``crossdomain.content.settings``); what is here says where the platform lives and how much it may use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from crossdomain.errors import InputError

_PREFIX = "CROSSDOMAIN_"
_REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Settings:
    """Where the platform lives and how it runs.

    Attributes:
        home: Root of landing, lake, models, serving, reports and keys; shared by all workers.
        include: Folder with ``sql/``, ``feeds/``, ``experiments/`` and ``text/``.
        tz: IANA name of the business time zone; a business day ``ds`` is a day there.
        start: Declared first business day of the data; sequential and windowed jobs need it.
        domains: The two domains, in the order (knowledge side, beauty side).
        late_days: An event may arrive up to this many days after its day, unless its feed says else.
        early_minutes: Tolerance for clocks that run ahead: later than that after the delivery's day
            is ``too_early``.
        memory_limit: DuckDB's memory limit for one task, in DuckDB's notation (``4GB``).
        threads: DuckDB's threads for one task, 1 or more.
        seed: Seed of everything random, from 0 to below 2 ** 31.
        gate_frame_rows: Partitions of up to this many rows are loaded and validated by Great Expectations; DuckDB
            counts the same rules in larger ones.
        holdout: Share of all units that no experiment gets, the same units for all of them; from 0 to below 1.
        part_units: Units that an arm of a segment, or of a dimension's value, must have for an experiment's numbers of
            it to be told.
        export_k: People that a cell of a table must have at least before the table may leave; at least 2.
        publish_dsn: If given, serving tables are also published to this PostgreSQL database.
        keys: If given, the keys (``crossdomain.storage.keys`` says how they are written), instead of the home's
            key files; a secret.
    """

    home: Path = Path("var")
    include: Path = _REPOSITORY / "include"
    tz: str = "Asia/Shanghai"
    start: date | None = None
    domains: tuple[str, str] = ("knowledge", "beauty")
    late_days: int = 3
    early_minutes: int = 120
    memory_limit: str = "4GB"
    threads: int = 2
    seed: int = 7
    gate_frame_rows: int = 250_000
    holdout: float = 0.0
    part_units: int = 100
    export_k: int = 20
    publish_dsn: str | None = field(default=None, repr=False)
    keys: str | None = field(default=None, repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from ``CROSSDOMAIN_*`` variables; what is not set keeps its default.

        Raises:
            InputError: A variable does not parse; the message names it.
        """
        return cls(**read_variables(_PREFIX, _PARSERS, environ))

    @property
    def zone(self) -> ZoneInfo:
        """The business time zone."""
        return ZoneInfo(self.tz)

    def day_is_closed(self, day: date, now: datetime | None = None) -> bool:
        """Whether the business day is over, so that its delivery may exist."""
        moment = (now or datetime.now(UTC)).astimezone(self.zone)
        return moment.date() >= day + timedelta(days=1)


def read_variables(
    prefix: str,
    parsers: Mapping[str, Callable[[str], Any]],
    environ: Mapping[str, str] | None = None,
    *,
    known: Collection[str] = (),
) -> dict[str, Any]:
    """Values of the variables whose name is the prefix and a setting's name in capitals, by setting.

    Args:
        prefix: How the variables' names begin.
        parsers: What makes a value of a text, by setting.
        environ: Variables; those of the process if None. An empty one counts as not set.
        known: All settings that the prefix stands for. If given, a variable that names none of them is refused;
            else it is left to whoever shares the prefix.

    Raises:
        InputError: A variable does not parse or names no setting; the message names it.
    """
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name in sorted(name for name in env if name.startswith(prefix)):
        setting = name[len(prefix) :].lower()
        if known and setting not in known:
            raise InputError(f"{name} is no setting; there are {', '.join(sorted(known))}")
        if setting in parsers and env[name]:
            try:
                values[setting] = parsers[setting](env[name])
            except (ValueError, ZoneInfoNotFoundError) as error:
                raise InputError(f"{name}={env[name]!r} is not valid: {error}") from error
    return values


def parse_day(text: str) -> date:
    """A business day from ``YYYY-MM-DD``.

    Raises:
        InputError: The text is not a date of that form, or the day does not exist.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise InputError(f"{text!r} is not a day: give YYYY-MM-DD, a day that exists ({error})") from error


def _domains(text: str) -> tuple[str, str]:
    names = tuple(part.strip() for part in text.split(","))
    if len(names) != 2 or not all(name.isidentifier() for name in names) or names[0] == names[1]:
        raise ValueError("give two different names, joined by a comma")
    return names


def _people(text: str) -> int:
    if (count := int(text)) < 2:
        raise ValueError("give 2 or more: fewer hide nobody")
    return count


def _units(text: str) -> int:
    if (count := int(text)) < 0:
        raise ValueError("give 0 or more")
    return count


def _share(text: str) -> float:
    if not 0 <= (share := float(text)) < 1:
        raise ValueError("give a share from 0 to below 1")
    return share


def _threads(text: str) -> int:
    if (count := int(text)) < 1:
        raise ValueError("give 1 or more")
    return count


def _seed(text: str) -> int:
    if not 0 <= (seed := int(text)) < 2**31:
        raise ValueError("give 0 to 2147483647")
    return seed


def _zone_name(text: str) -> str:
    return ZoneInfo(text).key


_PARSERS: dict[str, Callable[[str], object]] = {
    "home": lambda text: Path(text).expanduser().resolve(),
    "include": lambda text: Path(text).expanduser().resolve(),
    "tz": _zone_name,
    "start": date.fromisoformat,
    "domains": _domains,
    "late_days": int,
    "early_minutes": int,
    "memory_limit": str,
    "threads": _threads,
    "seed": _seed,
    "gate_frame_rows": int,
    "holdout": _share,
    "part_units": _units,
    "export_k": _people,
    "publish_dsn": str,
    "keys": str,
}
