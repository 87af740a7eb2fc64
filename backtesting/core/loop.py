"""The loop over bars: yesterday's orders meet today's bar, the ledger is marked, the agents decide.

It reads as the bar's straight line in docs/ARCHITECTURE.md. History, replay, paper and live differ in what is passed
in, never here. Every step is recorded before the next acts on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from backtesting.core.timeline import Step
from data.model.canonical import to_json
from data.model.decisions import Decision, DecisionStatus
from data.model.errors import RunIncomplete
from data.model.market import Bar, Fact, FactKind
from data.model.protocols import Broker, Journal, Ledger
from data.model.trading import Book, EquityRow, Fill, Order, Purpose, Trade


class Session(Protocol):
    """What the loop asks of a `DecisionSession`."""

    def run_session(
        self, symbol: str, as_of: datetime, book: Book, *, number: int = 1, of: int = 1, committed: Decimal = Decimal(0)
    ) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Account:
    """A broker and the ledger that its fills reach."""

    broker: Broker
    ledger: Ledger


@dataclass
class Tape:
    """What the run produced, in bar order: the part of a run that its result digest covers."""

    decisions: list[Decision] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    equity: list[EquityRow] = field(default_factory=list)
    benchmark: list[EquityRow] = field(default_factory=list)
    benchmark_fills: list[Fill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    bars: int = 0

    @property
    def failed(self) -> int:
        return sum(decision.status is DecisionStatus.FAILED for decision in self.decisions)


@dataclass
class Loop:
    """One run. `actions` are splits and dividends by symbol, `hold` the benchmark's orders at a symbol's first bar."""

    session: Session
    account: Account
    benchmark: Account
    hold: Callable[[Bar, Book], Iterable[Order]]
    actions: Mapping[str, list[Fact]]
    journal: Journal
    of: int
    decide_every: int = 1
    max_failures: int = 3
    check: Callable[[], None] = lambda: None
    on_step: Callable[[Step, Tape], None] = lambda _step, _tape: None
    tape: Tape = field(default_factory=Tape)
    _seen: Counter[str] = field(default_factory=Counter)
    _streak: int = 0

    def run(self, steps: Iterable[Step]) -> Tape:
        """Plays every step. Raises RunIncomplete after `max_failures` failed decisions in a row."""
        last: Step | None = None
        for step in steps:
            self.check()
            self._trade(step)
            self._mark(step)
            self._decide(step)
            self.on_step(step, self.tape)
            last = step
        if last is not None:
            self._expire(last)
        return self.tape

    def _trade(self, step: Step) -> None:
        for symbol, bar in step.bars.items():
            self._apply_actions(symbol, bar)
            self.journal.append("bar", {"symbol": symbol, "bar": bar})
            self.tape.fills += self._fill(self.account, bar, self.journal)
            self.tape.benchmark_fills += self._fill(self.benchmark, bar, None)
            self.tape.bars += 1

    def _apply_actions(self, symbol: str, bar: Bar) -> None:
        waiting = self.actions.get(symbol, [])
        while waiting and waiting[0].effective_on is not None and waiting[0].effective_on <= bar.session_on:
            action = waiting.pop(0)
            self.journal.append("action", _body(action))
            for account in (self.account, self.benchmark):
                account.ledger.apply_action(action, bar.open_time)
                if action.kind is FactKind.SPLIT:
                    account.broker.apply_split(action)

    @staticmethod
    def _fill(account: Account, bar: Bar, journal: Journal | None) -> tuple[Fill, ...]:
        outcome = account.broker.on_bar(bar, account.ledger.book(bar.known_at).buying_power)
        for fill in outcome.fills:
            if journal is not None:
                journal.append("fill", _body(fill))
            account.ledger.apply(fill)
        if journal is not None:
            for cancellation in outcome.cancellations:
                journal.append("cancellation", _body(cancellation))
        return outcome.fills

    def _mark(self, step: Step) -> None:
        row = self.account.ledger.mark(step.bars, step.at)
        held = self.benchmark.ledger.mark(step.bars, step.at)
        self.tape.equity.append(row)
        self.tape.benchmark.append(held)
        for trade in self.account.ledger.trades()[len(self.tape.trades) :]:
            self.journal.append("trade", _body(trade))
            self.tape.trades.append(trade)
        opened = next(iter(step.bars.values())).open_time
        self.journal.append("equity", {**_body(row), "bar_open_time": opened, "benchmark": held.equity})

    def _decide(self, step: Step) -> None:
        book = self.account.ledger.book(step.at)
        committed = Decimal(0)
        for symbol, bar in step.bars.items():
            self._seen[symbol] += 1
            if self._seen[symbol] == 1:
                self._hold(bar)
            if (self._seen[symbol] - 1) % self.decide_every == 0:
                committed += self._decide_one(symbol, bar, book, committed)

    def _hold(self, bar: Bar) -> None:
        for order in self.hold(bar, self.benchmark.ledger.book(bar.known_at)):
            self.benchmark.broker.submit(order)

    def _decide_one(self, symbol: str, bar: Bar, book: Book, committed: Decimal) -> Decimal:
        self.check()
        number = len(self.tape.decisions) + 1
        result = self.session.run_session(symbol, bar.known_at, book, number=number, of=self.of, committed=committed)
        decision: Decision = result["record"]
        self.tape.decisions.append(decision)
        self._count_failures(decision)
        for order in decision.orders:
            self.account.broker.submit(order)
        return sum((_cost(order, bar) for order in decision.orders), Decimal(0))

    def _count_failures(self, decision: Decision) -> None:
        if decision.failure is None:
            self._streak = 0
            return
        self._streak += 1
        if self._streak >= self.max_failures:
            what = decision.failure
            raise RunIncomplete(
                f"{self._streak} decisions in a row failed; the last one: {what.reason} ({what.detail}). "
                "Mend the cause, or allow more with --max_failures"
            )

    def _expire(self, step: Step) -> None:
        for cancellation in self.account.broker.at_end(step.at):
            self.journal.append("cancellation", _body(cancellation))


def _cost(order: Order, bar: Bar) -> Decimal:
    return order.quantity * bar.close if order.purpose is Purpose.OPEN else Decimal(0)


def _body(value: object) -> dict[str, object]:
    body = to_json(value)
    assert isinstance(body, dict)
    return dict(body)
