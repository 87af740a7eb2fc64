"""Small markets for the tests of fills, money and policy: bars in words of a price tape, a broker and a ledger."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from backtesting.accounting.ledger import CashLedger
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from data.model.instants import Interval
from data.model.market import ALWAYS_OPEN, AssetClass, Bar, Fact, FactKind, Instrument
from data.model.question import Costs
from data.model.trading import BarOutcome, Book, EquityRow, Fill, Order, Purpose, Side

START = datetime(2025, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLENTY = 10**9
FREE = Costs(commission_bps=Decimal(0), slippage_bps=Decimal(0))
FLAT = (100, 100, 100, 100)
Prices = tuple[object, object, object, object]


def dec(value: object) -> Decimal:
    return Decimal(str(value))


def instrument(
    symbol: str = "X", *, lot: object = 1, least: object = 0, kind: AssetClass = AssetClass.EQUITY
) -> Instrument:
    return Instrument(symbol, kind, ALWAYS_OPEN, "USD", Decimal("0.01"), dec(lot), dec(least))


def bar(number: int, prices: Prices = FLAT, volume: object = PLENTY, symbol: str = "X") -> Bar:
    """The bar that opens `number` hours after the start; prices are open, high, low, close."""
    at = START + number * HOUR
    opened, high, low, close = map(dec, prices)
    return Bar(symbol, Interval.H1, at, at + HOUR, opened, high, low, close, dec(volume), at.date())


def order(
    number: int,
    side: Side = Side.BUY,
    quantity: object = 10,
    purpose: Purpose = Purpose.OPEN,
    *,
    stop: object = None,
    target: object = None,
    symbol: str = "X",
) -> Order:
    """An order decided at the close of bar `number`."""
    below, above = (None if each is None else dec(each) for each in (stop, target))
    decided = START + (number + 1) * HOUR
    return Order(f"{symbol}#{number}", symbol, side, dec(quantity), purpose, decided, below, above)


def action(kind: FactKind, value: object, symbol: str = "X") -> Fact:
    return Fact(symbol, kind, "", START, "test", value=dec(value), effective_on=START.date())


def real_bars(path: Path, interval: Interval) -> Iterator[Bar]:
    """The bars of a file of the shared data, as X; a daily one ends half a day after it opened."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for row in csv.DictReader(file):
            opened = datetime.fromisoformat(row["open_time"]).astimezone(UTC)
            opens, high, low, close = (Decimal(row[name]) for name in ("open", "high", "low", "close"))
            ends = opened + interval.length / (2 if interval.is_daily else 1)
            day = date.fromisoformat(row["session_date"]) if interval.is_daily else opened.date()
            yield Bar("X", interval, opened, ends, opens, high, low, close, Decimal(row["volume"]), day)


@dataclass
class Desk:
    """A broker and its ledger, wired as the loop wires them."""

    instruments: Mapping[str, Instrument] = field(default_factory=lambda: {"X": instrument()})
    costs: Costs = FREE
    cash: object = 100_000
    cap: Decimal = Decimal("0.1")

    def __post_init__(self) -> None:
        self.broker = StepBroker(self.instruments, proportional_costs(self.costs), self.cap)
        self.ledger = CashLedger(dec(self.cash), self.instruments)
        self.fills: list[Fill] = []
        self.rows: list[EquityRow] = []

    @property
    def book(self) -> Book:
        return self.ledger.book(START)

    def held(self, symbol: str = "X") -> Decimal:
        position = self.book.position(symbol)
        return Decimal(0) if position is None else position.quantity

    def step(self, *bars: Bar) -> BarOutcome:
        """Plays bars of one instant; returns what became of the last."""
        outcome = BarOutcome()
        for each in bars:
            outcome = self.broker.on_bar(each, self.ledger.book(each.known_at).buying_power)
            for fill in outcome.fills:
                self.ledger.apply(fill)
            self.fills += outcome.fills
        self.rows.append(self.ledger.mark({each.symbol: each for each in bars}, bars[-1].known_at))
        return outcome

    def play(self, tape: Iterable[Prices], first: int = 0) -> Sequence[Fill]:
        """Plays bars of X one after another; returns all fills."""
        for number, prices in enumerate(tape, first):
            self.step(bar(number, prices))
        return self.fills

    def act(self, kind: FactKind, value: object, symbol: str = "X") -> None:
        """A split or a dividend between two bars."""
        fact = action(kind, value, symbol)
        self.ledger.apply_action(fact, START)
        if kind is FactKind.SPLIT:
            self.broker.apply_split(fact)
