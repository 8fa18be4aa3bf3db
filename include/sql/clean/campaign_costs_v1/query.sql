-- One row a campaign, day and channel: money spent.
SELECT
    campaign_id,
    day,
    channel,
    cost,
    delivered_ds,
    feed,
    reason,
    false AS erased,
    source
FROM parsed
