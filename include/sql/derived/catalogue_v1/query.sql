-- Folds the items delivered on the day onto the catalogue of the day before.
WITH snapshots AS (
    -- The newest whole state of each feed in this delivery; `whole` if it is newer than what is known.
    SELECT delivered.feed, max(delivered.ds) AS as_of, max(delivered.ds) > coalesce(max(known.as_of), DATE '0001-01-01') AS whole
    FROM clean.items AS delivered
    LEFT JOIN (SELECT feed, max(as_of) AS as_of FROM previous.catalogue GROUP BY feed) AS known USING (feed)
    WHERE delivered.snapshot
    GROUP BY delivered.feed
),
delivered AS (
    SELECT items.*
    FROM clean.items AS items
    LEFT JOIN snapshots USING (feed)
    WHERE NOT items.snapshot OR items.ds = snapshots.as_of
    QUALIFY row_number() OVER (
        PARTITION BY items.domain, items.item_id ORDER BY items.ds DESC, items.delivered_ds DESC, items.feed
    ) = 1
),
hashed AS (
    SELECT *,
           md5(array_to_string(
               list_transform(
                   [title, type, description, text, array_to_string(tags, chr(30))],
                   lambda part: trim(regexp_replace(coalesce(part, ''), '\s+', ' ', 'g'))
               ),
               chr(31)
           )) AS content_hash
    FROM delivered
),
folded AS (
    SELECT coalesce(new.domain, old.domain) AS domain,
           coalesce(new.item_id, old.item_id) AS item_id,
           new.item_id IS NOT NULL AND (old.item_id IS NULL OR new.ds >= old.as_of) AS take_new,
           snapshots.feed IS NOT NULL AND new.item_id IS NULL AS gone,
           old, new, snapshots.as_of AS gone_as_of
    FROM previous.catalogue AS old
    FULL JOIN hashed AS new ON new.domain = old.domain AND new.item_id = old.item_id
    LEFT JOIN snapshots ON snapshots.feed = old.feed AND snapshots.whole
),
state AS (
    SELECT domain,
           item_id,
           if(take_new, new.title, old.title) AS title,
           if(take_new, new.type, old.type) AS type,
           if(take_new, new.description, old.description) AS description,
           if(take_new, new.text, old.text) AS text,
           if(take_new, new.tags, old.tags) AS tags,
           if(take_new, new.creator, old.creator) AS creator,
           if(take_new, new.price, old.price) AS price,
           if(take_new, new.listed_at, old.listed_at) AS listed_at,
           CASE WHEN take_new THEN coalesce(new.status, 'on') WHEN gone THEN 'off' ELSE old.status END AS status,
           if(take_new, new.sales, old.sales) AS sales,
           if(take_new, new.comments, old.comments) AS comments,
           if(take_new, new.content_hash, old.content_hash) AS content_hash,
           if(take_new, new.feed, old.feed) AS feed,
           CASE WHEN take_new THEN new.ds WHEN gone THEN gone_as_of ELSE old.as_of END AS as_of,
           old
    FROM folded
)
SELECT domain, item_id, title, type, description, text, tags, creator, price, listed_at, status, sales, comments,
       content_hash,
       coalesce(old.first_ds, getvariable('ds')) AS first_ds,
       if(
           old.item_id IS NOT NULL
           AND (content_hash, creator, price, status) IS NOT DISTINCT FROM (old.content_hash, old.creator, old.price, old.status),
           old.changed_ds,
           getvariable('ds')
       ) AS changed_ds,
       feed,
       as_of
FROM state
