"""Prose and pictures out of the journal, and nothing that is not in it."""
