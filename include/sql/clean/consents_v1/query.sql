-- One row a decision of the business day: a consent given or withdrawn for one purpose.
SELECT
    a.account,
    p.domain,
    p.purpose,
    p.granted,
    p.ts,
    p.delivered_ds,
    p.feed,
    CASE
        WHEN p.reason IS NOT NULL THEN p.reason
        WHEN NOT list_contains($purposes, p.purpose) THEN 'unknown_purpose'
    END AS reason,
    coalesce(a.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a ON a.namespace = p.domain AND a.user_id = p.user_id
