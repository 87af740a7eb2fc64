"""The loop over bars: yesterday's orders meet today's bar, the ledger is marked, the agents decide.

It reads as the bar's straight line in docs/ARCHITECTURE.md. History, replay, paper and live differ in what is passed
in, never here. Every step is recorded before the next acts on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from backtesting.accounting.account import Account, committed
from backtesting.core.timeline import Step, due_actions
from data.model.canonical import to_json
from data.model.decisions import Decision, DecisionStatus
from data.model.errors import RunIncomplete
from data.model.market import Bar, Fact
from data.model.protocols import Journal
from data.model.trading import Book, EquityRow, Fill, Order, Trade


class Session(Protocol):
    """What the loop asks of a `DecisionSession`."""

    def run_session(
        self,
        symbol: str,
        as_of: datetime,
        book: Book,
        *,
        number: int = 1,
        of: int = 1,
        committed: Decimal = Decimal(0),
    ) -> dict[str, Any]: ...


@dataclass
class Tape:
    """What the run produced, in bar order: the part of a run that its result digest covers."""

    decisions: list[Decision] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    equity: list[EquityRow] = field(default_factory=list)
    benchmark: list[EquityRow] = field(default_factory=list)
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
    max_failures: int = 3
    check: Callable[[], None] = lambda: None
    on_step: Callable[[Step, Tape], None] = lambda _step, _tape: None
    tape: Tape = field(default_factory=Tape)
    _streak: int = 0

    def __post_init__(self) -> None:
        self.account = replace(self.account, record=self._record)

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
            self.account.expire(last.at)
        return self.tape

    def _trade(self, step: Step) -> None:
        for symbol, bar in step.bars.items():
            self._apply_actions(symbol, bar)
            self.journal.append("bar", {"symbol": symbol, "bar": bar})
            self.tape.fills += self.account.meet(bar).fills
            self.benchmark.meet(bar)
            self.tape.bars += 1

    def _apply_actions(self, symbol: str, bar: Bar) -> None:
        for action in due_actions(self.actions.get(symbol, []), bar.session_on):
            self._record("action", action)
            self.account.act(action, bar.open_time)
            self.benchmark.act(action, bar.open_time)

    def _mark(self, step: Step) -> None:
        row, trades = self.account.mark(step.bars, step.at)
        held, _ = self.benchmark.mark(step.bars, step.at)
        self.tape.equity.append(row)
        self.tape.benchmark.append(held)
        self.tape.trades += trades
        opened = next(iter(step.bars.values())).open_time
        self.journal.append("equity", {**_body(row), "bar_open_time": opened, "benchmark": held.equity})

    def _decide(self, step: Step) -> None:
        book = self.account.book(step.at)
        taken = Decimal(0)
        for symbol, bar in step.bars.items():
            if symbol in step.first:
                self._hold(bar)
            if symbol in step.due:
                taken += self._decide_one(step.due[symbol], bar, book, taken)

    def _hold(self, bar: Bar) -> None:
        for order in self.hold(bar, self.benchmark.book(bar.known_at)):
            self.benchmark.submit(order)

    def _decide_one(self, number: int, bar: Bar, book: Book, taken: Decimal) -> Decimal:
        self.check()
        result = self.session.run_session(bar.symbol, bar.known_at, book, number=number, of=self.of, committed=taken)
        decision: Decision = result["record"]
        self.tape.decisions.append(decision)
        self._count_failures(decision)
        for order in decision.orders:
            self.account.submit(order)
        return sum((committed(order, bar.close) for order in decision.orders), Decimal(0))

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

    def _record(self, kind: str, value: object) -> None:
        self.journal.append(kind, _body(value))


def _body(value: object) -> dict[str, object]:
    body = to_json(value)
    assert isinstance(body, dict)
    return dict(body)
