"""What BUY, SELL and HOLD mean in each position, and how large an order is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tape import FREE, START, Desk, bar, instrument, order

from data.model.question import Costs, Limits
from data.model.trading import Action, Book, Order, Purpose, Side
from orchestration.policy.consensus import Proposal
from orchestration.policy.sizing import orders

BUY, SELL, HOLD = Action
OPEN, CLOSE = Purpose


def holding(quantity: int) -> Book:
    """The book with so many shares of X at 100, out of 10000."""
    desk = Desk(cash=10_000)
    if quantity:
        desk.broker.submit(order(0, Side.BUY if quantity > 0 else Side.SELL, abs(quantity)))
        desk.step(bar(1))
    return desk.book


def ordered(
    proposal: Proposal,
    book: Book,
    *,
    price: object = 100,
    limits: Limits | None = None,
    costs: Costs = FREE,
    lot: object = 1,
    least: object = 0,
) -> tuple[list[Order], list[str]]:
    made, clamps = orders(
        proposal, book, instrument(lot=lot, least=least), Decimal(str(price)), limits or Limits(), costs
    )
    return list(made), [clamp.rule for clamp in clamps]


@pytest.mark.parametrize(
    ("quantity", "action", "allow_short", "expected"),
    [
        (0, BUY, False, (Side.BUY, 100, OPEN)),
        (0, SELL, False, None),
        (0, SELL, True, (Side.SELL, 100, OPEN)),
        (0, HOLD, True, None),
        (7, BUY, True, None),
        (7, SELL, False, (Side.SELL, 7, CLOSE)),
        (7, HOLD, True, None),
        (-7, BUY, False, (Side.BUY, 7, CLOSE)),
        (-7, SELL, True, None),
        (-7, HOLD, True, None),
    ],
)
def test_the_meaning_of_each_action(
    quantity: int, action: Action, allow_short: bool, expected: tuple[Side, int, Purpose] | None
) -> None:
    proposal = Proposal(action, Decimal(1), None, Decimal("0.02"), Decimal("0.03"))
    made, _ = ordered(proposal, holding(quantity), limits=Limits(allow_short=allow_short))
    assert [(each.side, each.quantity, each.purpose) for each in made] == ([] if expected is None else [expected])
    for each in made:
        protects = each.purpose is OPEN
        assert (each.stop_loss, each.take_profit) == ((Decimal("0.02"), Decimal("0.03")) if protects else (None, None))


def test_an_order_is_named_after_symbol_and_instant() -> None:
    (made,), _ = ordered(Proposal(BUY, Decimal(1)), holding(0))
    assert (made.order_id, made.decided_at) == ("X@2025-01-01T00:00:00Z#1", START)


@pytest.mark.parametrize(
    ("size", "position_size", "quantity"), [(None, "1", 100), ("0.5", "1", 50), ("0.5", "0.5", 25), (None, "0.333", 33)]
)
def test_the_agents_size_scales_the_position_size(size: str | None, position_size: str, quantity: int) -> None:
    proposal = Proposal(BUY, Decimal(1), None if size is None else Decimal(size))
    (made,), clamps = ordered(proposal, holding(0), limits=Limits(position_size=Decimal(position_size)))
    assert (made.quantity, clamps) == (quantity, [])


def test_costs_are_reserved() -> None:
    (made,), _ = ordered(Proposal(BUY, Decimal(1)), holding(0), costs=Costs(), lot="0.00000001")
    assert made.quantity == Decimal("99.88012387")  # 10000 / (100 * 1.0002 * 1.001), rounded down


def test_size_is_a_part_of_equity_not_of_cash() -> None:
    book = replace(holding(0), buying_power=Decimal(2_500))
    (made,), clamps = ordered(Proposal(BUY, Decimal(1), Decimal("0.2")), book)
    assert (made.quantity, clamps) == (20, [])
    (made,), clamps = ordered(Proposal(BUY, Decimal(1), Decimal("0.4")), book)
    assert (made.quantity, clamps) == (25, ["buying_power"])


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        ({"price": 10_001}, ["minimum"]),
        ({"least": 10_001}, ["minimum"]),
        ({"price": 0}, ["no_price"]),
        ({"price": "-37.63"}, ["no_price"]),
    ],
)
def test_no_order_without_a_lot_to_buy_or_a_price(settings: dict[str, object], rules: list[str]) -> None:
    assert ordered(Proposal(BUY, Decimal(1)), holding(0), **settings) == ([], rules)  # type: ignore[arg-type]


def test_no_size_is_no_order_and_no_clamp() -> None:
    assert ordered(Proposal(BUY, Decimal(1), Decimal(0)), holding(0)) == ([], [])


@pytest.mark.parametrize("free", ["0", "-500"])
def test_without_buying_power_there_is_no_order(free: str) -> None:
    book = replace(holding(0), buying_power=Decimal(free))
    assert ordered(Proposal(BUY, Decimal(1)), book) == ([], ["buying_power", "minimum"])


@given(
    st.integers(1, 10**12).map(lambda number: Decimal(number).scaleb(-6)),
    st.integers(1, 10**13).map(lambda number: Decimal(number).scaleb(-8)),
    st.sampled_from(["1", "0.01", "0.00000001"]),
    st.integers(0, 1000).map(Decimal),
)
def test_at_an_unmoved_price_the_whole_order_fills(equity: Decimal, price: Decimal, lot: str, bps: Decimal) -> None:
    costs = Costs(commission_bps=bps, slippage_bps=bps)
    desk = Desk({"X": instrument(lot=lot)}, costs, equity, cap=Decimal(1))
    for made in orders(Proposal(BUY, Decimal(1)), desk.book, instrument(lot=lot), price, Limits(), costs)[0]:
        assert made.quantity % Decimal(lot) == 0
        desk.broker.submit(made)
        outcome = desk.step(bar(0, (price,) * 4, volume=10**25))
        missed = sum((ended.quantity for ended in outcome.cancellations), Decimal(0))
        # Price, value and commission are each rounded at 1e-8, which only very small ones can feel.
        assert missed <= 2 * Decimal(lot) + (made.quantity + 2) * Decimal("1e-8") / price
