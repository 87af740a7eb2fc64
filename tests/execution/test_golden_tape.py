"""The golden tape: what a stop at 98 and a target at 102 do to an entry at 100, and the mirror of it for a short."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from tape import FLAT, Desk, Prices, bar, dec, order

from data.model.question import Costs
from data.model.trading import FillReason, Purpose, Side

Turn = Callable[[Prices], Prices]
STOP, TARGET = FillReason.STOP, FillReason.TARGET
LONG = {
    "both touched": ((100, 103, 97, 100), 98, STOP),
    "stop touched": ((100, 101, 98, 99), 98, STOP),
    "target touched": ((100, 102, 99, 101), 102, TARGET),
    "gap through the stop": ((95, 96, 94, 95), 95, STOP),
    "gap through the target": ((105, 106, 104, 105), 102, TARGET),
    "gap through the target, then the stop": ((105, 106, 97, 99), 98, STOP),
    "gap through the stop, then the target": ((95, 103, 94, 102), 95, STOP),
    "open beyond a low that does not reach it": ((97, 99, 99, 99), 97, STOP),
}


def mirrored(prices: Prices) -> Prices:
    """The same tape upside down around 100."""
    opened, high, low, close = (200 - dec(price) for price in prices)
    return opened, low, high, close


SIDES = [pytest.param(Side.BUY, lambda prices: prices, id="long"), pytest.param(Side.SELL, mirrored, id="short")]


def opened(side: Side) -> Desk:
    """Entered at 100 in bar 1, decided at the close of bar 0."""
    desk = Desk()
    desk.step(bar(0))
    desk.broker.submit(order(0, side, stop="0.02", target="0.02"))
    return desk


@pytest.mark.parametrize(("side", "turned"), SIDES)
@pytest.mark.parametrize(("prices", "price", "reason"), LONG.values(), ids=LONG)
def test_a_bar_after_the_entry(side: Side, turned: Turn, prices: Prices, price: int, reason: FillReason) -> None:
    desk = opened(side)
    entry, leave = desk.play([FLAT, turned(prices)], first=1)
    assert entry.price == 100
    assert (entry.stop_price, entry.target_price) == ((98, 102) if side is Side.BUY else (102, 98))
    expected = turned((price,) * 4)[0]
    assert (leave.price, leave.reason, leave.side) == (expected, reason, Side.SELL if side is Side.BUY else Side.BUY)
    gapped = reason is STOP and price not in (98, 102)
    assert leave.at == (bar(2).open_time if gapped else bar(2).known_at)
    assert desk.held() == 0
    assert [trade.profit for trade in desk.ledger.trades()] == [10 * (price - 100)]
    assert [trade.quantity for trade in desk.ledger.trades()] == [10 * side.sign]


@pytest.mark.parametrize(("side", "turned"), SIDES)
@pytest.mark.parametrize(
    ("prices", "price"), [((100, 101, 97, 99), 98), ((100, 103, 99, 101), 102), ((100, 103, 97, 101), 98)]
)
def test_stop_and_target_live_from_the_entry_bar_on(side: Side, turned: Turn, prices: Prices, price: int) -> None:
    desk = opened(side)
    _, leave = desk.play([turned(prices)], first=1)
    assert leave.price == turned((price,) * 4)[0]
    assert leave.bar_open_time == bar(1).open_time


@pytest.mark.parametrize(("side", "turned"), SIDES)
def test_a_bar_that_touches_neither_leaves_the_position_alone(side: Side, turned: Turn) -> None:
    desk = opened(side)
    desk.play([FLAT, turned((100, "101.99", "98.01", 101))], first=1)
    assert desk.held() == 10 * side.sign


@pytest.mark.parametrize(("side", "turned"), SIDES)
def test_a_close_at_the_open_comes_before_the_stop_of_that_bar(side: Side, turned: Turn) -> None:
    desk = opened(side)
    desk.play([FLAT], first=1)
    desk.broker.submit(order(1, Side.SELL if side is Side.BUY else Side.BUY, purpose=Purpose.CLOSE))
    outcome = desk.step(bar(2, turned((101, 103, 97, 100))))
    assert [(fill.price, fill.reason) for fill in outcome.fills] == [(turned((101,) * 4)[0], FillReason.ORDER)]


def test_the_price_of_an_entry_and_of_a_stop_slips_and_that_of_a_target_does_not() -> None:
    costs = Costs(commission_bps=Decimal(0), slippage_bps=Decimal(10))
    for prices, reference, price in (((95, 96, 94, 95), 95, "94.905"), ((105, 106, 104, 105), "102.102", "102.102")):
        desk = Desk(costs=costs)
        desk.broker.submit(order(0, stop="0.02", target="0.02"))
        entry, leave = desk.play([FLAT, prices], first=1)
        assert (entry.reference_price, entry.price, entry.slippage) == (100, Decimal("100.1"), Decimal("1"))
        assert (entry.stop_price, entry.target_price) == (Decimal("98.098"), Decimal("102.102"))
        assert (leave.reference_price, leave.price) == (Decimal(reference), Decimal(price))
