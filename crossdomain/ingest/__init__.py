"""Feeds to raw, raw to clean: what others deliver becomes typed, deduplicated, pseudonymous rows."""
