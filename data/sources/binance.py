"""Spot bars from Binance through ccxt: paged, rate-limited by ccxt, retried where the network failed.

Prices come as the exchange wrote them, without a detour over floats. Limit: spot only; no funding, so no perpetuals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol

import stamina

from data.model.errors import DataError, FeedError, UsageError
from data.model.instants import Interval, show
from data.model.market import AssetClass
from data.sources.bars import RawBar
from data.sources.feeds import LAST_DAY, load_feed, number
from data.sources.instruments import instrument_for
from data.sources.series import BarBatch, Watch, digest_of, unwatched

HOST = "api.binance.com"
MIRROR, UNITED_STATES = "data-api.binance.vision", "api.binance.us"
PAGE = 1000
ATTEMPTS, PATIENCE_S = 6, 300.0
FORBIDDEN = 451


class Exchange(Protocol):
    """The one call of ccxt's exchanges that is used: rows of `[start in ms, open, high, low, close, volume]`."""

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> Sequence[Sequence[Any]]: ...


def connect(host: str = HOST, session: object = None) -> Exchange:
    """A ccxt exchange for public spot data. `session` is a `requests.Session`; ccxt makes its own without one.

    Raises UsageError if ccxt is not installed or the host is no host.
    """
    if not re.fullmatch(r"[a-z0-9.-]+(:[0-9]+)?", host):
        raise UsageError(f"--host {host!r} is no host name; the usual one is {HOST}")
    exchange = load_feed("ccxt").binance(
        {"session": session, "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}}
    )
    exchange.urls["api"]["public"] = f"https://{host}/api/v3"
    exchange.number = str
    connected: Exchange = exchange
    return connected


def fetch_binance(
    exchange: Exchange,
    symbol: str,
    interval: Interval,
    start_on: date,
    end_on: date,
    *,
    host: str = HOST,
    watch: Watch = unwatched,
) -> BarBatch:
    """All bars of the UTC days `start_on` to `end_on`, both included.

    Raises UsageError for a symbol without a spot market, FeedError if the exchange fails or refuses.
    """
    if instrument_for(symbol).asset_class is AssetClass.PERPETUAL:
        raise UsageError(f"{symbol} is a perpetual: its funding payments would be missing; use the spot symbol")
    start, end = _midnight(start_on), _midnight(min(end_on, LAST_DAY) + timedelta(days=1))
    bars: list[RawBar] = []
    for page in _pages(exchange, symbol, interval, start, end, host, watch):
        bars += [_bar(len(bars) + place, row) for place, row in enumerate(page, 1)]
        watch(f"Binance {symbol} {interval}: {len(bars):,} bars, up to {show(_instant(page[-1]))}")
    if not bars:
        raise DataError(f"Binance has no {interval} bars of {symbol} from {start_on} to {end_on}")
    return BarBatch(f"Binance spot ({host})", digest_of(bars), symbol, interval, tuple(bars))


def _pages(
    exchange: Exchange, symbol: str, interval: Interval, start: datetime, end: datetime, host: str, watch: Watch
) -> Iterator[list[Sequence[Any]]]:
    since = start
    while since < end:
        rows = _fetch(exchange, symbol, interval, since, host, watch)
        page = [row for row in rows if since <= _instant(row) < end]
        if not page:
            return
        yield page
        since = _instant(page[-1]) + interval.length


def _fetch(
    exchange: Exchange, symbol: str, interval: Interval, since: datetime, host: str, watch: Watch
) -> Sequence[Sequence[Any]]:
    ccxt = load_feed("ccxt")

    def passes(error: Exception) -> bool:
        return isinstance(error, ccxt.NetworkError) and _status(error) != FORBIDDEN

    try:
        for attempt in stamina.retry_context(on=passes, attempts=ATTEMPTS, timeout=PATIENCE_S):
            if attempt.num > 1:
                watch(f"Binance {symbol}: the network failed, attempt {attempt.num} of {ATTEMPTS}")
            with attempt:
                return exchange.fetch_ohlcv(symbol, interval.value, int(since.timestamp() * 1000), PAGE)
    except ccxt.BadSymbol:
        raise UsageError(f"Binance ({host}) has no spot market {symbol}") from None
    except ccxt.BaseError as error:
        if _status(error) == FORBIDDEN:
            raise FeedError(_forbidden(host)) from None
        raise FeedError(f"Binance ({host}) failed: {type(error).__name__}: {str(error)[:200]}") from None
    raise AssertionError("stamina attempts at least once")


def _status(error: BaseException) -> int | None:
    """The HTTP status behind a ccxt error: ccxt raises from inside the handler of the one that `requests` raised."""
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if response is not None:
            return int(response.status_code)
        cause = cause.__cause__ or cause.__context__
    return None


def _forbidden(host: str) -> str:
    others = [f"--host {other}" for other in (MIRROR, UNITED_STATES) if other != host]
    return (
        f"{host} answers HTTP 451: it does not serve the country of this machine's address. Instead: "
        f"{' or '.join(others)} (binance.us is a market of its own, with other prices), or download the files of "
        "data.binance.vision and bring them with: python -m scripts.ingest csv FILE --symbol S --interval I"
    )


def _bar(place: int, row: Sequence[Any]) -> RawBar:
    where = f"bar {place}"
    return RawBar.of(where, _instant(row), [number("Binance", where, value) for value in row[1:6]])


def _instant(row: Sequence[Any]) -> datetime:
    return datetime.fromtimestamp(int(row[0]) / 1000, tz=UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
