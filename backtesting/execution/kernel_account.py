"""The kernel's account: orders, fills, and what they leave, by the rules of `broker`, `protection` and policy's sizing.

Money is in whole numbers of 1e-8 and quantities in lots; levels, which bars are compared with, are in the currency.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting.execution.kernel_digits import (
    SAME,
    UNITS,
    Pair,
    compiled,
    how_many,
    product,
    rounded,
    scaled,
    times,
    units,
)

Floats = NDArray[np.float64]

# Places of the numbers in a row of rules; each but the last takes two, a float and what it lacks.
CASH, LOT, LOT_COST, SHARE, FEE, SLIP_UP, SLIP_DOWN, LEAST, CAP = range(0, 18, 2)
STOP_LONG, STOP_SHORT, TARGET_LONG, TARGET_SHORT = range(18, 26, 2)
SHORTS = 26
ORDER, STOP, TARGET = 0, 1, 2
OPEN, HIGH, LOW, CLOSE, VOLUME, MARK = range(6)
"""Places of the numbers in a row of bars; MARK is the close with eight decimals."""
CLEARLY = 1 + 1e-9
"""What is less by this factor in floats is less in digits."""


class Account(NamedTuple):
    """Cash in 1e-8 and in units, signed lots and the quantity they are, the levels that protect it; fills so far."""

    cash: float
    money: float
    lots: float
    quantity: float
    stop: float
    target: float
    traded: float
    fills: int


@compiled
def _by(a: float, a2: float, rules: Floats, at: int) -> Pair:
    """A number times one of the rules."""
    return times(a, a2, rules[at], rules[at + 1])


@compiled
def _cut(a: float, a2: float, rules: Floats, at: int) -> float:
    product, product2 = times(a, a2, rules[at], rules[at + 1])
    return rounded(product, product2)


@compiled
def _traded(lots: float, price: float, rules: Floats) -> Pair:
    """Value and commission of so many lots, in 1e-8."""
    quantity, quantity2 = _by(lots, 0.0, rules, LOT)
    worth, worth2 = times(quantity, quantity2, price, 0.0)
    return rounded(worth, worth2), _cut(worth, worth2, rules, FEE)


@compiled
def _slipped(price: float, side: int, rules: Floats) -> float:
    return _cut(price, 0.0, rules, SLIP_UP if side > 0 else SLIP_DOWN)


@compiled
def _within(lots: float, taken: float, volume: float, rules: Floats) -> float:
    """Of so many lots, those that the bar lets us trade when so many were taken before."""
    if np.isnan(rules[CAP]) or (taken + lots) * rules[LOT] * CLEARLY <= volume * rules[CAP]:
        return lots
    volume, volume2 = scaled(max(volume, 0.0))
    most, most2 = _by(volume, volume2, rules, CAP)
    return min(lots, how_many(most, most2, rules[LOT] * UNITS, rules[LOT + 1] * UNITS) - taken)


@compiled
def _wanted(cash: float, close: float, rules: Floats) -> float:
    """Lots to open with, decided at a close with nothing held: equity and buying power are the cash."""
    if close <= 0 or cash <= 0:
        return 0.0
    price, price2 = scaled(close)
    each, each2 = _by(price, price2, rules, LOT_COST)
    lots = how_many(min(_cut(cash, 0.0, rules, SHARE), cash), 0.0, each, each2)
    quantity, quantity2 = _by(lots, 0.0, rules, LOT)
    worth, worth2 = times(quantity, quantity2, price, price2)
    is_small = (worth - rules[LEAST]) + (worth2 - rules[LEAST + 1]) < -SAME * rules[LEAST]
    return 0.0 if is_small else lots


@compiled
def _paid_for(lots: float, price: float, cash: float, rules: Floats) -> float:
    """Of the lots, those whose value and commission stay within the cash."""
    if lots * rules[LOT] * price * (1 + rules[FEE]) * CLEARLY + 2 < cash:
        return lots
    each, each2 = _by(price, 0.0, rules, LOT)
    lots = min(lots, how_many(cash, 0.0, each, each2))
    while lots > 0:
        value, fee = _traded(lots, price, rules)
        if value + fee <= cash:
            break
        most, most2 = product(lots, cash)
        lots = min(how_many(most, most2, value + fee, 0.0), lots - 1)
    return lots


@compiled
def _met(order: float, side: int, opens: bool, opened: float, volume: float, cash: float, rules: Floats) -> Pair:
    """Of an order's lots, those that fill at a bar's open, and the price after slippage."""
    price = _slipped(units(opened), side, rules) if opened > 0 else 0.0
    if price <= 0:
        return 0.0, price
    lots = _within(order, 0.0, volume, rules)
    if opens:
        lots = _paid_for(lots, price, cash, rules)
        if (_traded(lots, price, rules)[0] - rules[LEAST]) - rules[LEAST + 1] < 0:
            lots = 0.0
    return lots, price


@compiled
def _level(price: float, at: int, rules: Floats, none: float) -> float:
    """A stop or a target; `none` where there is no such or no price can reach it."""
    level = _cut(price, 0.0, rules, at) / UNITS
    return level if level > 0 else none


@compiled
def touched(held: Account, opened: float, high: float, low: float) -> int:
    """STOP or TARGET, or ORDER where neither was touched."""
    if held.lots > 0:
        if low <= held.stop or opened <= held.stop:
            return STOP
        return TARGET if high >= held.target or opened >= held.target else ORDER
    if high >= held.stop or opened >= held.stop:
        return STOP
    return TARGET if low <= held.target or opened <= held.target else ORDER


@compiled
def _left_at(held: Account, reason: int, opened: float, rules: Floats) -> float:
    """The price that a touched position is left at, after slippage."""
    if reason == TARGET:
        return float(np.rint(held.target * UNITS))
    gapped = opened < held.stop if held.lots > 0 else opened > held.stop
    return _slipped(units(opened) if gapped else float(np.rint(held.stop * UNITS)), -1 if held.lots > 0 else 1, rules)


@compiled
def _filled(
    held: Account, bar: int, side: int, lots: float, price: float, reason: int, rules: Floats, fills: Floats
) -> Account:
    """The account after a fill, which is written down where there is room for it."""
    if lots <= 0:
        return held
    value, fee = _traded(lots, price, rules)
    if fills.size:
        at = fills[held.fills]
        at[0], at[1], at[2], at[3], at[4], at[5] = (
            bar,
            side,
            _by(lots, 0.0, rules, LOT)[0],
            price / UNITS,
            fee / UNITS,
            reason,
        )
    stop, target = held.stop, held.target
    if held.lots == 0:
        nowhere = side * np.inf
        stop = _level(price, STOP_LONG if side > 0 else STOP_SHORT, rules, -nowhere)
        target = _level(price, TARGET_LONG if side > 0 else TARGET_SHORT, rules, nowhere)
    cash, after = held.cash - side * value - fee, held.lots + side * lots
    quantity = _by(after, 0.0, rules, LOT)[0]
    return Account(cash, cash / UNITS, after, quantity, stop, target, held.traded + value / UNITS, held.fills + 1)


@compiled
def decided(action: int, held: Account, close: float, rules: Floats) -> tuple[int, float]:
    """The order that follows: its side, or 0, and its lots."""
    if held.lots != 0:
        return (action, abs(held.lots)) if action * held.lots < 0 else (0, 0.0)
    if action > 0 or (action < 0 and rules[SHORTS] > 0):
        lots = _wanted(held.cash, close, rules)
        return (action, lots) if lots > 0 else (0, 0.0)
    return 0, 0.0


@compiled
def met_by(bar: Floats, i: int, held: Account, side: int, order: float, rules: Floats, fills: Floats) -> Account:
    """The order at the bar's open, then stop or target inside the bar with what the cap leaves."""
    taken = 0.0
    if side != 0:
        taken, price = _met(order, side, held.lots == 0, bar[OPEN], bar[VOLUME], held.cash, rules)
        held = _filled(held, i, side, taken, price, ORDER, rules, fills)
    reason = touched(held, bar[OPEN], bar[HIGH], bar[LOW]) if held.lots != 0 else ORDER
    if reason != ORDER:
        price = _left_at(held, reason, bar[OPEN], rules)
        lots = _within(abs(held.lots), taken, bar[VOLUME], rules) if price > 0 else 0.0
        held = _filled(held, i, -1 if held.lots > 0 else 1, lots, price, reason, rules, fills)
    return held
