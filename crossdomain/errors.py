"""Errors that people see; each carries the exit code of the command line."""

from __future__ import annotations


class CrossdomainError(Exception):
    """A failure whose message says what happened, where, and what to do."""

    exit_code = 1


class InputError(CrossdomainError):
    """Wrong use, or input that cannot be taken: the message names file, line, column and remedy."""

    exit_code = 2


class MissingInput(InputError):
    """Something that must be there is not: a delivery, a key, a model, a program."""


class NotReady(MissingInput):
    """An input's day or the day before is not built yet; its own run will start what waits for it."""


class GateRefused(CrossdomainError):
    """The quality gate refused a day; nothing of that day was committed."""

    exit_code = 3


class CommitConflict(CrossdomainError):
    """Other writers kept winning the race for one table; nothing was committed, run the job again."""
