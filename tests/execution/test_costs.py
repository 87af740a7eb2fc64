"""Costs of a fill, and how much of an order a budget pays for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.execution.costs import CostModel, ProportionalCommission, ProportionalSlippage, proportional_costs
from data.model.money import value_of
from data.model.question import Costs
from data.model.trading import Side

LOTS = [Decimal(1), Decimal("0.01"), Decimal("0.00000001")]
amounts = st.integers(1, 10**13).map(lambda number: Decimal(number).scaleb(-8))


@dataclass(frozen=True)
class Ticket:
    """A fee of a fixed amount a fill, whatever its size: another model than the house's own."""

    fee: Decimal

    def commission(self, quantity: Decimal, price: Decimal) -> Decimal:
        return self.fee


def test_the_default_costs_are_ten_and_two_basis_points() -> None:
    model = proportional_costs(Costs())
    assert model.commission.commission(Decimal(3), Decimal(1000)) == 3
    assert model.slippage.price(Side.BUY, Decimal(1000)) == Decimal("1000.2")
    assert model.slippage.price(Side.SELL, Decimal(1000)) == Decimal("999.8")


@pytest.mark.parametrize(
    ("price", "expected"), [("0.00000005", "0"), ("0.00000015", "0.00000002"), ("0.00000025", "0.00000002")]
)
def test_cash_is_rounded_half_to_even_at_eight_decimals(price: str, expected: str) -> None:
    assert ProportionalCommission(Decimal(1000)).commission(Decimal(1), Decimal(price)) == Decimal(expected)


@given(st.integers(1, 10**9), amounts, amounts, st.sampled_from(LOTS), st.integers(0, 1000).map(Decimal))
def test_what_is_affordable_fits_the_budget_and_hardly_more_would(
    lots: int, price: Decimal, budget: Decimal, lot: Decimal, bps: Decimal
) -> None:
    fee, quantity = ProportionalCommission(bps), lots * lot
    held = CostModel(fee, ProportionalSlippage(bps)).affordable(quantity, price, lot, budget)
    assert 0 <= held <= quantity
    assert held % lot == 0
    assert not held or value_of(held, price) + fee.commission(held, price) <= budget
    more = held + 2 * lot + Decimal("0.0000001") / price
    assert more > quantity or value_of(more, price) + fee.commission(more, price) > budget


@pytest.mark.parametrize(("budget", "expected"), [("1000", 9), ("100", 0), ("99", 0), ("0", 0), ("-5", 0), ("201", 1)])
def test_a_fixed_fee_leaves_less_to_buy_with(budget: str, expected: int) -> None:
    model = CostModel(Ticket(Decimal(100)), ProportionalSlippage(Decimal(0)))
    assert model.affordable(Decimal(50), Decimal(100), Decimal(1), Decimal(budget)) == expected
