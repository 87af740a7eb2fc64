"""The question a run answers: everything that may change its result, and nothing else.

Paths, addresses of servers, budgets, concurrency and run ids are not here: `result_digest` covers the question, so
what is here must be the same for two runs to be called the same.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data.model.instants import Interval
from data.model.money import SMALLEST

Fraction = Annotated[Decimal, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentSpec(_Frozen):
    """Who sits in a seat: role, `provider/name` of the model, and the digest of its prompt file."""

    role: str
    model: str
    prompt: str
    prompt_sha256: str


class Costs(_Frozen):
    """Named cost models, in basis points of the traded value; both always reach cash."""

    commission_model: Literal["proportional"] = "proportional"
    commission_bps: Annotated[Decimal, Field(ge=0, le=1000)] = Decimal(10)
    slippage_model: Literal["proportional"] = "proportional"
    slippage_bps: Annotated[Decimal, Field(ge=0, le=1000)] = Decimal(2)


class Limits(_Frozen):
    """Bounds that arithmetic puts on what agents propose. Fractions; they only ever shrink a position."""

    position_size: Fraction = Decimal(1)
    max_exposure: Fraction = Decimal(1)
    allow_short: bool = False
    volume_cap: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.1")
    min_stop: Fraction = Decimal("0.001")
    max_stop: Fraction = Decimal("0.5")


class Question(_Frozen):
    """One backtest's question. `start_on` and `end_on` are session dates, both included."""

    symbols: tuple[str, ...] = Field(min_length=1)
    interval: Interval
    start_on: date
    end_on: date
    agents: tuple[AgentSpec, ...]
    protocol: Literal["group_chat", "consensus"] = "group_chat"
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(gt=-(2**53), lt=2**53)] | None = None
    initial_cash: Annotated[Decimal, Field(ge=SMALLEST, le=10**15)] = Decimal(10000)
    decide_every: Annotated[int, Field(ge=1, lt=2**53)] = 1
    lookback: Annotated[int, Field(ge=1, lt=2**53)] = 250
    costs: Costs = Costs()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _in_order(self) -> Question:
        if self.end_on < self.start_on:
            raise ValueError(f"the end date {self.end_on} lies before the start date {self.start_on}")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("a symbol is named twice")
        return self
