"""Reading an analyst's files and analysing them: what `crossdomain experiment analyze` does."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crossdomain.errors import InputError
from crossdomain.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from crossdomain.experiments.design import Design
    from crossdomain.experiments.results import Analysis


def analyze_file(settings: Settings, design_file: Path, data: Sequence[str], events: Path | None) -> Analysis:
    """Analyses an analyst's files by their design.

    Args:
        settings: Memory and threads; the folder of the published schema; the business zone.
        design_file: YAML design of a file.
        data: One file or folder, or ``VARIANT=FILE`` for each variant.
        events: File of events where the data are exposures; None for unit rows.

    Raises:
        InputError: The design is not valid, or a file cannot be used as it says.
    """
    from crossdomain.experiments.design import SCHEMA_FILE, load_design
    from crossdomain.experiments.file_analysis import analyze_rows
    from crossdomain.experiments.file_events import event_columns, join_events
    from crossdomain.storage.analyst_files import read_columns
    from crossdomain.storage.engine import connection

    design = load_design(design_file, schema=settings.include / "experiments" / SCHEMA_FILE)
    table = _read(settings, design, data)
    joins = design.file is not None and design.file.events is not None
    if joins != (events is not None):
        raise InputError(
            f"{design.source}: data.events: the design joins exposures to events: give --events FILE"
            if joins
            else f"{design.source}: data.events: say which columns the file of events has"
        )
    if events is not None:
        happened = read_columns(settings, events, event_columns(design))
        with tempfile.TemporaryDirectory() as scratch, connection(settings, Path(scratch)) as con:
            design, table = join_events(con, design, table, happened)
    return analyze_rows(design, table, settings.zone)


def _read(settings: Settings, design: Design, data: Sequence[str]) -> pa.Table:
    """The file, or one file a variant."""
    from crossdomain.experiments.file_analysis import needed_columns
    from crossdomain.storage.analyst_files import read_by_variant, read_columns

    columns = needed_columns(design)
    assert design.file is not None
    if len(data) == 1 and not _names_variant(design, data[0]):
        return read_columns(settings, Path(data[0]), columns)
    files = {}
    for one in data:
        if not _names_variant(design, one):
            raise InputError(f"--data {one}: with several files give VARIANT=FILE, a variant of the design")
        variant, _, path = one.partition("=")
        if variant in files:
            raise InputError(f"--data {one}: {variant} has a file already")
        files[variant] = Path(path)
    return read_by_variant(settings, files, columns, variant=design.file.variant)


def _names_variant(design: Design, given: str) -> bool:
    variant, equals, _ = given.partition("=")
    return bool(equals) and variant in dict(design.variants)
