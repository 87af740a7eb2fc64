"""Which instrument a symbol is: by what the user says, else by its bars on a Saturday, else by how it is written.

What is guessed can always be said instead (`--market`). Limits: a future is traded in units of its price (a barrel, not
a contract of a thousand), so multipliers and margins are not modelled; ticks and lots are an asset class's, not a
venue's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from data.model.market import ALWAYS_OPEN, AssetClass, Instrument
from data.sources.calendars import ONE_DAY, sessions_between

EQUITIES, FUTURES = "XNYS", "CMES"
SATURDAY = 5
INDICES = frozenset({"SP500", "NASDAQ"})
COINS = frozenset({"BTC", "ETH"})
# A dot before P, a settlement currency after a colon, or the word itself: how exchanges write perpetual futures.
PERPETUAL = re.compile(r".+(\.P|:[A-Z]+|[-_]?PERP(ETUAL)?|[-_]SWAP)\Z")
PAIR = re.compile(r"[A-Z0-9]{2,}?[-/]?(USDT|USDC|BUSD|FDUSD|TUSD)\Z|[A-Z0-9]{2,}[-/](USD|EUR|GBP|BTC|ETH|BNB)\Z")
# XXX is ISO 4217's code for an unknown currency.
CURRENCIES = {
    **dict.fromkeys((EQUITIES, "XNAS", "ARCX", "BATS", "XASE", FUTURES, "CBOT", "COMEX", "NYMEX", "XCBF"), "USD"),
    **dict.fromkeys(("XETR", "XPAR", "XAMS", "XMIL", "XMAD", "XBRU", "XLIS", "XFRA"), "EUR"),
    "XLON": "GBP",
    "XTKS": "JPY",
    "XHKG": "HKD",
    "XTSE": "CAD",
    "XASX": "AUD",
    "XSWX": "CHF",
}
ANY_COIN = Decimal("0.00000001")
CENT = Decimal("0.01")
# Binance's smallest spot order in a dollar coin.
SMALLEST_ORDER = Decimal(5)


def instrument_for(symbol: str, days: Sequence[date] = (), market: str | None = None) -> Instrument:
    """The instrument of a symbol. `days` are the session or UTC dates that its bars have, in order; none are fine.

    Raises UsageError for a market that no calendar has.
    """
    asset_class, calendar = _kind(symbol, days, market)
    return Instrument(
        symbol=symbol,
        asset_class=asset_class,
        calendar=calendar,
        currency=_currency(symbol) if calendar == ALWAYS_OPEN else CURRENCIES.get(calendar, "XXX"),
        tick=ANY_COIN if calendar == ALWAYS_OPEN else CENT,
        lot=_lot(asset_class),
        min_notional=SMALLEST_ORDER if calendar == ALWAYS_OPEN and "USD" in _currency(symbol) else Decimal(0),
    )


def calendar_of(symbol: str, market: str | None = None) -> str:
    """The calendar that a symbol without bars most likely has."""
    return _kind(symbol, (), market)[1]


def _kind(symbol: str, days: Sequence[date], market: str | None) -> tuple[AssetClass, str]:
    written, calendar = _as_written(symbol)
    if market:
        sessions_between(market, date(2024, 1, 1), date(2024, 1, 2))  # raises for an unknown calendar
        return (written if calendar == market else _class_of(market, written)), market
    trades = _trades_on_saturdays(days)
    if trades is None or trades == (calendar == ALWAYS_OPEN):
        return written, calendar
    return (AssetClass.CRYPTO, ALWAYS_OPEN) if trades else (AssetClass.EQUITY, EQUITIES)


def _as_written(symbol: str) -> tuple[AssetClass, str]:
    name = symbol.upper()
    if PERPETUAL.match(name):
        return AssetClass.PERPETUAL, ALWAYS_OPEN
    if name in COINS or PAIR.match(name):
        return AssetClass.CRYPTO, ALWAYS_OPEN
    if name.endswith("=F"):
        return AssetClass.FUTURE, FUTURES
    if name in INDICES or name.startswith("^"):
        return AssetClass.INDEX, EQUITIES
    return AssetClass.EQUITY, EQUITIES


def _class_of(market: str, written: AssetClass) -> AssetClass:
    if market == ALWAYS_OPEN:
        return AssetClass.CRYPTO
    if market == FUTURES:
        return AssetClass.FUTURE
    return written if written in (AssetClass.INDEX, AssetClass.FUTURE) else AssetClass.EQUITY


def _trades_on_saturdays(days: Sequence[date]) -> bool | None:
    """None where the bars span no Saturday."""
    if any(day.weekday() == SATURDAY for day in days):
        return True
    spans = bool(days) and any((days[0] + n * ONE_DAY).weekday() == SATURDAY for n in range((days[-1] - days[0]).days))
    return False if spans else None


def _currency(symbol: str) -> str:
    found = PAIR.match(symbol.upper())
    return next((quote for quote in found.groups() if quote), "USD") if found else "USD"


def _lot(asset_class: AssetClass) -> Decimal:
    if asset_class in (AssetClass.CRYPTO, AssetClass.PERPETUAL):
        return ANY_COIN
    # An index is held through a fund whose shares are small against its level; whole points would leave cash idle.
    return CENT if asset_class is AssetClass.INDEX else Decimal(1)
