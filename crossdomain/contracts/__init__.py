"""What the two companies and the platform promise each other: one contract a canonical table, in files and in words."""
