"""What is known of persons as of a day, one row a person, for tables that leave the platform."""

from __future__ import annotations

from crossdomain.storage.engine import identifier

RELEASE_PURPOSE = "profiling"
"""The purpose that an account must allow to be counted in a released table."""

FLAGS = ("personalisation", "cross_domain", "marketing_email", "marketing_sms", "marketing_push")
"""What a person allows (on every account of theirs); released as they are, never as quasi-identifiers."""


def person_attributes(*, purpose: str = RELEASE_PURPOSE) -> str:
    """SQL of persons over ``derived.people`` and ``derived.accounts`` of one day.

    Columns ``gender``, ``birth_year``, ``province``, ``city``, ``sides`` (the domain, or ``both``) and :data:`FLAGS`.
    Where accounts of a person differ the smallest account key that has the value decides. No key, hash or id is here.

    Args:
        purpose: Accounts that do not allow it are left out, and with them persons without another one.
    """
    flags = ", ".join(f"bool_and({flag}) AS {flag}" for flag in FLAGS)
    return f"""
        SELECT arg_min(gender, account) AS gender,
            arg_min(birth_year, account) AS birth_year,
            arg_min(province, account) AS province,
            arg_min(city, account) FILTER (province IS NOT NULL) AS city,
            if(count(DISTINCT domain) > 1, 'both', min(domain)) AS sides,
            {flags}
        FROM (SELECT account, person, {", ".join(FLAGS)} FROM derived.people WHERE {identifier(purpose)})
        JOIN (SELECT account, domain, gender, birth_year, province, city FROM derived.accounts) USING (account)
        GROUP BY person
    """  # noqa: S608 - our own names
