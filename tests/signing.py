"""A key for logs that tests write."""

from data.journal.notes import SigningKey

KEY = SigningKey.new("agentrader/run/test")
