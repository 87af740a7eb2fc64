"""The kernel's loop: bars go by, orders meet them, equity is summed up.

A compiled function that numba keeps on disk is compiled anew when its own file changes, whatever changed in those that
it calls. So the one that is kept is made with a digest of all of the kernel's sources, which numba's key then covers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.execution.kernel_account import (
    CASH,
    CLOSE,
    HIGH,
    LOW,
    MARK,
    OPEN,
    ORDER,
    SHORTS,
    Account,
    Floats,
    decided,
    met_by,
    touched,
)
from backtesting.execution.kernel_digits import UNITS, compiled, kept

Signals = NDArray[np.int8]
StepThrough = Callable[[Floats, Signals, Floats, Floats, Floats, Floats], None]


class Sums(NamedTuple):
    """Of equity and its returns while there is any; `lowest` is the equity below which the drawdown deepens."""

    total: float
    before: float
    returns: int
    first: float
    second: float
    peak: float
    lowest: float
    deepest: float


Place = tuple[int, Sums]
"""A bar's index, and the sums before it."""


@compiled
def _counted(sums: Sums, equity: float) -> Sums:
    returns, first, second, before = sums.returns, sums.first, sums.second, sums.before
    if before > 0:
        rate = equity / before - 1
        returns, first, second, before = returns + 1, first + rate, second + rate * rate, equity
    peak, lowest, deepest = sums.peak, sums.lowest, sums.deepest
    if equity > peak:
        peak, lowest = equity, equity * (1 + deepest)
    elif equity < lowest:
        lowest, deepest = equity, min(deepest, equity / peak - 1)
    return Sums(sums.total + equity, before, returns, first, second, peak, lowest, deepest)


@compiled
def _asks(action: int, lots: float, shorts: float) -> bool:
    """Whether a decision is to leave what is held, or to open where nothing is."""
    return action * lots < 0 if lots != 0 else action > 0 or (action < 0 and shorts > 0)


@compiled
def _flat(actions: Signals, at: int, held: Account, sums: Sums, rules: Floats, equity: Floats) -> Place:
    """Marks bars from `at` on with nothing held, up to one that asks for an order."""
    first = at
    while at < actions.size and not _asks(actions[at], 0.0, rules[SHORTS]):
        at += 1
    if equity.size:
        equity[first:at] = held.money
    total, returns = sums.total + held.money * (at - first), sums.returns + (at - first if sums.before > 0 else 0)
    return at, Sums(total, sums.before, returns, sums.first, sums.second, sums.peak, sums.lowest, sums.deepest)


@compiled
def _quiet(bars: Floats, actions: Signals, at: int, held: Account, sums: Sums, equity: Floats) -> Place:
    """Marks bars from `at` on with a position, up to one that touches a level or asks to leave."""
    while at < actions.size and not _asks(actions[at], held.lots, 0.0):
        bar = bars[at]
        if touched(held, bar[OPEN], bar[HIGH], bar[LOW]) != ORDER:
            break
        now = held.money + held.quantity * bar[MARK]
        if equity.size:
            equity[at] = now
        sums = _counted(sums, now)
        at += 1
    return at, sums


@compiled
def _one(bars: Floats, actions: Signals, rules: Floats, equity: Floats, fills: Floats) -> tuple[Account, Sums, bool]:
    start = rules[CASH] / UNITS
    held = Account(rules[CASH], start, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    sums = Sums(0.0, start, 0, 0.0, 0.0, start, start, 0.0)
    i, side, lots = 0, 0, 0.0
    while i < actions.size:
        bar = bars[i]
        held = met_by(bar, i, held, side, lots, rules, fills)
        now = held.money + held.quantity * bar[MARK]
        if equity.size:
            equity[i] = now
        sums = _counted(sums, now)
        side, lots = decided(int(actions[i]), held, bar[CLOSE], rules)
        i += 1
        if side == 0 and held.lots == 0:
            i, sums = _flat(actions, i, held, sums, rules, equity)
        elif side == 0:
            i, sums = _quiet(bars, actions, i, held, sums, equity)
    return held, sums, side != 0


def _stepping(stamp: str) -> StepThrough:
    @kept
    def stepped(bars: Floats, actions: Signals, rules: Floats, equity: Floats, fills: Floats, summary: Floats) -> None:
        _ = stamp
        for k in range(len(actions)):
            held, sums, expired = _one(bars, actions[k], rules[k if len(rules) > 1 else 0], equity, fills)
            row = summary[k]
            row[0], row[1], row[2], row[3] = held.cash / UNITS, held.traded, held.fills, expired
            row[4] = held.money + held.quantity * bars[-1, MARK]
            row[5], row[6], row[7], row[8], row[9] = sums.total, sums.returns, sums.first, sums.second, sums.deepest

    return stepped


_SOURCES = (file.read_bytes() for file in sorted(Path(__file__).parent.glob("kernel_*.py")))
step_through = _stepping(hashlib.sha256(b"".join(_SOURCES)).hexdigest())
"""Each row of `actions` is a strategy over `bars`, whose rows hold what `OPEN` to `MARK` name.

`rules` is a row for each, or one. Unless they are empty, `equity` and `fills` are written: of one strategy only. A
fill is bar, side, quantity, price, commission, reason. Of each strategy `summary` takes cash, value of all fills,
number of fills, whether an order expired, last equity, and `Sums` but for its `peak` and `lowest`.
"""
