-- One row an entry of the delivery day: a question with its answer.
SELECT
    entry_id,
    domain,
    question,
    answer,
    delivered_ds,
    feed,
    reason,
    false AS erased,
    source
FROM parsed
