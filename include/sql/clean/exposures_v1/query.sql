-- One row an exposure of the business day. The unit of an account is its key (its domain must be known);
-- other units are hashed under the same key, in a namespace of their own.
SELECT
    p.experiment_id,
    p.unit_type,
    a.account AS unit,
    p.variant,
    p.ts,
    p.placement,
    p.delivered_ds,
    p.feed,
    CASE
        WHEN p.reason IS NOT NULL THEN p.reason
        WHEN NOT list_contains($unit_types, p.unit_type) THEN 'unknown_unit_type'
        WHEN p.unit_type = 'account' AND p.domain IS NULL THEN 'missing_domain'
    END AS reason,
    coalesce(a.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a
    ON a.namespace = CASE WHEN p.unit_type = 'account' THEN p.domain ELSE 'unit:' || p.unit_type END
    AND a.user_id = p.unit_id
