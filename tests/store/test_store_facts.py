"""Facts: each publication once, corrections, and what is read of them at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from made_rows import LONG_AFTER, START, batch, fact, hour, split
from sqlalchemy import text

from data.model.errors import DataError
from data.model.market import Fact, FactKind
from data.store.store import Counts, Store

MACRO = FactKind.MACRO


def series(store: Store, at: float, amount: int = 99) -> tuple[Fact, ...]:
    return store.facts_as_of("MADE", hour(at), per_key={MACRO: amount})


def values(found: Sequence[Fact]) -> list[int]:
    return [int(each.value or 0) for each in found]


def test_facts_come_back_exactly_as_they_were_given(any_store: Store) -> None:
    full = fact(
        2,
        "-0.000000000000000000001",
        period="2025-01-01/2025-03-31",
        unit="USD/share",
        text="tab\t, line\r\n, back\\slash, \\N, ünïcode 🚀, 'quotes\" and {braces}",
        effective_on=date(2025, 6, 1),
    )
    empty = fact(1, None, key="", text="")
    assert any_store.add_facts(batch(), [full, empty]) == Counts(2, 2, 0)
    assert series(any_store, 2) == (full, empty)


def test_a_fact_is_not_known_before_its_publication(any_store: Store) -> None:
    any_store.add_facts(batch(), [fact(5)])
    assert series(any_store, 4.999) == ()
    assert series(any_store, 5) == (fact(5),)


def test_the_same_again_changes_nothing(any_store: Store) -> None:
    told = [fact(1, 10), fact(2, 11), fact(3, 11), fact(4, 10), fact(9, 7, key="other")]
    assert any_store.add_facts(batch(), told) == Counts(5, 2, 2)
    assert any_store.add_facts(batch(), told) == Counts(5, 0, 0)
    assert any_store.add_facts(batch(), [fact(1, "10.00", source="another")]) == Counts(1, 0, 0)
    with any_store.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM market.batches")).scalar_one() == 1


def test_a_restatement_counts_from_its_publication_on(any_store: Store) -> None:
    any_store.add_facts(batch(), [fact(1, 10), fact(5, 12), fact(3, 10)])
    assert [values(series(any_store, at)) for at in (0, 1, 4.9, 5)] == [[], [10], [10], [12]]
    assert series(any_store, 4)[0].known_at == hour(1)  # said again at 3, but known since 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_publications_may_come_in_any_order(any_store: Store, order: tuple[int, ...]) -> None:
    told = [fact(1, 10), fact(3, 11), fact(5, 12)]
    for index in order:
        any_store.add_facts(batch(), [told[index]])
    assert [values(series(any_store, at)) for at in (0.9, 1, 3, 5)] == [[], [10], [11], [12]]


def test_a_correction_without_a_date_is_known_when_it_came(any_store: Store) -> None:
    any_store.add_facts(batch(hour(2)), [fact(1, 10)])
    assert any_store.add_facts(batch(hour(50)), [fact(1, 99)]) == Counts(1, 0, 1)
    assert any_store.add_facts(batch(hour(60)), [fact(1, 99)]) == Counts(1, 0, 0)
    assert series(any_store, 49) == (fact(1, 10),)
    assert series(any_store, 50) == (fact(50, 99),)


def test_correcting_an_old_publication_does_not_bring_it_back(any_store: Store) -> None:
    any_store.add_facts(batch(hour(9)), [fact(1, 10), fact(5, 12)])
    any_store.add_facts(batch(hour(50)), [fact(1, 99)])
    assert [values(series(any_store, at)) for at in (4, 60)] == [[10], [12]]


def test_correcting_what_was_said_again_is_known_when_it_came(any_store: Store) -> None:
    """The second publication brought no news when it was read, and yet it was read."""
    any_store.add_facts(batch(hour(9)), [fact(1, 10), fact(3, 10)])
    assert any_store.add_facts(batch(hour(50)), [fact(3, 99)]) == Counts(1, 0, 1)
    assert [values(series(any_store, at)) for at in (3, 49, 50)] == [[10], [10], [99]]


def test_what_is_said_again_after_a_change_holds_again(any_store: Store) -> None:
    any_store.add_facts(batch(), [fact(1, 10), fact(5, 10)])
    any_store.add_facts(batch(), [fact(3, 20)])
    assert [values(series(any_store, at)) for at in (2, 3, 5)] == [[10], [20], [10]]


def test_what_was_only_corrected_later_does_not_hide_a_publication(any_store: Store) -> None:
    """The correction to 20 came at 50; the publication of 20 at 3, read later still, was news at 3."""
    any_store.add_facts(batch(hour(2)), [fact(1, 10)])
    any_store.add_facts(batch(hour(50)), [fact(1, 20)])
    any_store.add_facts(batch(hour(60)), [fact(3, 20)])
    assert [values(series(any_store, at)) for at in (2, 3, 55)] == [[10], [20], [20]]


@pytest.mark.parametrize(
    "change",
    [{"value": None}, {"unit": "EUR"}, {"text": "now in words"}, {"text": ""}, {"effective_on": date(2025, 1, 1)}],
    ids=str,
)
def test_every_part_of_a_fact_counts_as_a_change(any_store: Store, change: dict[str, object]) -> None:
    any_store.add_facts(batch(), [fact(1)])
    assert any_store.add_facts(batch(), [replace(fact(2), **change)]) == Counts(1, 0, 1)
    assert series(any_store, 2) == (replace(fact(2), **change),)


def test_a_contradiction_within_a_batch_is_refused_whole(any_store: Store) -> None:
    with pytest.raises(
        DataError, match="two different values of macro rate of MADE, both published 2025-04-01 02:00 UTC"
    ):
        any_store.add_facts(batch(), [fact(1), fact(2, 5), fact(2, 6)])
    assert series(any_store, 99) == ()


def test_per_key_takes_the_last_published_of_each(any_store: Store) -> None:
    told = [fact(n, n, key=key, period=f"p{n}") for key in ("a", "b") for n in range(1, 8)]
    any_store.add_facts(batch(), told)
    assert values(series(any_store, 5, 2)) == [5, 5, 4, 4]
    only = any_store.facts_as_of("MADE", hour(5), per_key={MACRO: 3}, keys={MACRO: ["b", "unheard of"]})
    assert [(each.key, int(each.value or 0)) for each in only] == [("b", 5), ("b", 4), ("b", 3)]


def test_a_restated_period_takes_one_place_not_two(any_store: Store) -> None:
    told = [fact(1, 1, period="q1"), fact(2, 2, period="q2"), fact(3, 3, period="q1"), fact(4, 4, period="q1")]
    any_store.add_facts(batch(), told)
    assert values(series(any_store, 9, 2)) == [4, 2]
    assert values(series(any_store, 3, 2)) == [3, 2]


def test_newest_takes_the_last_of_a_kind(any_store: Store) -> None:
    news = [fact(n, None, key=f"story {n}", kind=FactKind.NEWS, text=f"story {n}") for n in range(9)]
    everybody = [replace(each, symbol="*", key=f"world {each.key}") for each in news[::2]]
    other = [replace(each, symbol="OTHER") for each in news]
    any_store.add_facts(batch(), [*news, *everybody, *other])
    found = any_store.facts_as_of("MADE", hour(4), newest={FactKind.NEWS: 4})
    assert [each.key for each in found] == ["world story 4", "story 4", "story 3", "world story 2"]


def test_facts_about_every_symbol_are_read_with_each(any_store: Store) -> None:
    any_store.add_facts(batch(), [fact(1, 5, key="VIX", symbol="*"), fact(1, 6, symbol="OTHER")])
    assert [each.key for each in series(any_store, 1)] == ["VIX"]


def test_a_kind_nobody_asked_for_stays_out(any_store: Store) -> None:
    any_store.add_facts(batch(), [fact(1), fact(1, kind=FactKind.ALTERNATIVE)])
    assert any_store.facts_as_of("MADE", LONG_AFTER) == ()
    assert any_store.facts_as_of("MADE", LONG_AFTER, newest={MACRO: 0}) == ()
    assert [each.kind for each in series(any_store, 9)] == [MACRO]


def test_actions_are_as_they_were_known_on_their_day(any_store: Store) -> None:
    day = date(2025, 4, 10)
    paid = fact(3, "0.24", "CD", kind=FactKind.DIVIDEND, period="d", effective_on=day)
    any_store.add_facts(
        batch(hour(24 * 30)),
        [
            paid,
            split(1, date(2025, 4, 8), 4, period="moved"),
            split(20, date(2025, 4, 9), 4, period="moved"),
            split(24 * 9.5, day, 2, period="on the day"),
            split(24 * 15, day, 3, period="on the day"),
            split(24 * 20, day, 7, period="late"),
            split(1, date(2025, 5, 1), 9, period="outside"),
            split(1, day, 5, symbol="OTHER"),
        ],
    )
    any_store.add_facts(batch(hour(24 * 30)), [replace(paid, value=Decimal(9))])
    found = any_store.actions_between("MADE", START.date(), date(2025, 4, 30))
    assert [(each.period, each.value, each.effective_on) for each in found] == [
        ("moved", 4, date(2025, 4, 9)),
        ("d", Decimal("0.24"), day),
        ("on the day", 2, day),
        ("late", 7, day),
    ]
    assert any_store.actions_between("MADE", day, date(2025, 4, 9)) == ()


@pytest.mark.parametrize(
    "bad",
    [fact(1, "NaN"), fact(1, "Infinity"), fact(1, text="NUL \0"), fact(1, key="k" * 601)],
    ids=["nan", "infinity", "nul", "long"],
)
def test_what_no_fact_can_be_is_refused(any_store: Store, bad: Fact) -> None:
    with pytest.raises(DataError):
        any_store.add_facts(batch(), [fact(1, key="good"), bad])
    assert series(any_store, 99) == ()
