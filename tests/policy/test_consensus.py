"""From four answers to one proposal."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markets import opinion

from data.model.decisions import Abstention, Opinion, Role
from data.model.trading import Action
from orchestration.policy.consensus import Proposal, from_decision_agent, weigh

TECHNICAL, FUNDAMENTAL, PORTFOLIO, DECISION = Role


def said(role: Role, action: Action, confidence: str, **more: str) -> Opinion:
    levels = {name: Decimal(value) for name, value in more.items()}
    return Opinion(role, action, Decimal(confidence), (f"{role} said so",), **levels)  # type: ignore[arg-type]


def by_role(*answers: Opinion | Abstention) -> dict[Role, Opinion | Abstention]:
    return {answer.role: answer for answer in answers}


def test_the_decision_agent_is_taken_at_its_word() -> None:
    word = said(DECISION, Action.SELL, "0.7", size="0.5", stop_loss="0.02", take_profit="0.1")
    answers = by_role(said(TECHNICAL, Action.BUY, "1"), word)
    assert from_decision_agent(answers) == Proposal(
        Action.SELL, Decimal("0.7"), Decimal("0.5"), Decimal("0.02"), Decimal("0.1"), ("decision said so",)
    )


@pytest.mark.parametrize(
    "answers", [{}, by_role(Abstention(DECISION, "no")), by_role(said(TECHNICAL, Action.BUY, "1"))]
)
def test_without_the_decision_agent_there_is_no_proposal(answers: dict[Role, Opinion | Abstention]) -> None:
    assert from_decision_agent(answers) is None


def test_confidence_outvotes_numbers() -> None:
    vote = weigh(
        by_role(
            said(TECHNICAL, Action.BUY, "0.9"),
            said(FUNDAMENTAL, Action.SELL, "0.3"),
            said(PORTFOLIO, Action.SELL, "0.4"),
            Abstention(DECISION, "no fact"),
        )
    )
    assert (vote.action, vote.confidence) == (Action.BUY, Decimal("0.3"))
    assert vote.reasons == ("Technical Analyst: technical said so",)


def test_size_and_stops_are_the_winners_weighted_means() -> None:
    vote = weigh(
        by_role(
            said(TECHNICAL, Action.BUY, "0.8"),
            said(PORTFOLIO, Action.BUY, "0.6", size="1", stop_loss="0.02"),
            said(DECISION, Action.BUY, "0.2", size="0.2", stop_loss="0.06"),
            said(FUNDAMENTAL, Action.HOLD, "0.1", size="0.9", take_profit="0.5"),
        )
    )
    assert (vote.size, vote.stop_loss, vote.take_profit) == (Decimal("0.8"), Decimal("0.03"), None)
    assert vote.confidence == Decimal("0.4")


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (by_role(said(TECHNICAL, Action.BUY, "0.5"), said(DECISION, Action.SELL, "0.5")), "no action outweighs"),
        (by_role(said(TECHNICAL, Action.BUY, "0")), "no action outweighs"),
        (by_role(Abstention(TECHNICAL, "no"), Abstention(DECISION, "no")), "no agent had an opinion"),
        ({}, "no agent had an opinion"),
    ],
)
def test_a_tie_and_silence_hold(answers: dict[Role, Opinion | Abstention], why: str) -> None:
    vote = weigh(answers)
    assert (vote.action, vote.confidence) == (Action.HOLD, 0)
    assert vote.reasons[0].startswith(why)


@given(st.integers(0, 2**32), st.permutations(list(Role)))
def test_the_order_of_answers_changes_nothing(seed: int, order: list[Role]) -> None:
    dice = Random(seed)
    answers = {role: opinion(dice, role) for role in Role if dice.random() < 0.8}
    vote = weigh(answers)
    assert weigh({role: answers[role] for role in order if role in answers}) == vote
    assert 0 <= vote.confidence <= 1
    winners = [each for each in answers.values() if each.action is vote.action]
    given_sizes = [each.size for each in winners if each.size is not None]
    assert vote.size is None or min(given_sizes) <= vote.size <= max(given_sizes)


def test_any_number_of_digits_is_taken() -> None:
    long = "0.3333333333333333333333333333333333333333333333333333333333333333333333333"
    for answers in (
        by_role(said(DECISION, Action.BUY, long, size=long, stop_loss=long, take_profit="1e70")),
        by_role(said(DECISION, Action.BUY, "1e-300", size="1e-300", stop_loss="1e-300", take_profit="-1e70")),
    ):
        for proposal in (from_decision_agent(answers), weigh(answers)):
            assert proposal is not None
            assert proposal.confidence in (Decimal("0.33333333"), 0)
