"""One account from bar to bar: splits and dividends, then yesterday's orders meet today's bar, then the mark.

A run plays this and an audit plays it again, so both are the same arithmetic. Whatever happens is told to `record`
before the ledger acts on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from data.model.market import Bar, Fact, FactKind
from data.model.money import ZERO
from data.model.protocols import Broker, Ledger
from data.model.trading import BarOutcome, Book, EquityRow, Order, Purpose, Trade

Recorder = Callable[[str, object], None]


def unrecorded(_kind: str, _value: object) -> None:
    """For an account whose steps nobody records."""


@dataclass
class Account:
    """A broker and the ledger that its fills reach. `record` is told `fill`, `cancellation` and `trade`."""

    broker: Broker
    ledger: Ledger
    record: Recorder = unrecorded
    _waiting: dict[str, datetime] = field(default_factory=dict)
    _ended: int = 0
    _moved: bool = False

    def fork(self) -> Account:
        """The account in the same state, to be played ahead: this one does not notice, and nothing is recorded."""
        return Account(
            self.broker.fork(), self.ledger.fork(), unrecorded, dict(self._waiting), self._ended, self._moved
        )

    def submit(self, order: Order) -> None:
        """For the next bar of its symbol. Raises what the broker raises."""
        self.broker.submit(order)
        self._waiting[order.symbol] = order.decided_at

    def act(self, action: Fact, at: datetime) -> None:
        """A split or a dividend, before the bar that opens at `at`. Raises DataError."""
        self._moved = True
        self.ledger.apply_action(action, at)
        if action.kind is FactKind.SPLIT:
            self.broker.apply_split(action)

    def meet(self, bar: Bar) -> BarOutcome:
        """Orders, stops and targets meet a bar. The book is read only where an order waits for its buying power."""
        power = ZERO
        if self._waiting and bar.symbol in self._waiting:
            power = self.ledger.book(bar.known_at).buying_power
            if bar.open_time >= self._waiting[bar.symbol]:
                del self._waiting[bar.symbol]
        outcome = self.broker.on_bar(bar, power)
        if outcome.fills or outcome.cancellations:
            self._take(outcome)
        return outcome

    def _take(self, outcome: BarOutcome) -> None:
        self._moved = True
        for fill in outcome.fills:
            self.record("fill", fill)
            self.ledger.apply(fill)
        for cancellation in outcome.cancellations:
            self.record("cancellation", cancellation)

    def mark(self, bars: Mapping[str, Bar], at: datetime) -> tuple[EquityRow, tuple[Trade, ...]]:
        """The ledger at the bars' closes, and the round trips that ended since the last mark."""
        row = self.ledger.mark(bars, at)
        if not self._moved:
            return row, ()
        self._moved = False
        ended = self.ledger.trades(self._ended)
        self._ended += len(ended)
        for trade in ended:
            self.record("trade", trade)
        return row, ended

    def expire(self, at: datetime) -> None:
        """Orders that have no next bar."""
        for cancellation in self.broker.at_end(at):
            self.record("cancellation", cancellation)

    def book(self, as_of: datetime) -> Book:
        """The account at its last marks."""
        return self.ledger.book(as_of)


def committed(order: Order, price: Decimal) -> Decimal:
    """Cash that an order will take at that price; what closes takes none."""
    return order.quantity * price if order.purpose is Purpose.OPEN else ZERO
