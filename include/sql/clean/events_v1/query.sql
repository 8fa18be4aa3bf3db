-- One row an event of the business day. The value of a refund is what was paid back, always positive.
SELECT
    p.event_id,
    a.account,
    p.domain,
    p.item_id,
    p.event_type,
    p.ts,
    CASE WHEN p.event_type = 'refund' THEN abs(p.value) ELSE p.value END AS value,
    TRY_CAST(p.quantity AS INTEGER) AS quantity,
    p.channel,
    p.campaign_id,
    p.session_id,
    p.placement,
    TRY_CAST(p.position AS INTEGER) AS position,
    p.rec_id,
    p.ref_event_id,
    p.consent_assumed,
    p.delivered_ds,
    p.feed,
    CASE
        WHEN p.reason IS NOT NULL THEN p.reason
        WHEN NOT list_contains($event_types, p.event_type) THEN 'unknown_event_type'
        WHEN p.value < 0 AND p.event_type <> 'refund' THEN 'negative_value'
        WHEN p.quantity > 2147483647 THEN 'unparseable_quantity'
        WHEN p.position > 2147483647 THEN 'unparseable_position'
        WHEN p.item_id IS NULL AND p.event_type IN ('purchase', 'refund', 'cart', 'rating') THEN 'missing_item_id'
    END AS reason,
    coalesce(a.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a ON a.namespace = p.domain AND a.user_id = p.user_id
