"""Bars: known as of, corrected, streamed."""

from __future__ import annotations

from data.store.store import Store


def test_an_empty_store_holds_nothing(store: Store) -> None:
    assert store.windows() == ()
