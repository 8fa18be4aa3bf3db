-- One row per account with its person and what it allows. `state.members` gives the person of every account
-- in a link between two accounts that both grant cross_domain; anyone else is a person of their own.
SELECT accounts.account,
       accounts.domain,
       coalesce(members.person, accounts.account) AS person,
       consent_assumed OR list_contains(consents, 'personalisation') AS personalisation,
       consent_assumed OR list_contains(consents, 'cross_domain') AS cross_domain,
       consent_assumed OR list_contains(consents, 'profiling') AS profiling
FROM state.accounts AS accounts
LEFT JOIN state.members AS members USING (account)
