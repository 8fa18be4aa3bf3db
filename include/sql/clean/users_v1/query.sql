-- One row an account of the delivery day. Phone, mail and name stay behind: only keyed hashes of the
-- normalised phone number and mail address go on, so that accounts of one person can be matched.
SELECT
    a.account,
    p.domain,
    p.registered_at,
    CASE
        WHEN p.gender IN ('female', 'f', 'woman', '女', '女性') THEN 'female'
        WHEN p.gender IN ('male', 'm', 'man', '男', '男性') THEN 'male'
        WHEN p.gender IN ('other', '其他') THEN 'other'
        WHEN p.gender IS NOT NULL THEN 'unknown'
    END AS gender,
    p.birth_year,
    p.province,
    p.city,
    phones.hash AS phone_hash,
    mails.hash AS email_hash,
    p.consent_assumed,
    p.delivered_ds,
    p.feed,
    CASE
        WHEN p.reason IS NOT NULL THEN p.reason
        WHEN p.birth_year NOT BETWEEN 1900 AND year(p.delivered_ds) THEN 'impossible_birth_year'
    END AS reason,
    coalesce(a.erased, false) AS erased,
    p.source
FROM parsed AS p
LEFT JOIN accounts AS a ON a.namespace = p.domain AND a.user_id = p.user_id
LEFT JOIN contacts AS phones ON phones.kind = 'phone' AND phones.value = normal_phone(p.phone)
LEFT JOIN contacts AS mails ON mails.kind = 'email' AND mails.value = normal_email(p.email)
