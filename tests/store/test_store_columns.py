"""Columns hold what `first_bars` gives, bar by bar, to the last bit that float64 has."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import databases
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_rows import LONG_AFTER, bar, batch, hour

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar
from data.sources.ingest import ingest_bar_file
from data.store import columns
from data.store.store import BarColumns, Store

H1 = Interval.H1
DAYS = (date(2025, 4, 1), date(2025, 4, 3))
NAMES = ("open_time", "known_at", "open", "high", "low", "close", "volume")


class Later:
    """A clock long after all the data."""

    def now(self) -> datetime:
        return LONG_AFTER


def assert_same(found: BarColumns, bars: list[Bar]) -> None:
    assert len(found) == len(bars)
    for name in NAMES:
        values = [getattr(each, name) for each in bars]
        if name in ("open_time", "known_at"):
            expected = np.array([value.replace(tzinfo=None) for value in values], "datetime64[us]")
        else:
            expected = np.array([float(value) for value in values], np.float64)
        column = getattr(found, name)
        assert column.dtype == expected.dtype
        assert column.flags.c_contiguous
        assert np.array_equal(column, expected), name


def test_an_empty_series_has_empty_columns(any_store: Store) -> None:
    assert_same(any_store.columns("MADE", H1, *DAYS), [])


def test_columns_take_first_versions_of_these_sessions_only(any_store: Store) -> None:
    early = bar(0, session_on=date(2025, 4, 2), known_at=hour(40))
    late = bar(30, 103, session_on=date(2025, 4, 1))
    others = [bar(1, 101), bar(500, 105), bar(0, 50, symbol="OTHER"), bar(0, 60, interval=Interval.D1)]
    any_store.add_bars(batch(), [early, late, *others])
    any_store.add_bars(batch(), [bar(1, 777)])
    assert_same(any_store.columns("MADE", H1, *DAYS), [early, bar(1, 101), late])
    assert_same(any_store.columns("MADE", H1, date(2025, 4, 1), date(2025, 4, 1)), [bar(1, 101), late])


numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
delays = st.timedeltas(timedelta(microseconds=1), timedelta(days=9_000))
instants = st.timedeltas(timedelta(days=-20_000), timedelta(days=3_000))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(instants, st.tuples(delays, *[numbers] * 5), max_size=20), st.integers(1, 9))
def test_columns_are_the_first_bars(any_store: Store, rows: dict[timedelta, tuple[Any, ...]], at_once: int) -> None:
    databases.empty(any_store.engine)
    names = NAMES[2:]
    bars = []
    for after, (delay, *values) in rows.items():
        opened = hour(0) + after
        times = {"open_time": opened, "known_at": opened + delay, "session_on": opened.date()}
        bars.append(bar(0, **times, **dict(zip(names, values, strict=True))))
    any_store.add_bars(batch(), bars)
    window = (date(1950, 1, 1), date(2040, 1, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "ROWS", at_once)
        found = any_store.columns("MADE", H1, *window)
    assert_same(found, list(any_store.first_bars("MADE", H1, *window)))


def test_real_hours_of_seven_years_are_the_same(any_store: Store, shared_data: Path) -> None:
    ingest_bar_file(any_store, shared_data / "crypto_spot/BTCUSDT_1h.csv.gz", "BTCUSDT", H1, clock=Later())
    whole = ("BTCUSDT", H1, date(2018, 1, 1), date(2025, 12, 31))
    found = any_store.columns(*whole)
    assert len(found) == 63_952
    assert_same(found, list(any_store.first_bars(*whole)))


def test_a_price_beyond_float64_is_refused(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(0, high=Decimal("1E+400"))])
    with pytest.raises(DataError, match="a 1h bar of MADE has a number that float64 cannot hold"):
        any_store.columns("MADE", H1, *DAYS)
    assert any_store.bars_as_of("MADE", H1, LONG_AFTER, 1)[0].high == Decimal("1E+400")


@pytest.mark.parametrize("cut", [1, 2, 50])
def test_an_answer_that_ends_too_early_is_no_answer(cut: int) -> None:
    rows = columns._Rows()
    row = np.zeros(1, columns._ROW).tobytes()
    rows.write((b"PGCOPY\n\xff\r\n\0" + bytes(8) + row + b"\xff\xff")[:-cut])
    with pytest.raises(ValueError, match="a binary COPY ends in"):
        rows.columns()
