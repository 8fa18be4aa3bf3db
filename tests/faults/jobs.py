"""What the children run."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from crossdomain.cli.main import main
from crossdomain.jobs.registry import job
from crossdomain.jobs.runner import open_lake, run_job
from crossdomain.settings import Settings
from crossdomain.storage.maintenance import maintain
from crossdomain.tables import registry
from tests.faults.points import Kill, Refusal, install

MAINTAIN = "maintain"
NOBODY = 65534


def work(name: str, day: date, settings: Settings) -> tuple[date, ...]:
    """Runs a job for a day, or maintains the lake, and names the days that consumers must hear of."""
    if name != MAINTAIN:
        return run_job(job(name), day, settings).keys
    with open_lake(settings) as lake:
        maintain(lake, registry(settings.include))
    return ()


def disturbed(settings: Settings, name: str, day: date, log: Path, kill: Kill | None) -> None:
    """The same in a child: every storage call is counted, and the child is killed where it says."""
    run: Callable[[str, date, Settings], object] = work
    install(settings.home, log, kill)
    run(name, day, settings)


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Under which a command runs.

    Attributes:
        largest: Bytes that a file may have.
        zone: The machine's time zone.
        user: The user that it runs as.
        refusal: A storage call that is refused, and
        log: where the calls are written.
    """

    largest: int | None = None
    zone: str | None = None
    user: int | None = None
    refusal: Refusal | None = None
    log: Path | None = None


def command(home: Path, start: date, arguments: Sequence[str], under: Circumstances) -> None:
    """The command line."""
    os.environ |= {"CROSSDOMAIN_HOME": str(home), "CROSSDOMAIN_START": start.isoformat()}
    if under.zone is not None:
        os.environ["TZ"] = under.zone
        time.tzset()
    if under.log is not None:
        install(home, under.log, under.refusal)
    if under.largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (under.largest, under.largest))
    if under.user is not None:
        os.setgroups([])
        os.setgid(under.user)
        os.setuid(under.user)
    sys.argv = ["crossdomain", *arguments]
    main()
