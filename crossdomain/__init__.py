"""crossdomain: a daily data platform that links paid knowledge with beauty and fashion.

The package file imports nothing on purpose: Airflow parses every DAG file in its own process.
"""
