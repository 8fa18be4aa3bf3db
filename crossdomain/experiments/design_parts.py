"""What a design is made of: metrics and what they select, layer, audience, looks, segments, the file of an analyst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from crossdomain.stats.comparison import Relative
    from crossdomain.stats.proportions import Interval

MetricKind = Literal["mean", "proportion", "ratio", "quantile"]
DataKind = Literal["exposures", "counts", "file"]
AnalysisMethod = Literal["fixed", "group_sequential", "always_valid"]
Spending = Literal["obrien_fleming", "pocock"]
Correction = Literal["holm", "benjamini_hochberg", "none"]
Better = Literal["higher", "lower"]
SlotScheme = Literal["independent", "blocks", "weekdays"]

EXPOSURES = "exposures"
"""Denominator of a ratio that counts the unit's exposures instead of events."""


@dataclass(frozen=True)
class Selection:
    """A number per unit from its events at or after its first exposure.

    Attributes:
        events: Event types that count.
        subtract: Event types whose absolute amount is taken off (refunds).
        column: Column that is added up, ``value`` or ``quantity``; None counts events.
        where: Pairs of column and value that an event must have.
        days: First and last day after the unit's first exposure (day 0) that count, both included; only units
            whose last such day is over are measured. None: every day of the experiment.
    """

    events: tuple[str, ...]
    subtract: tuple[str, ...] = ()
    column: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    days: tuple[int, int] | None = None


@dataclass(frozen=True)
class Winsorizing:
    """Caps at quantiles of the values of all arms together, never of each arm.

    Attributes:
        lower: Quantile below which values are raised to it; None leaves them.
        upper: Quantile above which values are cut to it; None leaves them.
        ignore_zeros: Whether the quantiles are of the values other than 0; the caps hold for all values.
    """

    lower: float | None = None
    upper: float | None = None
    ignore_zeros: bool = False


@dataclass(frozen=True)
class Covariate:
    """What a unit was before the experiment, from columns of an analyst's file.

    Attributes:
        column: Covariate of the metric (of its numerator, where ``denominator`` is given).
        denominator: Covariate of a ratio's denominator; None where one column serves the ratio.
    """

    column: str
    denominator: str | None = None


@dataclass(frozen=True)
class Metric:
    """A metric of the design.

    Attributes:
        name: Name in the results.
        kind: ``mean`` per unit, ``proportion`` of units (of counts: numerator over denominator), ``ratio`` of two
            sums over units, or ``quantile`` of values.
        numerator: What a unit contributes; with daily counts the name of a count, in a file that of a column.
        denominator: The ratio's denominator: a selection, ``exposures``, or the name of a count or column; else None.
        interval: Convention of a proportion's interval.
        relative: Convention of the relative effect's interval.
        better: Which way is good.
        quantile: The quantile, between 0 and 1; None for the other kinds.
        per: For a quantile: of the units' totals (``unit``), or of single events, clustered by unit (``event``).
        winsorize: Caps of a mean's values; None leaves them.
        cuped: Whether the same metric in the ``cuped_days`` before the experiment is the covariate.
        covariate: Covariate of a metric of a file; None without CUPED.
        missing: What a missing value in a file's column means: the metric is not measured (``refuse``), it stands for
            0 (``zero``), or its row does not count for the metric (``leave_out``).
    """

    name: str
    kind: MetricKind
    numerator: Selection | str
    denominator: Selection | str | None = None
    interval: Interval = "unpooled"
    relative: Relative = "delta"
    better: Better = "higher"
    quantile: float | None = None
    per: Literal["unit", "event"] = "unit"
    winsorize: Winsorizing | None = None
    cuped: bool = False
    covariate: Covariate | None = None
    missing: Literal["refuse", "zero", "leave_out"] = "refuse"


