"""An agent's turn: who asks now, and what the transport found out about the answer.

The speaker's thread sets `current_turn` before the agent is asked; the transport, many library layers further down,
reads from it which slot a request belongs to and leaves there the exchange it recorded, or the failure it saw.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal

from agents.llm.models import ModelSpec
from data.model.decisions import Failure


@dataclass(frozen=True, slots=True)
class Exchange:
    """A recorded request and its recorded answer. `content` is the text that the application gets to see.

    The seqs are those of the two records, the digests lower-case hex SHA-256 of the recorded bodies. Tokens are None
    where the server did not count them, `cost_usd` where the price is unknown.
    """

    request_seq: int
    response_seq: int
    content: str
    request_sha256: str
    response_sha256: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None
    latency_s: float


@dataclass
class Turn:
    """One agent's turn in one slot. Belongs to one thread; a re-ask is another turn."""

    slot: str
    agent: str
    model: ModelSpec
    exchange: Exchange | None = None
    failure: Failure | None = None


current_turn: ContextVar[Turn | None] = ContextVar("current_turn", default=None)


class ModelFailure(Exception):
    """The model gave no usable answer. The SDK wraps this in a connection error: read `turn.failure` instead."""
