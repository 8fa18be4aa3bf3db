-- One row a pair of accounts whose link became known on the business day. If either side was erased, the
-- link is suppressed.
SELECT
    knowledge.account AS knowledge_account,
    beauty.account AS beauty_account,
    p.linked_at,
    p.method,
    p.delivered_ds,
    p.feed,
    p.reason,
    coalesce(knowledge.erased, false) OR coalesce(beauty.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS knowledge ON knowledge.namespace = $domains[1] AND knowledge.user_id = p.knowledge_user_id
LEFT JOIN accounts AS beauty ON beauty.namespace = $domains[2] AND beauty.user_id = p.beauty_user_id
