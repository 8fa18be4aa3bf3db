"""Faults on purpose: jobs that are killed at a named call, without a line for it in the product."""
