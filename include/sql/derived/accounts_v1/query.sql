-- State of accounts: the day before plus what was delivered on the day (clean.* hold just that).
-- The newest row of an account gives its attributes, the oldest the day on which it was first known.
-- An account that shows up only in behaviour or consents is known too, without attributes.
-- `state.consents` holds the newest words as of the day; `state.erased` who asked to be forgotten, on the day or since.
WITH known AS (
    SELECT account, domain, registered_at, gender, birth_year, province, city, phone_hash, email_hash,
           consent_assumed, getvariable('ds') AS first_ds, 1 AS recency, ds AS row_ds
    FROM clean.users
    UNION ALL
    SELECT account, domain, registered_at, gender, birth_year, province, city, phone_hash, email_hash,
           consent_assumed, first_ds, 0 AS recency, first_ds AS row_ds
    FROM previous.accounts
),
named AS (
    SELECT account,
           arg_max(domain, (recency, row_ds)) AS domain,
           arg_max(registered_at, (recency, row_ds)) AS registered_at,
           arg_max(gender, (recency, row_ds)) AS gender,
           arg_max(birth_year, (recency, row_ds)) AS birth_year,
           arg_max(province, (recency, row_ds)) AS province,
           arg_max(city, (recency, row_ds)) AS city,
           arg_max(phone_hash, (recency, row_ds)) AS phone_hash,
           arg_max(email_hash, (recency, row_ds)) AS email_hash,
           bool_or(coalesce(consent_assumed, false)) AS consent_assumed,
           min(first_ds) AS first_ds
    FROM known
    GROUP BY account
),
seen AS (
    SELECT account, domain, consent_assumed FROM clean.events
    UNION ALL
    SELECT account, domain, false AS consent_assumed FROM clean.consents
),
nameless AS (
    SELECT account, min(domain) AS domain, bool_or(consent_assumed) AS consent_assumed,
           getvariable('ds') AS first_ds
    FROM seen ANTI JOIN known USING (account)
    GROUP BY account
),
purposes AS (
    SELECT account, list_sort(list(purpose)) AS consents FROM state.consents WHERE granted GROUP BY account
),
everyone AS (
    SELECT * FROM named
    UNION ALL BY NAME
    SELECT * FROM nameless
)
SELECT everyone.*, coalesce(purposes.consents, []) AS consents
FROM everyone
LEFT JOIN purposes USING (account)
ANTI JOIN state.erased USING (account)
