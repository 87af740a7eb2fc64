"""How many bars a year has: by the calendar, not by a constant for all."""

from __future__ import annotations

import pytest

from backtesting.accounting.annualisation import periods_per_year
from data.model.instants import Interval


@pytest.mark.parametrize(
    ("calendar", "interval", "expected"),
    [
        ("24/7", "1d", 365),
        ("24/7", "1h", 365 * 24),
        ("24/7", "4h", 365 * 6),
        ("24/7", "1m", 365 * 24 * 60),
        ("XNYS", "1d", 252),
        ("XNAS", "1d", 252),
        ("XNYS", "1h", 252 * 6.5),
        ("XNYS", "30m", 252 * 13),
        ("XNYS", "12h", 252),
        ("CMES", "1d", 258),
        ("XLON", "1h", 253 * 8.5),
    ],
)
def test_bars_a_year(calendar: str, interval: str, expected: float) -> None:
    assert periods_per_year(calendar, Interval.parse(interval)) == expected
