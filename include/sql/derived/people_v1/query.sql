-- One row per account with its person and what it allows. `state.allowed` lists the purposes that hold as of the day
-- and now; `state.members` gives the person of every account in a link in force; anyone else is a person of their own.
SELECT accounts.account,
       accounts.domain,
       coalesce(members.person, accounts.account) AS person,
       list_contains(purposes, 'personalisation') AS personalisation,
       list_contains(purposes, 'cross_domain') AS cross_domain,
       list_contains(purposes, 'profiling') AS profiling,
       list_contains(purposes, 'marketing_email') AS marketing_email,
       list_contains(purposes, 'marketing_sms') AS marketing_sms,
       list_contains(purposes, 'marketing_push') AS marketing_push
FROM state.accounts AS accounts
JOIN state.allowed USING (account)
LEFT JOIN state.members AS members USING (account)
ANTI JOIN state.minors USING (account)
