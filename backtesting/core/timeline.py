"""The window's bars of all symbols, as steps in the order they became known."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice

from data.model.market import Bar


@dataclass(frozen=True, slots=True)
class Step:
    """All bars that became known at one instant; `number` counts from 1, `bars` are in symbol order."""

    number: int
    at: datetime
    bars: Mapping[str, Bar]


def steps(streams: Iterable[Iterable[Bar]], limit: int | None = None) -> Iterator[Step]:
    """Merges the symbols' bars by the instant they were known; at most `limit` steps. Lazy."""
    merged = heapq.merge(*streams, key=lambda bar: (bar.known_at, bar.symbol))
    grouped = groupby(merged, key=lambda bar: bar.known_at)
    for number, (at, bars) in enumerate(islice(grouped, limit), 1):
        yield Step(number, at, {bar.symbol: bar for bar in bars})
