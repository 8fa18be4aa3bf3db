"""All jobs by name. Looking one up imports its module, nothing else."""

from __future__ import annotations

from importlib import import_module

from crossdomain.errors import InputError
from crossdomain.jobs.model import Job

NAMES = (
    "ingest", "clean", "watch", "vault", "people", "catalogue", "holdings", "topics", "together", "similar", "bundles",
    "pages", "train", "score", "recommendation_drift", "experiment_state", "experiments", "publish",
)  # fmt: skip
"""Jobs in the order in which a day runs through them."""
DUTIES = ("govern", "compliance")
"""Jobs that look after what the others made, for any day that is clean."""


def job(name: str) -> Job:
    """The job of that name.

    Raises:
        InputError: There is none; the message lists them.
    """
    if name not in (*NAMES, *DUTIES):
        raise InputError(f"there is no job {name!r}; jobs are: {', '.join((*NAMES, *DUTIES))}")
    found: Job = import_module(f"crossdomain.jobs.{name}").JOB
    return found
