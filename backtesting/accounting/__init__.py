"""Fills give cash, positions, equity and numbers."""
