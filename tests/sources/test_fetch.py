"""The window that a run lacks is brought before it, and the user reads what came."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yfinance
from binance_wire import RecordedBinance, klines
from rich.console import Console
from yahoo_wire import RecordedYahoo, candles

from backtesting.core.arguments import read_arguments
from backtesting.core.fetching import bring_data
from data.door import SystemClock
from data.sources import binance, yahoo
from data.store.store import Store

FILE = "crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv"
ASKED = ("--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-10")


def brought(store: Store, *words: str) -> str:
    said = io.StringIO()
    settings = read_arguments([*ASKED, "--model", "rules", *words], {})
    bring_data(settings, store, SystemClock(), Console(file=said, width=60))
    return said.getvalue()


def test_what_is_missing_is_fetched_and_said(store: Store, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = klines(shared_data / FILE)
    hole = [row for row in rows if not 1743552000000 <= int(row[0]) < 1743552000000 + 2 * 3_600_000]
    wire = RecordedBinance(hole)
    connect = binance.connect
    monkeypatch.setattr(binance, "connect", lambda: connect("api.binance.com", wire.session()))
    lines = brought(store, "--fetch").splitlines()
    assert lines[0] == "the data lacks 1h bars of BTCUSDT from 2025-04-01 to 2025-04-10: fetching them"
    assert lines[1].startswith(
        "fetched 238 bars of BTCUSDT from Binance spot (api.binance.com), 2025-04-01 00:00 UTC to"
    )
    assert lines[2].startswith("warning: 2 1h bars are missing, in 1 gap [2025-04-02 00:00 UTC to 2025-04-02 02:00 UTC")
    assert brought(store, "--fetch") == ""


@pytest.mark.parametrize("at_hand", [(0, 228), (5, 240)])
def test_a_day_of_which_a_part_is_there_is_fetched(
    store: Store, shared_data: Path, monkeypatch: pytest.MonkeyPatch, at_hand: tuple[int, int]
) -> None:
    """The window was fetched before its last day had ended, or a file begins within its first."""
    rows = [row for row in klines(shared_data / FILE) if int(row[0]) >= 1743465600000]
    connect = binance.connect
    for first, last, fetched in ((*at_hand, None), (0, 240, 240 - (at_hand[1] - at_hand[0]))):
        wire = RecordedBinance(rows[first:last])
        monkeypatch.setattr(binance, "connect", lambda wire=wire: connect("api.binance.com", wire.session()))
        said = brought(store, "--fetch")
        assert fetched is None or f"fetched {fetched} bars of BTCUSDT" in said
    assert brought(store, "--fetch") == ""


def test_what_is_fetched_has_the_market_that_was_said(
    tmp_path: Path, store: Store, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yfinance.set_tz_cache_location(str(tmp_path))
    wire = RecordedYahoo("AAPL", candles(shared_data / "us_equity_daily/unadjusted/AAPL_1d.csv.gz"))
    connect = yahoo.connect
    monkeypatch.setattr(yahoo, "connect", lambda: connect(wire.session()))
    window = ("--interval", "1d", "--start_date", "2024-06-03", "--end_date", "2024-06-07")
    words = ("--symbol", "AAPL", *window, "--market", "XNAS", "--model", "rules", "--fetch")
    bring_data(read_arguments(words, {}), store, SystemClock(), Console(file=io.StringIO()))
    traded = store.instrument("AAPL")
    assert traded is not None
    assert traded.calendar == "XNAS"


def test_nothing_is_fetched_unasked(store: Store) -> None:
    assert brought(store) == ""
    assert store.windows() == ()
