-- One row a review of the business day.
SELECT
    p.review_id,
    a.account,
    p.item_id,
    p.domain,
    p.text,
    p.ts,
    p.rating,
    p.delivered_ds,
    p.feed,
    p.reason,
    coalesce(a.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a ON a.namespace = p.domain AND a.user_id = p.user_id
