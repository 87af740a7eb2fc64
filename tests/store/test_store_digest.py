"""One digest of what was known, blind to how it came; and who made rows up."""

from __future__ import annotations

from dataclasses import replace

import databases
import pytest
from made_rows import LONG_AFTER, bar, batch, fact, hour

from data.model.instants import Interval
from data.model.market import Bar, Fact
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
    return store.data_digest(["MADE"], H1, hour(at))


def test_the_digest_is_the_same_on_every_server(any_store: Store) -> None:
    assert digest_of(any_store, BARS, FACTS) == DIGEST


def test_the_digest_does_not_see_how_the_rows_came(any_store: Store) -> None:
    whole = digest_of(any_store, BARS, FACTS)
    databases.empty(any_store.engine)
    for row in reversed(FACTS):
        any_store.add_facts(batch(hour(700), source="one by one"), [row])
    for each in reversed(BARS):
        any_store.add_bars(batch(hour(800), digest="1" * 64), [replace(each, close=each.close.quantize(1))])
    assert any_store.data_digest(["MADE"], H1, hour(999)) == whole


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
    assert any_store.data_digest(["MADE"], H1, hour(99)) == any_store.data_digest(["MADE"], H1, hour(6))
    assert any_store.data_digest(["MADE"], H1, hour(100)) != any_store.data_digest(["MADE"], H1, hour(99))
    both = any_store.data_digest(["OTHER", "MADE"], H1, hour(5))
    assert both == any_store.data_digest(["MADE", "OTHER"], H1, hour(5)) != whole


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
