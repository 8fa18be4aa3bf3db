"""What values a setting may have, as its default and the values that a search tries tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from crossdomain.errors import InputError

_LEAST = {"seed": 0, "leaves": 2}
"""Least whole numbers that are not 1 by rule."""


def check_settings(settings: Any, where: str) -> None:
    """Checks a dataclass of settings that came from a file.

    A setting is a whole number where its default is one, else a number. Its default and the values of its ``space``
    are known to work: whole numbers are at least 1, or 0 where 0 is among those; others are greater than 0, or
    where these are not, at least 0 or -1; and at most 1 where all of those are.

    Raises:
        InputError: A value is none of these; ``where`` and the setting are named.
    """
    for field in fields(settings):
        value = getattr(settings, field.name)
        known = (field.default, *_tried(settings).get(field.name, ()))
        wanted = _wanted(field.name, known, value)
        if wanted:
            raise InputError(f"{where}.{field.name} is {value!r}: give {wanted}")


def _tried(settings: Any) -> Mapping[str, tuple[float, ...]]:
    return {**settings.space, **getattr(settings, "costly", {})}


def _wanted(name: str, known: tuple[Any, ...], value: Any) -> str:
    """What should stand there; empty if the value is good."""
    if isinstance(known[0], int):
        least = _LEAST.get(name, min(1, *known))
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return "" if good else f"a whole number, {least} or more"
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    low, high = min(known), max(known)
    wanted = "more than 0" if low > 0 else "0 or more" if low == 0 else "-1 or more"
    good = number and (value > 0 if low > 0 else value >= (0 if low == 0 else -1)) and not (value > 1 >= high)
    return "" if good else f"a number, {wanted}{' and at most 1' if high <= 1 else ''}"
