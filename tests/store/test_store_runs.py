"""Instruments, and the list of runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from made_rows import MADE, bar, batch, hour

from data.model.errors import DataError
from data.model.market import AssetClass, Bar
from data.store.store import RunRow, Store


def test_an_instrument_comes_back_as_it_was_put(any_store: Store) -> None:
    assert any_store.instrument("MADE") is None
    any_store.put_instrument(MADE)
    any_store.put_instrument(MADE)
    assert any_store.instrument("MADE") == MADE
    changed = replace(MADE, asset_class=AssetClass.EQUITY, lot=Decimal(1), currency="EUR", tick=Decimal("0.5"))
    any_store.put_instrument(changed)
    assert any_store.instrument("MADE") == changed


def test_an_instrument_keeps_its_calendar(any_store: Store) -> None:
    """It decided when the stored bars were known."""
    any_store.put_instrument(MADE)
    with pytest.raises(DataError, match="MADE is stored with the calendar 24/7"):
        any_store.put_instrument(replace(MADE, calendar="XNYS"))
    assert any_store.instrument("MADE") == MADE


def test_an_instrument_comes_with_its_first_bars_or_not_at_all(any_store: Store) -> None:
    def broken() -> Iterator[Bar]:
        yield bar(0)
        raise DataError("the file ends here")

    with pytest.raises(DataError, match="ends here"):
        any_store.add_bars(batch(), broken(), MADE)
    assert any_store.instrument("MADE") is None
    any_store.add_bars(batch(), [bar(0)], MADE)
    assert any_store.instrument("MADE") == MADE
    with pytest.raises(DataError, match="MADE is stored with the calendar 24/7"):
        any_store.add_bars(batch(), [bar(1)], replace(MADE, calendar="XNYS"))
    assert [window.bars for window in any_store.windows()] == [1]


def test_runs_are_listed_as_they_began(any_store: Store) -> None:
    question = {"symbols": ["MADE"], "odd": "NUL \0, ünïcode", "n": 1.5, "none": None}
    any_store.begin_run("b", question, "data/runs/b", hour(2))
    any_store.begin_run("a", {}, "data/runs/a", hour(1))
    any_store.end_run("a", "complete", "f" * 64, {"final_equity": "10000.5"}, hour(3))
    assert any_store.runs() == (
        RunRow("a", "data/runs/a", "complete", hour(1), hour(3), "f" * 64, {}, {"final_equity": "10000.5"}),
        RunRow("b", "data/runs/b", "running", hour(2), None, None, question, None),
    )


def test_a_run_that_never_began_does_not_end(any_store: Store) -> None:
    with pytest.raises(LookupError, match="run x was never begun"):
        any_store.end_run("x", "complete", None, {}, hour(1))