@dataclass(frozen=True)
class Layer:
    """A part of a layer's hash space; experiments of a layer whose parts do not overlap share no unit.

    Attributes:
        name: The layer; its name salts the hash that its experiments share.
        low: Where the part begins, included; 0 is the beginning of the space.
        high: Where it ends, excluded; 1 is the end.
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Audience:
    """Who may take part, as of the day; everything given must hold.

    Attributes:
        segments: Segments of which one must hold the unit; empty: everybody.
        consent: Purposes that the unit must have granted, all of them.
    """

    segments: tuple[str, ...] = ()
    consent: tuple[str, ...] = ()


EVERYBODY = Audience()


@dataclass(frozen=True)
class Guardrail:
    """A metric that must not get worse.

    Attributes:
        metric: Its name.
        margin: Relative worsening that is taken as none; 0 where none is.
    """

    metric: str
    margin: float = 0.0


@dataclass(frozen=True)
class MinimumEffect:
    """The smallest effect on the primary metric worth finding.

    Attributes:
        value: Its size, positive.
        relative: Whether it is a share of the control's mean, or in the metric's unit.
    """

    value: float
    relative: bool


@dataclass(frozen=True)
class Expected:
    """What is known of the primary metric and of the traffic before the experiment, for its plan.

    Attributes:
        mean: Mean (share, ratio) of the primary metric.
        deviation: Standard deviation of a unit; None for a proportion, where the mean gives it.
        units_per_day: New units a day, over all arms; None where nobody knows.
        correlation: Correlation with the covariate of CUPED; 0 without.
    """

    mean: float
    deviation: float | None = None
    units_per_day: float | None = None
    correlation: float = 0.0


@dataclass(frozen=True)
class Segment:
    """A part of the units that was registered before the data came in.

    Attributes:
        name: Name in the results.
        where: Pairs of dimension and allowed values; all must hold.
    """

    name: str
    where: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Allocation:
    """How the weights come about.

    Attributes:
        method: ``fixed``: the design's weights; ``thompson``: a bandit moves them from day to day.
        floor: Least weight of a variant under a bandit.
    """

    method: Literal["fixed", "thompson"] = "fixed"
    floor: float = 0.0


FIXED_WEIGHTS = Allocation()


@dataclass(frozen=True)
class Switchback:
    """Randomisation over time: everybody gets the variant of the time slot.

    Attributes:
        slot_minutes: Length of a slot; whole slots make a day, or whole days make a slot.
        burn_in_minutes: Beginning of each slot that is left out, since the slot before still acts in it.
        scheme: ``independent``: each slot by itself. ``blocks``: consecutive slots of a block get every variant by its
            weight, in random order. ``weekdays``: so do the slots of one weekday and time in consecutive weeks.
        block_slots: Slots of a block (weeks, with ``weekdays``); 1 where slots are independent.
        dealt: Whether the schedule is the one that the design deals (``here``), or came from ``elsewhere``.
    """

    slot_minutes: int
    burn_in_minutes: int = 0
    scheme: SlotScheme = "independent"
    block_slots: int = 1
    dealt: Literal["here", "elsewhere"] = "here"


@dataclass(frozen=True)
class EventColumns:
    """Columns of an analyst's file of events.

    Attributes:
        unit: The unit.
        time: When it happened.
        kind: The type of event.
    """

    unit: str
    time: str
    kind: str


@dataclass(frozen=True)
class FileColumns:
    """Columns of an analyst's file.

    Attributes:
        variant: The arm.
        unit: The unit of randomisation; None: a row is a unit. Rows of a unit are added up.
        covariates: Columns known before the experiment.
        cluster: What was randomised as one (lecturer, shop), above the unit; None: the unit.
        day: The day of a row (of a first exposure); None: not known.
        time: When a unit was exposed, for exposures that are joined to events, or when a row of a switchback
            happened; None: unit rows.
        events: Columns of the file of events; None: the file has the metrics' columns itself.
        slot: Time slot of a switchback's row; None: it follows from ``time``.
        block: Block within which the clusters were randomised; only of rows that were placed in their slots.
    """

    variant: str
    unit: str | None = None
    covariates: tuple[str, ...] = ()
    cluster: str | None = None
    day: str | None = None
    time: str | None = None
    events: EventColumns | None = None
    slot: str | None = None
    block: str | None = None
