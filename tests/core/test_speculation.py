"""Many sessions ahead of their bar decide what one after the other decides, whoever finishes first."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loop import CASH, FREE, bars, instrument
from test_podium import Stage

from agents.brief import book_brief
from agents.llm.admission import Admission, Dropped
from backtesting.accounting.account import Account
from backtesting.accounting.ledger import CashLedger
from backtesting.core.loop import Loop, Session, Tape
from backtesting.core.speculation import Pipeline
from backtesting.core.timeline import Ahead, steps
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from data.model.decisions import Decision, DecisionStatus
from data.model.errors import StoreUnavailable
from data.model.instants import iso
from data.model.market import Bar
from data.model.protocols import Record
from data.model.trading import Action, Book, Order, Purpose, Side
from orchestration.decision_session import Known, Situation

SOON_S = 10.0


@dataclass
class Talks:
    """A session that asks an analyst, a manager who is shown the book, and one who decides by what the manager said.

    `wanted` are orders by the decision's number; `pause` is called while a model is asked, with the slot. A manager who
    is `terse` says the same of every book, so that who decides is asked the same bytes.
    """

    stage: Stage
    admission: Admission
    wanted: dict[int, Side]
    pause: Callable[[str], None] = lambda _slot: None
    terse: bool = False
    look: Callable[[int], None] = lambda _number: None
    seen: list[tuple[int, Book, Decimal]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run_session(
        self,
        symbol: str,
        as_of: datetime,
        book: Book | Situation,
        *,
        number: int = 1,
        of: int = 1,
        committed: Decimal = Decimal(0),
    ) -> dict[str, Any]:
        situation = Known(book, committed) if isinstance(book, Book) else book
        self.look(number)
        self.stage.podium.append("session.begin", {"number": number})
        place = f"run/{number}/{symbol}/chat"
        self._ask(f"{place}/analyst/1", "market")
        shown = book_brief(situation.shown(), symbol)
        self._ask(f"{place}/manager/1", shown)
        self._ask(f"{place}/decision/1", "as ever" if self.terse else shown)
        real, taken = situation.settled()
        assert book_brief(real, symbol) == shown, "the manager was shown another book than the real one"
        self.seen.append((number, real, taken))
        self.stage.podium.append("decision", {"number": number, "shown": shown})
        return {"record": self._decide(symbol, as_of, real, self.wanted.get(number))}

    def _ask(self, slot: str, request: str) -> Record:
        """As the transport does."""
        if (known := self.stage.podium.recall(slot, request.encode())) is not None:
            return known[1]
        with self.admission.enter():
            asked = self.stage.begin(slot, request.encode())
            with self.lock:
                self.under_way += 1
                self.most = max(self.most, self.under_way)
            self.pause(slot)
            with self.lock:
                self.under_way -= 1
            return self.stage.answer(asked)

    def _decide(self, symbol: str, as_of: datetime, book: Book, side: Side | None) -> Decision:
        orders: tuple[Order, ...] = ()
        held = book.position(symbol)
        if side is not None and (held is not None) == (side is Side.SELL):
            purpose, stop = (Purpose.CLOSE, None) if held else (Purpose.OPEN, Decimal("0.1"))
            quantity = Decimal(2) if held is None else held.quantity
            orders = (Order(f"{symbol}@{iso(as_of)}", symbol, side, quantity, purpose, as_of, stop),)
        return Decision(symbol, as_of, DecisionStatus.DECIDED, Action.HOLD, Decimal(1), orders=orders)


@dataclass
class Flight:
    """One run of a script over bars."""

    opens: dict[str, list[int]]
    wanted: dict[int, Side]
    decide_every: int = 1
    concurrency: int = 1
    pause: Callable[[str], None] = lambda _slot: None
    terse: bool = False
    look: Callable[[int], None] = lambda _number: None
    stream: Callable[[list[Bar]], Iterator[Bar]] = iter

    def __post_init__(self) -> None:
        self.stage = Stage()
        self.admission = Admission(time.monotonic, self.concurrency)
        self.talks = Talks(self.stage, self.admission, self.wanted, self.pause, self.terse, self.look)
        self.pipeline: Pipeline | None = None

    def play(self) -> Tape:
        account, benchmark = self._account(), self._account()
        streams = [self.stream(bars(symbol, opens)) for symbol, opens in self.opens.items()]
        ahead = Ahead(steps(streams, decide_every=self.decide_every))
        with self._session(account, ahead) as session:
            return Loop(session, account, benchmark, lambda _bar, _book: (), {}, journal=self.stage.podium, of=1).run(
                ahead
            )

    def _account(self) -> Account:
        instruments = {symbol: instrument(symbol) for symbol in self.opens}
        return Account(StepBroker(instruments, proportional_costs(FREE)), CashLedger(CASH, instruments))

    @contextmanager
    def _session(self, account: Account, ahead: Ahead) -> Iterator[Session]:
        if self.concurrency == 1:
            yield self.talks
            return
        pipeline = self.pipeline = Pipeline(
            self.talks,  # type: ignore[arg-type]
            self.stage.podium,
            account,
            {},
            ahead,
            concurrency=self.concurrency,
            outcome=lambda future: future.result(),
            wake=self.admission.wake,
            may_begin=lambda: True,
        )
        try:
            yield pipeline
        finally:
            self.admission.stop(Dropped())
            pipeline.close()
            ended = time.monotonic() + SOON_S
            while pipeline.under_way:
                assert time.monotonic() < ended, "a session does not end"
                time.sleep(0.001)

    @property
    def spoken(self) -> list[tuple[str, Any]]:
        """The log without what was said to models, and what was thrown away."""
        kept = (r for r in self.stage.journal.records if not r.kind.startswith(("llm.", "session.discarded")))
        return [(record.kind, record.body) for record in kept]

    def require_clean(self) -> None:
        """Nothing was asked twice, everything was answered, and what was discarded had been asked for its place."""
        records = self.stage.journal.records
        assert set(self.stage.asked.values()) <= {1}, "the same was asked twice"
        asked = {record.seq: record.slot for record in records if record.kind == "llm.request"}
        answered = [cause for record in records if record.kind == "llm.response" for cause in record.caused_by]
        assert Counter(answered) == Counter(asked.keys())
        for record in records:
            if record.kind == "session.discarded":
                assert record.caused_by == tuple(record.body["requests"]) != ()
                slots = [asked[seq] for seq in record.body["requests"]]
                assert all(slot.startswith(f"run/{record.body['number']}/") for slot in slots)
                assert [slot.split("/")[4] for slot in slots] in (["manager"], ["manager", "decision"], ["decision"])
        assert self.talks.most <= self.concurrency


SIDES = st.dictionaries(st.integers(1, 24), st.sampled_from([Side.BUY, Side.BUY, Side.SELL]), max_size=8)
OPENS = st.lists(st.integers(50, 150), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from("ABC"), OPENS, min_size=1),
    SIDES,
    st.integers(1, 3),
    st.sampled_from([2, 3, 8]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_whoever_finishes_first_it_is_the_serial_run(
    opens: dict[str, list[int]], wanted: dict[int, Side], every: int, concurrency: int, terse: bool, seed: int
) -> None:
    def pause(slot: str) -> None:
        time.sleep(max(0.0, random.Random(f"{seed}/{slot}").uniform(-0.002, 0.004)))

    serial = Flight(opens, wanted, every, terse=terse)
    tape = serial.play()
    flown = Flight(opens, wanted, every, concurrency, pause, terse=terse)
    assert flown.play() == tape
    assert sorted(flown.talks.seen, key=lambda seen: seen[0]) == serial.talks.seen
    assert flown.spoken == serial.spoken
    flown.require_clean()


def test_sessions_are_ahead_and_as_many_talk_as_there_are_calls() -> None:
    flown = Flight({"A": [100] * 30}, {}, concurrency=4, pause=lambda _slot: time.sleep(0.005))
    flown.play()
    assert flown.talks.most == 4
    assert flown.stage.kinds.count("session.discarded") == 0
    assert [record.body["number"] for record in flown.stage.journal.records if record.kind == "decision"] == [
        *range(1, 31)
    ]


def test_decisions_of_one_bar_are_talked_about_at_the_same_time() -> None:
    together = threading.Barrier(3)
    flown = Flight({name: [100] for name in "ABC"}, {}, concurrency=3, pause=lambda _slot: together.wait(SOON_S))
    flown.play()
    assert flown.stage.kinds.count("decision") == 3
    flown.require_clean()


def test_who_decides_is_not_asked_the_same_while_a_dropped_session_waits_for_it() -> None:
    """The order at bar 1 changes every book; the manager says of the new one what it said of the old one."""
    slow = threading.Event()

    def pause(slot: str) -> None:
        if slot == "run/2/A/chat/decision/1":
            slow.set()
            time.sleep(0.2)
        if slot == "run/1/A/chat/decision/1":
            assert slow.wait(SOON_S)

    flown = Flight({"A": [100, 100, 100]}, {1: Side.BUY}, concurrency=8, pause=pause, terse=True)
    flown.play()
    assert flown.stage.kinds.count("session.discarded") >= 1
    flown.require_clean()


@pytest.mark.parametrize("doomed", [1, 2, 5])
def test_trouble_in_a_session_stops_the_run_when_its_bar_has_come(doomed: int) -> None:
    def look(number: int) -> None:
        if number == doomed:
            raise StoreUnavailable("the database is gone")

    flown = Flight({"A": [100] * 9}, {}, concurrency=4, look=look)
    with pytest.raises(StoreUnavailable, match="the database is gone"):
        flown.play()
    decided = [record.body["number"] for record in flown.stage.journal.records if record.kind == "decision"]
    assert decided == [*range(1, doomed)]


def test_trouble_with_the_bars_ahead_ends_every_session() -> None:
    def stream(held: list[Bar]) -> Iterator[Bar]:
        yield from held[:6]
        raise StoreUnavailable("the database is gone")

    flown = Flight({"A": [100] * 9}, {}, concurrency=4, stream=stream)
    with pytest.raises(StoreUnavailable, match="the database is gone"):
        flown.play()


def test_nothing_is_kept_of_sessions_that_are_over() -> None:
    flown = Flight({"A": [100, 90] * 10}, {3: Side.BUY, 7: Side.SELL, 9: Side.BUY}, concurrency=4)
    flown.play()
    assert flown.pipeline is not None
    assert (flown.pipeline._seats, flown.pipeline.under_way) == ({}, set())
