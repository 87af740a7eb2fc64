"""Stops and targets: the levels that protect a position, and what a bar does to them.

A bar has no path inside it, so the worse of two is assumed: where stop and target were both touched, it was the stop.
A stop is a market order from the moment it is touched: filled at its level, or at the open where the price had
already gone through. A target is a limit order: filled at its level, even where the open was better. The open counts
as touched though a source's low or high should not reach it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from data.model.market import Bar
from data.model.money import ONE, exactly, money
from data.model.trading import FillReason

LOWEST, HIGHEST = Decimal("-Infinity"), Decimal("Infinity")


class Exit(NamedTuple):
    """Why a position is left, and at which price before slippage."""

    reason: FillReason
    reference: Decimal


@dataclass(frozen=True, slots=True)
class Held:
    """A position as the broker knows it: signed `quantity`, levels or None, and the order that opened it.

    A bar whose open, low and high lie between `floor` and `ceiling` touches neither level.
    """

    order_id: str
    quantity: Decimal
    stop: Decimal | None
    target: Decimal | None
    floor: Decimal = field(init=False)
    ceiling: Decimal = field(init=False)

    def __post_init__(self) -> None:
        below, above = (self.stop, self.target) if self.quantity > 0 else (self.target, self.stop)
        object.__setattr__(self, "floor", LOWEST if below is None else below)
        object.__setattr__(self, "ceiling", HIGHEST if above is None else above)

    def touched(self, bar: Bar) -> Exit | None:
        """What this bar triggers, or None."""
        return self._long(bar) if self.quantity > 0 else self._short(bar)

    def _long(self, bar: Bar) -> Exit | None:
        if self.stop is not None and (bar.low <= self.stop or bar.open <= self.stop):
            return Exit(FillReason.STOP, min(self.stop, bar.open))
        if self.target is not None and (bar.high >= self.target or bar.open >= self.target):
            return Exit(FillReason.TARGET, self.target)
        return None

    def _short(self, bar: Bar) -> Exit | None:
        if self.stop is not None and (bar.high >= self.stop or bar.open >= self.stop):
            return Exit(FillReason.STOP, max(self.stop, bar.open))
        if self.target is not None and (bar.low <= self.target or bar.open <= self.target):
            return Exit(FillReason.TARGET, self.target)
        return None


def level(price: Decimal, fraction: Decimal | None, sign: int) -> Decimal | None:
    """The price that lies `fraction` above (`sign` 1) or below (-1) the entry's; None where no price can reach it."""
    if fraction is None:
        return None
    with exactly():
        reached = money(price * (ONE + sign * fraction))
    return reached if reached > 0 else None
