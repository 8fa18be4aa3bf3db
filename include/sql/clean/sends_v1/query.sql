-- One row a message that was sent to a person on the business day.
SELECT
    p.send_id,
    p.campaign_id,
    a.account,
    p.domain,
    p.channel,
    p.ts,
    p.delivered_ds,
    p.feed,
    p.reason,
    coalesce(a.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a ON a.namespace = p.domain AND a.user_id = p.user_id
