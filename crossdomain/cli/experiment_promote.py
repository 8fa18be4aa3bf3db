"""``crossdomain experiment promote``: a person gives a variant all the weight."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings, parse_day


def promote(
    experiment: Annotated[str, typer.Argument(help="Id of an experiment, as in include/experiments/.")],
    variant: Annotated[str, typer.Argument(help="A variant that the rules would ship as of the day.")],
    date: Annotated[str, typer.Option(help="Business day of the decision that it rests on.")],
    by: Annotated[str, typer.Option(help="Your name; it goes into the audit log.")],
    reason: Annotated[str, typer.Option(help="Why; at least ten characters.")],
    json: Json = False,
) -> None:
    """Promote a variant: all the weight from the next day that is dealt; its experiment ends on the day."""
    from crossdomain.experiments.promoting import promote as record
    from crossdomain.jobs.runner import open_lake
    from crossdomain.tables import registry

    settings, day = Settings.from_env(), parse_day(date)
    with open_lake(settings) as lake:
        (given,) = record(
            lake,
            registry(settings.include),
            day,
            chosen={experiment: variant},
            by=by,
            reason=reason,
            decided_at=datetime.now(UTC),
            via="cli",
        )
    document = {"experiment_id": given.experiment_id, "variant": given.variant, "ds": given.ds, "by": given.by}
    show(document, json=json, title=f"{variant} of {experiment} is promoted as of {day}")
