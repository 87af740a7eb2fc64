"""Bars from Yahoo Finance through yfinance, as unadjusted as Yahoo has them.

`auto_adjust=False` leaves dividends out of the levels, but Yahoo restates all earlier prices after every split. If
there was one after the first bar, the batch says so in its `adjustment`. Limits: no 2h, 4h or 12h bars; hourly bars
reach back some two years; dividends are not brought along.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from json import JSONDecodeError
from typing import Any

import stamina

from data.model.errors import DataError, FeedError, UsageError
from data.model.instants import Interval
from data.sources.bars import RawBar
from data.sources.csv_bars import SPLIT_ADJUSTED
from data.sources.feeds import LAST_DAY, load_feed, number
from data.sources.series import BarBatch, Watch, digest_of, unwatched

INTERVALS = (Interval.M1, Interval.M5, Interval.M15, Interval.M30, Interval.H1, Interval.D1)
ATTEMPTS, PATIENCE_S = 5, 120.0
COLUMNS = ("Open", "High", "Low", "Close", "Volume")


Yahoo = Callable[[str], Any]
"""Gives yfinance's `Ticker` of a symbol; its `history(…)` and `splits` are used."""


def connect(session: object = None) -> Yahoo:
    """yfinance, told to raise what it would otherwise log and answer with an empty table.

    `session` is a session of curl_cffi or requests; yfinance makes its own without one. Raises UsageError if yfinance
    is not installed.
    """
    yfinance = load_feed("yfinance")
    yfinance.config.debug.hide_exceptions = False
    return lambda symbol: yfinance.Ticker(symbol, session=session)


def fetch_yahoo(
    yahoo: Yahoo, symbol: str, interval: Interval, start_on: date, end_on: date, *, watch: Watch = unwatched
) -> BarBatch:
    """All bars of the exchange's days `start_on` to `end_on`, both included.

    Raises UsageError for an interval Yahoo has not, DataError for an empty answer, FeedError if Yahoo fails.
    """
    if interval not in INTERVALS:
        raise UsageError(f"Yahoo has no {interval} bars; it has {', '.join(INTERVALS)}")
    watch(f"Yahoo {symbol} {interval}: {start_on} to {end_on}")
    frame, splits = _fetch(yahoo, symbol, interval, start_on, end_on, watch)
    rows = zip(frame.index, *(frame[name] for name in COLUMNS), strict=True)
    bars = tuple(_bar(place, interval, stamp, values) for place, (stamp, *values) in enumerate(rows, 1))
    if not bars:
        raise DataError(f"Yahoo has no {interval} bars of {symbol} from {start_on} to {end_on}")
    first = frame.index[0].date()
    adjusted = any(stamp.date() > first for stamp in splits.index)
    adjustment = SPLIT_ADJUSTED if adjusted else "none"
    return BarBatch("Yahoo Finance", digest_of(bars), symbol, interval, bars, adjustment)


def _fetch(
    yahoo: Yahoo, symbol: str, interval: Interval, start_on: date, end_on: date, watch: Watch
) -> tuple[Any, Any]:
    """The table of prices and all splits there ever were, as pandas has them."""
    errors = load_feed("yfinance.exceptions")
    # curl_cffi's and requests' errors are both OSErrors; a page that is no JSON is what Yahoo shows in trouble.
    passing = (errors.YFRateLimitError, OSError, JSONDecodeError)
    try:
        for attempt in stamina.retry_context(on=passing, attempts=ATTEMPTS, timeout=PATIENCE_S):
            with attempt:
                if attempt.num > 1:
                    watch(f"Yahoo {symbol}: the network failed, attempt {attempt.num} of {ATTEMPTS}")
                ticker = yahoo(symbol)
                frame = ticker.history(
                    start=str(start_on),
                    end=str(min(end_on, LAST_DAY) + timedelta(days=1)),
                    interval=interval.value,
                    auto_adjust=False,
                    actions=True,
                )
                return frame, ticker.splits
    except errors.YFTickerMissingError as error:
        raise DataError(f"Yahoo has no {interval} bars of {symbol} from {start_on} to {end_on}: {error}") from None
    except (errors.YFException, OSError, JSONDecodeError) as error:
        raise FeedError(f"Yahoo failed: {type(error).__name__}: {str(error)[:200]}") from None
    raise AssertionError("stamina attempts at least once")


def _bar(place: int, interval: Interval, stamp: datetime, values: list[float]) -> RawBar:
    """A daily row is stamped with midnight in the exchange's zone (today's with a time): its date is the session."""
    where = f"bar {place}"
    begins = stamp.date() if interval.is_daily else datetime.fromtimestamp(stamp.timestamp(), tz=UTC)
    return RawBar.of(where, begins, [number("Yahoo", where, float(value)) for value in values])
