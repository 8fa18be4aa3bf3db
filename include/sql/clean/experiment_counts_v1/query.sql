-- One row a count of the day: an experiment that was run elsewhere and delivers totals.
SELECT
    experiment_id,
    variant,
    day,
    metric,
    value,
    delivered_ds,
    feed,
    reason,
    false AS erased,
    source
FROM parsed
