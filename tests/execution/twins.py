"""The same strategy played twice: by the kernel over arrays, and by the step broker with its exact ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
from tape import FREE

from backtesting.accounting.account import Account
from backtesting.accounting.ledger import CashLedger
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from backtesting.execution.kernel import KernelResult, KernelRules, play, rules_of
from data.model.market import Bar, Instrument
from data.model.question import Costs, Limits
from data.model.trading import Action, EquityRow, Fill, FillReason, Trade
from orchestration.policy.consensus import Proposal
from orchestration.policy.limits import apply_limits
from orchestration.policy.sizing import orders

ACTIONS = {1: Action.BUY, -1: Action.SELL, 0: Action.HOLD}
LIMITS = Limits()
FEW = 2**53 / 10**8
REASONS = [FillReason.ORDER, FillReason.STOP, FillReason.TARGET]


@dataclass(frozen=True)
class Strategy:
    """What to do at the close of each bar of `X`, and under which rules."""

    actions: Sequence[int]
    instrument: Instrument
    cash: Decimal = Decimal(10_000)
    costs: Costs = FREE
    limits: Limits = LIMITS
    stop: Decimal | None = None
    target: Decimal | None = None

    @property
    def rules(self) -> KernelRules:
        return rules_of(self.cash, self.costs, self.limits, self.instrument, self.stop, self.target)


@dataclass
class Exact:
    """What the step broker and the ledger make of it."""

    fills: list[Fill] = field(default_factory=list)
    bars: list[int] = field(default_factory=list)
    rows: list[EquityRow] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    expired: bool = False


def exactly_played(bars: Sequence[Bar], strategy: Strategy) -> Exact:
    instruments = {"X": strategy.instrument}
    broker = StepBroker(instruments, proportional_costs(strategy.costs), strategy.limits.volume_cap)
    account, played = Account(broker, CashLedger(strategy.cash, instruments)), Exact()
    for number, (bar, action) in enumerate(zip(bars, strategy.actions, strict=True)):
        fills = account.meet(bar).fills
        played.fills += fills
        played.bars += [number] * len(fills)
        row, trades = account.mark({"X": bar}, bar.known_at)
        played.rows.append(row)
        played.trades += trades
        if action:
            _decide(account, bar, strategy, ACTIONS[action])
    told: list[object] = []
    account.record = lambda _kind, value: told.append(value)
    account.expire(bars[-1].known_at)
    played.expired = bool(told)
    return played


def _decide(account: Account, bar: Bar, strategy: Strategy, action: Action) -> None:
    book, proposal = account.book(bar.known_at), Proposal(action, Decimal(1), None, strategy.stop, strategy.target)
    bounded, _ = apply_limits(proposal, book, "X", strategy.limits)
    for each in orders(bounded, book, strategy.instrument, bar.close, strategy.limits, strategy.costs)[0]:
        account.submit(each)


def columns(bars: Sequence[Bar]) -> tuple[np.ndarray, ...]:
    """Open, high, low, close, volume."""
    return tuple(
        np.array([float(getattr(bar, name)) for bar in bars]) for name in ("open", "high", "low", "close", "volume")
    )


def kernel_played(bars: Sequence[Bar], strategy: Strategy) -> KernelResult:
    return play(*columns(bars), np.array(strategy.actions, dtype=np.int8), strategy.rules)


def assert_twins(bars: Sequence[Bar], strategy: Strategy, *, to_the_digit: bool = True) -> Exact:
    """Both give the same fills and the same money; returns the exact one.

    `to_the_digit`: quantities, prices, commissions and cash are the very floats that are nearest to the exact ones,
    where no amount has more digits than a float. Otherwise quantities are within a lot, the rest within 1e-9.
    """
    exact, kernel = exactly_played(bars, strategy), kernel_played(bars, strategy)
    assert kernel.bar.tolist() == exact.bars
    assert kernel.side.tolist() == [fill.side.sign for fill in exact.fills]
    assert [REASONS[code] for code in kernel.reason] == [fill.reason for fill in exact.fills]
    assert kernel.expired == exact.expired
    ours = [kernel.quantity, kernel.price, kernel.commission, [kernel.cash]]
    theirs = [[float(getattr(fill, name)) for fill in exact.fills] for name in ("quantity", "price", "commission")]
    theirs.append([float(exact.rows[-1].cash)])
    scale = max(float(strategy.cash), *(abs(float(row.cash)) for row in exact.rows))
    amounts = [Decimal(scale), *(fill.quantity * fill.price for fill in exact.fills)]
    amounts += [fill.quantity / strategy.instrument.lot / 10**8 for fill in exact.fills]
    if max(amounts) >= FEW:
        # Each sum is rounded, and what was rounded while there was much stays when there is less.
        lots, share = 0.0, 1e-6
    elif to_the_digit:
        lots, share = 0.0, 0.0
    else:
        lots, share = 1.001 * float(strategy.instrument.lot), 1e-9
    bounds = [(0.0 if lots else share, lots), (share, 0.0), (share, share * scale), (share, share * scale)]
    for mine, other, (relative, absolute) in zip(ours, theirs, bounds, strict=True):
        np.testing.assert_allclose(mine, other, rtol=relative, atol=absolute)
    np.testing.assert_allclose(kernel.equity, [float(row.equity) for row in exact.rows], rtol=1e-9, atol=1e-12 * scale)
    return exact
