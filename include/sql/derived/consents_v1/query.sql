-- Folds the words delivered on the day onto those known before. The newest word by its own time counts, however late
-- it was delivered; of a yes and a no in the same instant the no counts.
WITH words AS (
    SELECT account, domain, purpose, granted, ts FROM previous.consents
    UNION ALL
    SELECT account, domain, purpose, granted, ts FROM clean.consents
)
SELECT account, min(domain) AS domain, purpose, arg_max(granted, (ts, NOT granted)) AS granted, max(ts) AS ts
FROM words
ANTI JOIN state.erased USING (account)
GROUP BY account, purpose
