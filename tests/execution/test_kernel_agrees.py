"""The kernel and the step broker with its ledger are twins, whatever the market, the signal and the rules."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from random import Random

import numpy as np
import pytest
from arch.data import sp500
from hypothesis import given, settings
from hypothesis import strategies as st
from tape import bar, dec, instrument, real_bars
from twins import Strategy, assert_twins

from data.model.instants import Interval
from data.model.market import AssetClass, Bar, Instrument
from data.model.question import Costs, Limits
from data.model.trading import FillReason


def random_bars(dice: Random, count: int) -> list[Bar]:
    """Around a price of the tape's size, with gaps; sometimes anywhere, even below zero; volumes from nothing up."""
    digits = dice.choice([0, 2, 2, 8])
    base = Decimal(dice.choice(["0.00001234", "0.9", "100", "100", "73123.5", "4000000"]))
    odd = dice.choice([0, 0, 0.1]) if base == 100 else 0
    volumes = dice.choice([["1000000000"], ["0", "3", "77.5", "77777.12345678", "1000000000"], ["0", "10", "1000000"]])
    bars, last = [], base
    for number in range(count):
        opened = last if dice.random() < 0.5 else _near(dice, base, digits)
        prices = [opened, *(_near(dice, base, digits) for _ in range(3))]
        if dice.random() < odd:
            prices = [Decimal(dice.randrange(-500, 100_000)).scaleb(-2) for _ in range(4)]
        high, low = max(prices), min(prices)
        bars.append(bar(number, (prices[0], high, low, prices[3]), dice.choice(volumes)))
        last = prices[3]
    return bars


def _near(dice: Random, base: Decimal, digits: int) -> Decimal:
    """Within a few percent of the base, in its own last digit or to as many decimals."""
    steps = dice.choice([-3, -2, -1, 0, 0, 1, 2, 3])
    if digits == 0 or base < 1:
        return (base * (100 + steps) / 100).quantize(Decimal("1e-8"))
    return base + Decimal(dice.randrange(-3 * 10**digits, 3 * 10**digits)).scaleb(-digits) * max(base // 100, 1)


def random_strategy(dice: Random, count: int) -> Strategy:
    eager = dice.choice([0.1, 0.5, 1])
    points = ["0", "0", "2", "2.5", "10", "30", "1000", "0.12345678"]
    part, cap = ["0.05", "0.333", "1", "1", "1"], ["0.05", "0.1", "0.333", "1"]
    kind, lot = dice.choice([(AssetClass.EQUITY, "1"), (AssetClass.CRYPTO, "0.00000001"), (AssetClass.INDEX, "0.01")])
    levels = [None, "0", "0.0001", "0.001", "0.01", "0.02", "0.5", "0.9"]
    stop, target = (None if each is None else dec(each) for each in (dice.choice(levels), dice.choice(levels)))
    return Strategy(
        actions=[dice.choice([1, -1]) if dice.random() < eager else 0 for _ in range(count)],
        instrument=instrument(lot=lot, least=dice.choice(["0", "0", "5", "9999.99999999", "0.1"]), kind=kind),
        cash=Decimal(dice.choice(["10000", "10000", "777.77777777", "101", "0.5", "25000000"])),
        costs=Costs(commission_bps=Decimal(dice.choice(points)), slippage_bps=Decimal(dice.choice(points))),
        limits=Limits(
            position_size=Decimal(dice.choice(part)),
            max_exposure=Decimal(dice.choice(part)),
            allow_short=dice.random() < 0.6,
            volume_cap=Decimal(dice.choice(cap)),
        ),
        stop=stop,
        target=target,
    )


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_random_tapes(seed: int, count: int) -> None:
    dice = Random(seed)
    bars = random_bars(dice, count)
    assert_twins(bars, random_strategy(dice, count))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_prices_with_more_digits_than_cash(seed: int) -> None:
    """Prices and volumes as binary floats print them, and lots of any size: within a lot and 1e-9."""
    dice = Random(seed)
    bars = []
    for number in range(40):
        prices = [Decimal(repr(dice.uniform(90, 110))) for _ in range(4)]
        bars.append(bar(number, (prices[0], max(prices), min(prices), prices[3]), repr(dice.uniform(1e4, 1e6))))
    assert_twins(bars, random_strategy(dice, 40), to_the_digit=False)


def crossings(bars: list[Bar], fast: int, slow: int, *, short: bool) -> list[int]:
    """BUY where the fast mean rises above the slow one, SELL where it falls below; `short` decides at every bar."""
    closes = np.array([float(each.close) for each in bars])
    quick, late = (np.convolve(closes, np.full(span, 1 / span))[: closes.size] for span in (fast, slow))
    above = np.where(quick > late, 1, -1)
    return (above if short else np.where(np.diff(above, prepend=above[0]), above, 0)).tolist()


REAL = {
    "BTCUSDT 1h": ("crypto_spot/BTCUSDT_1h.csv.gz", Interval.H1, "0.00000001", AssetClass.CRYPTO),
    "AAPL 1d": ("us_equity_daily/unadjusted/AAPL_1d.csv.gz", Interval.D1, "1", AssetClass.EQUITY),
    "SPY 1d": ("us_equity_daily/adjusted_yahoo_long/SPY_1d.csv.gz", Interval.D1, "0.01", AssetClass.EQUITY),
    "CL=F 1d": ("futures_daily/CL=F_1d.csv.gz", Interval.D1, "1", AssetClass.FUTURE),
}


def index_bars() -> list[Bar]:
    """Daily bars of the index, its prices rounded by nobody."""
    frame = sp500.load()
    rows = zip(frame["Open"], frame["High"], frame["Low"], frame["Close"], frame["Volume"], strict=True)
    return [bar(number, row[:4], int(row[4])) for number, row in enumerate(rows)]


def bars_of(shared_data: Path, name: str) -> tuple[list[Bar], Instrument]:
    if name == "SP500 1d":
        return index_bars(), instrument(lot="0.01", kind=AssetClass.INDEX)
    file, interval, lot, kind = REAL[name]
    return list(real_bars(shared_data / file, interval))[-8000:], instrument(lot=lot, kind=kind, least=5)


@pytest.mark.parametrize("short", [False, True], ids=["long", "short too"])
@pytest.mark.parametrize(("stop", "target"), [(None, None), ("0.01", "0.02"), ("0.03", None)])
@pytest.mark.parametrize("name", [*REAL, "SP500 1d"])
def test_real_markets(shared_data: Path, name: str, stop: str | None, target: str | None, short: bool) -> None:
    bars, what = bars_of(shared_data, name)
    below, above = (None if each is None else dec(each) for each in (stop, target))
    strategy = Strategy(
        crossings(bars, 5, 20, short=short),
        what,
        costs=Costs(),
        limits=Limits(allow_short=short),
        stop=below,
        target=above,
    )
    played = assert_twins(bars, strategy, to_the_digit=False)
    reasons = {fill.reason for fill in played.fills}
    assert reasons >= {FillReason.ORDER} | ({FillReason.STOP} if stop else set())
    assert len(played.fills) > 20
