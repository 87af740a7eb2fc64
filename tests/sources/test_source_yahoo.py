"""Bars from Yahoo: yfinance itself over recorded answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import stamina
import yfinance
from source_files import utc
from yahoo_wire import Candle, RecordedYahoo, candles

from data.model.errors import DataError, FeedError, UsageError
from data.model.instants import Interval
from data.sources.bars import Series, build_series
from data.sources.instruments import instrument_for
from data.sources.series import BarBatch
from data.sources.yahoo import connect, fetch_yahoo

SPLIT = int(utc("2024-06-10T13:30").timestamp())
JUNE = (date(2024, 6, 3), date(2024, 6, 14))


@pytest.fixture(autouse=True)
def _no_waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yfinance.set_tz_cache_location(str(tmp_path_factory.getbasetemp() / "yfinance"))
    with stamina.set_testing(True, attempts=5, cap=True):
        yield


@pytest.fixture(scope="module")
def apple(shared_data: Path) -> list[Candle]:
    return candles(shared_data / "us_equity_daily/unadjusted/AAPL_1d.csv.gz")


def fetch(wire: RecordedYahoo, symbol: str, window: tuple[date, date], interval: Interval = Interval.D1) -> BarBatch:
    return fetch_yahoo(connect(wire.session()), symbol, interval, *window)


def built(batch: BarBatch, now: str = "2026-01-01") -> Series:
    return build_series(batch.source, batch.bars, instrument_for(batch.symbol), batch.interval, utc(now))


def test_a_window_is_brought_with_its_last_day(apple: list[Candle]) -> None:
    batch = fetch(RecordedYahoo("AAPL", apple), "AAPL", JUNE)
    bars = built(batch).bars
    assert [bar.session_on.day for bar in bars] == [3, 4, 5, 6, 7, 10, 11, 12, 13, 14]
    assert (bars[0].open_time, bars[0].known_at) == (utc("2024-06-03T13:30"), utc("2024-06-03T20:00"))
    assert bars[0].close == Decimal("194.03")
    assert batch.adjustment == "none"


def test_the_last_day_of_all_asks_for_all_there_is(apple: list[Candle]) -> None:
    assert fetch(RecordedYahoo("AAPL", apple), "AAPL", (date(2024, 6, 3), date.max)).bars


def test_a_later_split_is_in_the_earlier_prices_and_said(apple: list[Candle]) -> None:
    wire = RecordedYahoo("NVDA", apple, splits={SPLIT: 10})
    assert fetch(wire, "NVDA", (date(2024, 6, 3), date(2024, 6, 7))).adjustment.startswith("split")
    assert fetch(wire, "NVDA", JUNE).adjustment.startswith("split")
    assert fetch(wire, "NVDA", (date(2024, 6, 10), date(2024, 6, 14))).adjustment == "none"


def test_a_running_day_is_never_taken(apple: list[Candle]) -> None:
    """Yahoo appends today's row, stamped with the time of the last trade."""
    today = (int(utc("2024-06-17T15:42:11").timestamp()), 1.0, 1.0, 1.0, 1.0, 5)
    until = [row for row in apple if row[0] < int(utc("2024-06-15").timestamp())]
    batch = fetch(RecordedYahoo("AAPL", [*until, today]), "AAPL", (date(2024, 6, 12), date(2024, 6, 17)))
    series = built(batch, "2024-06-17T15:42:30")
    assert [bar.session_on.day for bar in series.bars] == [12, 13, 14]
    assert [(finding.code, finding.count) for finding in series.findings] == [("unfinished", 1)]


def test_a_futures_day_is_its_session_although_it_opened_the_evening_before() -> None:
    midnight = int(datetime.fromisoformat("2020-04-20T00:00:00-04:00").timestamp())
    wire = RecordedYahoo("CL=F", [(midnight, 17.73, 17.85, -40.32, -37.63, 247947)], kind="FUTURE")
    bar = built(fetch(wire, "CL=F", (date(2020, 4, 20), date(2020, 4, 20)))).bars[0]
    assert (bar.session_on, bar.close, bar.known_at) == (date(2020, 4, 20), Decimal("-37.63"), utc("2020-04-20T22:00"))


def test_hours_are_known_when_they_are_over() -> None:
    hours = [(int(utc(f"2024-06-03T{hour}:30").timestamp()), 1.0, 2.0, 1.0, 2.0, 5) for hour in range(13, 20)]
    bars = built(fetch(RecordedYahoo("IBM", hours), "IBM", (date(2024, 6, 3), date(2024, 6, 3)), Interval.H1)).bars
    assert [bar.known_at.hour for bar in bars] == list(range(14, 21))


@pytest.mark.parametrize("faults", [[None], [429], [500]])
def test_trouble_is_tried_again(apple: list[Candle], faults: list[int | None]) -> None:
    wire = RecordedYahoo("AAPL", apple, faults=[*faults, *faults])
    assert len(fetch(wire, "AAPL", (date(2024, 5, 1), date(2024, 5, len(faults) + 20))).bars) > 10


def test_trouble_that_stays_is_an_error(apple: list[Candle]) -> None:
    wire = RecordedYahoo("AAPL", apple, faults=[None] * 99)
    with pytest.raises(FeedError, match="Yahoo failed: ConnectionError: connection reset"):
        fetch(wire, "AAPL", (date(2024, 3, 1), date(2024, 3, 5)))


def test_an_unknown_symbol_and_an_interval_yahoo_has_not(apple: list[Candle]) -> None:
    with pytest.raises(DataError, match="Yahoo has no 1d bars of NOSUCH"):
        fetch(RecordedYahoo("AAPL", apple), "NOSUCH", JUNE)
    with pytest.raises(UsageError, match="Yahoo has no 4h bars; it has 1m, 5m"):
        fetch(RecordedYahoo("AAPL", apple), "AAPL", JUNE, Interval.H4)


def test_a_window_without_bars_says_so(apple: list[Candle]) -> None:
    with pytest.raises(DataError, match="Yahoo has no 1d bars of AAPL from 2024-06-15 to 2024-06-16"):
        fetch(RecordedYahoo("AAPL", apple), "AAPL", (date(2024, 6, 15), date(2024, 6, 16)))
