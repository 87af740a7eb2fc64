"""One decision at one instant: what was knowable, what four agents said of it, what arithmetic made of that.

`run_session` reads like the bar's line in docs/ARCHITECTURE.md: view, chat, decision, each recorded before the next
acts on it. How the market is read, how agents talk and how opinions become orders is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from agents.brief import Brief, book_brief, market_brief
from agents.group_chat import Discussion
from data.model.canonical import to_json
from data.model.decisions import Abstention, Decision, DecisionStatus, Failure, FailureReason, Opinion, Role
from data.model.instants import iso
from data.model.market import MarketView, row_digest
from data.model.protocols import Journal
from data.model.trading import Book

Look = Callable[[str, datetime], MarketView]
Discuss = Callable[[Brief, Callable[[], str], str], Discussion]
Decide = Callable[[MarketView, Book, Mapping[Role, Opinion | Abstention]], Decision]


class Situation(Protocol):
    """The account at a decision that may be discussed before it is known."""

    def shown(self) -> Book:
        """What the portfolio manager is told, asked for once, when its turn comes."""

    def settled(self) -> tuple[Book, Decimal]:
        """The account itself, and cash that earlier orders of the same bar will take, once the agents have spoken."""


@dataclass(frozen=True, slots=True)
class Known:
    """A situation that nobody has to wait for."""

    book: Book
    committed: Decimal = Decimal(0)

    def shown(self) -> Book:
        return self.book

    def settled(self) -> tuple[Book, Decimal]:
        return self.book, self.committed


@dataclass
class DecisionSession:
    """Decides for any symbol at any instant, in any number of threads at a time.

    `run_id` begins every slot; `journal` hears of everything first. Each `market.view` brings all of its rows; a
    journal may leave out those that it holds.
    """

    look: Look
    discuss: Discuss
    decide: Decide
    journal: Journal
    run_id: str

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
        """Decides once. `committed` is cash that earlier orders of the same bar will take; a situation says it itself.

        Returns symbol, as_of, price, status, decision (None if FAILED), failure, reasons, opinions, messages, usage
        and orders. Raises DataError if nothing was known of the symbol by then.
        """
        situation = Known(book, committed) if isinstance(book, Book) else book
        view = self.look(symbol, as_of)
        self._record_view(view)
        self._record_begin(view, number, of)
        place = f"{self.run_id}/{iso(view.last.open_time)}/{symbol}"
        discussion = self.initiate_chat(view, situation, place)
        self._record_opinions(place, discussion)
        decision = self._conclude(view, _available(*situation.settled()), discussion)
        self._record_decision(view, decision, number)
        return _result(view, decision, discussion)

    def initiate_chat(self, view: MarketView, book: Book | Situation, slot_prefix: str) -> Discussion:
        """Lets the agents talk about the view; only the portfolio manager is told of the book."""
        situation = Known(book) if isinstance(book, Book) else book
        return self.discuss(market_brief(view), lambda: book_brief(situation.shown(), view.symbol), slot_prefix)

    def _conclude(self, view: MarketView, book: Book, discussion: Discussion) -> Decision:
        failure = discussion.failure
        if failure is None and not discussion.messages:
            failure = Failure(FailureReason.NO_COMMUNICATION, "the chat ended without a word from any agent")
        if failure is not None:
            return Decision(view.symbol, view.as_of, DecisionStatus.FAILED, failure=failure)
        return self.decide(view, book, discussion.answers)

    def _record_view(self, view: MarketView) -> None:
        self.journal.append(
            "market.view",
            {
                "symbol": view.symbol,
                "as_of": view.as_of,
                "digest": view.digest,
                "price": view.price,
                "bar": view.last,
                "bars": len(view.bars),
                "facts": [row_digest(fact) for fact in view.facts],
                "splits": [row_digest(split) for split in view.splits],
                "new_bars": view.bars,
                "new_facts": (*view.facts, *view.splits),
            },
        )

    def _record_begin(self, view: MarketView, number: int, of: int) -> None:
        self.journal.append(
            "session.begin",
            {
                "symbol": view.symbol,
                "bar_open_time": view.last.open_time,
                "as_of": view.as_of,
                "number": number,
                "of": of,
                "price": view.price,
                "agents": [role.shown for role in Role],
            },
        )

    def _record_opinions(self, place: str, discussion: Discussion) -> None:
        """Each with the slot and the exchange of the reply it was read from."""
        last = {message.agent: message for message in discussion.messages}
        for role, answer in discussion.answers.items():
            said = {"abstention": answer.reason} if isinstance(answer, Abstention) else {"opinion": answer}
            reply = last[role.agent]
            causes = () if reply.exchange is None else (reply.exchange.response_seq,)
            slot = f"{place}/chat/{role.agent}/{reply.turn}"
            self.journal.append("opinion", {"agent": role.agent, **said}, slot=slot, caused_by=causes)

    def _record_decision(self, view: MarketView, decision: Decision, number: int) -> None:
        at = {"bar_open_time": view.last.open_time, "number": number}
        body = to_json(decision)
        assert isinstance(body, dict)
        self.journal.append("decision", {**body, **at})
        self.journal.append("session.end", {"symbol": view.symbol, "number": number, "status": decision.status})
        self.journal.sync()


def _available(book: Book, committed: Decimal) -> Book:
    return replace(book, buying_power=max(Decimal(0), book.buying_power - committed))


def _result(view: MarketView, decision: Decision, discussion: Discussion) -> dict[str, Any]:
    exchanges = [message.exchange for message in discussion.messages if message.exchange is not None]
    return {
        "symbol": view.symbol,
        "as_of": view.as_of,
        "price": view.price,
        "status": decision.status.value,
        "decision": _decided(decision),
        "failure": decision.failure,
        "reasons": list(decision.reasons),
        "opinions": dict(discussion.answers),
        "messages": [{"agent": message.agent, "text": message.text} for message in discussion.messages],
        "usage": {
            "input_tokens": sum(exchange.input_tokens or 0 for exchange in exchanges),
            "output_tokens": sum(exchange.output_tokens or 0 for exchange in exchanges),
        },
        "orders": decision.orders,
        "record": decision,
    }


def _decided(decision: Decision) -> dict[str, Any] | None:
    if decision.action is None or decision.confidence is None:
        return None
    return {
        "action": decision.action.value,
        "confidence": float(decision.confidence),
        "size": decision.size,
        "stop_loss": decision.stop_loss,
        "take_profit": decision.take_profit,
        "clamps": list(decision.clamps),
    }
