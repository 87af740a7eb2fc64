"""Bars of several symbols become steps in the order they were known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from backtesting.core.timeline import steps
from data.model.instants import Interval
from data.model.market import Bar

START = datetime(2025, 4, 1, tzinfo=UTC)


def bar(symbol: str, hour: int) -> Bar:
    opened = START + timedelta(hours=hour)
    price = Decimal(100)
    known_at = opened + timedelta(hours=1)
    return Bar(symbol, Interval.H1, opened, known_at, price, price, price, price, price, opened.date())


@given(st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=4))
def test_every_bar_once_in_order(hours: list[set[int]]) -> None:
    streams = [[bar(f"S{place}", hour) for hour in sorted(held)] for place, held in enumerate(hours)]
    made = list(steps(streams))
    assert [step.number for step in made] == list(range(1, len(made) + 1))
    assert all(before.at < after.at for before, after in pairwise(made))
    assert all(held.known_at == step.at for step in made for held in step.bars.values())
    assert all(list(step.bars) == sorted(step.bars) for step in made)
    played = sorted((held.known_at, name) for step in made for name, held in step.bars.items())
    assert played == sorted((held.known_at, held.symbol) for stream in streams for held in stream)


def test_a_limit_ends_the_steps() -> None:
    assert len(list(steps([[bar("A", hour) for hour in range(10)]], limit=3))) == 3
