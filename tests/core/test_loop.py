"""The loop: yesterday's orders meet today's bar, everybody sees the same book, and a stop keeps what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from backtesting.accounting.account import Account
from backtesting.accounting.ledger import CashLedger
from backtesting.core.loop import Loop
from backtesting.core.timeline import steps
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from data.journal.memory_journal import MemoryJournal
from data.model.decisions import Decision, DecisionStatus, Failure, FailureReason
from data.model.errors import RunIncomplete
from data.model.instants import Interval, iso
from data.model.market import AssetClass, Bar, Fact, FactKind, Instrument
from data.model.question import Costs
from data.model.trading import Action, Book, Order, Purpose, Side

START = datetime(2025, 4, 1, tzinfo=UTC)
FREE = Costs(commission_bps=Decimal(0), slippage_bps=Decimal(0))
CASH = Decimal(1000)


class Clock:
    def now(self) -> datetime:
        return START


def instrument(symbol: str) -> Instrument:
    return Instrument(symbol, AssetClass.CRYPTO, "24/7", "USDT", Decimal("0.01"), Decimal("0.00000001"))


def bars(symbol: str, opens: list[int]) -> list[Bar]:
    made = []
    for hour, price in enumerate(opens):
        opened, value = START + timedelta(hours=hour), Decimal(price)
        known_at = opened + timedelta(hours=1)
        made.append(
            Bar(
                symbol, Interval.H1, opened, known_at, value, value + 1, value - 1, value, Decimal(10**6), opened.date()
            )
        )
    return made


@dataclass
class Script:
    """A session that decides what it is told, and remembers what it was shown."""

    actions: dict[tuple[str, int], Side | FailureReason]
    seen: list[tuple[str, Book, Decimal]] = field(default_factory=list)
    count: dict[str, int] = field(default_factory=dict)

    def run_session(
        self, symbol: str, as_of: datetime, book: Book, *, number: int = 1, of: int = 1, committed: Decimal = Decimal(0)
    ) -> dict[str, Any]:
        self.seen.append((symbol, book, committed))
        self.count[symbol] = self.count.get(symbol, 0) + 1
        wanted = self.actions.get((symbol, self.count[symbol]))
        if isinstance(wanted, FailureReason):
            failed = Decision(symbol, as_of, DecisionStatus.FAILED, failure=Failure(wanted, "said the script"))
            return {"record": failed}
        orders: tuple[Order, ...] = ()
        if wanted is not None:
            held = book.position(symbol)
            purpose = Purpose.CLOSE if held else Purpose.OPEN
            orders = (Order(f"{symbol}@{iso(as_of)}", symbol, wanted, Decimal(2), purpose, as_of),)
        return {"record": Decision(symbol, as_of, DecisionStatus.DECIDED, Action.HOLD, Decimal(1), orders=orders)}


def loop(script: Script, symbols: list[str], **changes: Any) -> Loop:
    instruments = {symbol: instrument(symbol) for symbol in symbols}

    def account() -> Account:
        return Account(StepBroker(instruments, proportional_costs(FREE)), CashLedger(CASH, instruments))

    settings: dict[str, Any] = {"actions": {}, "hold": lambda _bar, _book: (), "of": 1} | changes
    return Loop(session=script, account=account(), benchmark=account(), journal=MemoryJournal(Clock()), **settings)


def test_an_order_fills_at_the_next_open_and_never_at_its_own_bar() -> None:
    played = loop(Script({("A", 1): Side.BUY, ("A", 3): Side.SELL}), ["A"])
    tape = played.run(steps([bars("A", [100, 110, 120, 130])]))
    assert [(fill.side, fill.price, fill.bar_open_time.hour) for fill in tape.fills] == [
        (Side.BUY, Decimal(110), 1),
        (Side.SELL, Decimal(130), 3),
    ]
    assert tape.equity[-1].equity == CASH + 2 * 20
    assert [trade.profit for trade in tape.trades] == [Decimal(40)]


def test_the_last_order_expires() -> None:
    played = loop(Script({("A", 2): Side.BUY}), ["A"])
    played.run(steps([bars("A", [100, 110])]))
    ended = [record.body["ending"] for record in played.journal.records if record.kind == "cancellation"]
    assert ended == ["expired"]


def test_symbols_of_one_bar_see_the_same_book_and_what_is_committed() -> None:
    script = Script({("A", 1): Side.BUY})
    loop(script, ["A", "B"]).run(steps([bars("A", [100]), bars("B", [50])]))
    (first, book, nothing), (second, same, committed) = script.seen
    assert (first, second) == ("A", "B")
    assert book is same
    assert (nothing, committed) == (0, 200)


def test_decide_every_counts_each_symbols_bars() -> None:
    script = Script({})
    streams = [bars("A", [1, 2, 3, 4, 5]), bars("B", [1, 2])]
    loop(script, ["A", "B"]).run(steps(streams, decide_every=2))
    assert script.count == {"A": 3, "B": 1}


def test_failures_in_a_row_stop_the_run_and_a_success_ends_the_row() -> None:
    failures = dict.fromkeys([("A", 1), ("A", 2), ("A", 4), ("A", 5), ("A", 6)], FailureReason.TIMEOUT)
    played = loop(Script(failures), ["A"], max_failures=3)
    with pytest.raises(RunIncomplete, match=r"3 decisions in a row failed.*timeout"):
        played.run(steps([bars("A", [100] * 9)]))
    assert len(played.tape.decisions) == 6
    assert played.tape.failed == 5
    assert played.tape.fills == []


def test_a_split_applies_before_the_bar_that_trades_in_new_shares() -> None:
    split = Fact("A", FactKind.SPLIT, "split", START, "test", value=Decimal(10), effective_on=START.date())
    played = loop(Script({("A", 1): Side.BUY}), ["A"], actions={"A": [split]})
    played.run(steps([bars("A", [100, 100])]))
    kinds = [record.kind for record in played.journal.records]
    assert kinds.index("action") < kinds.index("bar")


def test_every_bar_is_recorded_before_what_it_caused() -> None:
    played = loop(Script({("A", 1): Side.BUY}), ["A"])
    played.run(steps([bars("A", [100, 110])]))
    kinds = [record.kind for record in played.journal.records]
    assert kinds == ["bar", "equity", "bar", "fill", "equity"]


class Counting(CashLedger):
    """Counts how often its book is read."""

    books = 0

    def book(self, as_of: datetime) -> Book:
        self.books += 1
        return super().book(as_of)


def test_an_account_reads_its_book_only_where_an_order_waits_for_buying_power() -> None:
    instruments, told = {"A": instrument("A")}, []
    ledger = Counting(CASH, instruments)
    account = Account(
        StepBroker(instruments, proportional_costs(FREE)), ledger, lambda kind, value: told.append((kind, value))
    )
    first, second, third = bars("A", [100, 110, 120])
    assert account.meet(first).fills == ()
    assert ledger.books == 0
    order = Order("A#1", "A", Side.BUY, Decimal(2), Purpose.OPEN, first.known_at)
    account.submit(order)
    (fill,) = account.meet(second).fills
    assert (ledger.books, told) == (1, [("fill", fill)])
    assert account.meet(third).fills == ()
    assert ledger.books == 1
    row, ended = account.mark({"A": third}, third.known_at)
    assert (row.equity, ended) == (CASH + 2 * 10, ())
