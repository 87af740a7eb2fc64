"""The window's bars of all symbols, as steps in the order they became known."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby, islice

from data.model.market import Bar, Fact


@dataclass(frozen=True, slots=True)
class Step:
    """All bars that became known at one instant; `number` counts from 1, `bars` are in symbol order.

    `due` are the symbols to decide about now, each with the number of that decision in the run. `first` are those whose
    first bar this is.
    """

    number: int
    at: datetime
    bars: Mapping[str, Bar]
    due: Mapping[str, int]
    first: frozenset[str] = frozenset()


def steps(streams: Iterable[Iterable[Bar]], limit: int | None = None, *, decide_every: int = 1) -> Iterator[Step]:
    """Merges the symbols' bars by the instant they were known; at most `limit` steps. Lazy.

    A decision is due at each symbol's first bar and at every `decide_every`th after it.
    """
    merged = heapq.merge(*streams, key=lambda bar: (bar.known_at, bar.symbol))
    grouped = groupby(merged, key=lambda bar: bar.known_at)
    seen, decided = Counter[str](), 0
    for number, (at, bars) in enumerate(islice(grouped, limit), 1):
        held = {bar.symbol: bar for bar in bars}
        due = [symbol for symbol in held if seen[symbol] % decide_every == 0]
        first = frozenset(symbol for symbol in held if not seen[symbol])
        seen.update(held.keys())
        yield Step(number, at, held, {symbol: decided + place for place, symbol in enumerate(due, 1)}, first)
        decided += len(due)


def due_actions(waiting: list[Fact], session_on: date) -> Iterator[Fact]:
    """Takes the splits and dividends off the list that apply before a bar of that session."""
    while waiting and waiting[0].effective_on is not None and waiting[0].effective_on <= session_on:
        yield waiting.pop(0)


class Ahead:
    """Steps to be walked once, and to be looked at before: `after` reads ahead no further than it is asked."""

    def __init__(self, walked: Iterator[Step]) -> None:
        self._coming = walked
        self._read: deque[Step] = deque()
        self.at: Step | None = None
        """The step that is being walked; None before the first."""

    @property
    def walked(self) -> int:
        """Its number, 0 before the first."""
        return 0 if self.at is None else self.at.number

    def __iter__(self) -> Iterator[Step]:
        while (step := self._next()) is not None:
            self.at = step
            yield step

    def after(self, number: int) -> Step | None:
        """The step behind the one of that number, which is not walked yet; None behind the last."""
        place = number - self.walked
        while place >= len(self._read):
            step = next(self._coming, None)
            if step is None:
                return None
            self._read.append(step)
        return self._read[place]

    def _next(self) -> Step | None:
        return self._read.popleft() if self._read else next(self._coming, None)
