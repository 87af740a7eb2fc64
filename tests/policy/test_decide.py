"""From answers to a decision in one step: what is kept, and what is a failure instead of a HOLD."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Literal

import pytest
from tape import START, Desk, bar, instrument

from data.model.decisions import Abstention, Clamp, Decision, DecisionStatus, FailureReason, Opinion, Role
from data.model.question import Costs, Limits
from data.model.trading import Action, Purpose, Side
from orchestration.policy.decide import decide

AS_OF = bar(4).known_at
Answers = dict[Role, Opinion | Abstention]


def decided(
    answers: Answers, protocol: Literal["group_chat", "consensus"] = "group_chat", limits: Limits | None = None
) -> Decision:
    return decide("X", AS_OF, answers, protocol, Desk().book, Decimal(100), instrument(), limits or Limits(), Costs())


def said(role: Role, action: Action, confidence: str = "0.7") -> Opinion:
    return Opinion(role, action, Decimal(confidence), ("because",), (), Decimal("1.5"), Decimal("0.02"))


def test_a_decision_keeps_what_was_proposed_clamped_and_ordered() -> None:
    decision = decided({Role.DECISION: said(Role.DECISION, Action.BUY)})
    (order,) = decision.orders
    assert decision == Decision(
        symbol="X",
        as_of=AS_OF,
        status=DecisionStatus.DECIDED,
        action=Action.BUY,
        confidence=Decimal("0.7"),
        size=Decimal(1),
        stop_loss=Decimal("0.02"),
        reasons=("because",),
        clamps=(Clamp("fraction", "size", "1.5", "1"),),
        orders=(order,),
    )
    assert (order.side, order.quantity, order.purpose) == (Side.BUY, 998, Purpose.OPEN)
    assert (order.order_id, order.decided_at) == ("X@2025-01-01T05:00:00Z#1", AS_OF)


def test_the_protocol_chooses_who_concludes() -> None:
    answers: Answers = {
        Role.TECHNICAL: said(Role.TECHNICAL, Action.BUY, "0.9"),
        Role.FUNDAMENTAL: said(Role.FUNDAMENTAL, Action.BUY, "0.9"),
        Role.DECISION: said(Role.DECISION, Action.HOLD),
    }
    assert decided(answers).action is Action.HOLD
    assert decided(answers, "consensus").action is Action.BUY


def test_a_sell_while_flat_is_kept_as_said_and_orders_nothing() -> None:
    decision = decided({Role.DECISION: said(Role.DECISION, Action.SELL)})
    assert (decision.action, decision.size, decision.orders) == (Action.SELL, 0, ())
    assert [clamp.rule for clamp in decision.clamps] == ["fraction", "no_short"]


@pytest.mark.parametrize(
    ("answers", "protocol", "agent"),
    [
        ({}, "group_chat", None),
        ({}, "consensus", None),
        ({Role.DECISION: Abstention(Role.DECISION, "no")}, "group_chat", "Decision_Agent"),
        ({Role.TECHNICAL: said(Role.TECHNICAL, Action.BUY)}, "group_chat", "Decision_Agent"),
    ],
)
def test_silence_is_a_failure_and_never_a_hold(
    answers: Answers, protocol: Literal["group_chat", "consensus"], agent: str | None
) -> None:
    decision = decided(answers, protocol)
    assert (decision.status, decision.action, decision.orders) == (DecisionStatus.FAILED, None, ())
    assert decision.failure is not None
    assert (decision.failure.reason, decision.failure.agent) == (FailureReason.NO_COMMUNICATION, agent)


def test_when_all_abstain_the_vote_is_a_hold_by_rule() -> None:
    decision = decided({role: Abstention(role, "no fact") for role in Role}, "consensus")
    assert (decision.status, decision.action) == (DecisionStatus.DECIDED, Action.HOLD)


def test_the_instant_of_the_decision_counts_not_that_of_the_book() -> None:
    book = replace(Desk().book, as_of=START)
    decision = decide(
        "X",
        AS_OF,
        {Role.DECISION: said(Role.DECISION, Action.BUY)},
        "group_chat",
        book,
        Decimal(100),
        instrument(),
        Limits(),
        Costs(),
    )
    assert decision.orders[0].decided_at == AS_OF
