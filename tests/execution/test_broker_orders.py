"""What becomes of an order: the bar it meets, what cuts it, and what is recorded of the rest."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tape import FLAT, START, Desk, action, bar, dec, instrument, order

from backtesting.execution.broker import NOTHING
from data.model.errors import DataError
from data.model.market import AssetClass, FactKind
from data.model.question import Costs
from data.model.trading import BarOutcome, Ending, FillReason, Purpose, Side

CLOSE = Purpose.CLOSE


def endings(outcome: BarOutcome) -> list[tuple[Ending, Decimal]]:
    return [(ended.ending, ended.quantity) for ended in outcome.cancellations]


def long_of(quantity: object, **levels: object) -> Desk:
    """Long X since bar 1, at 100."""
    desk = Desk()
    desk.broker.submit(order(0, quantity=quantity, **levels))  # type: ignore[arg-type]
    desk.step(bar(1))
    assert desk.held() == dec(quantity)
    return desk


def test_a_bar_with_nothing_to_do_answers_with_the_one_empty_outcome() -> None:
    assert Desk().step(bar(0)) is NOTHING
    assert long_of(10, stop="0.02").step(bar(2)) is NOTHING


def test_the_bar_of_the_decision_and_those_before_it_fill_nothing() -> None:
    desk = Desk()
    desk.broker.submit(order(2))
    assert [desk.step(bar(number)) for number in (0, 1, 2)] == [NOTHING.__class__()] * 3
    assert desk.step(bar(3)).fills[0].bar_open_time == bar(3).open_time


def test_an_order_fills_once_at_the_open_with_slippage_and_commission() -> None:
    desk = Desk(costs=Costs(commission_bps=Decimal(10), slippage_bps=Decimal(2)))
    desk.broker.submit(order(0))
    (fill,) = desk.step(bar(1, (110, 120, 100, 115))).fills
    assert (fill.reference_price, fill.price) == (110, Decimal("110.022"))
    assert (fill.commission, fill.slippage) == (Decimal("1.10022"), Decimal("0.22"))
    assert fill.at == bar(1).open_time
    assert desk.step(bar(2)).fills == ()
    assert desk.ledger.book(START).cash == 100_000 - Decimal("1100.22") - Decimal("1.10022")


def test_an_order_waits_for_the_next_bar_there_is() -> None:
    desk = Desk({"X": instrument(), "Y": instrument("Y")})
    desk.broker.submit(order(0))
    assert desk.step(bar(1, symbol="Y")) is NOTHING
    assert desk.step(bar(7, (130, 130, 130, 130))).fills[0].price == 130


def test_a_newer_order_takes_the_place_of_one_that_waits() -> None:
    desk = Desk()
    desk.broker.submit(order(0, quantity=10))
    desk.broker.submit(order(1, quantity=4))
    outcome = desk.step(bar(5))
    assert endings(outcome) == [(Ending.REPLACED, 10)]
    assert [(fill.order_id, fill.quantity) for fill in outcome.fills] == [("X#1", 4)]


def test_an_order_without_a_next_bar_expires() -> None:
    desk = Desk({"X": instrument(), "Y": instrument("Y")})
    desk.broker.submit(order(3, symbol="Y"))
    desk.broker.submit(order(2))
    desk.broker.submit(order(3))
    ended = desk.broker.at_end(bar(3).known_at)
    assert [(each.order_id, each.ending) for each in ended] == [
        ("X#2", Ending.REPLACED),
        ("X#3", Ending.EXPIRED),
        ("Y#3", Ending.EXPIRED),
    ]
    assert desk.broker.at_end(START) == ()
    assert desk.step(bar(9)) is NOTHING


@pytest.mark.parametrize("quantity", ["0", "-1", "1.5"])
def test_a_quantity_that_is_no_number_of_lots_is_refused(quantity: str) -> None:
    with pytest.raises(ValueError, match="not a positive number of lots"):
        Desk().broker.submit(order(0, quantity=quantity))


def test_opening_what_is_open_is_refused() -> None:
    with pytest.raises(ValueError, match="already open"):
        long_of(10).broker.submit(order(1))


def test_what_exceeds_a_tenth_of_the_volume_is_cancelled() -> None:
    desk = Desk()
    desk.broker.submit(order(0, quantity=10))
    outcome = desk.step(bar(1, volume=79))
    assert [fill.quantity for fill in outcome.fills] == [7]
    assert endings(outcome) == [(Ending.VOLUME_CAP, 3)]
    assert desk.step(bar(2)) is NOTHING


def test_a_bar_without_volume_fills_nothing_but_that_of_an_index() -> None:
    desk = Desk({"X": instrument(), "I": instrument("I", kind=AssetClass.INDEX)})
    for symbol in "XI":
        desk.broker.submit(order(0, symbol=symbol))
    desk.step(bar(1, volume=0), bar(1, volume=0, symbol="I"))
    assert (desk.held(), desk.held("I")) == (0, 10)


def test_a_close_is_capped_too_and_the_rest_stays_protected() -> None:
    desk = long_of(10, stop="0.02")
    desk.broker.submit(order(1, Side.SELL, 10, CLOSE))
    outcome = desk.step(bar(2, volume=40))
    assert (endings(outcome), desk.held()) == ([(Ending.VOLUME_CAP, 6)], 6)
    assert desk.ledger.trades() == ()
    (stopped,) = desk.step(bar(3, (95, 96, 94, 95))).fills
    assert (stopped.quantity, stopped.price, desk.held()) == (6, 95, 0)
    (trade,) = desk.ledger.trades()
    assert (trade.quantity, trade.exit_price, trade.profit) == (10, 97, -30)


def test_a_stop_that_the_cap_cuts_leaves_a_rest_that_the_same_stop_protects() -> None:
    desk = long_of(10, stop="0.02")
    first = desk.step(bar(2, (99, 99, 97, 97), volume=40))
    assert [(fill.quantity, fill.price) for fill in first.fills] == [(4, 98)]
    assert desk.step(bar(3, (99, 99, 99, 99))) is NOTHING
    second = desk.step(bar(4, (90, 91, 90, 90)))
    assert [(fill.quantity, fill.price) for fill in second.fills] == [(6, 90)]


def test_a_stop_covers_the_filled_part_of_an_entry() -> None:
    desk = Desk()
    desk.broker.submit(order(0, quantity=10, stop="0.02"))
    desk.step(bar(1, volume=40))
    (stopped,) = desk.step(bar(2, (100, 100, 97, 98))).fills
    assert (stopped.quantity, desk.held()) == (4, 0)


def test_entry_and_stop_in_one_bar_share_its_cap() -> None:
    desk = Desk()
    desk.broker.submit(order(0, quantity=10, stop="0.02"))
    outcome = desk.step(bar(1, (100, 100, 97, 98), volume=150))
    assert [(fill.quantity, fill.reason) for fill in outcome.fills] == [(10, FillReason.ORDER), (5, FillReason.STOP)]


def test_an_entry_is_cut_to_what_cash_pays_for_with_costs() -> None:
    desk = Desk(cash=1000, costs=Costs(commission_bps=Decimal(100), slippage_bps=Decimal(0)))
    desk.broker.submit(order(0, quantity=10))
    outcome = desk.step(bar(1))
    assert [fill.quantity for fill in outcome.fills] == [9]
    assert endings(outcome) == [(Ending.INSUFFICIENT_CASH, 1)]
    assert desk.book.buying_power == 1000 - 900 - 9


def test_a_short_is_bound_by_equity_less_what_is_already_at_risk() -> None:
    desk = Desk({"X": instrument(), "Y": instrument("Y")}, cash=1000)
    desk.broker.submit(order(0, Side.SELL, 6))
    desk.broker.submit(order(0, Side.BUY, 6, symbol="Y"))
    desk.step(bar(1))
    assert desk.book.buying_power == 400
    assert endings(desk.step(bar(1, symbol="Y"))) == [(Ending.INSUFFICIENT_CASH, 2)]
    assert (desk.book.equity, desk.book.buying_power) == (1000, 0)


def test_a_close_needs_neither_buying_power_nor_a_minimum() -> None:
    desk = Desk({"X": instrument(least=500)}, cash=1000)
    desk.broker.submit(order(0, Side.SELL, 10))
    desk.step(
        bar(1),
    )
    desk.step(bar(2, (250, 250, 250, 250)))
    assert desk.book.buying_power < 0
    desk.broker.submit(order(2, Side.BUY, 10, CLOSE))
    desk.step(bar(3, (250, 250, 250, 250), volume=10))
    assert desk.held() == -9
    assert desk.book.equity == -500


def test_an_entry_below_the_minimum_notional_does_not_happen() -> None:
    desk = Desk({"X": instrument(least=500)})
    desk.broker.submit(order(0, quantity=10))
    assert endings(desk.step(bar(1, volume=40))) == [(Ending.VOLUME_CAP, 6), (Ending.BELOW_MINIMUM, 4)]


@pytest.mark.parametrize("price", ["0", "-37.63", "0.000000001"])
def test_nothing_trades_at_a_price_that_is_not_positive(price: str) -> None:
    down = (price, "101", price, price)
    desk = Desk()
    desk.broker.submit(order(0))
    assert endings(desk.step(bar(1, down))) == [(Ending.NO_PRICE, 10)]
    held = long_of(10, stop="0.02", target="0.1")
    held.broker.submit(order(1, Side.SELL, 10, CLOSE))
    outcome = held.step(bar(2, down))
    assert (outcome.fills, endings(outcome)) == ((), [(Ending.NO_PRICE, 10)])
    (stopped,) = held.step(bar(3, (20, 21, 20, 20))).fills
    assert (stopped.price, stopped.reason) == (20, FillReason.STOP)


def test_a_level_above_zero_fills_in_a_bar_that_opens_below_it() -> None:
    desk = Desk()
    desk.broker.submit(order(0, Side.SELL, stop="0.1", target="0.2"))
    desk.step(bar(1))
    (left,) = desk.step(bar(2, ("-14", "20", "-16", "10"))).fills
    assert (left.price, left.reason) == (80, FillReason.TARGET)


def test_a_bar_that_falls_below_zero_still_stops_at_the_level() -> None:
    desk = long_of(10, stop="0.5")
    (stopped,) = desk.step(bar(2, (90, 91, "-40.32", "-37.63"))).fills
    assert stopped.price == 50


def test_a_close_of_what_is_not_held_ends_as_closed() -> None:
    desk = Desk()
    desk.broker.submit(order(0, Side.SELL, 10, CLOSE))
    assert endings(desk.step(bar(1))) == [(Ending.POSITION_CLOSED, 10)]
    same_way = long_of(10)
    same_way.broker.submit(order(1, Side.BUY, 10, CLOSE))
    assert endings(same_way.step(bar(2))) == [(Ending.POSITION_CLOSED, 10)]
    smaller = long_of(4)
    smaller.broker.submit(order(1, Side.SELL, 10, CLOSE))
    assert (endings(smaller.step(bar(2))), smaller.held()) == ([(Ending.POSITION_CLOSED, 6)], 0)


def test_a_split_restates_waiting_orders_and_levels() -> None:
    desk = long_of(10, stop="0.02", target="0.05")
    desk.broker.submit(order(1, Side.SELL, 10, CLOSE))
    desk.act(FactKind.SPLIT, 10)
    assert desk.step(bar(2, (10, 10, 10, 10))).fills[0].quantity == 100
    desk = long_of(10, stop="0.02", target="0.05")
    desk.act(FactKind.SPLIT, 10)
    position = desk.book.position("X")
    assert position is not None
    assert (position.quantity, position.stop_price, position.target_price) == (100, Decimal("9.8"), Decimal("10.5"))
    (stopped,) = desk.step(bar(2, (10, 10, "9.7", "9.9"))).fills
    assert (stopped.quantity, stopped.price) == (100, Decimal("9.8"))


def test_a_reverse_split_that_leaves_no_lot_ends_order_and_position() -> None:
    desk = long_of(4, stop="0.02")
    desk.act(FactKind.SPLIT, "0.1")
    assert desk.held() == 0
    assert desk.step(bar(2, (900, 900, 900, 900))) is NOTHING
    waiting = Desk()
    waiting.broker.submit(order(0, quantity=4))
    waiting.act(FactKind.SPLIT, "0.1")
    assert endings(waiting.step(bar(1))) == [(Ending.BELOW_MINIMUM, 4)]


@pytest.mark.parametrize("ratio", [None, Decimal(0), Decimal(-2)])
def test_a_split_without_a_ratio_is_refused(ratio: Decimal | None) -> None:
    with pytest.raises(DataError, match="no positive ratio"):
        Desk().broker.apply_split(replace(action(FactKind.SPLIT, 1), value=ratio))


def test_an_unprotected_position_outlives_any_bar() -> None:
    desk = long_of(10)
    desk.play([(1, 10_000, 1, 50), FLAT], first=2)
    assert desk.held() == 10
