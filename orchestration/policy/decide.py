"""One decision: answers → proposal → limits → orders, by arithmetic alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from data.model.decisions import Abstention, Decision, DecisionStatus, Failure, FailureReason, Opinion, Role
from data.model.market import Instrument
from data.model.question import Costs, Limits
from data.model.trading import Book
from orchestration.policy.consensus import Proposal, from_decision_agent, weigh
from orchestration.policy.limits import apply_limits
from orchestration.policy.sizing import orders

Answers = Mapping[Role, Opinion | Abstention]
RULES: Mapping[str, Callable[[Answers], Proposal | None]] = {
    "group_chat": from_decision_agent,
    "consensus": weigh,
}
"""How a proposal is made of answers, by the name that `--protocol` takes."""


def decide(
    symbol: str,
    as_of: datetime,
    answers: Answers,
    protocol: str,
    book: Book,
    price: Decimal,
    instrument: Instrument,
    limits: Limits,
    costs: Costs,
) -> Decision:
    """What follows from the answers. Nobody's answer, or in a group chat none of the decision agent's, is a failure."""
    proposal = RULES[protocol](answers) if answers else None
    if proposal is None:
        silent = "the decision agent gave no decision" if protocol == "group_chat" else "no agent answered"
        failure = Failure(FailureReason.NO_COMMUNICATION, silent, Role.DECISION.agent if answers else None)
        return Decision(symbol, as_of, DecisionStatus.FAILED, failure=failure)
    book = replace(book, as_of=as_of)
    bounded, clamps = apply_limits(proposal, book, symbol, limits)
    ordered, cuts = orders(bounded, book, instrument, price, limits, costs)
    return Decision(
        symbol=symbol,
        as_of=as_of,
        status=DecisionStatus.DECIDED,
        action=bounded.action,
        confidence=bounded.confidence,
        size=bounded.size,
        stop_loss=bounded.stop_loss,
        take_profit=bounded.take_profit,
        reasons=bounded.reasons,
        clamps=(*clamps, *cuts),
        orders=ordered,
    )
