"""What agents say and what becomes of it. Absence and failure are types of their own, never a neutral number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from data.model.trading import Action, Order


class Role(StrEnum):
    """The seats at the table, in speaking order."""

    TECHNICAL = "technical"
    FUNDAMENTAL = "fundamental"
    PORTFOLIO = "portfolio"
    DECISION = "decision"

    @property
    def agent(self) -> str:
        """AutoGen's name of the agent (blanks are refused there)."""
        return _AGENTS.get(self, f"{self.value.capitalize()}_Agent")

    @property
    def shown(self) -> str:
        """The name that people read."""
        return self.agent.replace("_", " ")


_AGENTS = {
    Role.TECHNICAL: "Technical_Analyst",
    Role.FUNDAMENTAL: "Fundamental_Analyst",
    Role.PORTFOLIO: "Portfolio_Manager",
}


@dataclass(frozen=True, slots=True)
class Opinion:
    """A schema-valid answer. `confidence` and `size` are fractions; stops are fractions of the entry price.

    `evidence` holds the ids of facts in the brief that it rests on. Analysts propose no size and no stops.
    """

    role: Role
    action: Action
    confidence: Decimal
    reasons: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    size: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Abstention:
    """An agent that has no opinion, by its own word or because its opinion rests on no fact it was given."""

    role: Role
    reason: str


class FailureReason(StrEnum):
    """Why a decision failed. Stable codes: they enter the result digest."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    REQUEST_REJECTED = "request_rejected"
    INVALID_RESPONSE = "invalid_response"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    WRONG_MODEL = "wrong_model"
    MALFORMED = "malformed"
    UNTRACED = "untraced"
    NO_COMMUNICATION = "no_communication"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no decision; `detail` is one line for people, never a secret."""

    reason: FailureReason
    detail: str
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Clamp:
    """Arithmetic that changed what an agent proposed: which rule, which field, before and after."""

    rule: str
    field: str
    before: str
    after: str


class DecisionStatus(StrEnum):
    DECIDED = "DECIDED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from the opinions at one instant. A FAILED one has no action and no order."""

    symbol: str
    as_of: datetime
    status: DecisionStatus
    action: Action | None = None
    confidence: Decimal | None = None
    size: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    reasons: tuple[str, ...] = ()
    clamps: tuple[Clamp, ...] = ()
    orders: tuple[Order, ...] = ()
    failure: Failure | None = None
