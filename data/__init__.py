"""Facts: what was recorded, where it came from and when it was known."""
