"""Views that go on where others were: the same as read from scratch, whatever was asked before, and by whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import databases
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from made_rows import MADE, bar, batch, fact, hour, split
from sqlalchemy import event as hook
from sqlalchemy.pool import QueuePool

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind, MarketView
from data.sources.ingest import ingest_bar_file, ingest_fact_file
from data.store import remembered
from data.store.database import CONNECTIONS
from data.store.store import Store
from data.view import MarketViews, build_market_view

H1, D1 = Interval.H1, Interval.D1
LAST = 60


class Later:
    """A clock long after all the data."""

    def now(self) -> datetime:
        return datetime(2026, 6, 1, tzinfo=UTC)


def seen(look: Any, *where: object) -> tuple[str, MarketView | None, str]:
    """The view, to the byte."""
    try:
        view = look(*where)
    except DataError as error:
        return str(error), None, ""
    assert all(row.known_at <= view.as_of for rows in (view.bars, view.facts, view.splits) for row in rows)
    return view.digest, view, repr(view)


prices = st.integers(90, 110)
hours = st.integers(0, LAST)
bars = st.builds(bar, hours, prices)
late_bars = st.builds(lambda n, late, price: bar(n, price, known_at=hour(n + late)), hours, st.integers(1, 30), prices)
facts = st.builds(
    fact,
    hours,
    prices,
    key=st.sampled_from(["a", "b"]),
    period=st.sampled_from(["q1", "q2"]),
    kind=st.sampled_from([FactKind.MACRO, FactKind.NEWS, FactKind.ALTERNATIVE, FactKind.DIVIDEND]),
    symbol=st.sampled_from(["MADE", "*", "OTHER"]),
)
splits = st.builds(split, hours, st.sampled_from([date(2025, 4, 2), date(2025, 4, 3)]), st.sampled_from([2, 3, 10]))


def named(row: Bar | Fact) -> object:
    return row.open_time if isinstance(row, Bar) else (row.symbol, row.kind, row.key, row.period, row.known_at)


def once(rows: list[Any]) -> list[Any]:
    """So that no batch contradicts itself."""
    return list({named(row): row for row in rows}.values())


ingests = st.tuples(
    st.integers(0, LAST),
    st.lists(bars | late_bars, max_size=15).map(once),
    st.lists(facts | splits, max_size=8).map(once),
    st.sampled_from(["none", "none", "split"]),
)
instants = st.lists(st.integers(0, 2 * LAST).map(lambda half: hour(half / 2)), min_size=2, max_size=6)
steps = st.lists(st.tuples(ingests, instants | instants.map(sorted)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.sampled_from([1, 3, 10, 250]), st.sampled_from([1, 2, 128]))
def test_views_are_those_read_from_scratch(any_store: Store, steps: list[Any], lookback: int, kept: int) -> None:
    """Corrections, gaps filled late, splits, facts that come late, and ingests in between."""
    databases.empty(any_store.engine)
    any_store.put_instrument(MADE)
    views = MarketViews(any_store, H1, lookback)
    found = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "KEPT", kept)
        for (at, new_bars, new_facts, adjustment), asked in steps:
            any_store.add_bars(batch(hour(at), adjustment=adjustment), new_bars)
            any_store.add_facts(batch(hour(at)), new_facts)
            for as_of in asked:
                scratch = seen(build_market_view, any_store, "MADE", H1, as_of, lookback)
                assert seen(views.at, "MADE", as_of) == scratch
                found += scratch[1] is not None
    event(f"views: {min(found, 5)}")


def test_an_older_bar_that_is_known_later_comes_in(any_store: Store) -> None:
    """Before the window is full; and once it is, it stays out."""
    any_store.put_instrument(MADE)
    late = bar(0, 90, known_at=hour(9))
    any_store.add_bars(batch(), [late, *(bar(n, 100 + n) for n in range(1, 12))])
    views = MarketViews(any_store, H1)
    assert views.at("MADE", hour(4)).bars[0] == bar(1, 101)
    assert views.at("MADE", hour(9)).bars[:2] == (late, bar(1, 101))
    views = MarketViews(any_store, H1, lookback=3)
    assert views.at("MADE", hour(4)).bars == (bar(1, 101), bar(2, 102), bar(3, 103))
    assert views.at("MADE", hour(9)).bars == (bar(6, 106), bar(7, 107), bar(8, 108))


def test_a_correction_known_later_comes_in(any_store: Store) -> None:
    any_store.put_instrument(MADE)
    any_store.add_bars(batch(), [bar(n) for n in range(9)])
    any_store.add_bars(batch(hour(6)), [bar(2, 200)])
    any_store.add_bars(batch(hour(7)), [bar(2, 300), bar(5, 500)])
    views = MarketViews(any_store, H1, lookback=5)
    for at, closes in ((5, [100] * 5), (6, [100, 200, 100, 100, 100]), (7, [300, 100, 100, 500, 100])):
        assert [each.close for each in views.at("MADE", hour(at)).bars] == closes


def test_a_bar_ingested_late_is_seen_at_once(any_store: Store) -> None:
    any_store.put_instrument(MADE)
    any_store.add_bars(batch(), [bar(0), bar(2)])
    views = MarketViews(any_store, H1)
    assert views.at("MADE", hour(9)).bars == (bar(0), bar(2))
    any_store.add_bars(batch(hour(5)), [bar(1), bar(2, 200)])
    assert [each.close for each in views.at("MADE", hour(9)).bars] == [100, 100, 200]
    assert [each.close for each in views.at("MADE", hour(5) - timedelta(microseconds=1)).bars] == [100, 100, 100]


def test_another_instrument_is_seen_at_once(any_store: Store) -> None:
    any_store.add_bars(batch(), [bar(0)])
    views = MarketViews(any_store, H1)
    with pytest.raises(DataError, match="no 1h bar of MADE was known"):
        views.at("MADE", hour(1))
    any_store.put_instrument(MADE)
    assert views.at("MADE", hour(1)).instrument == MADE


def test_a_snapshot_is_of_one_moment(any_store: Store) -> None:
    any_store.put_instrument(MADE)
    any_store.add_bars(batch(), [bar(0)])
    with any_store.snapshot() as snapshot:
        state = snapshot.state("MADE")
        any_store.add_bars(batch(), [bar(1)])
        assert snapshot.bars_as_of("MADE", H1, hour(9), 9) == (bar(0),)
        assert snapshot.state("MADE") == state
    with any_store.snapshot() as snapshot:
        assert snapshot.state("MADE") != state


@pytest.fixture
def history(any_store: Store, shared_data: Path) -> Store:
    """Apple's years with all that is known of the company, and Bitcoin's hours."""
    for name, symbol, interval in (
        ("us_equity_daily/unadjusted/AAPL_1d.csv.gz", "AAPL", D1),
        ("crypto_spot/BTCUSDT_1h_2025-03-01_2025-04-15.csv", "BTCUSDT", H1),
    ):
        ingest_bar_file(any_store, shared_data / name, symbol, interval, clock=Later())
    for name in ("fundamentals/sec_companyfacts_AAPL.csv.gz", "corporate_actions/dividends.csv"):
        ingest_fact_file(any_store, shared_data / name, clock=Later())
    return any_store


def test_apples_views_are_the_same_in_any_order(history: Store) -> None:
    views = MarketViews(history, D1)
    instants = [datetime(2024, 1, 15, 21, tzinfo=UTC) + timedelta(days=days, hours=days % 7) for days in range(150)]
    Random(1).shuffle(instants)
    for as_of in instants:
        assert views.at("AAPL", as_of) == build_market_view(history, "AAPL", D1, as_of)


def test_64_threads_share_the_views_and_the_store(history: Store) -> None:
    """And no more than a few connections are open to the server meanwhile."""
    views = MarketViews(history, H1)
    instants = [datetime(2025, 3, 20, tzinfo=UTC) + timedelta(hours=hours) for hours in range(300)]
    Random(2).shuffle(instants)
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(lambda at: views.at("BTCUSDT", at), instants))
    assert found == [build_market_view(history, "BTCUSDT", H1, at) for at in instants]
    pool = history.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedin() <= CONNECTIONS


def test_the_next_view_reads_only_what_is_new(history: Store) -> None:
    views = MarketViews(history, H1)
    start = datetime(2025, 4, 1, tzinfo=UTC)
    views.at("BTCUSDT", start)
    asked: list[str] = []
    rows: list[int] = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)
        rows.append(cursor.rowcount)

    hook.listen(history.engine, "after_cursor_execute", note)
    try:
        for number in range(1, 25):
            views.at("BTCUSDT", start + timedelta(hours=number))
    finally:
        hook.remove(history.engine, "after_cursor_execute", note)
    assert (len(asked), sum(rows)) == (48, 48)  # the store's state and one bar each
    assert not any("market.facts" in statement for statement in asked)


def test_prices_restated_for_a_split_stay_to_the_byte(any_store: Store) -> None:
    any_store.put_instrument(MADE)
    any_store.add_bars(batch(), [bar(n, Decimal(1000 + n)) for n in range(72)])
    any_store.add_facts(batch(), [split(24, date(2025, 4, 2), 3), split(48, date(2025, 4, 3), "2.5")])
    views = MarketViews(any_store, H1, 60)
    for at in range(1, 72):
        assert seen(views.at, "MADE", hour(at)) == seen(build_market_view, any_store, "MADE", H1, hour(at), 60)
