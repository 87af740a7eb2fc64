"""Whatever comes in, is corrected or dropped in between: longer bars follow, and nothing that was known changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import databases
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_rows import LONG_AFTER, MADE, bar, batch, hour

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar
from data.sources.resample import resample_series
from data.store.store import Store

FOUR = timedelta(hours=4)
Values = tuple[datetime, Decimal, Decimal, Decimal, Decimal, Decimal]


@dataclass(frozen=True)
class At:
    """A clock that stands."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def values(bars: tuple[Bar, ...]) -> list[Values]:
    return [(each.open_time, each.open, each.high, each.low, each.close, each.volume) for each in bars]


def reckoned(hours: tuple[Bar, ...]) -> list[Values]:
    """Of each four hours that are all there."""
    starts = [hour(number) for number in range(0, 12, 4)]
    groups = [[each for each in hours if start <= each.open_time < start + FOUR] for start in starts]
    return [
        (
            start,
            parts[0].open,
            max(each.high for each in parts),
            min(each.low for each in parts),
            parts[-1].close,
            sum((each.volume for each in parts), Decimal(0)),
        )
        for start, parts in zip(starts, groups, strict=True)
        if len(parts) == 4
    ]


def known(store: Store, interval: Interval, at: datetime) -> tuple[Bar, ...]:
    return store.bars_as_of("MADE", interval, at, 99)


steps = st.one_of(
    st.dictionaries(st.integers(0, 11), st.integers(100, 104), min_size=3, max_size=12),
    st.integers(0, 9),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=2, max_size=7))
def test_longer_bars_are_at_each_instant_what_their_parts_were(store: Store, said: list[dict[int, int] | int]) -> None:
    databases.empty(store.engine)
    store.put_instrument(MADE)
    seen: list[tuple[datetime, tuple[Bar, ...]]] = []
    for number, step in enumerate(said):
        now = LONG_AFTER + timedelta(days=number)
        brought = [each for each in store.batches() if each.source == "made" and not each.dropped_at]
        if isinstance(step, dict):
            parts = [bar(place, price) for place, price in sorted(step.items())]
            store.add_bars(batch(now, digest=str(number)), parts)
        elif brought:
            store.drop_batch(brought[step % len(brought)].batch_id, "", now)
        try:
            resample_series(store, MADE, Interval.H1, Interval.H4, clock=At(now))
        except DataError:
            assert reckoned(known(store, Interval.H1, now)) == []
        made = known(store, Interval.H4, now)
        assert values(made) == reckoned(known(store, Interval.H1, now))
        seen.append((now, made))
    for at, made in seen:
        # A hole that was filled since is another bar; one that was there is what it was.
        assert set(made) <= set(known(store, Interval.H4, at))
    for length in (Interval.H4, Interval.H1):
        assert all(each.known_at >= each.open_time + length.length for each in known(store, length, LONG_AFTER))


@pytest.mark.parametrize("at", [3, 4, 7, 8])
def test_a_longer_bar_is_not_there_before_it_ended(store: Store, at: int) -> None:
    store.put_instrument(MADE)
    store.add_bars(batch(), [bar(number) for number in range(8)])
    resample_series(store, MADE, Interval.H1, Interval.H4, clock=At(LONG_AFTER))
    assert len(known(store, Interval.H4, hour(at))) == at // 4
    assert len(known(store, Interval.H4, hour(at) - timedelta(microseconds=1))) == (at - 1) // 4
