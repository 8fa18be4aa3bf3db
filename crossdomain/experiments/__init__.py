"""Controlled experiments: designs, metrics by SQL, analysis with its checks, and a summary for people."""
