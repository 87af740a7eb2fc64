"""One digest of what was known, blind to how it came; and who made rows up."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import databases
import pytest
from made_rows import LONG_AFTER, all_known, bar, batch, fact, hour

from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind
from data.store.digest import Reach
from data.store.store import Store

H1 = Interval.H1
BARS = [bar(n, 100 + n) for n in range(5)]
FACTS = [fact(n, n, key=f"ke\ty {n}", text='wörds\n"quoted" \\') for n in range(5)] + [fact(2, symbol="*")]
# What a row's line looks like is part of the format: results that were signed once must be found again.
DIGEST = "30b6735702a9235c602b738ed8f28ab9d87a354ca5f26b6bbd786d65412e5263"


def digest_of(store: Store, bars: list[Bar], facts: list[Fact], at: float = 999) -> str:
    databases.empty(store.engine)
    store.add_bars(batch(), bars)
    store.add_facts(batch(), facts)
    return store.data_digest(["MADE"], H1, all_known(at))


def test_the_digest_is_the_same_on_every_server(any_store: Store) -> None:
    assert digest_of(any_store, BARS, FACTS) == DIGEST


def test_the_digest_does_not_see_how_the_rows_came(any_store: Store) -> None:
    whole = digest_of(any_store, BARS, FACTS)
    databases.empty(any_store.engine)
    for row in reversed(FACTS):
        any_store.add_facts(batch(hour(700), source="one by one"), [row])
    for each in reversed(BARS):
        any_store.add_bars(batch(hour(800), digest="1" * 64), [replace(each, close=each.close.quantize(1))])
    assert any_store.data_digest(["MADE"], H1, all_known(999)) == whole


@pytest.mark.parametrize(
    ("bars", "facts"),
    [
        ([*BARS[:-1], replace(BARS[-1], volume=BARS[-1].volume + 1)], FACTS),
        ([*BARS[:-1], replace(BARS[-1], flags=("odd",))], FACTS),
        (BARS[:-1], FACTS),
        (BARS, FACTS[:-1]),
        (BARS, [*FACTS, fact(4.5, 99)]),
        (BARS, [*FACTS[:-1], replace(FACTS[-1], unit="USD")]),
        (BARS, [*FACTS[:-1], replace(FACTS[-1], source="another")]),
        (BARS, [*FACTS[:-1], replace(FACTS[-1], text="")]),
    ],
)
def test_the_digest_sees_every_row_and_field(any_store: Store, bars: list[Bar], facts: list[Fact]) -> None:
    assert digest_of(any_store, bars, facts) != digest_of(any_store, BARS, FACTS)


def test_the_digest_covers_what_was_known_of_these_symbols(any_store: Store) -> None:
    whole = digest_of(any_store, BARS, FACTS, at=5)
    later = [*BARS, bar(5), bar(0, symbol="OTHER"), bar(0, interval=Interval.D1)]
    assert digest_of(any_store, later, [*FACTS, fact(5.1), fact(1, symbol="OTHER")], at=5) == whole
    any_store.add_bars(batch(hour(100)), [bar(0, 555)])
    assert any_store.data_digest(["MADE"], H1, all_known(99)) == any_store.data_digest(["MADE"], H1, all_known(6))
    assert any_store.data_digest(["MADE"], H1, all_known(100)) != any_store.data_digest(["MADE"], H1, all_known(99))
    both = any_store.data_digest(["OTHER", "MADE"], H1, all_known(5))
    assert both == any_store.data_digest(["MADE", "OTHER"], H1, all_known(5)) != whole


NEXT_DAY = Reach(hour(24).date(), hour(60), 12, {FactKind.MACRO: hour(10)})


def digest_of_the_next_day(store: Store, bars: list[Bar], facts: list[Fact]) -> str:
    databases.empty(store.engine)
    store.add_bars(batch(), bars)
    store.add_facts(batch(), facts)
    return store.data_digest(["MADE"], H1, NEXT_DAY)


@pytest.mark.parametrize(
    ("bars", "facts", "same"),
    [
        ([bar(n) for n in range(13, 40)], [], True),
        ([bar(n) for n in range(14, 40)], [], False),  # the 24th hour's view shows twelve bars, from the 13th on
        ([bar(n) for n in range(14, 40)] + [bar(n) for n in range(5)], [], False),
        ([bar(n, 777 if n == 12 else 100) for n in range(40)], [], True),
        ([bar(n, 777 if n == 13 else 100) for n in range(40)], [], False),
        ([bar(n) for n in range(40)], [fact(9.9)], True),
        ([bar(n) for n in range(40)], [fact(10)], False),
        ([bar(n) for n in range(40)], [fact(9.9), fact(15)], True),  # said again, it is as old as it was
        ([bar(n) for n in range(40)], [fact(9.9, kind=FactKind.NEWS)], False),
        ([bar(n) for n in range(40)], [fact(9.9, effective_on=hour(30).date())], False),
    ],
)
def test_what_lies_too_far_back_to_be_shown_is_no_part_of_it(
    any_store: Store, bars: list[Bar], facts: list[Fact], same: bool
) -> None:
    expected = digest_of_the_next_day(any_store, [bar(n) for n in range(40)], [])
    assert (digest_of_the_next_day(any_store, bars, facts) == expected) is same


@pytest.mark.parametrize(("dropped", "further"), [(None, False), (hour(50), True), (hour(61), False)])
def test_a_window_with_a_dropped_bar_looks_further_back(
    any_store: Store, dropped: datetime | None, further: bool
) -> None:
    seen = set()
    for close in (100, 777):
        databases.empty(any_store.engine)
        any_store.add_bars(batch(), [bar(n, close if n == 12 else 100) for n in range(40) if n != 20])
        any_store.add_bars(batch(digest="1" * 64), [bar(20)])
        if dropped:
            gone = next(each.batch_id for each in any_store.batches() if each.digest == "1" * 64)
            any_store.drop_batch(gone, "wrong", dropped)
        seen.add(any_store.data_digest(["MADE"], H1, NEXT_DAY))
    assert (len(seen) == 2) is further


def test_synthetic_rows_are_found_by_their_source(any_store: Store) -> None:
    made_up = batch(synthetic=True, source="mock generator")
    any_store.add_bars(batch(), BARS)
    any_store.add_facts(batch(), FACTS)
    assert any_store.synthetic_sources(["MADE"], H1, LONG_AFTER) == ()
    any_store.add_bars(made_up, [bar(9)])
    any_store.add_bars(replace(made_up, source="other series"), [bar(1, symbol="OTHER"), bar(1, interval=Interval.D1)])
    any_store.add_facts(replace(made_up, source="mock news"), [fact(20, symbol="*", key="x")])
    assert any_store.synthetic_sources(["MADE"], H1, hour(9)) == ()
    assert any_store.synthetic_sources(["MADE"], H1, hour(10)) == ("mock generator",)
    assert any_store.synthetic_sources(["MADE"], H1, LONG_AFTER) == ("mock generator", "mock news")
