-- Links known so far: kept from the day before, given by a feed on the day, or matched because exactly one
-- account of each side carries the same keyed phone or mail. A link may be given before its accounts are known; it
-- counts when they are. An erased account's links are gone.
WITH contacts AS (
    SELECT account, domain, phone_hash AS contact FROM state.accounts WHERE phone_hash IS NOT NULL
    UNION
    SELECT account, domain, email_hash FROM state.accounts WHERE email_hash IS NOT NULL
),
single AS (
    SELECT domain, contact, min(account) AS account
    FROM contacts
    GROUP BY domain, contact
    HAVING count(DISTINCT account) = 1
),
found AS (
    SELECT knowledge_account, beauty_account, method, first_ds, 0 AS rank FROM previous.account_links
    UNION ALL
    SELECT knowledge_account, beauty_account, 'given', getvariable('ds'), 1 FROM clean.identity_links
    UNION ALL
    SELECT one.account, other.account, 'contact', getvariable('ds'), 2
    FROM single AS one
    JOIN single AS other USING (contact)
    WHERE one.domain = getvariable('first_domain') AND other.domain = getvariable('second_domain')
)
SELECT knowledge_account, beauty_account,
       arg_min(method, rank) AS method,
       arg_min(first_ds, rank) AS first_ds
FROM found
WHERE knowledge_account NOT IN (SELECT account FROM clean.erasure_requests)
  AND beauty_account NOT IN (SELECT account FROM clean.erasure_requests)
GROUP BY knowledge_account, beauty_account
