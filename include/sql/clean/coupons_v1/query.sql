-- One row a coupon issued on the business day.
SELECT
    p.coupon_id,
    p.campaign_id,
    a.account,
    p.domain,
    p.issued_at,
    p.amount,
    p.redeemed_event_id,
    p.delivered_ds,
    p.feed,
    p.reason,
    coalesce(a.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a ON a.namespace = p.domain AND a.user_id = p.user_id
