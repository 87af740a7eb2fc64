"""Two stores with one digest show a window the same, whatever else they hold."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import databases
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from made_rows import MADE, START, bar, batch, fact, hour

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind
from data.store.store import Store
from data.view import build_market_view, reach

H1 = Interval.H1
LOOKBACK, LAST = 12, 30
STALE = 24 * 90  # hours after which most kinds of facts are left off the desk

known = st.integers(-2 * STALE, -1) | st.integers(-STALE - 50, -STALE + 50) | st.integers(0, LAST)
facts = st.builds(
    fact,
    known,
    st.integers(1, 2),
    key=st.sampled_from(["a", "b"]),
    period=st.sampled_from(["q1", "q2"]),
    kind=st.sampled_from([FactKind.MACRO, FactKind.NEWS, FactKind.DIVIDEND, FactKind.FUNDAMENTAL]),
    symbol=st.sampled_from(["MADE", "*"]),
)
rows = st.lists(st.builds(bar, st.integers(-40, LAST), st.integers(90, 110)) | facts, min_size=2, max_size=40)


def told(store: Store, ingests: list[list[Bar | Fact]]) -> None:
    """An ingest an hour, from the window's middle on, so that corrections become known within it."""
    databases.empty(store.engine)
    store.put_instrument(MADE)
    store.add_bars(batch(hour(0)), [bar(0)])
    for place, each in enumerate(ingests):
        named = {row.open_time: row for row in each if isinstance(row, Bar)}
        came = batch(hour(10 + place), digest=f"{place}" * 64)
        store.add_bars(came, list(named.values()))
        said = {(row.symbol, row.kind, row.key, row.period, row.known_at): row for row in each if isinstance(row, Fact)}
        store.add_facts(came, list(said.values()))


def digest(store: Store) -> str:
    return store.data_digest(["MADE"], H1, reach(START.date(), hour(LAST), LOOKBACK))


def shown(store: Store) -> list[object]:
    views: list[object] = []
    for at in range(1, LAST + 1):
        try:
            view = build_market_view(store, "MADE", H1, hour(at), LOOKBACK)
        except DataError as error:
            views.append(str(error))
        else:
            views.append((view.bars, tuple(replace(each, source="any") for each in view.facts)))
    return views


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, min_size=1, max_size=3), st.integers(0, 2**32))
def test_one_digest_means_the_same_views(store: Store, ingests: list[list[Bar | Fact]], seed: int) -> None:
    random = Random(seed)
    told(store, ingests)
    first, views = digest(store), shown(store)
    told(store, [[row for row in each if _recent(row) or random.random() < 0.5] for each in ingests])
    same = digest(store) == first
    event(f"one digest: {same}; the same views: {shown(store) == views}")
    assert not same or shown(store) == views


def _recent(row: Bar | Fact) -> bool:
    at = row.open_time if isinstance(row, Bar) else row.known_at
    return at >= hour(-LOOKBACK if isinstance(row, Bar) else -STALE)
