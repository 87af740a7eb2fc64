"""A row that is summed up when it is read is the row that it would have been at once."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from markets import INSTRUMENTS, Market, Played, exact, markets
from tape import START, Desk, bar, order

from data.model.canonical import digest, to_json
from data.model.money import money
from data.model.trading import EquityRow

ROW = EquityRow(
    at=START,
    cash=money(Decimal(99_000)),
    equity=money(Decimal(100_300)),
    exposure=Decimal("0.01296112"),
    quantities=(("X", Decimal(10)),),
    marks=(("X", money(Decimal(130))),),
)


def unread() -> EquityRow:
    """Ten X at 130, bought at 100; nobody has looked yet."""
    desk = Desk()
    desk.broker.submit(order(0))
    desk.step(bar(1))
    return desk.ledger.mark({"X": bar(2, (100, 130, 100, 130))}, START)


@settings(max_examples=150, deadline=None)
@given(markets())
def test_read_at_once_or_after_all_is_the_same(market: Market) -> None:
    at_once, late = Played(market), Played(market)
    read = [digest(at_once.desk.rows[-1]) for _ in at_once.steps()]
    for _ in late.steps():
        pass
    assert [digest(row) for row in late.desk.rows] == read


@settings(max_examples=150, deadline=None)
@given(markets())
def test_a_row_that_is_read_late_adds_up(market: Market) -> None:
    played = Played(market)
    books = [played.desk.ledger.book(START) for _ in played.steps()]
    for row, book in zip(played.desk.rows, books, strict=True):
        assert (row.cash, row.equity, row.exposure) == (book.cash, book.equity, book.exposure)
        assert row.quantities == tuple((held.symbol, held.quantity) for held in book.positions)
        assert row.marks == tuple((held.symbol, held.mark) for held in book.positions)
        worth = sum((exact(q) * exact(dict(row.marks)[symbol]) for symbol, q in row.quantities), Fraction(0))
        assert exact(row.cash) + worth == exact(row.equity)
        assert set(row.stale) <= {symbol for symbol, _ in row.quantities} <= set(INSTRUMENTS)


READINGS: list[Callable[[EquityRow], object]] = [
    repr,
    hash,
    asdict,
    to_json,
    digest,
    copy.copy,
    copy.deepcopy,
    lambda row: pickle.loads(pickle.dumps(row)),
    lambda row: replace(row, stale=("X",)),
    *(lambda row, name=name: getattr(row, name) for name in EquityRow.__slots__),
]


@pytest.mark.parametrize("read", READINGS)
def test_however_it_is_read_first(read: Callable[[EquityRow], object]) -> None:
    row = unread()
    assert isinstance(row, EquityRow)
    assert read(row) == read(ROW)
    assert (type(row), repr(row)) == (EquityRow, repr(ROW))


def test_it_equals_the_row_that_it_stands_for_from_either_side() -> None:
    assert unread() == ROW
    assert unread() == unread()
    assert replace(ROW) == unread()
    assert unread() != replace(ROW, at=bar(9).open_time)
    assert {unread(), ROW} == {ROW}


def test_it_stays_frozen() -> None:
    with pytest.raises(AttributeError):
        unread().cash = Decimal(1)  # type: ignore[misc]


def test_threads_that_read_at_once_see_the_same() -> None:
    rows = [unread() for _ in range(300)]
    with ThreadPoolExecutor(8) as pool:
        for seen in zip(*(pool.map(repr, rows) for _ in range(8)), strict=True):
            assert set(seen) == {repr(ROW)}


def test_a_row_does_not_follow_what_happens_after_it() -> None:
    desk = Desk()
    desk.broker.submit(order(0))
    desk.step(bar(1))
    desk.step(bar(2, (120, 120, 120, 120)))
    desk.step(bar(3, (90, 90, 90, 90)))
    assert [row.equity for row in desk.rows] == [100_000, 100_200, 99_900]
