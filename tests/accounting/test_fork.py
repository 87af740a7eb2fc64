"""A forked account plays on by itself: what it would come to, without a trace in the one it came from."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from markets import INSTRUMENTS, Market, markets
from tape import START, Desk, action, bar, order

from backtesting.accounting.account import Account
from backtesting.accounting.ledger import CashLedger
from backtesting.execution.broker import StepBroker
from backtesting.execution.costs import proportional_costs
from data.model.canonical import digest
from data.model.decisions import Role
from data.model.market import FactKind
from data.model.trading import Purpose, Side
from orchestration.policy.decide import decide


class Stage:
    """A market played through an account; `told` is all it gave, with what it recorded."""

    def __init__(self, market: Market) -> None:
        self.market = market
        broker = StepBroker(INSTRUMENTS, proportional_costs(market.costs), market.limits.volume_cap)
        self.told: list[object] = []
        self.account = Account(broker, CashLedger(market.cash, INSTRUMENTS), lambda *said: self.told.append(said))

    def step(self, account: Account, number: int, *, decides: bool = True) -> list[object]:
        """Plays one step; returns what there is to see of it."""
        turns, seen = self.market.steps[number], []
        for turn in turns:
            for fact in turn.actions:
                account.act(fact, turn.bar.open_time)
            seen.append(account.meet(turn.bar))
        seen.append(account.mark({turn.bar.symbol: turn.bar for turn in turns}, bar(number).known_at))
        book = account.book(bar(number).known_at)
        for turn in turns if decides else ():
            symbol, close, market = turn.bar.symbol, turn.bar.close, self.market
            said, which = {Role.DECISION: turn.said}, INSTRUMENTS[symbol]
            made = decide(
                symbol, turn.bar.known_at, said, "group_chat", book, close, which, market.limits, market.costs
            )
            for each in made.orders:
                account.submit(each)
        return [*seen, book]


@settings(max_examples=150, deadline=None)
@given(markets(), st.integers(0, 24), st.booleans())
def test_a_fork_leaves_no_trace_and_comes_to_the_same(market: Market, at: int, decides: bool) -> None:
    alone, forked = Stage(market), Stage(market)
    at, steps = min(at, len(market.steps)), range(len(market.steps))
    before = [forked.step(forked.account, number) for number in steps[:at]]
    recorded = digest(forked.told)
    ahead = forked.account.fork()
    foreseen = [forked.step(ahead, number, decides=decides) for number in steps[at:]]
    ahead.expire(START)
    assert digest(forked.told) == recorded
    after = [forked.step(forked.account, number) for number in steps[at:]]
    assert digest(before + after) == digest([alone.step(alone.account, number) for number in steps])
    assert digest(forked.told) == digest(alone.told)
    if decides:
        assert digest(foreseen) == digest(after)


def account_in_x() -> Account:
    """Long ten X with a stop, and an order that waits to close them."""
    desk = Desk()
    account = Account(desk.broker, desk.ledger)
    account.submit(order(0, stop="0.02"))
    account.meet(bar(1))
    account.mark({"X": bar(1)}, bar(1).known_at)
    account.submit(order(1, Side.SELL, purpose=Purpose.CLOSE))
    return account


def test_what_waits_waits_on_in_both() -> None:
    account = account_in_x()
    ahead = account.fork()
    assert [fill.price for fill in ahead.meet(bar(2, (110, 110, 110, 110))).fills] == [110]
    assert ahead.book(START).positions == ()
    assert account.book(START).positions[0].quantity == 10
    assert [fill.price for fill in account.meet(bar(2, (120, 120, 120, 120))).fills] == [120]
    assert [each.ledger.trades()[0].exit_price for each in (account, ahead)] == [120, 110]


def test_a_split_ahead_leaves_the_shares_that_are_held() -> None:
    account = account_in_x()
    ahead = account.fork()
    ahead.act(action(FactKind.SPLIT, 2), START)
    assert (ahead.book(START).positions[0].quantity, ahead.book(START).positions[0].stop_price) == (20, 49)
    assert (account.book(START).positions[0].quantity, account.book(START).positions[0].stop_price) == (10, 98)
    assert [fill.quantity for fill in account.meet(bar(2)).fills] == [10]


def test_orders_that_were_replaced_before_the_fork_end_in_both() -> None:
    account = account_in_x()
    account.submit(order(1, Side.SELL, 5, purpose=Purpose.CLOSE))
    ahead = account.fork()
    assert len(ahead.meet(bar(2)).cancellations) == len(account.meet(bar(2)).cancellations) == 1


def test_each_round_trip_is_told_once_though_its_bar_was_foreseen() -> None:
    account = account_in_x()
    told: list[str] = []
    account.record = lambda kind, _value: told.append(kind)
    ahead = account.fork()
    for each in (ahead, account):
        each.meet(bar(2))
        assert [trade.profit for trade in each.mark({"X": bar(2)}, bar(2).known_at)[1]] == [Decimal(0)]
        assert each.mark({"X": bar(3)}, bar(3).known_at)[1] == ()
    assert told == ["fill", "trade"]
