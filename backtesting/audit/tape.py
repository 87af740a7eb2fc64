"""The money of a run, played again: bars, splits and dividends and the derived orders give every fill, trade and row.

Nothing that was recorded of money enters: the account is fed with bars, with actions, and with the orders that follow
from what agents said. At the first record that differs it stops, because what comes later follows from it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from backtesting.accounting.account import Account, committed
from backtesting.audit.accounts import hold_orders, open_account
from backtesting.audit.findings import Findings
from backtesting.audit.rows import read_row
from data.model.canonical import Json, to_json
from data.model.decisions import Decision
from data.model.instants import iso
from data.model.market import Bar, Fact, Instrument
from data.model.protocols import Record
from data.model.question import Question
from data.model.trading import Book, EquityRow, Fill, Trade


@dataclass
class Step:
    """The bars that became known at one instant, and whose decisions are due at it."""

    at: datetime
    bars: dict[str, Bar] = field(default_factory=dict)
    due: deque[str] = field(default_factory=deque)
    marked: bool = False
    taken: Decimal = Decimal(0)
    book: Book | None = None


@dataclass
class Tape:
    """Takes `bar`, `action`, `fill`, `cancellation`, `trade` and `equity` records and decisions, in order."""

    findings: Findings
    question: Question
    instruments: Mapping[str, Instrument]
    counts: Counter[str] = field(default_factory=Counter)
    decisions: list[Decision] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    equity: list[EquityRow] = field(default_factory=list)
    benchmark: list[EquityRow] = field(default_factory=list)
    parted: bool = False
    step: Step | None = None
    _seen: Counter[str] = field(default_factory=Counter)
    _session: dict[str, date] = field(default_factory=dict)
    _actions: list[tuple[Record, Fact]] = field(default_factory=list)
    _expected: deque[tuple[str, Json]] = field(default_factory=deque)
    _over: bool = False

    def __post_init__(self) -> None:
        self._account: Account = open_account(self.question, self.instruments, self._expect)
        self._held: Account = open_account(self.question, self.instruments)

    @property
    def bar_of(self) -> Mapping[str, Bar]:
        """The bars of the instant that it is now."""
        return {} if self.step is None else self.step.bars

    def action(self, record: Record) -> None:
        if not self.parted:
            self._actions.append((record, read_row(Fact, record.body)))

    def bar(self, record: Record) -> Bar:
        """Returns the bar. Raises ValueError for one that is none."""
        self.counts["bar"] += 1
        bar = read_row(Bar, record.body["bar"])
        if bar.symbol not in self.instruments or record.body["symbol"] != bar.symbol:
            raise ValueError(f"{bar.symbol} is no instrument of the run, or another one than the record says")
        if self.step is None or self.step.marked or self.step.at != bar.known_at:
            self._enter(record.seq, bar.known_at)
        elif bar.symbol in self.step.bars:
            raise ValueError(f"{bar.symbol} has a bar at {iso(bar.known_at)} already")
        assert self.step is not None
        self.step.bars[bar.symbol] = bar
        if not self.parted and not self._is_late(record.seq):
            self._meet(bar)
        return bar

    def result(self, record: Record) -> None:
        """A fill, a cancellation, a trade or an equity row: what was expected next."""
        self.counts[record.kind] += 1
        if self.parted:
            return
        if record.kind in ("trade", "equity"):
            self._mark()
        elif record.kind == "cancellation" and not self._expected:
            self._expire()
        body, what = {**record.body}, _named(record.kind, record.body)
        if not self._expected or self._expected[0][0] != record.kind:
            due = _named(*self._expected[0]) if self._expected else "nothing"
            self._part(record.seq, f"{what} at record {record.seq}", record.kind, due)
            return
        self.parted = not self.findings.compare(
            record.seq, f"{what} at record {record.seq}", dict(body), self._expected.popleft()[1]
        )

    def book(self) -> Book | None:
        """The account that agents are asked about; None if it can no longer be told."""
        step = self.step
        if step is None or self.parted:
            return None
        self._mark()
        step.book = step.book or self._account.book(step.at)
        return step.book

    def available(self) -> Book | None:
        """The book with the buying power that earlier decisions of the same instant have left."""
        book = self.book()
        if book is None or self.step is None:
            return None
        return replace(book, buying_power=max(Decimal(0), book.buying_power - self.step.taken))

    def decided(self, record: Record, decision: Decision | None) -> None:
        """The decision that was due next, as it follows; None if it cannot be told."""
        self.counts["decision"] += 1
        symbol = str(record.body["symbol"])
        if self.parted or self._is_late(record.seq) or self.step is None:
            return
        if not self.step.due or self.step.due[0] != symbol:
            due = self.step.due[0] if self.step.due else "no decision"
            self._part(record.seq, f"decision at record {record.seq} is not the one due", symbol, due)
            return
        self.step.due.popleft()
        if decision is None:
            self.parted = True
            return
        self.decisions.append(decision)
        for order in decision.orders:
            self._account.submit(order)
            self.step.taken += committed(order, self.step.bars[symbol].close)

    def leave(self, seq: int | None) -> None:
        """The instant is over: everything that it must have led to is on record."""
        if self.parted or self.step is None:
            return
        self._mark()
        if self._is_late(seq):
            return
        if self.step.due:
            self._part(seq, f"no decision about {self.step.due[0]} was recorded at {iso(self.step.at)}")

    def close(self, seq: int | None, *, complete: bool) -> None:
        """The run is over. A complete one has left nothing open."""
        if self.parted or self.step is None:
            return
        if complete:
            self.leave(seq)
            if not self._over and not self.parted:
                self._expire()
        if not self.parted:
            self._is_late(seq)

    def part(self) -> None:
        """Money can no longer be told from here on; the difference was named."""
        self.parted = True

    def _enter(self, seq: int, at: datetime) -> None:
        """The next instant."""
        self.leave(seq)
        if not self.parted and (self._over or (self.step is not None and at <= self.step.at)):
            before = (
                "the run's last orders had expired" if self._over else f"{iso(self.step.at)} was" if self.step else ""
            )
            self._part(seq, f"bar at record {seq} of {iso(at)} comes when {before} over")
        self.step = Step(at)

    def _part(self, seq: int | None, what: str, recorded: object = "", derived: object = "") -> None:
        self.findings.add(seq, what, recorded, derived)
        self.parted = True

    def _expect(self, kind: str, value: object) -> None:
        self._expected.append((kind, to_json(value)))

    def _is_late(self, seq: int | None) -> bool:
        """Whether something that must have been recorded before this record was not."""
        if self._expected:
            kind, body = self._expected[0]
            before = "the log's end" if seq is None else f"record {seq}"
            self._part(seq, f"{_named(kind, body)} is not recorded before {before}")
        return self.parted

    def _meet(self, bar: Bar) -> None:
        self._apply_actions(bar)
        if not self.parted:
            self.fills += self._account.meet(bar).fills
            self._held.meet(bar)

    def _apply_actions(self, bar: Bar) -> None:
        """Splits and dividends take effect before the first bar of their session."""
        before = self._session.get(bar.symbol)
        for record, action in self._actions:
            due = action.effective_on
            if action.symbol != bar.symbol or due is None or due > bar.session_on or (before and due <= before):
                what = f"{action.kind} of {action.symbol} at record {record.seq} does not belong before {bar.symbol}"
                self._part(record.seq, f"{what} of {bar.session_on}")
                return
            self._account.act(action, bar.open_time)
            self._held.act(action, bar.open_time)
        self._actions.clear()
        self._session[bar.symbol] = bar.session_on

    def _mark(self) -> None:
        step = self.step
        if step is None or step.marked:
            return
        step.marked = True
        row, trades = self._account.mark(step.bars, step.at)
        held, _ = self._held.mark(step.bars, step.at)
        self.equity.append(row)
        self.benchmark.append(held)
        self.trades += trades
        body = to_json(row)
        assert isinstance(body, dict)
        opened = next(iter(step.bars.values())).open_time
        self._expected.append(("equity", {**body, "bar_open_time": iso(opened), "benchmark": to_json(held.equity)}))
        self._look_ahead(step)

    def _look_ahead(self, step: Step) -> None:
        """Buy-and-hold buys after a symbol's first bar; agents are asked at every so many of its bars."""
        for symbol, bar in step.bars.items():
            self._seen[symbol] += 1
            if self._seen[symbol] == 1:
                for order in hold_orders(self.question, self.instruments[symbol], bar, self._held.book(bar.known_at)):
                    self._held.submit(order)
            if (self._seen[symbol] - 1) % self.question.decide_every == 0:
                step.due.append(symbol)

    def _expire(self) -> None:
        """Orders without a next bar."""
        if self.step is not None and not self._over:
            self._over = True
            self._account.expire(self.step.at)


def _named(kind: str, body: Json | Mapping[str, Json]) -> str:
    """`fill of BTCUSDT`, `equity of 2025-04-01T01:00:00Z`."""
    if not isinstance(body, Mapping):
        return kind
    return f"{kind} of {body.get('symbol') or body.get('at')}"
