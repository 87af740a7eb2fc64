"""Opinions: agents read a brief of known facts and say what they would do; they cannot reach a database."""
