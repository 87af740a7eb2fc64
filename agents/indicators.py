"""What the bars say, in five groups: trend, momentum, volatility, volume and levels; each with numbers and plain words.

Averages and oscillators are TA-Lib's (Wilder's smoothing where he defined it). Horizons are counted in bars. An
indicator for which there are too few bars is absent, not wrong: a smoothed one needs so many that its start no longer
matters. So is one without a meaning, such as a rate of change from a price that is not positive. Distances are in ATRs
(average true range of 14 bars), which also hold for negative prices. Numbers have five significant digits, prices
seven, and the words are made from the rounded numbers, so that both are the same on every platform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.ta_lib import talib
from data.model.canonical import Json
from data.model.market import Bar

Series = npt.NDArray[np.float64]
Group = dict[str, Json]

HORIZONS = {"short": 20, "medium": 50, "long": 200}
CHANGES = (1, 5, 20, 60, 200)
PERIOD = 14
USUAL = 100
SETTLED_EMA = 2.5  # periods until the first average weighs less than five percent
SETTLED_WILDER = 4 * PERIOD
SETTLED_ADX = 6 * PERIOD
SETTLED_MACD = 80
TURN = 3  # bars on each side of a swing


def rounded(value: float, digits: int = 5) -> float | int | None:
    """The value with that many significant digits, whole ones without a point; None if it is not finite."""
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def price(value: float) -> float | int | None:
    return rounded(value, 7)


@dataclass(frozen=True)
class _Bars:
    """The bars as arrays, oldest first, and their ATR, None while there are too few or nothing moved."""

    high: Series
    low: Series
    close: Series
    volume: Series
    true_ranges: Series

    @property
    def now(self) -> float:
        return float(self.close[-1])

    @property
    def atr(self) -> float | None:
        if len(self.close) < SETTLED_WILDER:
            return None
        return float(self.true_ranges[-1]) or None

    def in_atrs(self, distance: float) -> float | int | None:
        return rounded(distance / self.atr, 3) if self.atr else None


def indicators(bars: Sequence[Bar]) -> dict[str, Group]:
    """The groups that hold anything, by name. `bars` are oldest first."""
    high, low, close, volume = (
        np.array([float(getattr(bar, name)) for bar in bars], dtype=np.float64)
        for name in ("high", "low", "close", "volume")
    )
    seen = _Bars(high, low, close, volume, talib.ATR(high, low, close, PERIOD))
    return {name: group for name, read in _GROUPS.items() if (group := _present(read(seen)))}


def _present(group: Group) -> Group:
    return {name: value for name, value in group.items() if value is not None and value != {}}


def _last(series: Series, back: int = 0) -> float:
    return float(series[-1 - back]) if len(series) > back else math.nan


def _trend(seen: _Bars) -> Group:
    horizons: Group = {name: _horizon(seen, length) for name, length in HORIZONS.items()}
    return {**horizons, "macd": _macd(seen), "adx_14": _adx(seen)}


def _horizon(seen: _Bars, length: int) -> Group | None:
    """Simple and exponential average, the price's distance from the simple one, and its slope over a fifth of it."""
    if len(seen.close) < length:
        return None
    averages = talib.SMA(seen.close, length)
    average, before = _last(averages), _last(averages, length // 5)
    settled = len(seen.close) >= SETTLED_EMA * length
    distance, slope = seen.in_atrs(seen.now - average), seen.in_atrs(average - before)
    return _present(
        {
            f"sma_{length}": price(average),
            f"ema_{length}": price(_last(talib.EMA(seen.close, length))) if settled else None,
            "price_above_sma_in_atr": distance,
            "sma_slope_in_atr": slope,
            "words": _horizon_words(distance, slope),
        }
    )


def _horizon_words(distance: float | None, slope: float | None) -> str | None:
    if distance is None or slope is None:
        return None
    place = "above" if distance > 0 else "below" if distance < 0 else "at"
    direction = "rising" if slope > 0.1 else "falling" if slope < -0.1 else "flat"
    verdict = {("above", "rising"): "up: ", ("below", "falling"): "down: "}.get((place, direction), "mixed: ")
    return f"{verdict}price {place} a {direction} average"


def _macd(seen: _Bars) -> Group | None:
    if len(seen.close) < SETTLED_MACD or not seen.atr:
        return None
    line, signal, histogram = talib.MACD(seen.close, 12, 26, 9)
    now, before = rounded(_last(histogram)), rounded(_last(histogram, 3))
    if now is None or before is None:
        return None
    side = "above its signal: upward force" if now > 0 else "below its signal: downward force" if now < 0 else "flat"
    change = "growing" if abs(now) > abs(before) and now * before > 0 else "fading" if now * before > 0 else "new"
    return {
        "line": rounded(_last(line)),
        "signal": rounded(_last(signal)),
        "histogram": now,
        "histogram_in_atr": seen.in_atrs(_last(histogram)),
        "words": side if now == 0 else f"{side}, {change}",
    }


def _adx(seen: _Bars) -> Group | None:
    if len(seen.close) < SETTLED_ADX or not seen.atr:
        return None
    columns = (seen.high, seen.low, seen.close, PERIOD)
    value, plus, minus = (rounded(_last(find(*columns)), 3) for find in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI))
    if value is None or plus is None or minus is None:
        return None
    strength = "no trend" if value < 20 else "a trend" if value < 40 else "a strong trend"
    side = "buyers lead" if plus > minus else "sellers lead" if minus > plus else "neither side leads"
    return {"value": value, "plus_di": plus, "minus_di": minus, "words": f"{strength}, {side}"}


