"""Duties towards people: erasure and its proof, retention, legal holds, the daily account of all of it."""
