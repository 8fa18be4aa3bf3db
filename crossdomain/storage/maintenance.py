"""Keeping the lake's house, table by table, as their metadata says.

Safe beside running jobs, and harmless when killed: a change is one commit that is refused where a job changed the
partition meanwhile, and only files that no task can still need are deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from crossdomain.storage.collection import collect, sweep
from crossdomain.storage.compaction import checkpoint, compact
from crossdomain.storage.lake import Lake
from crossdomain.tables import TableSpec

HOME = "home"
"""Name under which what lies outside the lake is reported."""


@dataclass(frozen=True)
class Maintained:
    """What maintaining a table did (or, dry, would do).

    Attributes:
        table: Its name; ``HOME`` for what lies outside the lake.
        merged: Small files that were put together.
        into: Files that they became.
        checkpointed: Whether its log was closed by a checkpoint.
        removed: Files that were deleted.
        freed: Their bytes.
    """

    table: str
    merged: int = 0
    into: int = 0
    checkpointed: bool = False
    removed: int = 0
    freed: int = 0

    @property
    def did_something(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.merged or self.checkpointed or self.removed)


def maintain(
    lake: Lake, tables: Iterable[TableSpec], *, most_history: timedelta | None = None, dry_run: bool = False
) -> list[Maintained]:
    """Compacts, checkpoints and collects tables, then removes what killed tasks left outside the lake.

    A second time it finds nothing to do. A partition that a job replaces meanwhile is left for the next time.

    Args:
        lake: The lake.
        tables: The tables.
        most_history: No replaced file stays longer than this, whatever the tables say.
        dry_run: Change nothing.

    Returns:
        One entry a table, in their order, and one named ``HOME``.

    Raises:
        CrossdomainError: A file cannot be read, written or deleted; the message names it. What was done stays done,
            what was not is as it was.
    """
    done = []
    for spec in tables:
        merged, into = compact(lake, spec, dry_run=dry_run)
        closed = checkpoint(lake, spec, dry_run=dry_run)
        history = timedelta(hours=spec.history_hours)
        gone = collect(lake, spec, history=min(history, most_history or history), dry_run=dry_run)
        freed = sum(one.size for one in gone)
        done.append(Maintained(spec.full_name, merged, into, closed, len(gone), freed))
    swept = sweep(lake.home, dry_run=dry_run)
    return [*done, Maintained(HOME, removed=len(swept), freed=sum(one.size for one in swept))]
