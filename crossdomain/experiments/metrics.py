"""Which days and units an analysis is of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Window:
    """First and last business day, both included, of the exposures and outcomes that count."""

    first: date
    last: date


@dataclass(frozen=True)
class UnitCounts:
    """Units by what the exposures say of them.

    Attributes:
        by_variant: Analysed units of each variant of the design, in its order; zero is given.
        several_variants: Units seen in two variants or more; excluded.
        unknown_variant: Units seen only in a variant that the design does not have; excluded.
    """

    by_variant: dict[str, int]
    several_variants: int
    unknown_variant: int
