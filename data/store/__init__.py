"""Remembers market data and runs in PostgreSQL; corrections are new rows, never edits."""
