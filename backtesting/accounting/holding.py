"""One position from its first fill to its last: what it holds, what flowed through it, and the trade it becomes.

Averages are of all its entries and exits, in the shares of its end: a split restates what went before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from data.model.money import ZERO, after_split, exactly, money, quotient, value_of
from data.model.trading import Fill, FillReason, Position, Trade


@dataclass(slots=True)
class Holding:
    """An open position. `quantity` is signed; `flow` is all cash it has paid out (negative) or brought in so far.

    `last` is its last known price, as its bar printed it.
    """

    symbol: str
    entry_at: datetime
    last: Decimal
    marked_at: datetime
    quantity: Decimal = ZERO
    entered: Decimal = ZERO
    entry_value: Decimal = ZERO
    left: Decimal = ZERO
    exit_value: Decimal = ZERO
    flow: Decimal = ZERO
    costs: Decimal = ZERO
    stop_price: Decimal | None = None
    target_price: Decimal | None = None

    def apply(self, fill: Fill) -> Decimal:
        """Takes the fill in; returns what it does to cash. Raises ValueError for a fill that crosses zero."""
        value = value_of(fill.quantity, fill.price)
        with exactly():
            signed = fill.side.sign * fill.quantity
            after = self.quantity + signed
            if after * self.quantity < 0:
                raise ValueError(f"{fill.order_id}: a fill of {signed} {self.symbol} against {self.quantity} held")
            if signed * self.quantity >= 0:
                self.entered += signed
                self.entry_value += value
                self.stop_price, self.target_price = fill.stop_price, fill.target_price
            else:
                self.left -= signed
                self.exit_value += value
            self.quantity = after
            cash = -fill.side.sign * value - money(fill.commission)
            self.flow += cash
            self.costs += money(fill.commission) + money(fill.slippage)
        return cash

    def split(self, ratio: Decimal, lot: Decimal) -> Decimal:
        """Restates the holding in new shares; returns the cash paid for a fraction of a lot, at the restated mark."""
        kept, fraction = after_split(self.quantity, ratio, lot)
        self.last = quotient(self.mark, ratio)
        in_lieu = value_of(fraction, self.mark)
        with exactly():
            self.left = money(self.left * ratio) + fraction
            self.exit_value += in_lieu.copy_abs()
            self.flow += in_lieu
            self.entered = kept + self.left
        self.quantity = kept
        self.stop_price = None if self.stop_price is None else quotient(self.stop_price, ratio)
        self.target_price = None if self.target_price is None else quotient(self.target_price, ratio)
        return in_lieu

    def dividend(self, per_share: Decimal) -> Decimal:
        """Returns the cash it brings; a short pays it."""
        paid = value_of(self.quantity, per_share)
        with exactly():
            self.flow += paid
        return paid

    @property
    def mark(self) -> Decimal:
        return money(self.last)

    @property
    def entry_price(self) -> Decimal:
        return quotient(self.entry_value, self.entered.copy_abs())

    def position(self) -> Position:
        """As the portfolio manager sees it; the unrealised result is what the rest would bring against its entry."""
        with exactly():
            unrealised = self.quantity * (self.mark - self.entry_price)
        return Position(
            symbol=self.symbol,
            quantity=self.quantity,
            entry_price=self.entry_price,
            entry_at=self.entry_at,
            mark=self.mark,
            marked_at=self.marked_at,
            unrealised=money(unrealised),
            stop_price=self.stop_price,
            target_price=self.target_price,
        )

    def closed(self, at: datetime, reason: FillReason) -> Trade:
        """The round trip, once nothing is held."""
        return Trade(
            symbol=self.symbol,
            quantity=self.entered,
            entry_at=self.entry_at,
            exit_at=at,
            entry_price=self.entry_price,
            exit_price=quotient(self.exit_value, self.left.copy_abs()),
            profit=self.flow,
            rate=quotient(self.flow, self.entry_value),
            costs=self.costs,
            reason=reason,
        )
