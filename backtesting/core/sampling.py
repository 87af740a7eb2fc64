"""What agents would be asked: some decisions of the window, held with the run's own session, and nothing sent.

The built-in rules answer in the models' place, in the words of the same schema, so that the prompts of later turns
exist too. Every other decision is held with a position in the book, because a run has one about as often.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime

import httpx

from agents.llm.channel import Channel
from agents.llm.completion import plain_completion
from agents.llm.models import ModelSpec
from agents.llm.prices import Tokens
from agents.llm.rules import answer
from agents.llm.tokens import count_tokens, request_tokens
from agents.llm.turn import current_turn
from backtesting.audit.accounts import hold_orders, open_account
from backtesting.core.market import Market
from backtesting.core.podium import Podium
from backtesting.core.preparation import Prepared
from backtesting.core.rehearsal import Rehearsal
from backtesting.core.timeline import Step, due_actions, steps
from data.journal.memory_journal import MemoryJournal
from data.model.canonical import canonical_bytes
from data.model.protocols import Clock
from data.model.trading import Book
from orchestration.compose import Panel, compose_session

MOST = 24
"""Decisions that are held for an estimate."""

_NO_KEY = f"sk-{'0' * 48}"
"""In the form of a key, because AutoGen warns of any other."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that would be sent, and the rules' answer to it, in tokens."""

    model: ModelSpec
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Sample:
    """`decisions` were held, with these calls; `record_bytes` are their records without rows of the market."""

    decisions: int
    calls: tuple[Call, ...]
    record_bytes: int


def take_sample(prepared: Prepared, panel: Panel, market: Market, clock: Clock, most: int = MOST) -> Sample:
    """Holds at most `most` decisions, evenly over the window. Raises what a session raises."""
    nobody, journal = _Nobody(), MemoryJournal(clock)
    podium = Podium(journal, Rehearsal(journal))
    numbers = _evenly(prepared.decisions, most)
    with closing(Channel(podium, clock, around=lambda _transport: nobody)) as channel:
        session = compose_session(
            prepared.question,
            replace(panel, keys=dict.fromkeys(panel.models.values(), _NO_KEY)),
            look=market.look,
            instruments=prepared.instruments,
            channel=channel,
            journal=podium,
            run_id="sample",
        )
        for place, (number, symbol, as_of, books) in enumerate(_decisions(prepared, market, numbers)):
            session.run_session(symbol, as_of, books[place % 2], number=number, of=prepared.decisions)
    told = [len(canonical_bytes(record.body)) for record in journal.records if record.kind != "market.view"]
    return Sample(len(numbers), tuple(nobody.calls), sum(told))


def _evenly(of: int, most: int) -> frozenset[int]:
    count = min(of, most)
    return frozenset(1 + (of - 1) * place // max(1, count - 1) for place in range(count))


def _decisions(
    prepared: Prepared, market: Market, numbers: frozenset[int]
) -> Iterator[tuple[int, str, datetime, tuple[Book, Book]]]:
    """Those of these numbers, each with the book of one who never bought, and of one who bought at the first bar."""
    with ExitStack() as stack:
        question = prepared.question
        streams = [stack.enter_context(closing(market.bars(symbol))) for symbol in question.symbols]
        holding = _Holding(prepared)
        for step in steps(streams, decide_every=question.decide_every):
            books = holding.pass_step(step)
            for symbol, number in step.due.items():
                if number in numbers:
                    yield number, symbol, step.bars[symbol].known_at, books


class _Holding:
    """Two accounts, one of which buys each symbol at its first bar."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._accounts = [open_account(prepared.question, prepared.instruments) for _ in range(2)]
        self._actions = {symbol: list(waiting) for symbol, waiting in prepared.actions.items()}

    def pass_step(self, step: Step) -> tuple[Book, Book]:
        for symbol, bar in step.bars.items():
            actions = list(due_actions(self._actions.get(symbol, []), bar.session_on))
            for account in self._accounts:
                for action in actions:
                    account.act(action, bar.open_time)
                account.meet(bar)
        for account in self._accounts:
            account.mark(step.bars, step.at)
        flat, held = (account.book(step.at) for account in self._accounts)
        for symbol in step.first:
            bar = step.bars[symbol]
            for order in hold_orders(self._prepared.question, self._prepared.instruments[symbol], bar, held):
                self._accounts[1].submit(order)
        return flat, held


class _Nobody(httpx.BaseTransport):
    """Sends nothing: the rules answer under the model's name, and both sides are counted."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked, turn = json.loads(request.read()), current_turn.get()
        assert turn is not None
        content = answer(asked["messages"])
        tokens = Tokens(request_tokens(asked), count_tokens(content))
        self.calls.append(Call(turn.model, tokens))
        return httpx.Response(200, json=plain_completion("sample", asked["model"], content, tokens))
