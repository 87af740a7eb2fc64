"""Bounds on what agents propose. They only ever shrink a position, and applying them twice changes nothing more.

Only a proposal that would open a position is bounded: closing is never prevented. Each change is kept as a `Clamp`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from data.model.canonical import decimal_text
from data.model.decisions import Clamp
from data.model.money import ONE, SMALLEST, ZERO, affordable, exactly, money
from data.model.question import Limits
from data.model.trading import Action, Book
from orchestration.policy.consensus import Proposal

FARTHEST_TARGET = 99


@dataclass
class _Bounds:
    """A proposal on its way through the rules, with what they changed."""

    proposal: Proposal
    clamps: list[Clamp] = field(default_factory=list)

    def put(self, rule: str, name: str, value: Decimal | None) -> None:
        before = getattr(self.proposal, name)
        if before != value:
            self.clamps.append(Clamp(rule, name, shown(before), shown(value)))
            changed: dict[str, Any] = {name: value}
            self.proposal = replace(self.proposal, **changed)


def shown(value: Decimal | None) -> str:
    return "none" if value is None else decimal_text(value)


def opens(proposal: Proposal, book: Book, symbol: str) -> bool:
    """Whether a position would be opened: nothing is held, and the action is not HOLD."""
    return proposal.action is not Action.HOLD and book.position(symbol) is None


def apply_limits(proposal: Proposal, book: Book, symbol: str, limits: Limits) -> tuple[Proposal, tuple[Clamp, ...]]:
    """The proposal within the limits.

    - size: a fraction; zero for a SELL that has nothing to sell where shorts are not allowed; and no more than what
      `max_exposure` leaves, counting what orders of the same bar have already taken from the buying power.
    - stop: between `min_stop` and `max_stop`. Target: no nearer than `min_stop`, and none where it is zero or where no
      price gets to, which is a hundred times the entry for a long position and below zero for a short one.
    """
    if not opens(proposal, book, symbol):
        return proposal, ()
    bounds = _Bounds(proposal)
    _bound_size(bounds, book, limits)
    _bound_stops(bounds, limits)
    return bounds.proposal, tuple(bounds.clamps)


def _bound_size(bounds: _Bounds, book: Book, limits: Limits) -> None:
    size = bounds.proposal.size
    if size is not None:
        bounds.put("fraction", "size", min(max(size, ZERO), ONE))
    if bounds.proposal.action is Action.SELL and not limits.allow_short:
        bounds.put("no_short", "size", ZERO)
    room = _room(book, limits)
    wanted = ONE if bounds.proposal.size is None else bounds.proposal.size
    if room < wanted:
        bounds.put("max_exposure", "size", room)


def _room(book: Book, limits: Limits) -> Decimal:
    """The greatest size that keeps gross exposure within `max_exposure`; rounded down."""
    if limits.max_exposure >= 1:
        return ONE  # buying power already bounds it: there is no leverage
    with exactly():
        used = book.equity - book.buying_power
        left = money(limits.max_exposure) * book.equity - used
        whole = money(limits.position_size) * book.equity
    return min(affordable(left, whole, SMALLEST), ONE) if whole > 0 else ZERO


def _bound_stops(bounds: _Bounds, limits: Limits) -> None:
    stop, target = bounds.proposal.stop_loss, bounds.proposal.take_profit
    if stop is not None:
        bounds.put("stop_distance", "stop_loss", min(max(stop, limits.min_stop), limits.max_stop))
    if target is None:
        return
    bounded = max(target, limits.min_stop)
    unreachable = target <= 0 or bounded >= (1 if bounds.proposal.action is Action.SELL else FARTHEST_TARGET)
    bounds.put("target_distance", "take_profit", None if unreachable else bounded)
