-- Zero is a number too: every measure of every domain has a row.
WITH allowed AS (
    SELECT account, domain, unnest(purposes) AS purpose FROM state.allowed ANTI JOIN state.minors USING (account)
),
withdrawn AS (
    SELECT account, domain, unnest(purposes_of_the_day) AS purpose FROM state.allowed
    EXCEPT
    SELECT account, domain, unnest(purposes) FROM state.allowed
),
conflicting AS (
    SELECT knowledge_account AS account FROM state.link_conflicts
    UNION
    SELECT beauty_account FROM state.link_conflicts
),
counted AS (
    SELECT domain, 'known' AS measure FROM state.accounts
    UNION ALL
    SELECT domain, 'processed' FROM state.accounts ANTI JOIN state.minors USING (account)
    UNION ALL
    SELECT domain, 'minor' FROM state.accounts SEMI JOIN state.minors USING (account)
    UNION ALL
    SELECT domain, 'linked' FROM state.accounts SEMI JOIN state.members USING (account)
    UNION ALL
    SELECT domain, 'in_conflict' FROM state.accounts SEMI JOIN conflicting USING (account)
    UNION ALL
    SELECT domain, if(granted, 'granted_', 'refused_') || purpose FROM state.consents
    UNION ALL
    SELECT domain, 'allowed_' || purpose FROM allowed
    UNION ALL
    SELECT domain, 'withdrawn_since_' || purpose FROM withdrawn
),
measures AS (
    SELECT unnest(['known', 'processed', 'minor', 'linked', 'in_conflict']) AS measure
    UNION ALL
    SELECT prefix || purpose
    FROM (SELECT unnest(['granted_', 'refused_', 'allowed_', 'withdrawn_since_']) AS prefix),
        (SELECT unnest(getvariable('purposes')) AS purpose)
),
cells AS (
    SELECT domain, measure
    FROM (SELECT unnest([getvariable('first_domain'), getvariable('second_domain')]) AS domain), measures
)
SELECT cells.domain, cells.measure, count(counted.measure) AS accounts
FROM cells
LEFT JOIN counted USING (domain, measure)
GROUP BY cells.domain, cells.measure
