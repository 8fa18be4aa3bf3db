"""``crossdomain experiment uplift`` and ``interleaving``: measures of a file of one's own that need no design."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossdomain.cli.output import Json, show
from crossdomain.settings import Settings

Data = Annotated[Path, typer.Option("--data", help="CSV or Parquet file, or folder of them.")]
_POINTS = 10


def uplift(
    data: Data,
    score: Annotated[str, typer.Option(help="Column: how much the treatment is expected to help.")],
    outcome: Annotated[str, typer.Option(help="Column: what happened (0 or 1, revenue).")],
    variant: Annotated[str, typer.Option(help="Column: the arm.")],
    control: Annotated[str, typer.Option(help="Value of the control.")],
    treatment: Annotated[str, typer.Option(help="Value of the treatment; other arms are left out.")],
    json: Json = False,
) -> None:
    """Say how well a score orders units by what a treatment does to them: Qini, AUUC. A row is a unit."""
    import numpy as np

    from crossdomain.experiments.file_columns import uplift_of_columns
    from crossdomain.storage.analyst_files import read_columns

    table = read_columns(Settings.from_env(), data, [score, outcome, variant])
    found = uplift_of_columns(
        table, score=score, outcome=outcome, variant=variant, control=control, treatment=treatment
    )
    taken = np.linspace(0, 1, _POINTS + 1)
    curve = [
        {"share": round(share, 3), "gain": gain, "random": share * float(found.gain[-1])}
        for share, gain in zip(taken.tolist(), np.interp(taken, found.share, found.gain).tolist(), strict=True)
    ]
    show(
        {"rows": len(table), "qini": found.qini, "auuc": found.auuc, "effect": found.effect, "curve": curve},
        json=json,
        title=f"{score}: Qini {found.qini:+.5g}, AUUC {found.auuc:+.5g}",
        facts={"effect on all": f"{found.effect:+.5g}"},
        columns=("share taken, greatest score first", "gain a unit of all", "at random"),
        rows=[[f"{one['share']:.0%}", f"{one['gain']:+.5g}", f"{one['random']:+.5g}"] for one in curve],
    )


def interleaving(
    data: Data,
    clicks_a: Annotated[str, typer.Option(help="Column: clicks on items of ranker A.")],
    clicks_b: Annotated[str, typer.Option(help="Column: clicks on items of ranker B.")],
    unit: Annotated[str | None, typer.Option(help="Column: person or session; without it a row is one.")] = None,
    json: Json = False,
) -> None:
    """Say which of two interleaved rankers people preferred: a sign test over persons or sessions."""
    from dataclasses import asdict

    from crossdomain.experiments.file_columns import preference_of_columns
    from crossdomain.storage.analyst_files import read_columns

    columns = [clicks_a, clicks_b] if unit is None else [unit, clicks_a, clicks_b]
    table = read_columns(Settings.from_env(), data, columns)
    found = preference_of_columns(table, clicks_a=clicks_a, clicks_b=clicks_b, unit=unit)
    facts = {"prefer A": f"{found.wins_a:,}", "prefer B": f"{found.wins_b:,}", "neither": f"{found.ties:,}"}
    show(asdict(found), json=json, title=f"A wins {found.share_a:.2%}, p {found.p:.3g}", facts=facts)