def _momentum(seen: _Bars) -> Group:
    group: Group = {}
    moved = seen.close[-1 - SETTLED_WILDER :]
    if len(seen.close) >= SETTLED_WILDER and moved.min() != moved.max():
        strength = rounded(_last(talib.RSI(seen.close, PERIOD)), 3)
        group = {} if strength is None else {"rsi_14": strength, "words": _rsi_words(strength)}
    changes: Group = {str(length): _change(seen, length) for length in CHANGES}
    return {**group, "change_over_bars": _present(changes)}


def _rsi_words(strength: float) -> str:
    steps = ((20, "deeply oversold"), (30, "oversold"), (45, "weak"), (55, "neutral"), (70, "firm"), (80, "overbought"))
    return next((words for limit, words in steps if strength < limit), "deeply overbought")


def _change(seen: _Bars, length: int) -> float | int | None:
    base = _last(seen.close, length)
    return rounded(seen.now / base - 1, 4) if base > 0 else None


def _volatility(seen: _Bars) -> Group:
    group: Group = {}
    if seen.atr:
        group = {
            "atr_14": rounded(seen.atr),
            "atr_fraction": rounded(seen.atr / seen.now, 4) if seen.now > 0 else None,
            **_regime(seen),
        }
    window = seen.close[-21:]
    if len(window) == 21 and window.min() > 0:
        group["realised_per_bar_20"] = rounded(float(np.std(np.diff(np.log(window)), ddof=1)), 4)
    return {**group, "bollinger_20": _bollinger(seen)}


def _regime(seen: _Bars) -> Group:
    """Which part of the last bars had a smaller ATR than now: 1 is the wildest of them."""
    settled = seen.true_ranges[SETTLED_WILDER - 1 :][-USUAL:]
    if len(settled) < USUAL:
        return {}
    rank = rounded(float(np.mean(settled < settled[-1])), 2)
    if rank is None:
        return {}
    words = "unusually calm" if rank < 0.1 else "calm" if rank < 0.35 else "usual" if rank < 0.65 else "lively"
    return {"atr_rank": rank, "words": "unusually wild" if rank >= 0.9 else words}


def _bollinger(seen: _Bars) -> Group | None:
    if len(seen.close) < 20:
        return None
    upper, _, lower = (_last(line) for line in talib.BBANDS(seen.close, 20, 2, 2))
    if not upper > lower:
        return None
    position = rounded((seen.now - lower) / (upper - lower), 3)
    if position is None:
        return None
    words = "above the upper band" if position > 1 else "below the lower band" if position < 0 else "inside the bands"
    return {"upper": price(upper), "lower": price(lower), "position": position, "words": words}


def _volume(seen: _Bars) -> Group:
    """The last bar's volume against the mean of the twenty bars before it."""
    before = seen.volume[-21:-1]
    usual = float(before.mean()) if len(before) == 20 else 0.0
    if usual <= 0:
        return {}
    ratio = rounded(_last(seen.volume) / usual, 3)
    if ratio is None:
        return {}
    words = "none" if ratio == 0 else "thin" if ratio < 0.6 else "usual" if ratio < 1.5 else "heavy"
    return {"last": rounded(_last(seen.volume)), "mean_20": rounded(usual), "ratio": ratio, "words": words}


def _levels(seen: _Bars) -> Group:
    group: Group = {}
    for length in (20, 100):
        if len(seen.close) > length:
            group[f"range_{length}"] = _range(seen, length)
    support = max((low for low in _swings(seen.low, np.less) if low < seen.now), default=None)
    resistance = min((high for high in _swings(seen.high, np.greater) if high > seen.now), default=None)
    for name, level in (("support", support), ("resistance", resistance)):
        if level is not None:
            away = seen.in_atrs(abs(level - seen.now))
            group[name] = _present({"price": price(level), "distance_in_atr": away})
    return group


def _range(seen: _Bars, length: int) -> Group:
    """Highest high and lowest low of the bars before the last one, and what the last close did to them."""
    high, low = float(seen.high[-1 - length : -1].max()), float(seen.low[-1 - length : -1].min())
    words = "broke out above" if seen.now > high else "broke down below" if seen.now < low else "inside"
    below, above = seen.in_atrs(high - seen.now), seen.in_atrs(seen.now - low)
    return _present(
        {
            "high": price(high),
            "low": price(low),
            "price_below_high_in_atr": below,
            "price_above_low_in_atr": above,
            "words": words,
        }
    )


def _swings(line: Series, beats: Callable[[Series, Series], npt.NDArray[np.bool_]]) -> Iterator[float]:
    """Turning points of the last bars: further out than three bars on each side (no further in than equal ones)."""
    recent = line[-USUAL - 2 * TURN :]
    if len(recent) <= 2 * TURN:
        return
    windows = np.lib.stride_tricks.sliding_window_view(recent, 2 * TURN + 1)
    middle = windows[:, TURN : TURN + 1]
    beaten = beats(windows, middle).any(axis=1)
    yield from (float(value) for value in middle[~beaten, 0])


_GROUPS: dict[str, Callable[[_Bars], Group]] = {
    "trend": _trend,
    "momentum": _momentum,
    "volatility": _volatility,
    "volume": _volume,
    "levels": _levels,
}
