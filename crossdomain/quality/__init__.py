"""The gate: rules of the clean tables, their verdict on a day, and what the pages show of it."""
