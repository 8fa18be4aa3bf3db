"""The forms under which phone numbers and mail addresses are compared, between domains and between companies."""

from __future__ import annotations

import duckdb

_COUNTRY_CODE = r"^(0086|86)(1\d{10})$"


def define_contact_forms(con: duckdb.DuckDBPyConnection) -> None:
    """Defines SQL macros ``normal_phone`` and ``normal_email``.

    A phone number is its digits, without China's country code before a mobile number; a mail address is in
    lower case. What is too short to be either is null.
    """
    digits = "regexp_replace(given, '\\D', '', 'g')"
    con.execute(
        f"CREATE OR REPLACE TEMP MACRO normal_phone(given) AS CASE WHEN length({digits}) >= 5 "
        f"THEN regexp_replace({digits}, '{_COUNTRY_CODE}', '\\2') END"
    )
    con.execute(
        "CREATE OR REPLACE TEMP MACRO normal_email(given) AS CASE WHEN contains(given, '@') THEN lower(given) END"
    )
