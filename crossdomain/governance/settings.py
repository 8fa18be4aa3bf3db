"""Terms that governance keeps, with their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta

from crossdomain.errors import InputError
from crossdomain.settings import read_variables

_PREFIX = "CROSSDOMAIN_"
_WORKING_DAYS_A_WEEK = 5


@dataclass(frozen=True)
class GovernanceSettings:
    """Days, each set by ``CROSSDOMAIN_<NAME>``.

    Attributes:
        landing_days: Delivered files are kept so long after their delivery day.
        report_days: Reports are kept so long after their day.
        audit_days: Files of the audit log are kept so long; five years by default.
        model_days: Model versions that no day's table names are kept so long, for whoever loads one just now.
        erasure_working_days: An erasure is due so many working days (Monday to Friday) after the request.
        retrain_days: A model that learned from an erased person is out of force so many days after the erasure.
    """

    landing_days: int = 30
    report_days: int = 730
    audit_days: int = 1826
    model_days: int = 7
    erasure_working_days: int = 15
    retrain_days: int = 30

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) < 1:
                raise InputError(f"{_PREFIX}{one.name.upper()} must be 1 or more, not {getattr(self, one.name)}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> GovernanceSettings:
        """Settings from the environment; what is not set keeps its default.

        Raises:
            InputError: A variable is not a number, or less than 1.
        """
        return cls(**read_variables(_PREFIX, {one.name: int for one in fields(cls)}, environ))

    def due(self, requested: date) -> date:
        """The day by which an erasure that was asked for on a day must be done; public holidays are not known."""
        weeks, rest = divmod(self.erasure_working_days, _WORKING_DAYS_A_WEEK)
        day = requested + timedelta(weeks=weeks)
        while rest or day.weekday() >= _WORKING_DAYS_A_WEEK:
            day += timedelta(days=1)
            if rest and day.weekday() < _WORKING_DAYS_A_WEEK:
                rest -= 1
        return day
