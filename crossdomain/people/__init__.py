"""Who the accounts belong to, and what they allow."""
