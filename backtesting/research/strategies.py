"""Strategies over arrays, by name: what each says at the close of every bar, from that bar and earlier ones alone.

An action is +1 (BUY), -1 (SELL) or 0 (HOLD); what it comes to (a position that is held already, a short) is the
kernel's to say. Where an indicator has too few bars there is no action. Values that differ by less than a billionth of
their size are equal, and equality is no signal: running sums round, and a flat market must not trade on that.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.ta_lib import talib
from data.model.errors import UsageError

Floats: TypeAlias = NDArray[np.float64]
Actions: TypeAlias = NDArray[np.int8]
Number: TypeAlias = int | float

BUY, SELL = np.int8(1), np.int8(-1)
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Prices:
    """The bars a strategy reads: float64 arrays of one length, oldest first."""

    closes: Floats
    highs: Floats
    lows: Floats


@dataclass(frozen=True, slots=True)
class Parameter:
    """What can be set. A whole `default` takes whole numbers only; both bounds are included."""

    name: str
    default: Number
    low: Number
    high: Number

    @property
    def is_whole(self) -> bool:
        return isinstance(self.default, int)

    def read(self, value: object, owner: str) -> Number:
        """The value as the strategy takes it. Raises UsageError."""
        given = float(value) if isinstance(value, Decimal) else value
        if isinstance(given, bool) or not isinstance(given, int | float) or (self.is_whole and int(given) != given):
            kind = "a whole number" if self.is_whole else "a number"
            raise UsageError(f"{owner}: {self.name} = {value} is not {kind}")
        if not self.low <= given <= self.high:
            raise UsageError(f"{owner}: {self.name} = {value} is not between {self.low} and {self.high}")
        return int(given) if self.is_whole else float(given)


@dataclass(frozen=True, slots=True)
class Strategy:
    """A named rule. `ordered` names two parameters of which the first must be the smaller, if there are such."""

    name: str
    says: str
    act: Callable[..., Actions]
    parameters: tuple[Parameter, ...] = ()
    ordered: tuple[str, str] | None = None

    def settle(self, given: Mapping[str, object]) -> dict[str, Number]:
        """Every parameter, given or by default. Raises UsageError for a name or a value that is none."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise UsageError(f"{self.name} has no parameter {name}; it has {', '.join(known) or 'none'}")
        return {name: each.read(given.get(name, each.default), self.name) for name, each in known.items()}

    def makes_sense(self, settled: Mapping[str, Number]) -> bool:
        """Whether the parameters fit together: a grid has corners that do not."""
        return self.ordered is None or settled[self.ordered[0]] < settled[self.ordered[1]]

    def actions(self, prices: Prices, settled: Mapping[str, Number]) -> Actions:
        """int8[n]: at place i the action at the close of bar i; changes of later bars do not change it."""
        if not prices.closes.size:
            return np.zeros(0, dtype=np.int8)
        return self.act(prices, **settled)


