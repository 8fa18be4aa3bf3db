-- One row a request to be forgotten. It is never suppressed itself: the following jobs act on it, and
-- governance removes it when the erasure is done.
SELECT
    a.account,
    p.domain,
    p.requested_at,
    p.delivered_ds,
    p.feed,
    p.reason,
    false AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a ON a.namespace = p.domain AND a.user_id = p.user_id
