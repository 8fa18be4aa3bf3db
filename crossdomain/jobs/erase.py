"""Erasure, blocking and proof, as the job ``govern`` and the command line start them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from crossdomain.governance.erasing import Ground
from crossdomain.governance.landing import FileForm
from crossdomain.governance.settings import GovernanceSettings
from crossdomain.jobs.runner import open_lake
from crossdomain.settings import Settings
from crossdomain.storage.lake import Lake
from crossdomain.storage.locks import exclusive
from crossdomain.tables import TableRegistry, registry

if TYPE_CHECKING:
    from crossdomain.ingest.feeds import Feed

_IDS = ("user_id", "knowledge_user_id", "beauty_user_id", "unit_id")
_NAMING = (*_IDS, "domain", "unit_type", "requested_at")


def ground(lake: Lake, tables: TableRegistry, settings: Settings, ds: date) -> Ground:
    """What erasing needs to know of a platform; ``ds`` is the business day under which it is filed."""
    from crossdomain.ingest.feeds import load_feeds
    from crossdomain.ingest.parsing import cleaned_text

    forms = {name: _form(feed) for name, feed in load_feeds(settings).items()}
    return Ground(lake, tables, settings, GovernanceSettings.from_env(), forms, cleaned_text, ds)


@contextmanager
def opened(settings: Settings, ds: date | None = None) -> Iterator[Ground]:
    """The ground for one command or task, which nobody else has meanwhile: erasures wait for each other.

    Args:
        settings: Deployment settings.
        ds: Business day under which it is filed; today if None.
    """
    day = ds or datetime.now(UTC).astimezone(settings.zone).date()
    with open_lake(settings) as lake, exclusive(lake.home.pending_erasures):
        yield ground(lake, registry(settings.include), settings, day)


def _form(feed: Feed) -> FileForm:
    sources: Mapping[str, str] = {one.column: one.path for one in feed.columns if one.column in _NAMING}
    constants = {name: value for name, value in feed.constants.items() if name in _NAMING}
    ids = [name for name in _IDS if name in feed.table.column_names]
    return FileForm(feed.format, feed.encoding, feed.sheet, sources, constants, ids)
