"""What lies in landing: the files of a delivery, and what it declares about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

from crossdomain.errors import InputError, MissingInput
from crossdomain.ingest.feeds import Feed, read_yaml
from crossdomain.settings import Settings
from crossdomain.storage.home import Home

_DECLARATION = "_delivery.yaml"
_PACKABLE = ("csv", "tsv", "jsonl")


@dataclass(frozen=True)
class Delivery:
    """One feed's folder for one delivery day.

    Attributes:
        feed: The feed.
        day: The business day that the delivery closes.
        files: Data files by name.
        history: Whether it loads history: no row is too late.
        latest: Times after this instant are not believed: the end of the day on which the source was
            observed, and the tolerance for clocks that run ahead.
    """

    feed: Feed
    day: date
    files: tuple[Path, ...]
    history: bool
    latest: datetime


def find_deliveries(home: Home, feeds: dict[str, Feed], day: date, settings: Settings) -> list[Delivery]:
    """All feeds' deliveries of one day, by feed name.

    Raises:
        MissingInput: A feed that is expected daily has no folder, or no feed has one.
        InputError: A folder holds files that its feed does not describe, or its declaration is wrong.
    """
    present = {name: feed for name, feed in sorted(feeds.items()) if home.landing(name, day).is_dir()}
    absent = [name for name, feed in sorted(feeds.items()) if feed.expected == "daily" and name not in present]
    if absent:
        listed = ", ".join(str(home.landing(name, day)) for name in absent)
        raise MissingInput(f"delivery {day}: feeds that are expected daily are missing: {listed}")
    if not present:
        raise MissingInput(f"delivery {day}: no feed has a folder {home.landing()}/<feed>/{day}")
    return [_delivery(home.landing(name, day), feed, day, settings) for name, feed in present.items()]


def _delivery(folder: Path, feed: Feed, day: date, settings: Settings) -> Delivery:
    files = sorted(path for path in folder.iterdir() if path.name[0] not in "._")
    if odd := [path for path in files if not path.is_file()]:
        raise InputError(f"{odd[0]}: is a folder or a broken link; put the delivery's files themselves into its folder")
    endings = tuple(f".{feed.format}{packed}" for packed in ("", ".gz" if feed.format in _PACKABLE else ""))
    if strange := [path.name for path in files if not path.name.lower().endswith(endings)]:
        raise InputError(
            f"{folder / strange[0]}: feed {feed.name} delivers {' or '.join(sorted(set(endings)))}; "
            "is the upload complete, or the feed's format wrong?"
        )
    if not files and not feed.may_be_empty:
        raise InputError(f"{folder}: holds no file; say may_be_empty: true in the feed file if that is normal")
    history, observed = _declaration(folder / _DECLARATION, day)
    end = datetime.combine(observed + timedelta(days=1), time.min, tzinfo=settings.zone)
    return Delivery(feed, day, tuple(files), history, end + timedelta(minutes=settings.early_minutes))


def _declaration(path: Path, day: date) -> tuple[bool, date]:
    if not path.exists():
        return False, day
    content = read_yaml(path)
    if unknown := sorted(set(content) - {"history", "observed"}):
        raise InputError(f"{path}: unknown key {unknown[0]}; there are history and observed")
    history, observed = content.get("history", False), content.get("observed", day)
    if not isinstance(history, bool):
        raise InputError(f"{path}: history must be true or false, not {history!r}")
    if not isinstance(observed, date) or isinstance(observed, datetime):
        raise InputError(f"{path}: observed must be a day such as 2026-01-05 that exists, not {observed!r}")
    return history, observed
