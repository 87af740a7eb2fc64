"""The ledger by example: a fill, a dividend, a split, a mark, and the trade that comes of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tape import START, Desk, action, bar, instrument, order

from data.model.errors import DataError
from data.model.market import FactKind
from data.model.question import Costs
from data.model.trading import EquityRow, FillReason, Purpose, Side

LONG, SHORT = Side.BUY, Side.SELL
COSTS = Costs(commission_bps=Decimal(10), slippage_bps=Decimal(0))


def level(price: object) -> tuple[object, object, object, object]:
    return (price,) * 4


def entered(side: Side = LONG, quantity: object = 10, costs: Costs = COSTS, lot: object = 1) -> Desk:
    """A position in X since bar 1, at 100."""
    desk = Desk({"X": instrument(lot=lot), "Y": instrument("Y")}, costs)
    desk.broker.submit(order(0, side, quantity))
    desk.step(bar(1))
    return desk


def left(desk: Desk, price: object, number: int = 2) -> Desk:
    """Closed at the open of a bar at `price`."""
    held = desk.held()
    desk.broker.submit(order(number - 1, SHORT if held > 0 else LONG, abs(held), Purpose.CLOSE))
    desk.step(bar(number, level(price)))
    return desk


def test_a_ledger_without_positions_is_its_cash() -> None:
    desk = Desk()
    desk.step(bar(0))
    assert desk.rows == [EquityRow(bar(0).known_at, Decimal(100_000), Decimal(100_000), Decimal(0), (), ())]
    assert (desk.book.positions, desk.book.buying_power) == ((), 100_000)


@pytest.mark.parametrize(("side", "profit"), [(LONG, "97.9"), (SHORT, "-102.1")])
def test_a_round_trip_is_a_trade_after_costs(side: Side, profit: str) -> None:
    desk = left(entered(side), 110)
    (trade,) = desk.ledger.trades()
    assert trade.profit == Decimal(profit)
    assert desk.book.cash == desk.book.equity == 100_000 + Decimal(profit)
    assert (trade.quantity, trade.entry_price, trade.exit_price) == (10 * side.sign, 100, 110)
    assert (trade.rate, trade.costs) == (Decimal(profit) / 1000, Decimal("2.1"))
    assert (trade.entry_at, trade.exit_at) == (bar(1).open_time, bar(2).open_time)
    assert desk.book.last_trades == (trade,)


def test_a_trade_counts_slippage_among_its_costs_once() -> None:
    desk = left(entered(costs=Costs(commission_bps=Decimal(0), slippage_bps=Decimal(10))), 100)
    (trade,) = desk.ledger.trades()
    assert (trade.profit, trade.costs) == (Decimal(-2), Decimal(2))


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_mark_moves_equity_and_not_cash(side: Side) -> None:
    desk = entered(side, costs=Costs(commission_bps=Decimal(0), slippage_bps=Decimal(0)))
    before = desk.book.cash
    desk.step(bar(2, level(130)))
    assert desk.book.cash == before == 100_000 - 1000 * side.sign
    assert desk.book.equity == 100_000 + 300 * side.sign
    position = desk.book.position("X")
    assert position is not None
    assert (position.unrealised, position.mark, position.marked_at) == (300 * side.sign, 130, bar(2).known_at)
    assert desk.book.buying_power == desk.book.equity - 1300
    assert desk.rows[-1].exposure == (Decimal(1300) / desk.book.equity).quantize(Decimal("1e-8"))


def test_a_symbol_without_a_new_bar_is_stale_at_its_last_mark() -> None:
    desk = entered()
    desk.step(bar(2, level(120)))
    desk.step(bar(3, symbol="Y"))
    assert (desk.rows[-1].stale, desk.rows[-1].marks) == (("X",), (("X", Decimal(120)),))
    position = desk.book.position("X")
    assert position is not None
    assert position.marked_at == bar(2).known_at
    desk.step(bar(4, level(121)))
    assert desk.rows[-1].stale == ()


def test_a_negative_close_is_a_mark() -> None:
    desk = entered(costs=Costs(commission_bps=Decimal(0), slippage_bps=Decimal(0)))
    desk.step(bar(2, (50, 50, "-40.32", "-37.63")))
    assert desk.book.equity == 99_000 + 10 * Decimal("-37.63")
    assert desk.book.buying_power == desk.book.equity - Decimal("376.3")


def test_a_mark_has_eight_decimals_and_the_instant_its_bar_was_known() -> None:
    desk = entered()
    row = desk.ledger.mark({"X": bar(2, level("31.950000762939453"))}, bar(5).known_at)
    assert (row.at, row.marks) == (bar(5).known_at, (("X", Decimal("31.95000076")),))
    assert desk.book.positions[0].marked_at == bar(2).known_at


def test_exposure_without_equity_is_measured_against_the_initial_cash() -> None:
    desk = entered(SHORT, quantity=1000, costs=Costs(commission_bps=Decimal(0), slippage_bps=Decimal(0)))
    desk.step(bar(2, level(250)))
    assert (desk.book.equity, desk.book.buying_power) == (-50_000, -300_000)
    assert desk.book.exposure == desk.rows[-1].exposure == Decimal("2.5")


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_dividend_reaches_cash_and_the_profit_of_the_trade(side: Side) -> None:
    desk, without = entered(side), left(entered(side), 100)
    before = desk.book.cash
    desk.act(FactKind.DIVIDEND, "0.24")
    assert desk.book.cash - before == Decimal("2.4") * side.sign
    left(desk, 100)
    gained = desk.ledger.trades()[0].profit - without.ledger.trades()[0].profit
    assert gained == Decimal("2.4") * side.sign


@pytest.mark.parametrize("kind", [FactKind.DIVIDEND, FactKind.SPLIT])
def test_an_action_on_what_is_not_held_changes_nothing(kind: FactKind) -> None:
    desk = entered()
    before = desk.book
    desk.act(kind, 2, "Y")
    assert desk.book == before


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_split_into_whole_shares_changes_no_money(side: Side) -> None:
    desk = entered(side)
    before = desk.book
    desk.act(FactKind.SPLIT, 10)
    assert (desk.book.cash, desk.book.equity) == (before.cash, before.equity)
    assert (desk.held(), desk.book.positions[0].entry_price) == (100 * side.sign, 10)
    left(desk, 11)
    (trade,) = desk.ledger.trades()
    assert (trade.quantity, trade.entry_price, trade.exit_price) == (100 * side.sign, 10, 11)
    assert trade.profit == 100 * side.sign - Decimal("2.1")


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_fraction_of_a_share_is_paid_at_the_restated_mark(side: Side) -> None:
    desk = entered(side, quantity=3)
    before = desk.book
    desk.act(FactKind.SPLIT, "1.5")
    paid = Decimal("0.5") * Decimal("66.66666667") * side.sign
    assert desk.held() == 4 * side.sign
    assert desk.book.cash - before.cash == paid.quantize(Decimal("1e-8"))
    assert abs(desk.book.equity - before.equity) < Decimal("5e-8")
    left(desk, 70)
    (trade,) = desk.ledger.trades()
    assert desk.book.cash == 100_000 + trade.profit
    assert trade.quantity == Decimal("4.5") * side.sign


def test_a_position_smaller_than_a_new_share_is_paid_out_whole() -> None:
    desk = entered(quantity=4)
    desk.act(FactKind.SPLIT, "0.1")
    (trade,) = desk.ledger.trades()
    assert (trade.reason, trade.exit_price, trade.profit) == (FillReason.SPLIT, 1000, Decimal("-0.4"))
    assert (desk.book.cash, desk.book.positions) == (Decimal("99999.6"), ())


def test_a_split_in_the_middle_of_a_trade_restates_what_was_already_sold() -> None:
    desk = entered(costs=Costs(commission_bps=Decimal(0), slippage_bps=Decimal(0)))
    desk.broker.submit(order(1, SHORT, 10, Purpose.CLOSE))
    desk.step(bar(2, level(120), volume=40))
    desk.act(FactKind.SPLIT, 2)
    left(desk, 50, number=3)
    (trade,) = desk.ledger.trades()
    assert (trade.quantity, trade.entry_price, trade.profit) == (20, 50, 4 * 20 + 6 * 0)
    assert trade.exit_price == Decimal(4 * 120 + 12 * 50) / 20


def test_a_fill_through_zero_is_refused() -> None:
    desk = entered()
    with pytest.raises(ValueError, match="against 10"):
        desk.ledger.apply(replace(desk.fills[0], side=SHORT, quantity=Decimal(11)))
    assert desk.held() == 10


def test_adding_to_a_position_averages_its_entry() -> None:
    desk = entered()
    desk.ledger.apply(replace(desk.fills[0], price=Decimal(130), quantity=Decimal(5)))
    assert (desk.held(), desk.book.positions[0].entry_price) == (15, 110)


@pytest.mark.parametrize(
    ("kind", "value"), [(FactKind.SPLIT, None), (FactKind.SPLIT, Decimal(0)), (FactKind.DIVIDEND, Decimal(-1))]
)
def test_an_action_without_a_sensible_number_is_refused(kind: FactKind, value: Decimal | None) -> None:
    with pytest.raises(DataError, match="is not positive"):
        entered().ledger.apply_action(replace(action(kind, 1), value=value), START)


def test_news_is_no_corporate_action() -> None:
    with pytest.raises(DataError, match="no corporate action"):
        entered().ledger.apply_action(action(FactKind.NEWS, 1), START)


def test_the_book_shows_the_last_five_trades() -> None:
    desk = Desk()
    for number in range(0, 14, 2):
        desk.broker.submit(order(number))
        desk.step(bar(number + 1))
        left(desk, 100 + number, number + 2)
    assert len(desk.ledger.trades()) == 7
    assert desk.book.last_trades == desk.ledger.trades()[-5:]
