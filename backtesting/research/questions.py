"""What a task of a sweep asks, and the key that says whether two tasks ask the same of the same data.

The key is the SHA-256 over canonical JSON of the question and the digest of the rows behind it. A question about arrays
holds the digest of the code that answers it, so that a changed kernel or strategy asks anew; what agents said is paid
for, and stands by the run's own question.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from data.model.canonical import Json, digest
from data.model.instants import Interval
from data.model.market import Instrument
from data.model.question import Costs, Limits, Question

ARRAYS, AGENTS = "arrays", "agents"


StopLoss: TypeAlias = Annotated[Decimal, Field(gt=0, lt=1)] | None
TakeProfit: TypeAlias = Annotated[Decimal, Field(gt=0)] | None


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArrayQuestion(_Frozen):
    """What a strategy comes to over one window. `warmup` bars before it feed the indicators.

    `stop_loss` and `take_profit` are fractions of the entry price, None for none; `periods_per_year` is the calendar's;
    `code` the digest of what computes the answer.
    """

    kind: Literal["arrays"] = "arrays"
    strategy: str
    parameters: Mapping[str, int | float]
    interval: Interval
    start_on: date
    end_on: date
    warmup: int
    initial_cash: Decimal
    costs: Costs
    limits: Limits
    stop_loss: StopLoss = None
    take_profit: TakeProfit = None
    instrument: Instrument
    periods_per_year: float
    code: str

    @property
    def symbol(self) -> str:
        return self.instrument.symbol


class AgentsQuestion(_Frozen):
    """What agents come to over one window: a run's question, and the model as a user names it."""

    kind: Literal["agents"] = "agents"
    model: str
    question: Question

    @property
    def symbol(self) -> str:
        return self.question.symbols[0]


TaskQuestion: TypeAlias = ArrayQuestion | AgentsQuestion


def key_of(question: Json, data_digest: str) -> str:
    """What the ledger knows the task by; `question` in its JSON form."""
    return digest([question, data_digest])


def run_id_of(key: str) -> str:
    """The run of a task of agents: the same for whoever takes it over, and in another sweep that asks the same."""
    return f"task-{key[:24]}"
