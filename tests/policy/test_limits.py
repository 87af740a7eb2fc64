"""Limits: each rule by example, and that they are idempotent and only ever shrink."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markets import market, opinion
from tape import FREE, START, Desk, bar, instrument, order

from data.model.decisions import Clamp, Role
from data.model.question import Limits
from data.model.trading import Action, Book, Purpose, Side
from orchestration.policy.consensus import Proposal, from_decision_agent
from orchestration.policy.limits import apply_limits
from orchestration.policy.sizing import orders

ONE = Decimal(1)
SHORTS = Limits(allow_short=True)


def flat(buying_power: object = 1000, equity: object = 1000) -> Book:
    free, worth = Decimal(str(buying_power)), Decimal(str(equity))
    return Book(START, worth, worth, Decimal(0), free)


def bounded(proposal: Proposal, limits: Limits = SHORTS, book: Book | None = None) -> tuple[Proposal, list[Clamp]]:
    after, clamps = apply_limits(proposal, book or flat(), "X", limits)
    return after, list(clamps)


def buy(**fields: object) -> Proposal:
    return replace(Proposal(Action.BUY, ONE), **fields)  # type: ignore[arg-type]


def test_what_is_within_the_limits_stays_as_it_is() -> None:
    proposal = buy(size=ONE, stop_loss=Decimal("0.02"), take_profit=Decimal("0.05"))
    assert bounded(proposal) == (proposal, [])


@pytest.mark.parametrize(("size", "after"), [("1.5", "1"), ("-0.5", "0")])
def test_a_size_is_a_fraction(size: str, after: str) -> None:
    proposal, clamps = bounded(buy(size=Decimal(size)))
    assert proposal.size == Decimal(after)
    assert clamps == [Clamp("fraction", "size", size, after)]


def test_a_sell_of_nothing_is_nothing_where_shorts_are_not_allowed() -> None:
    proposal, clamps = bounded(replace(buy(), action=Action.SELL), Limits())
    assert (proposal.action, proposal.size) == (Action.SELL, 0)
    assert clamps == [Clamp("no_short", "size", "none", "0")]


@pytest.mark.parametrize(
    ("stop", "after"), [("0", "0.001"), ("0.0005", "0.001"), ("0.9", "0.5"), ("-1", "0.001"), ("0.5", "0.5")]
)
def test_a_stop_is_neither_on_the_price_nor_out_of_sight(stop: str, after: str) -> None:
    proposal, clamps = bounded(buy(stop_loss=Decimal(stop)))
    assert proposal.stop_loss == Decimal(after)
    assert [clamp.rule for clamp in clamps] == (["stop_distance"] if stop != after else [])


@pytest.mark.parametrize(
    ("action", "target", "after"),
    [
        (Action.BUY, "0", None),
        (Action.BUY, "-0.1", None),
        (Action.BUY, "0.0001", "0.001"),
        (Action.BUY, "1.5", "1.5"),
        (Action.BUY, "1000", None),
        (Action.SELL, "0.99", "0.99"),
        (Action.SELL, "1", None),
    ],
)
def test_a_target_is_a_price_that_can_be_reached(action: Action, target: str, after: str | None) -> None:
    proposal, clamps = bounded(replace(buy(take_profit=Decimal(target)), action=action))
    assert proposal.take_profit == (None if after is None else Decimal(after))
    assert [clamp.after for clamp in clamps] == ([after or "none"] if target != after else [])


@pytest.mark.parametrize(
    ("most", "size", "free", "after"),
    [
        ("0.5", None, 1000, "0.5"),
        ("0.5", "0.4", 1000, "0.4"),
        ("0.5", "0.4", 700, "0.2"),  # 300 of 1000 are in use, by positions or by orders of the same bar
        ("0.5", "1", 300, "0"),
        ("1", "1", 300, "1"),
    ],
)
def test_exposure_is_bounded_over_all_positions(most: str, size: str | None, free: int, after: str) -> None:
    limits = Limits(max_exposure=Decimal(most))
    proposal, _ = bounded(buy(size=None if size is None else Decimal(size)), limits, flat(free))
    assert proposal.size == Decimal(after)


def test_a_position_that_is_held_is_never_kept_from_closing() -> None:
    desk = Desk(cash=1000)
    desk.broker.submit(order(0))
    desk.step(bar(1))
    wild = Proposal(Action.SELL, ONE, Decimal(9), Decimal(9), Decimal(0))
    limits = Limits(max_exposure=Decimal(0), position_size=Decimal(0))
    assert apply_limits(wild, desk.book, "X", limits) == (wild, ())
    (leave,), clamps = orders(wild, desk.book, instrument(), Decimal(100), limits, desk.costs)
    assert (leave.side, leave.quantity, leave.purpose, clamps) == (Side.SELL, 10, Purpose.CLOSE, ())


@given(st.integers(0, 2**32), st.integers(0, 1200), st.integers(1, 1000))
def test_twice_is_once_and_only_shrinks(seed: int, free: int, equity: int) -> None:
    dice = Random(seed)
    limits, book, coin = market(seed, 0).limits, flat(free, equity), instrument(lot="0.00000001")
    limits = limits.model_copy(update={"min_stop": Decimal(dice.choice(["0", "0.001", "0.6", "1"]))})
    proposal = from_decision_agent({Role.DECISION: opinion(dice)})
    assert proposal is not None
    once, clamps = apply_limits(proposal, book, "X", limits)
    assert apply_limits(once, book, "X", limits) == (once, ())
    assert once.action is proposal.action
    assert (once == proposal) is (not clamps)

    def value(of: Proposal) -> Decimal:
        ordered, _ = orders(of, book, coin, Decimal(7), limits, FREE)
        return sum((each.quantity * 7 for each in ordered), Decimal(0))

    assert value(once) <= value(proposal)
    assert value(once) <= max(limits.max_exposure * equity - (equity - free), 0)
    assert value(once) <= limits.position_size * equity
