"""Which instrument a symbol is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from data.model.errors import UsageError
from data.model.market import AssetClass
from data.sources.instruments import calendar_of, instrument_for

WEEK = [date(2025, 4, 7 + n) for n in range(7)]  # Monday to Sunday
WORKDAYS = [*WEEK[:5], date(2025, 4, 14)]


@pytest.mark.parametrize(
    ("symbol", "days", "market", "asset_class", "calendar", "currency", "lot"),
    [
        ("BTCUSDT", WEEK, None, AssetClass.CRYPTO, "24/7", "USDT", "1e-8"),
        ("BTCUSDT", [], None, AssetClass.CRYPTO, "24/7", "USDT", "1e-8"),
        ("ETH/BTC", [], None, AssetClass.CRYPTO, "24/7", "BTC", "1e-8"),
        ("BTC-USD", [], None, AssetClass.CRYPTO, "24/7", "USD", "1e-8"),
        ("BTC", [], None, AssetClass.CRYPTO, "24/7", "USD", "1e-8"),
        ("DOGE", WEEK, None, AssetClass.CRYPTO, "24/7", "USD", "1e-8"),  # bars on a Saturday
        ("AAPL", WORKDAYS, None, AssetClass.EQUITY, "XNYS", "USD", "1"),
        ("AAPL", [], "XNAS", AssetClass.EQUITY, "XNAS", "USD", "1"),
        ("ETH", WORKDAYS, None, AssetClass.EQUITY, "XNYS", "USD", "1"),  # a fund of that name: no Saturdays
        ("7203", [], "XTKS", AssetClass.EQUITY, "XTKS", "JPY", "1"),
        ("CL=F", WORKDAYS, None, AssetClass.FUTURE, "CMES", "USD", "1"),
        ("GC", [], "CMES", AssetClass.FUTURE, "CMES", "USD", "1"),
        ("SP500", WORKDAYS, None, AssetClass.INDEX, "XNYS", "USD", "0.01"),
        ("^GSPC", WORKDAYS, None, AssetClass.INDEX, "XNYS", "USD", "0.01"),
    ],
)
def test_an_instrument_is_known_by_flag_then_bars_then_name(
    symbol: str, days: list[date], market: str | None, asset_class: AssetClass, calendar: str, currency: str, lot: str
) -> None:
    found = instrument_for(symbol, days, market)
    assert (found.asset_class, found.calendar, found.currency) == (asset_class, calendar, currency)
    assert found.lot == Decimal(lot)


@pytest.mark.parametrize("symbol", ["BTCUSDT.P", "BTC/USDT:USDT", "BTC-PERP", "BTCPERP", "BTC-USDT-SWAP", "ethusdt.p"])
@pytest.mark.parametrize("days", [[], WEEK])
def test_perpetuals_are_told_apart(symbol: str, days: list[date]) -> None:
    assert instrument_for(symbol, days).asset_class is AssetClass.PERPETUAL
    assert instrument_for(symbol, days, "24/7").asset_class is AssetClass.PERPETUAL


def test_two_days_without_a_saturday_prove_nothing() -> None:
    assert calendar_of("BTCUSDT") == instrument_for("BTCUSDT", WEEK[:2]).calendar == "24/7"
    assert instrument_for("MSFT", WEEK[:2]).calendar == "XNYS"


def test_an_unknown_market_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown market"):
        instrument_for("AAPL", WORKDAYS, "NOWHERE")
