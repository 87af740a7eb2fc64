"""Where a run's market comes from. The loop and the session cannot tell the database from a run's own record."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime

from data.model.market import Bar, MarketView
from data.model.question import Question
from data.store.store import Store
from orchestration.compose import look_into


@dataclass(frozen=True)
class Market:
    """`look(symbol, as_of)` is all that was knowable then; `bars(symbol)` are the window's bars, oldest first."""

    look: Callable[[str, datetime], MarketView]
    bars: Callable[[str], Generator[Bar, None, None]]


def market_in(store: Store, question: Question) -> Market:
    """The window as the database holds it."""
    window = (question.interval, question.start_on, question.end_on)
    return Market(look_into(store, question), lambda symbol: store.first_bars(symbol, *window))
