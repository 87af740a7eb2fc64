"""The store's set-based SQL says the same as a slow and plain model of it, whatever comes in and in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import databases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_rows import bar, batch, fact, hour

from data.model.errors import DataError
from data.model.instants import Interval
from data.model.market import Bar, Fact, FactKind
from data.store.store import Store

LAST = 12
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Model:
    """Versions as (published at, known at, row), as they were stored; a fact's row is known since it was so said."""

    bars: dict[datetime, list[tuple[datetime, Bar]]] = field(default_factory=dict)
    facts: dict[tuple[str, str, str], list[tuple[datetime, datetime, Fact]]] = field(default_factory=dict)

    def add_bars(self, ingested_at: datetime, bars: list[Bar]) -> None:
        for each in bars:
            versions = self.bars.setdefault(each.open_time, [])
            if not versions:
                versions.append((each.known_at, each))
            elif versions[-1][1].close != each.close:
                known = max(ingested_at, versions[-1][0])
                versions.append((known, replace(each, known_at=known)))

    def bars_as_of(self, as_of: datetime) -> list[Bar]:
        known = {at: [row for known, row in versions if known <= as_of] for at, versions in self.bars.items()}
        return [known[at][-1] for at in sorted(known) if known[at]]

    def add_facts(self, ingested_at: datetime, facts: list[Fact]) -> None:
        stored = {name: list(versions) for name, versions in self.facts.items()}
        fresh: dict[tuple[str, str, str], list[tuple[datetime, datetime, Fact]]] = {}
        for each in sorted(facts, key=lambda fact: fact.known_at):
            name, at = (each.symbol, each.key, each.period), each.known_at
            same = [version for version in stored.get(name, []) if version[0] == at]
            added = self.facts.setdefault(name, [])
            if same:
                if same[-1][2].value != each.value:
                    known = max(ingested_at, same[-1][1])
                    added.append((at, known, replace(each, known_at=known)))
                continue
            earlier = [
                version
                for version in stored.get(name, []) + fresh.get(name, [])
                if version[0] < at and version[1] <= at
            ]
            said = max(reversed(earlier), key=lambda version: version[:2], default=None)  # of equals the last stored
            since = said[2].known_at if said is not None and said[2].value == each.value else at
            added.append((at, at, replace(each, known_at=since)))
            fresh.setdefault(name, []).append(added[-1])

    def facts_as_of(self, as_of: datetime) -> set[Fact]:
        found = set()
        for versions in self.facts.values():
            known = [(*version[:2], index, version[2]) for index, version in enumerate(versions) if version[1] <= as_of]
            if known:
                found.add(max(known, key=lambda version: version[:3])[3])
        return found


def unlike(rows: list[Bar] | list[Fact]) -> bool:
    """Whether a batch contradicts itself, which is another test's matter."""
    said: dict[tuple[object, ...], Decimal | None] = {}
    for row in rows:
        name = (row.open_time,) if isinstance(row, Bar) else (row.symbol, row.key, row.period, row.known_at)
        value = row.close if isinstance(row, Bar) else row.value
        if said.setdefault(name, value) != value:
            return True
    return False


hours = st.integers(0, LAST - 2)
prices = st.sampled_from([10, 20, 30])
many_bars = st.lists(st.builds(bar, hours, prices), max_size=8).filter(lambda rows: not unlike(rows))
many_facts = st.lists(
    st.builds(
        fact,
        hours,
        prices,
        key=st.sampled_from(["a", "b"]),
        period=st.sampled_from(["q1", "q2"]),
        symbol=st.sampled_from(["MADE", "*"]),
    ),
    max_size=10,
).filter(lambda rows: not unlike(rows))
ingests = st.lists(st.tuples(st.integers(0, LAST), many_bars, many_facts), min_size=1, max_size=5)


@SLOW
@given(ingests)
def test_the_store_agrees_with_the_model(any_store: Store, ingested: list[tuple[int, list[Bar], list[Fact]]]) -> None:
    databases.empty(any_store.engine)
    model = Model()
    for at, bars, facts in sorted(ingested, key=lambda each: each[0]):
        any_store.add_bars(batch(hour(at)), bars)
        any_store.add_facts(batch(hour(at)), facts)
        model.add_bars(hour(at), bars)
        model.add_facts(hour(at), facts)
    for at in range(LAST + 1):
        assert list(any_store.bars_as_of("MADE", Interval.H1, hour(at), 99)) == model.bars_as_of(hour(at))
        found = any_store.facts_as_of("MADE", hour(at), per_key={FactKind.MACRO: 99})
        assert set(found) == model.facts_as_of(hour(at))
        assert len(found) == len(set(found))


@SLOW
@given(many_facts, st.randoms(use_true_random=False))
def test_facts_of_one_batch_mean_the_same_in_any_order(any_store: Store, facts: list[Fact], random: object) -> None:
    read = []
    for _ in range(2):
        databases.empty(any_store.engine)
        any_store.add_facts(batch(), facts)
        read.append([any_store.facts_as_of("MADE", hour(at), per_key={FactKind.MACRO: 99}) for at in range(LAST)])
        random.shuffle(facts)  # type: ignore[attr-defined]
    assert read[0] == read[1]


@SLOW
@given(many_bars, many_facts)
def test_an_ingest_repeated_changes_nothing(any_store: Store, bars: list[Bar], facts: list[Fact]) -> None:
    databases.empty(any_store.engine)
    for _ in range(2):
        counted = any_store.add_bars(batch(), bars), any_store.add_facts(batch(), facts)
    assert [(each.new, each.corrected) for each in counted] == [(0, 0), (0, 0)]


def test_the_filter_above_is_what_the_store_refuses(any_store: Store) -> None:
    rows = [fact(1, 10), fact(1, 20)]
    assert unlike(rows)
    try:
        any_store.add_facts(batch(), rows)
    except DataError:
        return
    raise AssertionError("the store took a contradiction")
