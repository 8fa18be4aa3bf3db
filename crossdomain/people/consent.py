"""What accounts allow: by purpose, as of a day and now, and who is too young to be asked.

Consent holds if the newest word as of the day says so and no newer word withdrew it since. So a day that is built
again heeds every withdrawal that is known by now, and nobody comes in by a consent that was given only later.
"""

from __future__ import annotations

PURPOSES = ("personalisation", "cross_domain", "marketing_email", "marketing_sms", "marketing_push", "profiling")
"""What consent can be asked for."""

CHILD_UNTIL = 14
"""An account is a child's while its owner may be younger than this. Only the year of birth is known, so the whole year
of the 14th birthday still counts."""

ALLOWED = """
WITH refused AS (
    SELECT account, list(purpose) AS purposes FROM state.consents WHERE NOT granted GROUP BY account
),
of_the_day AS (
    SELECT accounts.account, accounts.domain,
           if(
               accounts.consent_assumed,
               list_filter(
                   getvariable('purposes'), lambda purpose: NOT list_contains(coalesce(refused.purposes, []), purpose)
               ),
               accounts.consents
           ) AS purposes
    FROM state.accounts AS accounts
    LEFT JOIN refused USING (account)
)
SELECT account, domain, of_the_day.purposes AS purposes_of_the_day,
       list_filter(
           of_the_day.purposes, lambda purpose: NOT list_contains(coalesce(withdrawn.purposes, []), purpose)
       ) AS purposes
FROM of_the_day
LEFT JOIN state.withdrawn AS withdrawn USING (account)
"""
"""SQL of the purposes that each account allows: ``purposes_of_the_day`` as of the day, ``purposes`` also now. Reads
``state.accounts``, ``state.consents``, ``state.withdrawn`` (``withdrawn``) and variable ``purposes``. Where a feed
declares that consent is assumed, what was not refused is allowed."""

AGES = f"""
SELECT account, year(getvariable('ds')) - birth_year <= {CHILD_UNTIL} AS child FROM state.accounts
"""  # noqa: S608 - a number of this module
"""SQL of whether each account is or may be a child's on the day; null where the year of birth is not known."""

WILLING = "SELECT account, domain FROM state.allowed WHERE list_contains(purposes, 'cross_domain')"
"""SQL of the accounts that may be linked across the domains."""

MINORS = """
SELECT account FROM state.ages WHERE child
UNION
SELECT unnest([knowledge_account, beauty_account]) FROM state.links WHERE status = 'minor'
"""
"""SQL of the accounts that are or may be a child's: by the year of birth, or by a link to such an account where their
own year of birth is not known."""


def withdrawn(words: str) -> str:
    """SQL of what the newest word of each account says no to; of a yes and a no in the same instant the no counts.

    Args:
        words: SQL of (account, purpose, granted, ts).

    Returns:
        SQL of (account, purposes), one row per account with a no, purposes sorted.
    """
    return f"""
SELECT account, list_sort(list(purpose)) AS purposes
FROM (
    SELECT account, purpose
    FROM ({words})
    GROUP BY account, purpose
    HAVING NOT arg_max(granted, (ts, NOT granted))
)
GROUP BY account
"""  # noqa: S608 - our own text


def withdrawals_version(words: str) -> str:
    """SQL of three numbers that change when, and only when, somebody withdraws or renews a consent.

    A new account, a first refusal and a new grant leave them as they are.

    Args:
        words: SQL of (account, purpose, granted, ts).
    """
    return f"""
WITH words AS ({words}),
withdrawn AS (
    SELECT account, purpose
    FROM words SEMI JOIN (SELECT account, purpose FROM words WHERE NOT granted) USING (account, purpose)
    GROUP BY account, purpose
    HAVING bool_or(granted) AND NOT arg_max(granted, (ts, NOT granted))
)
SELECT count(*), coalesce(sum(hash(account, purpose)::HUGEINT), 0), coalesce(bit_xor(hash('x', account, purpose)), 0)
FROM withdrawn
"""  # noqa: S608 - our own text