def strategy(name: str) -> Strategy:
    """Raises UsageError that lists the strategies there are."""
    if name not in STRATEGIES:
        raise UsageError(f"unknown strategy {name!r}; there are {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def sma_crossover(prices: Prices, *, fast: int, slow: int) -> Actions:
    """BUY where the fast simple average comes from below the slow one to above it, SELL the other way round."""
    return _crossings(talib.SMA(prices.closes, fast), talib.SMA(prices.closes, slow))


def ema_crossover(prices: Prices, *, fast: int, slow: int) -> Actions:
    """The same with exponential averages, each begun with a simple one."""
    return _crossings(talib.EMA(prices.closes, fast), talib.EMA(prices.closes, slow))


def rsi_reversion(prices: Prices, *, period: int, low: float, high: float) -> Actions:
    """BUY while Wilder's relative strength index (0 to 100) is below `low`, SELL while it is above `high`."""
    index = talib.RSI(prices.closes, period)
    return _levels(_above(np.full_like(index, low), index), _above(index, np.full_like(index, high)))


def bollinger_reversion(prices: Prices, *, period: int, width: float) -> Actions:
    """BUY while the close is below the lower band, SELL while it is above the upper one.

    The bands are `width` population standard deviations around the simple average (Bollinger 2001).
    """
    upper, _, lower = talib.BBANDS(prices.closes, period, width, width)
    return _levels(_above(lower, prices.closes), _above(prices.closes, upper))


def donchian_breakout(prices: Prices, *, entry: int, leave: int) -> Actions:
    """BUY while the close is above the highest high of the `entry` bars before; SELL while it is below the lowest low
    of the `leave` bars before.
    """
    highest, lowest = _before(talib.MAX(prices.highs, entry)), _before(talib.MIN(prices.lows, leave))
    return _levels(_above(prices.closes, highest), _above(lowest, prices.closes))


def momentum(prices: Prices, *, lookback: int, threshold: float) -> Actions:
    """BUY while the close is more than `threshold` (a fraction) above that of `lookback` bars ago, SELL while it is
    more than that below. A price that is not positive has no fraction, and no action.
    """
    change, before = np.full_like(prices.closes, np.nan), prices.closes[:-lookback]
    np.divide(prices.closes[lookback:], before, out=change[lookback:], where=before > 0)
    change -= 1
    return _levels(change - threshold > _EQUAL, -change - threshold > _EQUAL)


def buy_and_hold(prices: Prices) -> Actions:
    """BUY, always: bought at the first bar, and again after a stop or a target has sold."""
    return np.full(prices.closes.size, BUY)


def _crossings(one: Floats, other: Floats) -> Actions:
    """Where the sign of the difference is not that of the last bar at which they differed."""
    sign = _levels(_above(one, other), _above(other, one))
    differ = np.flatnonzero(sign)
    changed = differ[1:][sign[differ[1:]] != sign[differ[:-1]]]
    actions = np.zeros_like(sign)
    actions[changed] = sign[changed]
    return actions


def _levels(buy: NDArray[np.bool_], sell: NDArray[np.bool_]) -> Actions:
    return buy.astype(np.int8) - sell.astype(np.int8)


def _above(one: Floats, other: Floats) -> NDArray[np.bool_]:
    """False where either is absent (NaN)."""
    return np.asarray(one - other > _EQUAL * np.abs(other))


def _before(values: Floats) -> Floats:
    """Each bar's value as it was one bar earlier."""
    return np.concatenate(([np.nan], values[:-1]))


_LONGEST = 5000


def _period(name: str, default: int, low: int = 2) -> Parameter:
    return Parameter(name, default, low, _LONGEST)


def _listed(*those: Strategy) -> Mapping[str, Strategy]:
    return MappingProxyType({each.name: each for each in those})


def _named(act: Callable[..., Actions], *parameters: Parameter, ordered: tuple[str, str] | None = None) -> Strategy:
    says = " ".join((inspect.getdoc(act) or "").split("\n\n")[0].split())
    return Strategy(act.__name__, says, act, parameters, ordered)


STRATEGIES = _listed(
    _named(sma_crossover, _period("fast", 20), _period("slow", 50), ordered=("fast", "slow")),
    _named(ema_crossover, _period("fast", 12), _period("slow", 26), ordered=("fast", "slow")),
    _named(
        rsi_reversion,
        _period("period", 14),
        Parameter("low", 30.0, 0.0, 100.0),
        Parameter("high", 70.0, 0.0, 100.0),
        ordered=("low", "high"),
    ),
    _named(bollinger_reversion, _period("period", 20), Parameter("width", 2.0, 0.1, 10.0)),
    _named(donchian_breakout, _period("entry", 20), _period("leave", 10)),
    _named(momentum, _period("lookback", 20, 1), Parameter("threshold", 0.0, 0.0, 10.0)),
    _named(buy_and_hold),
)
