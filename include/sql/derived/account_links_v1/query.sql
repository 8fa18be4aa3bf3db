-- Every candidate for a link with what speaks against it; `conflict` and `evidence` are for derived.link_conflicts.
--
-- A given link needs only the given ones to agree: neither account may be given to somebody else too. A link by
-- contact needs a phone or mail that exactly one account of each side carries, every other contact of the two that
-- the other side knows to be the same, and no given link of either account. Contacts are compared anew each day; given
-- links are kept. The two accounts must grant cross_domain, as of the day and now (`state.willing`): a pair of which
-- one does not is neither matched nor reported. Only to spare a child is a given link heeded without it.
WITH given AS (
    SELECT knowledge_account, beauty_account, min(first_ds) AS first_ds
    FROM (
        SELECT knowledge_account, beauty_account, first_ds FROM previous.account_links WHERE method = 'given'
        UNION ALL
        SELECT knowledge_account, beauty_account, getvariable('ds') FROM clean.identity_links
    )
    WHERE knowledge_account NOT IN (FROM state.erased) AND beauty_account NOT IN (FROM state.erased)
    GROUP BY knowledge_account, beauty_account
),
single AS (
    SELECT kind, knowledge_account, beauty_account
    FROM state.contacts
    WHERE knowledge_accounts = 1 AND beauty_accounts = 1
),
matched AS (
    SELECT knowledge_account, beauty_account, string_agg(kind, ' and ' ORDER BY kind DESC) AS evidence
    FROM single
    GROUP BY knowledge_account, beauty_account
),
candidates AS (
    SELECT knowledge_account, beauty_account, 'given' AS method, 'given' AS evidence, first_ds,
           if(
               count(*) OVER (PARTITION BY knowledge_account) > 1 OR count(*) OVER (PARTITION BY beauty_account) > 1,
               'given_twice', NULL
           ) AS conflict
    FROM given
    UNION ALL
    SELECT matched.knowledge_account, matched.beauty_account, 'contact', matched.evidence,
           coalesce(before.first_ds, getvariable('ds')),
           CASE
               WHEN matched.knowledge_account IN (SELECT knowledge_account FROM given)
                   OR matched.beauty_account IN (SELECT beauty_account FROM given) THEN 'given_against_contact'
               WHEN (one.phone, one.email) IS DISTINCT FROM (other.phone, other.email) THEN 'contacts_disagree'
           END
    FROM matched
    ANTI JOIN given USING (knowledge_account, beauty_account)
    JOIN state.met AS one ON one.account = matched.knowledge_account
    JOIN state.met AS other ON other.account = matched.beauty_account
    LEFT JOIN previous.account_links AS before
        ON before.method = 'contact'
        AND before.knowledge_account = matched.knowledge_account AND before.beauty_account = matched.beauty_account
),
judged AS (
    SELECT candidates.* EXCLUDE (conflict),
           knowledge_account IN (SELECT account FROM state.willing)
               AND beauty_account IN (SELECT account FROM state.willing) AS agreed,
           coalesce(one.child, false) OR coalesce(other.child, false) AS child,
           CASE
               WHEN conflict IS NOT NULL THEN conflict
               WHEN one.child <> other.child THEN 'child_and_adult'
           END AS conflict
    FROM candidates
    LEFT JOIN state.ages AS one ON one.account = knowledge_account
    LEFT JOIN state.ages AS other ON other.account = beauty_account
)
SELECT knowledge_account, beauty_account, method, first_ds,
       CASE
           WHEN child AND conflict IS NULL AND (agreed OR method = 'given') THEN 'minor'
           WHEN NOT agreed THEN 'no_consent'
           WHEN conflict IS NOT NULL THEN 'conflict'
           ELSE 'in_force'
       END AS status,
       if(agreed, conflict, NULL) AS conflict,
       evidence
FROM judged
