-- Links that are not used since evidence contradicts them, the given links that stand against a contact, and contacts
-- that several accounts of a side carry. A contact of thousands (a shop's phone) gives a row an account, not a pair.
WITH against AS (
    SELECT conflict AS kind, evidence, knowledge_account, beauty_account, 2 AS accounts
    FROM state.links
    WHERE conflict IS NOT NULL
),
partners AS (
    SELECT kind, evidence, knowledge_account, beauty_account,
           CASE kind
               WHEN 'given_twice' THEN
                   greatest(
                       count(*) OVER (PARTITION BY kind, knowledge_account),
                       count(*) OVER (PARTITION BY kind, beauty_account)
                   ) + 1
               ELSE accounts
           END AS accounts
    FROM against
),
shared AS (
    SELECT kind AS evidence, contact, knowledge_accounts + beauty_accounts AS accounts
    FROM state.contacts
    WHERE knowledge_accounts > 1 OR beauty_accounts > 1
),
carriers AS (
    SELECT shared.evidence, shared.contact, shared.accounts, willing.account,
           willing.domain = getvariable('first_domain') AS first_side
    FROM shared
    JOIN state.carried AS carried ON carried.kind = shared.evidence AND carried.contact = shared.contact
    JOIN state.willing AS willing USING (account)
),
smallest AS (
    SELECT evidence, contact,
           min(account) FILTER (first_side) AS knowledge_account,
           min(account) FILTER (NOT first_side) AS beauty_account
    FROM carriers
    GROUP BY evidence, contact
    HAVING knowledge_account IS NOT NULL AND beauty_account IS NOT NULL
),
beside AS (
    SELECT DISTINCT 'shared_contact' AS kind, evidence,
           if(first_side, account, knowledge_account) AS knowledge_account,
           if(first_side, beauty_account, account) AS beauty_account,
           accounts
    FROM carriers
    JOIN smallest USING (evidence, contact)
),
found AS (
    SELECT * FROM partners
    UNION ALL
    SELECT * FROM beside
)
SELECT found.*, coalesce(before.first_ds, getvariable('ds')) AS first_ds
FROM found
LEFT JOIN previous.link_conflicts AS before USING (kind, evidence, knowledge_account, beauty_account)
