"""Tests and intervals from counts and moments: pure functions of numbers, without data access."""
