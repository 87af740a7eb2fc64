"""From a bounded proposal to orders for the next bar's open; their quantity is fixed here, at the decision.

Flat: BUY opens a long position, SELL a short one where that is allowed. Long: SELL closes the whole of it. Short: BUY
closes. Anything else leaves things as they are. One order at most.
"""

from __future__ import annotations

from decimal import Decimal

from data.model.canonical import decimal_text
from data.model.decisions import Clamp
from data.model.instants import iso
from data.model.market import Instrument
from data.model.money import BASIS_POINT, ONE, ZERO, affordable, exactly, money
from data.model.question import Costs, Limits
from data.model.trading import Action, Book, Order, Position, Purpose, Side
from orchestration.policy.consensus import Proposal
from orchestration.policy.limits import opens


def orders(
    proposal: Proposal, book: Book, instrument: Instrument, price: Decimal, limits: Limits, costs: Costs
) -> tuple[tuple[Order, ...], tuple[Clamp, ...]]:
    """The orders at `book.as_of`, and what kept them smaller than proposed. `price` is the last known close."""
    held = book.position(instrument.symbol)
    if held is not None and proposal.action is _leaves(held):
        return (_order(proposal, book, held.symbol, held.quantity.copy_abs(), Purpose.CLOSE),), ()
    if not opens(proposal, book, instrument.symbol) or (proposal.action is Action.SELL and not limits.allow_short):
        return (), ()
    quantity, clamps = _quantity(proposal, book, instrument, price, limits, costs)
    if not quantity:
        return (), clamps
    return (_order(proposal, book, instrument.symbol, quantity, Purpose.OPEN),), clamps


def _leaves(held: Position) -> Action:
    return Action.SELL if held.quantity > 0 else Action.BUY


def _order(proposal: Proposal, book: Book, symbol: str, quantity: Decimal, purpose: Purpose) -> Order:
    protects = purpose is Purpose.OPEN
    return Order(
        order_id=f"{symbol}@{iso(book.as_of)}#1",
        symbol=symbol,
        side=Side(proposal.action.value),
        quantity=quantity,
        purpose=purpose,
        decided_at=book.as_of,
        stop_loss=proposal.stop_loss if protects else None,
        take_profit=proposal.take_profit if protects else None,
    )


def _quantity(
    proposal: Proposal, book: Book, instrument: Instrument, price: Decimal, limits: Limits, costs: Costs
) -> tuple[Decimal, tuple[Clamp, ...]]:
    """Whole lots that `equity * position_size * size` pays for, costs included, within the buying power."""
    if price <= 0:
        return ZERO, (Clamp("no_price", "quantity", "any", "0"),)
    size = ONE if proposal.size is None else money(proposal.size)
    clamps: list[Clamp] = []
    with exactly():
        wanted = money(book.equity * money(limits.position_size) * size)
        reserve = (ONE + money(costs.slippage_bps) * BASIS_POINT) * (ONE + money(costs.commission_bps) * BASIS_POINT)
        unit = price * reserve
        budget = max(min(wanted, book.buying_power), ZERO)
        if budget < wanted:
            clamps.append(Clamp("buying_power", "value", decimal_text(wanted), decimal_text(budget)))
        quantity = affordable(budget, unit, instrument.lot)
        value = quantity * price
    if size and (not quantity or value < instrument.min_notional):
        clamps.append(Clamp("minimum", "value", decimal_text(budget), "0"))
        quantity = ZERO
    return quantity, tuple(clamps)
