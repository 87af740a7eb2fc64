"""How many bars a second an account plays, with stops and targets, exact money and its ledger, beside plain floats.

The bars are real ones, laid end to end until there are enough. Once a week a position is opened with all there is, if
none is held, and its stop or its target ends it. The reference is the shortest loop over floats that does as much with
prices: it knows no fees, no caps, no lots, no orders, and keeps no account of anything but its equity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import islice

from backtesting.accounting.account import Account
from backtesting.accounting.ledger import CashLedger
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from benchmarks.place import Place
from benchmarks.rows import Goal, Row, in_turn, middle, spent
from data.model.market import ALWAYS_OPEN, AssetClass, Bar, Instrument
from data.model.question import Costs, Limits
from data.model.trading import Action, FillReason
from orchestration.policy.consensus import Proposal
from orchestration.policy.sizing import orders

BARS = 100_000
WEEK = 168
CASH, STOP, TARGET = Decimal(10_000), Decimal("0.05"), Decimal("0.1")
TO_REACH = Goal(700_000, at_least=True)
BUY = Proposal(Action.BUY, Decimal(1), None, STOP, TARGET)


def rows(place: Place) -> Iterator[Row]:
    """Bars a second of CPU."""
    bars = tiled(place.bars, BARS)
    floats = [(float(bar.open), float(bar.high), float(bar.low), float(bar.close)) for bar in bars]
    found = in_turn(
        {
            "unread": lambda: BARS / spent(lambda: _account(bars, read=False)).cpu,
            "read": lambda: BARS / spent(lambda: _account(bars, read=True)).cpu,
            "floats": lambda: BARS / spent(lambda: _floats(floats)).cpu,
        },
        place.rounds,
        place.tell,
    )
    plain, against = middle(found["floats"]), "a plain Python loop over floats without ledger"
    name = "step broker with stops, exact money and ledger"
    yield Row(name, middle(found["unread"]), "bars/s", against, plain, TO_REACH)
    yield Row(f"{name}, every equity row read", middle(found["read"]), "bars/s", against, plain)


def tiled(bars: Sequence[Bar], count: int) -> list[Bar]:
    """The bars again and again, each time later by their whole span."""
    span = bars[-1].known_at - bars[0].open_time
    again = (
        replace(bar, open_time=bar.open_time + turn * span, known_at=bar.known_at + turn * span)
        for turn in range(count // len(bars) + 1)
        for bar in bars
    )
    return list(islice(again, count))


def _account(bars: Sequence[Bar], *, read: bool) -> Decimal:
    """The last equity of an exact account."""
    symbol = bars[0].symbol
    coin = Instrument(symbol, AssetClass.CRYPTO, ALWAYS_OPEN, "USD", Decimal("0.01"), Decimal("1e-8"))
    instruments, costs, limits = {symbol: coin}, Costs(), Limits()
    account = Account(
        StepBroker(instruments, proportional_costs(costs), limits.volume_cap), CashLedger(CASH, instruments)
    )
    equity, is_flat = [], True
    for number, bar in enumerate(bars):
        for fill in account.meet(bar).fills:
            is_flat = fill.reason is not FillReason.ORDER
        row, _ = account.mark({symbol: bar}, bar.known_at)
        if read:
            equity.append(row.equity)
        if is_flat and not number % WEEK:
            for order in orders(BUY, account.book(bar.known_at), coin, bar.close, limits, costs)[0]:
                account.submit(order)
    return row.equity


def _floats(bars: Sequence[tuple[float, float, float, float]]) -> float:
    """The last equity of a loop that only looks at prices."""
    cash, held, stop, target, waits = float(CASH), 0.0, 0.0, 0.0, False
    equity = []
    for number, (opened, high, low, close) in enumerate(bars):
        if waits:
            held, cash, waits = cash / opened, 0.0, False
            stop, target = opened * (1 - float(STOP)), opened * (1 + float(TARGET))
        if held and low <= stop:
            cash, held = held * min(stop, opened), 0.0
        elif held and high >= target:
            cash, held = held * target, 0.0
        equity.append(cash + held * close)
        if not number % WEEK and not held:
            waits = True
    return equity[-1]
