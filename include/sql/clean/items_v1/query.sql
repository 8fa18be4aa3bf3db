-- One row an item of the delivery day. The source's words for being on sale become on and off.
WITH items AS (
    SELECT
        *,
        CASE
            WHEN status IN ('on', 'on_sale', 'active', '1', 'true', '在售', '上架') THEN 'on'
            WHEN status IN ('off', 'off_sale', 'inactive', '0', 'false', '下架', '停售') THEN 'off'
            ELSE status
        END AS sale_status
    FROM parsed
)

SELECT
    item_id,
    domain,
    title,
    type,
    description,
    text,
    tags,
    creator,
    price,
    listed_at,
    sale_status AS status,
    sales,
    comments,
    snapshot,
    delivered_ds,
    feed,
    CASE
        WHEN reason IS NOT NULL THEN reason
        WHEN NOT list_contains($statuses, sale_status) THEN 'unknown_status'
    END AS reason,
    false AS erased,
    source
FROM items
