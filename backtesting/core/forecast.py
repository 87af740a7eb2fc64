"""The account as it will be if nobody orders anything more: the broker run forward over the bars to come.

A backtest has those bars, and stops, targets, splits and dividends follow from them alone. Nothing of it reaches an
agent but the book of a decision, once that decision's bar is known; a book that turns out otherwise is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from backtesting.accounting.account import Account
from backtesting.core.timeline import Ahead, Step, due_actions
from data.model.market import Fact
from data.model.trading import Book


@dataclass(frozen=True, slots=True)
class Due:
    """A decision to come: the `number`th of the run, at the close of a bar, and the book that it will be shown."""

    symbol: str
    as_of: datetime
    number: int
    book: Book


class Forecast:
    """Runs a copy of the account ahead of it. `actions` are the splits and dividends that have not applied yet."""

    def __init__(self, account: Account, actions: Mapping[str, list[Fact]], ahead: Ahead, number: int) -> None:
        """From the account as it is at step `number`."""
        self._account = account.fork()
        self._actions = {symbol: list(waiting) for symbol, waiting in actions.items()}
        self._ahead = ahead
        self._number = number

    def __iter__(self) -> Iterator[Due]:
        """The decisions after that step, in their order; whoever stops and comes back goes on where it was."""
        while (step := self._ahead.after(self._number)) is not None:
            self._number = step.number
            book = self._pass(step)
            for symbol, number in step.due.items():
                yield Due(symbol, step.bars[symbol].known_at, number, book)

    def _pass(self, step: Step) -> Book:
        for symbol, bar in step.bars.items():
            for action in due_actions(self._actions.get(symbol, []), bar.session_on):
                self._account.act(action, bar.open_time)
            self._account.meet(bar)
        self._account.mark(step.bars, step.at)
        return self._account.book(step.at)
