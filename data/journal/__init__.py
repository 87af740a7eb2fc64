"""Appends what happened, one record a line, before anybody acts on it."""
