"""What a fill costs: a commission in cash, and slippage in its price. Both are named, and both reach cash.

Slippage moves the price of market orders and stops against us; a target is a limit order and fills at its limit.
Limits: no spread, no market impact that grows with size, no borrowing fee for shorts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from data.model.money import BASIS_POINT, ONE, affordable, exactly, money, value_of
from data.model.question import Costs
from data.model.trading import Side


class CommissionModel(Protocol):
    """The broker's fee in cash, never negative; more for more."""

    def commission(self, quantity: Decimal, price: Decimal) -> Decimal: ...


class SlippageModel(Protocol):
    """The price after slippage, never better than `reference`."""

    def price(self, side: Side, reference: Decimal) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class ProportionalCommission:
    """`bps` basis points of the traded value."""

    bps: Decimal

    def commission(self, quantity: Decimal, price: Decimal) -> Decimal:
        with exactly():
            return money(quantity * price * self.bps * BASIS_POINT)


@dataclass(frozen=True, slots=True)
class ProportionalSlippage:
    """`bps` basis points of the price, up for a buyer and down for a seller."""

    bps: Decimal

    def price(self, side: Side, reference: Decimal) -> Decimal:
        with exactly():
            return money(reference * (ONE + side.sign * self.bps * BASIS_POINT))


@dataclass(frozen=True, slots=True)
class CostModel:
    """Both kinds of cost."""

    commission: CommissionModel
    slippage: SlippageModel

    def affordable(self, quantity: Decimal, price: Decimal, lot: Decimal, budget: Decimal) -> Decimal:
        """Whole lots, up to `quantity`, whose value and commission together stay within `budget`.

        As many as there are, but for a lot that the rounding of cash may cost.
        """
        held = min(quantity, affordable(budget, price, lot)) if quantity else quantity
        while held > 0:
            with exactly():
                total = value_of(held, price) + self.commission.commission(held, price)
                if total <= budget:
                    break
                # Scaled down in proportion: right at once for a proportional fee, and in a few rounds for any other.
                # It always shrinks, since the total is above the budget.
                held = affordable(held * budget, total, lot)
        return held


COMMISSIONS: Mapping[str, Callable[[Costs], CommissionModel]] = {
    "proportional": lambda costs: ProportionalCommission(money(costs.commission_bps)),
}
"""By the name that a question gives."""


def proportional_costs(costs: Costs) -> CostModel:
    """The cost models that a question names; basis points with eight decimals."""
    return CostModel(COMMISSIONS[costs.commission_model](costs), ProportionalSlippage(money(costs.slippage_bps)))
