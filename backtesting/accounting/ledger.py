"""The cash ledger: fills, splits and dividends give cash and positions, bars give marks, and it always adds up.

After every bar `cash + sum(quantity * mark) == equity`, exactly; cash changes by fills, dividends and cash in lieu of
fractions alone, each rounded once at 1e-8. A flat ledger holds the initial cash plus the profits of its trades.

A dividend is credited at its ex session, on what was held before that session's open. A symbol without a new bar keeps
its last mark and is named as stale. Buying power is equity less the gross value of all positions: no leverage, and a
short ties up its own value. Limits: one currency, no interest on cash, no margin calls: a short can lose more than
there is, and then equity and buying power are negative and stay visible.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from datetime import datetime
from decimal import Decimal

from backtesting.accounting.holding import Holding
from backtesting.accounting.marked import exposure, marked, worth
from data.model.errors import DataError
from data.model.market import Bar, Fact, FactKind, Instrument
from data.model.money import EXACT, money
from data.model.trading import Book, EquityRow, Fill, FillReason, Trade

TRADES_SHOWN = 5


class CashLedger:
    """Implements `data.model.protocols.Ledger`."""

    def __init__(self, initial_cash: Decimal, instruments: Mapping[str, Instrument]) -> None:
        self._initial = self._cash = money(initial_cash)
        self._instruments = instruments
        self._held: dict[str, Holding] = {}
        self._trades: list[Trade] = []

    def fork(self) -> CashLedger:
        """A ledger in the same state that goes on by itself; trades are frozen, so both share them."""
        twin = CashLedger(self._initial, self._instruments)
        twin._cash = self._cash
        twin._held = {symbol: copy(holding) for symbol, holding in self._held.items()}
        twin._trades = self._trades.copy()
        return twin

    def apply(self, fill: Fill) -> None:
        """Raises ValueError for a fill that would turn a long position into a short one, or back."""
        holding = self._held.get(fill.symbol)
        if holding is None:
            holding = Holding(fill.symbol, fill.at, fill.price, fill.at)
        self._cash = EXACT.add(self._cash, holding.apply(fill))
        self._keep(holding, fill.at, fill.reason)

    def apply_action(self, action: Fact, at: datetime) -> None:
        """A split or a dividend on what is held now. Raises DataError for one without a number that makes sense."""
        if action.kind not in (FactKind.SPLIT, FactKind.DIVIDEND):
            raise DataError(f"a {action.kind} of {action.symbol} is no corporate action")
        if action.value is None or action.value <= 0:
            raise DataError(f"the {action.kind} of {action.symbol} on {action.effective_on} is not positive")
        holding = self._held.get(action.symbol)
        if holding is None:
            return
        if action.kind is FactKind.SPLIT:
            paid = holding.split(action.value, self._instruments[action.symbol].lot)
        else:
            paid = holding.dividend(action.value)
        self._cash = EXACT.add(self._cash, paid)
        self._keep(holding, at, FillReason.SPLIT)

    def mark(self, bars: Mapping[str, Bar], at: datetime) -> EquityRow:
        """Values every position at its bar's close."""
        stale: tuple[str, ...] = ()
        parts: tuple[object, ...] = ()
        for symbol, holding in self._held.items():
            bar = bars.get(symbol)
            if bar is None:
                stale += (symbol,)
            else:
                holding.last, holding.marked_at = bar.close, bar.known_at
            parts += (symbol, holding.quantity, holding.last)
        return marked((at, self._cash, self._initial, stale, *parts))

    def book(self, as_of: datetime) -> Book:
        """The account at the last marks, with the last closed trades."""
        equity, gross = worth(self._cash, [(holding.quantity, holding.mark) for holding in self._held.values()])
        return Book(
            as_of=as_of,
            cash=self._cash,
            equity=equity,
            exposure=exposure(equity, gross, self._initial),
            buying_power=EXACT.subtract(equity, gross),
            positions=tuple(holding.position() for _, holding in sorted(self._held.items())),
            last_trades=tuple(self._trades[-TRADES_SHOWN:]),
        )

    def trades(self, since: int = 0) -> tuple[Trade, ...]:
        """Every closed round trip but the first `since`, in the order of their ends."""
        return tuple(self._trades[since:])

    def _keep(self, holding: Holding, at: datetime, reason: FillReason) -> None:
        if holding.quantity:
            self._held[holding.symbol] = holding
        else:
            self._held.pop(holding.symbol, None)
            self._trades.append(holding.closed(at, reason))
