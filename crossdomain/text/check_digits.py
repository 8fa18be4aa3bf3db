"""Check digits of numbers that name a person or a card: what tells them from any other long number."""

from __future__ import annotations

from datetime import date

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS = "10X98765432"
_PROVINCES = frozenset(
    [*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83]
)
"""First two digits of the places that issue ID cards."""

_BIRTH_YEARS = range(1880, 2050)  # the standard's own example was born in 1880


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B).

    Args:
        digits: ASCII digits only; none gives False.
    """
    if not digits:
        return False
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(value - 9 if value > 9 else value for value in doubled)
    return total % 10 == 0


def id_card_check_valid(number: str) -> bool:
    """Whether the 18th character is the check character of the 17 digits before (GB 11643-1999, MOD 11-2)."""
    body, check = number[:17], number[17:].upper()
    if len(number) != 18 or not (body.isascii() and body.isdigit()):
        return False
    remainder = sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11
    return check == _CHECK_CHARACTERS[remainder]


def id_card_plausible(number: str) -> bool:
    """Whether a number of 18 or 15 characters begins with a province and holds a day of birth that exists.

    The old form of 15 digits has a year of two digits, always of the 20th century. No clock is asked: a day of
    birth may lie up to 2049.
    """
    born = number[6:14] if len(number) == 18 else "19" + number[6:12]
    try:
        day = date(int(born[:4]), int(born[4:6]), int(born[6:8]))
    except ValueError:
        return False
    return len(number) in (15, 18) and int(number[:2]) in _PROVINCES and day.year in _BIRTH_YEARS
