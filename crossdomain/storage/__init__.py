"""The only place that builds paths, opens DuckDB, writes files and holds keys."""
