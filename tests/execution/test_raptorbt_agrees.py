"""The step broker's fills against those of raptorbt, an engine that nobody here wrote.

It reads float64 and signals: enter or leave at the next bar's open, stop and target as fractions of the entry. An entry
signal counts for it only after a leave signal, whether or not a stop came between, so signals alternate here. Stops and
targets are compared without slippage, since raptorbt lets targets slip too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from tape import PLENTY, START, Desk, Prices, bar, dec, instrument, real_bars
from twins import Strategy, kernel_played

from data.model.instants import Interval
from data.model.market import AssetClass
from data.model.question import Costs, Limits
from data.model.trading import Action, FillReason, Trade
from orchestration.policy.consensus import Proposal
from orchestration.policy.sizing import orders

os.environ["RAPTORBT_NO_VERSION_CHECK"] = "1"  # it would ask the network for its latest version
import raptorbt

CASH = 10_000
REASONS = {FillReason.ORDER: "Signal", FillReason.STOP: "StopLoss", FillReason.TARGET: "TakeProfit"}


class Plan(NamedTuple):
    """What to do at the close of each bar, and under which rules. `side` is 1 for long, -1 for short."""

    enter: list[bool]
    leave: list[bool]
    side: int = 1
    stop: str | None = None
    target: str | None = None
    costs: Costs = Costs(commission_bps=Decimal(0), slippage_bps=Decimal(0))


def ours(tape: Sequence[Prices], plan: Plan) -> list[Trade]:
    """Every trade of the step broker, entered with all the equity there is."""
    coin = instrument(lot="0.00000001", kind=AssetClass.CRYPTO)
    desk = Desk({"X": coin}, plan.costs, CASH)
    limits = Limits(allow_short=True)
    into, out = (Action.BUY, Action.SELL) if plan.side > 0 else (Action.SELL, Action.BUY)
    for number, prices in enumerate(tape):
        now = bar(number, prices, PLENTY)
        desk.step(now)
        wanted = out if desk.held() and plan.leave[number] else into if plan.enter[number] else Action.HOLD
        levels = (None if each is None else dec(each) for each in (plan.stop, plan.target))
        proposal = Proposal(wanted, Decimal(1), None, *levels)
        for order in orders(proposal, desk.ledger.book(now.known_at), coin, now.close, limits, plan.costs)[0]:
            desk.broker.submit(order)
    return list(desk.ledger.trades())


def theirs(tape: Sequence[Prices], plan: Plan) -> list[raptorbt.Trade]:
    """The closed trades of raptorbt."""
    opens, highs, lows, closes = (np.array(column, dtype=float) for column in zip(*tape, strict=True))
    config = raptorbt.BacktestConfig(
        initial_capital=float(CASH),
        fees=float(plan.costs.commission_bps) / 1e4,
        slippage=float(plan.costs.slippage_bps) / 1e4,
        fill_timing="next_bar_open",
    )
    if plan.stop:
        config.set_fixed_stop(float(plan.stop))
    if plan.target:
        config.set_fixed_target(float(plan.target))
    result = raptorbt.run_single_backtest(
        (np.arange(len(tape)) * 3_600_000_000_000).astype(np.int64),
        opens,
        highs,
        lows,
        closes,
        np.full(len(tape), float(PLENTY)),
        np.array(plan.enter),
        np.array(plan.leave),
        direction=plan.side,
        config=config,
    )
    return [trade for trade in result.trades() if trade.exit_reason in REASONS.values()]


def of_the_kernel(tape: Sequence[Prices], plan: Plan) -> list[tuple[int, int, str, float, float]]:
    """Every trade of the kernel: bars of entry and exit, what ended it, and its prices."""
    bars = [bar(number, prices, PLENTY) for number, prices in enumerate(tape)]
    levels = (None if each is None else dec(each) for each in (plan.stop, plan.target))
    signal = np.where(plan.enter, plan.side, np.where(plan.leave, -plan.side, 0))
    coin = instrument(lot="0.00000001", kind=AssetClass.CRYPTO)
    limits = Limits(allow_short=plan.side < 0)
    played = kernel_played(bars, Strategy(signal.tolist(), coin, Decimal(CASH), plan.costs, limits, *levels))
    reasons = [list(REASONS.values())[code] for code in played.reason[1::2]]
    pairs = (played.bar[:-1:2], played.bar[1::2], reasons, played.price[:-1:2], played.price[1::2])
    return list(zip(*(each[: len(reasons)] for each in pairs), strict=True))


def agree(tape: Sequence[Prices], plan: Plan) -> int:
    """Compares trade by trade; returns how many there were."""
    mine, other = ours(tape, plan), theirs(tape, plan)
    assert len(mine) == len(other)
    for trade, twin in zip(mine, other, strict=True):
        assert (trade.entry_at - START) / Interval.H1.length == twin.entry_idx
        assert REASONS[trade.reason] == twin.exit_reason
        assert float(trade.entry_price) == pytest.approx(twin.entry_price, rel=1e-7)
        assert float(trade.exit_price) == pytest.approx(twin.exit_price, rel=1e-7)
    if plan.side > 0 or not (plan.stop or plan.target):
        # A short's stop makes what would leave it a BUY with nothing held, which a signal alone takes for an entry.
        for found, twin in zip(of_the_kernel(tape, plan), other, strict=True):
            assert found[:3] == (twin.entry_idx, twin.exit_idx, twin.exit_reason)
            assert found[3:] == pytest.approx((twin.entry_price, twin.exit_price), rel=1e-7)
    return len(mine)


def walk(dice: Random, bars: int) -> list[Prices]:
    """A random walk with gaps between bars, in cents."""
    tape, last = [], 100.0
    for _ in range(bars):
        opened = max(last * (1 + dice.gauss(0, 0.01)), 1.0)
        last = max(opened * (1 + dice.gauss(0, 0.02)), 1.0)
        high, low = max(opened, last) * (1 + dice.random() / 50), min(opened, last) * (1 - dice.random() / 50)
        tape.append(tuple(round(price, 2) for price in (opened, high, low, last)))
    return tape


def alternating(dice: Random, bars: int, longest: int) -> tuple[list[bool], list[bool]]:
    """Enter, leave, enter, …, each a random number of bars after the other."""
    enter, leave = [False] * bars, [False] * bars
    place, turn = dice.randint(0, 5), 0
    while place < bars:
        (enter, leave)[turn % 2][place] = True
        place, turn = place + dice.randint(1, longest), turn + 1
    return enter, leave


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("seed", range(20))
def test_stops_and_targets_of_random_tapes(seed: int, side: int) -> None:
    dice = Random(seed)
    levels = dice.choice([("0.02", "0.03"), ("0.05", None), (None, "0.04"), ("0.1", "0.01"), (None, None)])
    tape = walk(dice, 300)
    assert agree(tape, Plan(*alternating(dice, 300, 12), side, *levels)) > 5


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("seed", range(10))
def test_costs_of_random_tapes(seed: int, side: int) -> None:
    dice = Random(seed)
    tape, costs = walk(dice, 300), Costs(commission_bps=Decimal(10), slippage_bps=Decimal(5))
    plan = Plan(*alternating(dice, 300, 12), side, costs=costs)
    assert agree(tape, plan) > 5


def test_the_first_trade_has_the_same_profit_after_costs() -> None:
    dice = Random(3)
    tape, costs = walk(dice, 40), Costs(commission_bps=Decimal(10), slippage_bps=Decimal(5))
    tape[6] = (tape[5][3], *tape[6][1:])  # no gap before the fill, so that both buy for all the cash there is
    plan = Plan([number == 5 for number in range(40)], [number == 30 for number in range(40)], costs=costs)
    (mine,), (twin,) = ours(tape, plan), theirs(tape, plan)
    assert float(mine.quantity) == pytest.approx(twin.size, rel=1e-6)
    assert float(mine.profit) == pytest.approx(twin.pnl, rel=1e-6)


def test_real_bars(shared_data: Path) -> None:
    bars = list(real_bars(shared_data / "crypto_spot" / "BTCUSDT_1h_2025-03-01_2025-04-15.csv", Interval.H1))
    tape = [(each.open, each.high, each.low, each.close) for each in bars]
    closes = np.array([float(each.close) for each in bars])
    fast, slow = (np.convolve(closes, np.full(span, 1 / span))[: closes.size] for span in (10, 30))
    above = fast > slow
    crossed = np.diff(above, prepend=False)
    plan = Plan((crossed & above).tolist(), (crossed & ~above).tolist(), stop="0.015", target="0.03")
    assert agree(tape, plan) > 20
