"""All jobs by name. Looking one up imports its module, nothing else."""

from __future__ import annotations

from importlib import import_module

from crossdomain.errors import InputError
from crossdomain.jobs.model import Job

NAMES = ("ingest", "clean", "people", "catalogue", "content", "train", "score", "experiments", "publish")
"""Jobs in the order in which a day runs through them."""


def job(name: str) -> Job:
    """The job of that name.

    Raises:
        InputError: There is none; the message lists them.
    """
    if name not in NAMES:
        raise InputError(f"there is no job {name!r}; jobs are: {', '.join(NAMES)}")
    found: Job = import_module(f"crossdomain.jobs.{name}").JOB
    return found
