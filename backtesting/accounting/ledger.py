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
from datetime import datetime
from decimal import Decimal

from backtesting.accounting.holding import Holding
from data.model.errors import DataError
from data.model.market import Bar, Fact, FactKind, Instrument
from data.model.money import EXACT, ZERO, money, quotient
from data.model.trading import Book, EquityRow, Fill, FillReason, Trade

TRADES_SHOWN = 5


class CashLedger:
    """Implements `data.model.protocols.Ledger`."""

    def __init__(self, initial_cash: Decimal, instruments: Mapping[str, Instrument]) -> None:
        self._initial = self._cash = money(initial_cash)
        self._instruments = instruments
        self._held: dict[str, Holding] = {}
        self._trades: tuple[Trade, ...] = ()

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
        stale = []
        for symbol, holding in self._held.items():
            bar = bars.get(symbol)
            if bar is None:
                stale.append(symbol)
            else:
                holding.mark, holding.marked_at = money(bar.close), bar.known_at
        if not self._held:
            return EquityRow(at, self._cash, self._cash, ZERO, (), ())
        equity, gross = self._worth()
        held = sorted(self._held.items())
        return EquityRow(
            at=at,
            cash=self._cash,
            equity=equity,
            exposure=self._exposure(equity, gross),
            quantities=tuple((symbol, holding.quantity) for symbol, holding in held),
            marks=tuple((symbol, holding.mark) for symbol, holding in held),
            stale=tuple(sorted(stale)),
        )

    def book(self, as_of: datetime) -> Book:
        """The account at the last marks, with the last closed trades."""
        equity, gross = self._worth()
        return Book(
            as_of=as_of,
            cash=self._cash,
            equity=equity,
            exposure=self._exposure(equity, gross),
            buying_power=EXACT.subtract(equity, gross),
            positions=tuple(holding.position() for _, holding in sorted(self._held.items())),
            last_trades=self._trades[-TRADES_SHOWN:],
        )

    def trades(self) -> tuple[Trade, ...]:
        """Every closed round trip, in the order of their ends."""
        return self._trades

    def _worth(self) -> tuple[Decimal, Decimal]:
        """Equity, and the gross value of all positions."""
        equity, gross = self._cash, ZERO
        for holding in self._held.values():
            value = EXACT.multiply(holding.quantity, holding.mark)
            equity, gross = EXACT.add(equity, value), EXACT.add(gross, value.copy_abs())
        return equity, gross

    def _exposure(self, equity: Decimal, gross: Decimal) -> Decimal:
        """Gross value over equity; over the initial cash where no equity is left to divide by."""
        return quotient(gross, equity if equity > 0 else self._initial)

    def _keep(self, holding: Holding, at: datetime, reason: FillReason) -> None:
        if holding.quantity:
            self._held[holding.symbol] = holding
        else:
            self._held.pop(holding.symbol, None)
            self._trades += (holding.closed(at, reason),)
