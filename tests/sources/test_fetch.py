"""The window that a run lacks is brought before it, and the user reads what came."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from binance_wire import RecordedBinance, klines
from rich.console import Console

from backtesting.core.arguments import read_arguments
from backtesting.core.fetching import bring_data
from data.door import SystemClock
from data.sources import binance
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
    assert lines[2].startswith(
        "warning: 2 1h bars are missing, in 1 gaps [2025-04-02 00:00 UTC to 2025-04-02 02:00 UTC"
    )
    assert brought(store, "--fetch") == ""


def test_nothing_is_fetched_unasked(store: Store) -> None:
    assert brought(store) == ""
    assert store.windows() == ()
