"""From four answers to one proposal: what the decision agent says, or a vote of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from data.model.decisions import Abstention, Opinion, Role
from data.model.money import ZERO, exactly, money, quotient
from data.model.trading import Action

MOST = Decimal(1000)
"""No fraction that an agent proposes is taken for more than this; limits then bound it to what makes sense."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the agents want, before limits. Fractions: `size` of a full position (None is a full one), stop and target
    of the entry's price (None is none)."""

    action: Action
    confidence: Decimal
    size: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    reasons: tuple[str, ...] = ()


def from_decision_agent(answers: Mapping[Role, Opinion | Abstention]) -> Proposal | None:
    """The decision agent's word, as it is; None if it gave none."""
    said = answers.get(Role.DECISION)
    if not isinstance(said, Opinion):
        return None
    size, stop, target = _plain(said.size), _plain(said.stop_loss), _plain(said.take_profit)
    return Proposal(said.action, money(said.confidence), size, stop, target, said.reasons)


def weigh(answers: Mapping[Role, Opinion | Abstention]) -> Proposal:
    """A vote weighted by confidence; who abstains has no vote.

    The action with the most weight wins, and no action wins a tie: that is a HOLD. The confidence is the winners'
    weight over the number of votes. Size, stop and target are the means of what winners proposed, weighted likewise.
    """
    votes = [answers[role] for role in Role if role in answers]
    opinions = [vote for vote in votes if isinstance(vote, Opinion)]
    with exactly():
        weights = {a: sum((money(o.confidence) for o in opinions if o.action is a), ZERO) for a in Action}
    best = max(weights.values())
    leaders = [action for action, weight in weights.items() if weight == best]
    if not best or len(leaders) > 1:
        why = "no agent had an opinion" if not opinions else "no action outweighs the others"
        return Proposal(Action.HOLD, ZERO, reasons=(why,))
    winners = [opinion for opinion in opinions if opinion.action is leaders[0]]
    return Proposal(
        action=leaders[0],
        confidence=quotient(best, Decimal(len(opinions))),
        size=_mean(winners, lambda opinion: opinion.size),
        stop_loss=_mean(winners, lambda opinion: opinion.stop_loss),
        take_profit=_mean(winners, lambda opinion: opinion.take_profit),
        reasons=tuple(f"{o.role.shown}: {reason}" for o in winners for reason in o.reasons),
    )


def _mean(opinions: list[Opinion], read: Callable[[Opinion], Decimal | None]) -> Decimal | None:
    """None if nobody proposed one. All winners of no confidence at all never get here: their weight is zero."""
    given = [(value, money(opinion.confidence)) for opinion in opinions if (value := _plain(read(opinion))) is not None]
    with exactly():
        weight = sum((confidence for _, confidence in given), ZERO)
        total = sum((value * confidence for value, confidence in given), ZERO)
    return quotient(total, weight) if weight else None


def _plain(value: Decimal | None) -> Decimal | None:
    """Eight decimals of it: a model may write any number of digits, and arithmetic is exact from here on."""
    return None if value is None else money(max(min(value, MOST), -MOST))
