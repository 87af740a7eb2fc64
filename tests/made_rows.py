"""Bars, facts and batches for tests, told apart by a number or two."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from data.model.instants import Interval
from data.model.market import AssetClass, Bar, Fact, FactKind, Instrument
from data.store.digest import Reach
from data.store.store import Batch

START = datetime(2025, 4, 1, tzinfo=UTC)
LONG_AFTER = datetime(2026, 1, 1, tzinfo=UTC)
MADE = Instrument("MADE", AssetClass.CRYPTO, "24/7", "USDT", Decimal("0.01"), Decimal("1E-8"), Decimal(10))


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def batch(ingested_at: datetime = LONG_AFTER, **changes: object) -> Batch:
    return Batch(**{"source": "made", "digest": "0" * 64, "ingested_at": ingested_at} | changes)


def all_known(at: float) -> Reach:
    """All that was known `at` hours after the start, however old."""
    return Reach(START.date(), hour(at), 10**6, {})


def bar(number: int, close: str | int = 100, symbol: str = "MADE", **changes: object) -> Bar:
    """The hourly bar that opens `number` hours after the start."""
    price = Decimal(close)
    values = {
        "symbol": symbol,
        "interval": Interval.H1,
        "open_time": hour(number),
        "known_at": hour(number + 1),
        "open": price,
        "high": price + 1,
        "low": price - 1,
        "close": price,
        "volume": Decimal("10.5"),
        "session_on": hour(number).date(),
    }
    return Bar(**values | changes)


def fact(known: float, value: str | int | None = 1, key: str = "rate", **changes: object) -> Fact:
    """A fact known `known` hours after the start."""
    values = {
        "symbol": "MADE",
        "kind": FactKind.MACRO,
        "key": key,
        "known_at": hour(known),
        "source": "made",
        "value": None if value is None else Decimal(value),
    }
    return Fact(**values | changes)


def split(known: float, effective_on: date, ratio: str | int, **changes: object) -> Fact:
    named = {"kind": FactKind.SPLIT, "period": effective_on.isoformat(), "effective_on": effective_on}
    return fact(known, ratio, "split", **named | changes)
