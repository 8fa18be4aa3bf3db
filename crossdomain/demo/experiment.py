"""The planted experiment: a banner with a bundle raises the chance that a treated account buys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from crossdomain.demo.clock import Calendar, local_text, stream
from crossdomain.demo.people import Accounts
from crossdomain.demo.topics import KNOWLEDGE

EXPERIMENT_ID = "exp_bundle_banner"
VARIANTS = ("control", "treatment")
PLACEMENT = "home_banner"
SHOWN = 0.7
"""Chance that an active account meets the banner's place on a day."""

_NEVER = np.iinfo(np.int64).max


def assign(unit_id: str) -> int:
    """Position in `VARIANTS` of a unit (`<domain>:<user_id>`), a 50/50 split.

    Even or odd first byte of SHA-256 over experiment and unit.
    """
    return hashlib.sha256(f"{EXPERIMENT_ID}:{unit_id}".encode()).digest()[0] % 2


@dataclass(frozen=True)
class ArmTruth:
    """The truth of the experiment at the end of a day, over all accounts exposed so far.

    The outcome is: at least one purchase by the account, on the knowledge side, after its first exposure.

    Attributes:
        day: the last day counted, inclusive.
        control_units, treatment_units: exposed accounts by arm.
        control_rate, treatment_rate: chance of the outcome if every exposed account were in that arm.
        difference: `treatment_rate - control_rate`, the effect to find.
        control_bought, treatment_bought: exposed accounts of the arm that did buy.
    """

    day: date
    control_units: int
    treatment_units: int
    control_rate: float
    treatment_rate: float
    difference: float
    control_bought: int
    treatment_bought: int


@dataclass
class BannerTest:
    """Runs the experiment on the knowledge side from the first ordinary day on.

    Attributes:
        lift: the chance of a purchase is multiplied by `1 + lift` for treated accounts after the first exposure.
        arm: position in `VARIANTS` by account.
        first: epoch seconds of the first exposure by account; the largest integer before it.
    """

    accounts: Accounts
    calendar: Calendar
    lift: float
    seed: int
    arm: np.ndarray = field(init=False)
    first: np.ndarray = field(init=False)
    truth: list[ArmTruth] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Assign every account."""
        self.arm = np.array([assign(f"{KNOWLEDGE}:{user}") for user in self.accounts.user_ids.to_pylist()], np.int8)
        self.first = np.full(len(self.accounts), _NEVER)
        self._bought = np.zeros(len(self.accounts), bool)
        # log of the chance to have bought nothing since the first exposure, had the account been in either arm
        self._nothing = np.zeros((2, len(self.accounts)))

    def expose(self, day: date, account: np.ndarray, second: np.ndarray) -> pa.Table | None:
        """Show the banner to active accounts, five seconds before their first episode of the day.

        Args:
            day: business day.
            account: account of each episode.
            second: epoch seconds of each episode.

        Returns:
            Exposure rows in the order of time; None before the experiment runs.
        """
        if day < self.calendar.start:
            return None
        earliest = np.full(len(self.accounts), _NEVER)
        np.minimum.at(earliest, account, second)
        lucky = stream(self.seed, "exposure", day).random(len(self.accounts)) < SHOWN
        shown = np.flatnonzero((earliest < _NEVER) & lucky)
        when = earliest[shown] - 5
        self.first[shown] = np.minimum(self.first[shown], when)
        order = np.lexsort((shown, when))
        shown, when = shown[order], when[order]
        return pa.table(
            {
                "experiment_id": pa.array([EXPERIMENT_ID]).take(pa.array(np.zeros(len(shown), np.int8))),
                "unit_type": pa.array(["account"]).take(pa.array(np.zeros(len(shown), np.int8))),
                "domain": pa.array([KNOWLEDGE]).take(pa.array(np.zeros(len(shown), np.int8))),
                "unit_id": self.accounts.user_ids.take(pa.array(shown)),
                "variant": pa.array(VARIANTS).take(pa.array(self.arm[shown])),
                "shown_at": local_text(when),
                "placement": pa.array([PLACEMENT]).take(pa.array(np.zeros(len(shown), np.int8))),
            }
        )

    def chance(self, account: np.ndarray, second: np.ndarray, chance: np.ndarray) -> np.ndarray:
        """The purchase chance of each episode under the experiment; keeps the books for the truth."""
        counted = second > self.first[account]
        treated = np.minimum(chance * (1 + self.lift), 0.9)
        for arm, value in enumerate((chance, treated)):
            np.add.at(self._nothing[arm], account[counted], np.log1p(-value[counted]))
        return np.where(counted & (self.arm[account] == 1), treated, chance)

    def close(self, day: date, account: np.ndarray, second: np.ndarray) -> None:
        """End a day with its purchases; before the experiment runs nothing happens."""
        if day < self.calendar.start:
            return
        self._bought[account[second > self.first[account]]] = True
        exposed = self.first < _NEVER
        rates = 1 - np.exp(self._nothing[:, exposed])
        control, treatment = (float(rate.mean()) if rate.size else 0.0 for rate in rates)
        units = [int((exposed & (self.arm == arm)).sum()) for arm in (0, 1)]
        bought = [int((exposed & self._bought & (self.arm == arm)).sum()) for arm in (0, 1)]
        self.truth.append(
            ArmTruth(
                day,
                control_units=units[0],
                treatment_units=units[1],
                control_rate=control,
                treatment_rate=treatment,
                difference=treatment - control,
                control_bought=bought[0],
                treatment_bought=bought[1],
            )
        )
