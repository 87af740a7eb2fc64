"""Many decisions in flight, one result: sessions begin ahead of their bar under a prediction of the account.

What a session's prompts hold of the past is the book alone, and that is predicted by the broker run forward with no new
order. Results are taken in bar order; a session that was shown another book than the real one is dropped and held
again. Its analysts saw no book, so what they said is delivered again, not asked again. How far ahead portfolio managers
are asked shrinks where predictions fail and grows where they hold; analysts are asked as far ahead as there are seats.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any

from agents.brief import book_brief
from agents.llm.admission import calls_before
from backtesting.accounting.account import Account
from backtesting.core.forecast import Due, Forecast
from backtesting.core.podium import Draft, Podium
from backtesting.core.timeline import Ahead
from data.model.canonical import to_json
from data.model.decisions import Role
from data.model.differences import first_difference
from data.model.market import Fact
from data.model.trading import Book
from orchestration.decision_session import DecisionSession

MOST_CALLS = 2 * len(Role)
"""Of one session: each agent is asked again at most once."""

MEMORY = 32
"""Bars over which it is remembered how often predictions failed."""


@dataclass
class Seat:
    """One session ahead of its turn: implements `Situation` for it. `turn` is told when anything here changes."""

    due: Due
    draft: Draft
    turn: threading.Condition
    within_reach: Callable[[int], bool]
    result: Future[dict[str, Any]] = field(default_factory=Future)
    _shown: Book | None = None
    _asked_before: int = 0
    _settled: tuple[Book, Decimal] | None = None

    def shown(self) -> Book:
        """The book as it is predicted when the portfolio manager's turn comes. Raises Dropped."""
        with self.turn:
            self._wait_until(lambda: self.within_reach(self.due.number))
            self._shown = self.due.book
            self._asked_before = len(self.draft.asked)
            return self._shown

    def settled(self) -> tuple[Book, Decimal]:
        """Returns once the decision's bar has come. Raises Dropped."""
        with self.turn:
            self._wait_until(lambda: self._settled is not None)
            assert self._settled is not None
            return self._settled

    def settle(self, book: Book, committed: Decimal) -> None:
        """Its turn has come, and this is the account."""
        self.draft.open()
        with self.turn:
            self._settled = (book, committed)
            self.turn.notify_all()

    def expect(self, due: Due) -> bool:
        """Takes a newer prediction; whether what was shown, if anything, still holds."""
        with self.turn:
            held = self._shown is None or book_brief(self._shown, due.symbol) == book_brief(due.book, due.symbol)
            self.due = due
            return held

    def drop(self) -> Discarded | None:
        """Ends it. The value is what it asked for nothing, None if that is nothing."""
        with self.turn:
            self.draft.drop()
            self.turn.notify_all()
            asked = self.draft.asked[self._asked_before :]
            if self._shown is None or not asked:
                return None
            return Discarded(self._shown, tuple(record.seq for record in asked), asked[0].slot)

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self.draft.check()
            self.turn.wait()
        self.draft.check()


@dataclass(frozen=True, slots=True)
class Discarded:
    """Requests that were made under a book that did not come true."""

    book: Book
    requests: tuple[int, ...]
    slot: str | None


