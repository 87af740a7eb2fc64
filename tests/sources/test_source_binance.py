"""Bars from Binance: ccxt itself over recorded answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import stamina
from binance_wire import Kline, RecordedBinance, klines
from source_files import utc

from data.model.errors import DataError, FeedError, UsageError
from data.model.instants import Interval
from data.sources import feeds
from data.sources.bars import build_series
from data.sources.binance import connect, fetch_binance
from data.sources.csv_bars import read_bar_file
from data.sources.instruments import instrument_for
from data.sources.series import BarBatch

APRIL = (date(2025, 4, 1), date(2025, 4, 10))
FILE = "crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv"


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[Kline]:
    return klines(shared_data / FILE)


def fetch(wire: RecordedBinance, start: date, end: date, host: str = "api.binance.com") -> BarBatch:
    return fetch_binance(connect(host, wire.session()), "BTCUSDT", Interval.H1, start, end, host=host)


def test_a_window_is_brought_whole_and_exact_over_several_pages(rows: list[Kline], shared_data: Path) -> None:
    wire = RecordedBinance(rows)
    batch = fetch(wire, date(2025, 3, 1), date(2025, 4, 15))
    from_file = read_bar_file(shared_data / FILE, "BTCUSDT", Interval.H1, {}).bars
    assert [(bar.stamp, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in batch.bars] == [
        (bar.stamp, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in from_file
    ]
    assert wire.asked == ["api.binance.com/api/v3/exchangeInfo"] + ["api.binance.com/api/v3/klines"] * 2
    assert (batch.adjustment, batch.source) == ("none", "Binance spot (api.binance.com)")


def test_a_number_keeps_all_its_digits(rows: list[Kline]) -> None:
    """More of them than a float has."""
    wire = RecordedBinance([[*rows[0][:5], "1234567890.12345678", *rows[0][6:]]])
    assert fetch(wire, date(2025, 3, 1), date(2025, 3, 1)).bars[0].volume == Decimal("1234567890.12345678")


def test_the_window_ends_with_its_last_day(rows: list[Kline]) -> None:
    batch = fetch(RecordedBinance(rows), *APRIL)
    assert (len(batch.bars), batch.bars[0].open) == (240, Decimal("82550.00"))
    assert (batch.bars[0].stamp, batch.bars[-1].stamp) == (utc("2025-04-01"), utc("2025-04-10T23:00"))


def test_the_last_day_of_all_asks_for_all_there_is(rows: list[Kline]) -> None:
    batch = fetch(RecordedBinance(rows), date(2025, 4, 15), date.max)
    assert batch.bars[-1].stamp == utc("2025-04-15T23:00")


def test_the_same_bars_have_the_same_digest(rows: list[Kline]) -> None:
    assert fetch(RecordedBinance(rows), *APRIL).digest == fetch(RecordedBinance(rows), *APRIL).digest


def test_a_bar_that_runs_is_never_taken(rows: list[Kline]) -> None:
    batch = fetch(RecordedBinance(rows), *APRIL)
    series = build_series(batch.source, batch.bars, instrument_for("BTCUSDT"), Interval.H1, utc("2025-04-10T12:34"))
    assert series.bars[-1].known_at == utc("2025-04-10T12:00")
    assert [(finding.code, finding.count) for finding in series.findings] == [("unfinished", 12)]


@pytest.mark.parametrize("faults", [[None], [500], [429], [None, 502, 429, None, 503]])
def test_trouble_of_the_network_is_tried_again(rows: list[Kline], faults: list[int | None]) -> None:
    wire = RecordedBinance(rows, faults)
    assert len(fetch(wire, *APRIL).bars) == 240
    assert len(wire.asked) == len(faults) + 2


def test_trouble_that_stays_is_an_error_that_names_the_host(rows: list[Kline]) -> None:
    wire = RecordedBinance(rows, [500] * 6)
    with pytest.raises(FeedError, match=r"Binance \(api.binance.com\) failed: ExchangeNotAvailable"):
        fetch(wire, *APRIL)
    assert len(wire.asked) == 6


def test_a_host_that_refuses_the_country_is_named_with_the_alternatives_and_not_asked_again(rows: list[Kline]) -> None:
    wire = RecordedBinance(rows, [451])
    with pytest.raises(FeedError) as caught:
        fetch(wire, *APRIL)
    message = str(caught.value)
    assert message.startswith("api.binance.com answers HTTP 451")
    assert "--host data-api.binance.vision" in message
    assert "--host api.binance.us" in message
    assert "python -m scripts.ingest csv" in message
    assert len(wire.asked) == 1


def test_another_host_is_asked_instead(rows: list[Kline]) -> None:
    wire = RecordedBinance(rows)
    batch = fetch(wire, *APRIL, host="data-api.binance.vision")
    assert {place.split("/")[0] for place in wire.asked} == {"data-api.binance.vision"}
    assert batch.source == "Binance spot (data-api.binance.vision)"


@pytest.mark.parametrize("host", ["https://api.binance.com", "user:key@host", "a b", ""])
def test_a_host_is_a_host(host: str) -> None:
    with pytest.raises(UsageError, match="is no host name"):
        connect(host)


def test_an_unknown_symbol_and_an_empty_window_say_so(rows: list[Kline]) -> None:
    with pytest.raises(UsageError, match="has no spot market NOSUCH"):
        fetch_binance(connect(session=RecordedBinance(rows).session()), "NOSUCH", Interval.H1, *APRIL)
    with pytest.raises(DataError, match="Binance has no 1h bars of BTCUSDT from 2026-01-01 to 2026-01-02"):
        fetch(RecordedBinance(rows), date(2026, 1, 1), date(2026, 1, 2))


def test_a_perpetual_is_refused_before_anything_is_asked(rows: list[Kline]) -> None:
    wire = RecordedBinance(rows)
    with pytest.raises(UsageError, match="is a perpetual"):
        fetch_binance(connect(session=wire.session()), "BTC/USDT:USDT", Interval.H1, *APRIL)
    assert wire.asked == []


def test_what_goes_on_is_told(rows: list[Kline]) -> None:
    told: list[str] = []
    exchange = connect(session=RecordedBinance(rows).session())
    fetch_binance(exchange, "BTCUSDT", Interval.H1, date(2025, 3, 1), date(2025, 4, 15), watch=told.append)
    assert told[0] == "Binance BTCUSDT 1h: 1,000 bars, up to 2025-04-11 15:00 UTC"
    assert len(told) == 2


def test_an_absent_package_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"needs the package nosuchfeed: pip install -r requirements-feeds.txt"):
        feeds.load_feed("nosuchfeed")


@pytest.mark.parametrize("value", [None, float("nan"), "NaN", "inf", "x", ""])
def test_a_feeds_number_is_finite_or_refused(value: object) -> None:
    with pytest.raises(DataError, match=r"Binance, bar 3: .* is not a"):
        feeds.number("Binance", "bar 3", value)
