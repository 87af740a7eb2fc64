"""A run as what happened in it: sessions with what was said in them, fills, trades, equity, and who answered.

Everything that people are shown of a run comes from here, so from `log.jsonl` alone (see `story_reader`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter

from backtesting.audit.servers import Servers
from data.model.canonical import Json
from data.model.decisions import Abstention, Decision, Opinion
from data.model.market import Bar, Fact, Instrument
from data.model.protocols import Record
from data.model.question import Question
from data.model.trading import Cancellation, EquityRow, Fill, Trade

T = TypeVar("T")


class Entry(NamedTuple, Generic[T]):
    """A value and the number of the record that holds it."""

    seq: int
    value: T


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a provider's response said about itself. `cost_usd` is None where the price is unknown."""

    model: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: str | None
    latency_s: float | None


@dataclass(frozen=True, slots=True)
class Reply:
    """One agent's turn, as it was said."""

    seq: int
    agent: str
    text: str
    traced: bool
    origin: str
    exchange: Exchange | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call that failed (`reason` is its code) or an answer that fitted no schema (`malformed`)."""

    seq: int
    agent: str
    reason: str
    detail: str
    then: str


@dataclass
class Session:
    """One decision's story. `decision` is None if the run ended inside it."""

    number: int
    symbol: str
    bar_open_time: datetime
    as_of: datetime
    price: Decimal
    seq: int
    events: list[Reply | Trouble] = field(default_factory=list)
    answers: dict[str, Entry[Opinion | Abstention]] = field(default_factory=dict)
    decision: Entry[Decision] | None = None


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """The ledger after the bar that opened at `bar_open_time`; `benchmark` is buy-and-hold's equity."""

    seq: int
    row: EquityRow
    bar_open_time: datetime
    benchmark: Decimal


class Trial(NamedTuple):
    """Which try it was: of the project, and of those that asked the same question; how many had not ended by then."""

    number: int
    of_question: int
    unfinished: int


@dataclass
class Story:
    """A whole run. `end` is None where the log has none: the run was cut off. `calls` are all that were answered.

    `recoveries` and `orphans` are the numbers of the records that say where a stopped run went on, and which requests
    nobody knows the answer to.
    """

    begin: Record
    question: Question
    instruments: dict[str, Instrument]
    end: Record | None = None
    bars: dict[str, list[Bar]] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    fills: list[Entry[Fill]] = field(default_factory=list)
    cancellations: list[Entry[Cancellation]] = field(default_factory=list)
    trades: list[Entry[Trade]] = field(default_factory=list)
    actions: list[Entry[Fact]] = field(default_factory=list)
    equity: list[EquityPoint] = field(default_factory=list)
    calls: list[Exchange] = field(default_factory=list)
    servers: Servers = field(default_factory=Servers)
    recoveries: list[int] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)
    trial: Entry[Trial] | None = None

    @property
    def run_id(self) -> str:
        return str(self.begin.body["run_id"])


def parse(kind: type[T], body: Json | Mapping[str, Json]) -> T:
    """A value of the house's types from its JSON form; fields of the record beside it are passed over."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    value: T = _ADAPTERS[kind].validate_python(body)
    return value


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