class Pipeline:
    """Implements `Session` over another one. Belongs to the thread that walks the bars; `close` ends what is ahead."""

    def __init__(
        self,
        session: DecisionSession,
        podium: Podium,
        account: Account,
        actions: Mapping[str, list[Fact]],
        ahead: Ahead,
        *,
        concurrency: int,
        outcome: Callable[[Future[dict[str, Any]]], dict[str, Any]],
        wake: Callable[[], None],
        may_begin: Callable[[], bool],
    ) -> None:
        """`outcome` waits for a result, which a signal may cut short; `wake` tells those who queue for a call that the
        order has changed; nobody is ahead until `may_begin`, because what is on record is played again bar by bar."""
        self._session, self._podium = session, podium
        self._account, self._actions, self._ahead = account, actions, ahead
        self._outcome, self._wake, self._may_begin = outcome, wake, may_begin
        self._depth = concurrency + concurrency // 4 + 1
        self._missing = 1 / self._depth
        self._turn = threading.Condition()
        self._head = 0
        self._seats: dict[int, Seat] = {}
        self._coming: Iterator[Due] | None = None
        self._threads = ThreadPoolExecutor(4 * concurrency, "session")
        self.under_way: set[Future[dict[str, Any]]] = set()

    def run_session(
        self, symbol: str, as_of: datetime, book: Book, *, number: int = 1, of: int = 1, committed: Decimal = Decimal(0)
    ) -> dict[str, Any]:
        """Raises what the session raises."""
        if not self._may_begin():
            return self._session.run_session(symbol, as_of, book, number=number, of=of, committed=committed)
        with self._turn:
            self._head = number
            self._turn.notify_all()
        due, expected = Due(symbol, as_of, number, book), self._seats.get(number)
        if expected is not None and expected.due.book != book:
            self._coming = None
        seat = self._seated(due, of)
        self._look_ahead(due, of)
        seat.settle(book, committed)
        self._wake()
        result = self._outcome(seat.result)
        del self._seats[number]
        self._learn(held=seat is expected, ordered=bool(result["record"].orders))
        return result

    def close(self) -> None:
        """Drops every session, the head's too; does not wait for them."""
        for seat in self._seats.values():
            seat.drop()
        self._seats.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _seated(self, due: Due, of: int) -> Seat:
        """The session for a decision, held under this book from now on."""
        before = self._seats.get(due.number)
        if before is not None:
            if before.expect(due):
                return before
            self._discard(before, due)
        draft = Draft(self._podium) if before is None else before.draft.successor()
        seat = self._seats[due.number] = Seat(due, draft, self._turn, self._is_within_reach)
        seat.result = self._threads.submit(copy_context().run, self._hold, seat, of)
        self.under_way.add(seat.result)
        seat.result.add_done_callback(self.under_way.discard)
        return seat

    def _hold(self, seat: Seat, of: int) -> dict[str, Any]:
        calls_before.set(lambda: self._calls_before(seat))
        with self._podium.drafting(seat.draft):
            seat.draft.check()
            return self._session.run_session(seat.due.symbol, seat.due.as_of, seat, number=seat.due.number, of=of)

    def _calls_before(self, seat: Seat) -> int:
        """Raises Dropped."""
        seat.draft.check()
        return MOST_CALLS * max(0, seat.due.number - self._head)

    def _look_ahead(self, head: Due, of: int) -> None:
        """Begins sessions until all seats are taken; with a new forecast, those that are seated hear of it first."""
        seated = last = 0
        if self._coming is None:
            forecast = Forecast(self._account, self._actions, self._ahead, self._ahead.walked)
            self._coming = chain(self._beside(head), forecast)
            last = max(self._seats, default=0)
        while seated < last or len(self._seats) < self._depth:
            due = next(self._coming, None)
            if due is None:
                return
            self._seated(due, of)
            seated = due.number

    def _beside(self, head: Due) -> Iterator[Due]:
        """The other decisions of the head's bar that are still to come: they all see the same book."""
        assert self._ahead.at is not None
        for symbol, number in self._ahead.at.due.items():
            if number > head.number:
                yield replace(head, symbol=symbol, number=number)

    def _discard(self, seat: Seat, due: Due) -> None:
        discarded = seat.drop()
        if discarded is None:
            return
        parted = first_difference(to_json(discarded.book), to_json(due.book))
        self._podium.write(
            "session.discarded",
            {
                "symbol": due.symbol,
                "as_of": due.as_of,
                "number": due.number,
                "requests": discarded.requests,
                "because": parted,
            },
            discarded.slot,
            discarded.requests,
        )

    def _learn(self, *, held: bool, ordered: bool) -> None:
        """An order changes every book behind it. The share of bars whose prediction failed is a moving average."""
        if ordered:
            self._coming = None
        self._missing += (float(not held) - self._missing) / MEMORY

    def _is_within_reach(self, number: int) -> bool:
        """As far as a prediction holds on average: then a miss throws no more away than the hits before it brought."""
        return (number - self._head) * self._missing <= 1
