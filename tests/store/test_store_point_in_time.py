"""Nothing known after an instant changes what is read up to it: not by its value, its absence, or its coming."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from random import Random

import databases
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from made_rows import MADE, START, bar, batch, fact, hour, split

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind
from data.store.store import Store
from data.view import build_market_view, reach

LAST = 72
KINDS = [FactKind.MACRO, FactKind.NEWS, FactKind.ALTERNATIVE, FactKind.DIVIDEND]
EVERYTHING = dict.fromkeys(FactKind, 999)


@dataclass(frozen=True)
class Ingest:
    """What came in at one instant, by name and publication, so that no ingest contradicts itself."""

    at: int
    bars: tuple[Bar, ...]
    facts: tuple[Fact, ...]


def name(row: Bar | Fact) -> tuple[object, ...]:
    if isinstance(row, Bar):
        return (row.open_time,)
    return (row.symbol, row.kind, row.key, row.period, row.known_at)


def once(rows: list[Bar] | list[Fact]) -> tuple[Bar | Fact, ...]:
    return tuple({name(row): row for row in rows}.values())


prices = st.integers(90, 110)
known = st.integers(1, LAST - 2)
bars = st.builds(bar, st.integers(0, LAST - 3), prices)
plain_facts = st.builds(
    fact,
    known,
    prices,
    key=st.sampled_from(["a", "b"]),
    period=st.sampled_from(["q1", "q2"]),
    kind=st.sampled_from(KINDS),
    symbol=st.sampled_from(["MADE", "*"]),
)
splits = st.builds(split, known, st.sampled_from([date(2025, 4, 2), date(2025, 4, 3)]), st.sampled_from([2, 3, 10]))
ingests = st.builds(
    Ingest,
    st.integers(0, LAST),
    st.lists(bars, max_size=12).map(once),
    st.lists(plain_facts | splits, max_size=12).map(once),
)


def another_future(history: list[Ingest], after: int, random: Random) -> Iterator[Ingest]:
    """The same ingests with what became known after that hour scrambled, left out, or added to."""
    told: set[tuple[object, ...]] = set()
    for each in history:
        changed: dict[str, list[Bar | Fact]] = {"bars": [], "facts": []}
        for kind, rows in (("bars", each.bars), ("facts", each.facts)):
            for row in rows:
                later_version = name(row) in told and each.at > after
                if row.known_at <= hour(after) and not later_version:
                    changed[kind].append(row)
                elif random.random() < 0.6:
                    changed[kind].append(scrambled(row, random))
            told |= {name(row) for row in rows}
        new = random.randrange(after, LAST)
        changed["bars"].append(bar(new, random.randrange(1, 999)))
        changed["facts"].append(fact(new + 0.5, random.randrange(999), kind=random.choice(KINDS)))
        if after < each.at:  # what was told already is corrected, by an ingest after that hour
            changed["bars"] += [scrambled(row, random) for row in history[0].bars if history[0] is not each]
        yield Ingest(each.at, once(changed["bars"]), once(changed["facts"]))


def scrambled(row: Bar | Fact, random: Random) -> Bar | Fact:
    if isinstance(row, Bar):
        return replace(row, close=Decimal(random.randrange(999)), volume=Decimal(random.randrange(999)))
    return replace(row, value=Decimal(random.randrange(1, 999)), text="scrambled")


def told(store: Store, history: list[Ingest]) -> None:
    databases.empty(store.engine)
    store.put_instrument(MADE)
    for each in history:
        store.add_bars(batch(hour(each.at)), each.bars)
        store.add_facts(batch(hour(each.at)), each.facts)


def read(store: Store, as_of: datetime) -> list[object]:
    try:
        view = build_market_view(store, "MADE", Interval.H1, as_of, lookback=30)
        seen: list[object] = [view, view.digest]
    except DataError as error:
        seen = [str(error)]
    return [
        *seen,
        store.bars_as_of("MADE", Interval.H1, as_of, 999),
        store.facts_as_of("MADE", as_of, per_key=EVERYTHING),
        store.facts_as_of("MADE", as_of, newest=EVERYTHING),
        store.data_digest(["MADE"], Interval.H1, reach(START.date(), as_of, bars=30)),
    ]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ingests, min_size=1, max_size=4), st.integers(1, LAST - 1), st.integers(0, 2**32))
def test_the_future_has_no_influence(any_store: Store, history: list[Ingest], after: int, seed: int) -> None:
    history = sorted(history, key=lambda each: each.at)
    instants = [hour(at) for at in {after, after - 0.5, after // 2, 24, 25} if at <= after]
    told(any_store, history)
    seen = [read(any_store, as_of) for as_of in instants]
    end = read(any_store, hour(999))
    told(any_store, list(another_future(history, after, Random(seed))))
    assert [read(any_store, as_of) for as_of in instants] == seen
    event(f"the end differs: {read(any_store, hour(999)) != end}; splits: {bool(getattr(seen[0][0], 'splits', ()))}")
