"""A dropped batch counts no more from its drop on, and is what it was before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import databases
import psycopg2
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_rows import LONG_AFTER, MADE, START, bar, batch, fact, hour

from data.model.errors import UsageError
from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind
from data.store import holdings
from data.store.digest import Reach
from data.store.store import Store
from data.view import MarketViews

DROPPED = LONG_AFTER + timedelta(days=10)
AFTER = LONG_AFTER + timedelta(days=20)
TWIN = "TWIN"


def bars_at(store: Store, at: datetime, symbol: str = "MADE") -> tuple[Bar, ...]:
    return store.bars_as_of(symbol, Interval.H1, at, 99)


def facts_at(store: Store, at: datetime, symbol: str = "MADE") -> tuple[Fact, ...]:
    return store.facts_as_of(symbol, at, per_key={FactKind.MACRO: 99})


def digest(store: Store, known_by: datetime) -> str:
    return store.data_digest(("MADE",), Interval.H1, Reach(START.date(), known_by, 99, {}))


def number(store: Store, digest: str) -> int:
    return next(each.batch_id for each in store.batches() if each.digest == digest)


def test_bars_are_gone_from_the_drop_on_and_there_before(any_store: Store) -> None:
    any_store.add_bars(batch(digest="a"), [bar(0), bar(1)])
    before = digest(any_store, LONG_AFTER)
    dropped = any_store.drop_batch(number(any_store, "a"), "wrong market", DROPPED)
    assert (dropped.bars, dropped.facts, dropped.set_back) == (2, 0, 0)
    assert len(bars_at(any_store, DROPPED - timedelta(seconds=1))) == 2
    assert bars_at(any_store, DROPPED) == ()
    assert any_store.series(DROPPED) == ()
    assert digest(any_store, LONG_AFTER) == before
    assert digest(any_store, DROPPED) != before


def test_what_another_batch_said_counts_again(store: Store) -> None:
    store.add_bars(batch(digest="a"), [bar(0, 100)])
    store.add_bars(batch(digest="b"), [bar(0, 200), bar(1, 201)])
    dropped = store.drop_batch(number(store, "b"), "typing error", DROPPED)
    assert (dropped.bars, dropped.set_back) == (1, 1)
    assert [each.close for each in bars_at(store, AFTER)] == [100]
    assert [each.close for each in bars_at(store, DROPPED - timedelta(seconds=1))] == [200, 201]


def test_the_same_file_again_brings_the_rows_back(store: Store) -> None:
    store.add_bars(batch(digest="a"), [bar(0)])
    store.add_facts(batch(digest="b"), [fact(1, 5)])
    store.drop_batch(number(store, "a"), "", DROPPED)
    store.drop_batch(number(store, "b"), "", DROPPED)
    assert (bars_at(store, AFTER), facts_at(store, AFTER)) == ((), ())
    again = DROPPED + timedelta(days=1)
    assert store.add_bars(batch(again, digest="a2"), [bar(0)]).corrected == 1
    assert store.add_facts(batch(again, digest="b2"), [fact(1, 5)]).corrected == 1
    assert (len(bars_at(store, AFTER)), [each.value for each in facts_at(store, AFTER)]) == (1, [5])
    assert bars_at(store, DROPPED) == ()


def test_a_later_publication_is_dropped_to_the_one_before(store: Store) -> None:
    store.add_facts(batch(digest="a"), [fact(1, 5)])
    store.add_facts(batch(digest="b"), [fact(3, 6)])
    store.drop_batch(number(store, "b"), "", DROPPED)
    assert [each.value for each in facts_at(store, hour(4))] == [6]
    assert [each.value for each in facts_at(store, AFTER)] == [5]
    store.drop_batch(number(store, "a"), "", DROPPED)
    assert facts_at(store, AFTER) == ()


def test_views_that_go_on_see_the_drop_as_those_read_anew(store: Store) -> None:
    store.put_instrument(MADE)
    late = [replace(bar(n), known_at=hour(n + 1)) for n in range(5)]
    store.add_bars(batch(hour(0), digest="a"), late[:3])
    store.add_bars(batch(hour(0), digest="b"), late[3:])
    views = MarketViews(store, Interval.H1)
    assert len(views.at("MADE", hour(6)).bars) == 5
    store.drop_batch(number(store, "b"), "", hour(7))
    assert len(views.at("MADE", hour(6)).bars) == 5
    assert len(views.at("MADE", hour(7)).bars) == 3
    assert len(views.at("MADE", hour(8)).bars) == 3


@pytest.mark.parametrize("page", [1, 2, 3, 7, 99])
def test_page_by_page_comes_of_each_bar_what_is_known(store: Store, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """Also where a page ends between two versions of a bar."""
    monkeypatch.setattr(holdings, "PAGE", page)
    store.add_bars(batch(digest="a"), [bar(n) for n in range(6)])
    store.add_bars(batch(digest="b"), [bar(n, 200) for n in (1, 2, 5)])
    store.add_bars(batch(digest="c"), [bar(n, 300) for n in (2, 6)])
    store.drop_batch(number(store, "a"), "", DROPPED)
    store.drop_batch(number(store, "c"), "", AFTER)
    for at in (hour(3), LONG_AFTER, DROPPED, AFTER):
        held = store.known_bars("MADE", Interval.H1, at, hour(0).date(), hour(0).date())
        assert tuple(held) == bars_at(store, at)


@pytest.mark.parametrize("which", ["absent", "twice", "drop"])
def test_what_cannot_be_dropped(store: Store, which: str) -> None:
    store.add_bars(batch(digest="a"), [bar(0)])
    first = number(store, "a")
    says = {"absent": "no batch", "twice": "already", "drop": "a drop itself"}[which]
    store.drop_batch(first, "", DROPPED)
    asked = {"absent": first + 99, "twice": first, "drop": first + 1}[which]
    with pytest.raises(UsageError, match=says):
        store.drop_batch(asked, "", DROPPED)


def test_nothing_is_deleted(store: Store) -> None:
    store.add_bars(batch(digest="a"), [bar(0)])
    store.drop_batch(number(store, "a"), "", DROPPED)
    (held, drop) = store.batches()
    assert (held.bars, held.dropped_at, drop.bars) == (1, DROPPED, 1)
    with (
        pytest.raises((sqlalchemy.exc.DBAPIError, psycopg2.Error), match="refused"),
        store.engine.begin() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM market.bars")


prices = st.integers(100, 999)
contents = st.lists(st.dictionaries(st.integers(0, 4), st.none(), min_size=1), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents, st.data())
def test_what_is_left_is_what_the_other_batches_would_have_said(
    store: Store, said: list[dict[int, None]], data: st.DataObject
) -> None:
    databases.empty(store.engine)
    order = data.draw(st.lists(st.sampled_from(range(len(said))), unique=True))
    for place, hours in enumerate(said):
        name, price = str(place), 100 + place
        for symbol in ["MADE", *([] if place in order else [TWIN])]:
            store.add_bars(batch(digest=name + symbol), [bar(each, price, symbol) for each in hours])
            facts = [fact(each, price, str(each % 2), symbol=symbol) for each in hours]
            store.add_facts(batch(digest=f"f{name}{symbol}"), facts)
    before = bars_at(store, DROPPED - timedelta(hours=1)), facts_at(store, DROPPED - timedelta(hours=1))
    for place in order:
        for digest in (f"{place}MADE", f"f{place}MADE"):
            store.drop_batch(number(store, digest), "", DROPPED)
    assert (bars_at(store, DROPPED - timedelta(hours=1)), facts_at(store, DROPPED - timedelta(hours=1))) == before
    left, twin = bars_at(store, AFTER), bars_at(store, AFTER, TWIN)
    assert [(each.open_time, each.close) for each in left] == [(each.open_time, each.close) for each in twin]
    told = [{each.key: each.value for each in facts_at(store, AFTER, symbol)} for symbol in ("MADE", TWIN)]
    assert told[0] == told[1]
