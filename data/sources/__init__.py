"""Brings facts in, checks their quality, stamps where they came from and when they were known."""
