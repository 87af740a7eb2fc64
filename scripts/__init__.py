"""Doors: thin commands over the rooms below."""
