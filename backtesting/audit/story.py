"""A run's journal read back as what happened: sessions with what was said in them, fills, trades, equity.

Everything that people are shown of a run comes from here, so from `log.jsonl` alone. The log is streamed; requests
and raw responses stay in it. Sessions are in the order of their numbers, whatever order they were recorded in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from data.model.canonical import Json
from data.model.decisions import Abstention, Decision, Opinion, Role
from data.model.errors import DataError
from data.model.instants import iso, parse_instant
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


@dataclass
class Story:
    """A whole run. `end` is None where the log has none: the run was cut off. `calls` are all that were answered."""

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

    @property
    def run_id(self) -> str:
        return str(self.begin.body["run_id"])


def read_story(records: Iterable[Record]) -> Story:
    """Raises DataError if the log has no beginning, or naming the record that does not read."""
    reader: _Reader | None = None
    for record in records:
        try:
            if record.kind == "run.begin" and reader is None:
                reader = _Reader(_begin(record))
            elif reader is not None:
                reader.take(record)
        except (KeyError, ValueError, TypeError, ValidationError) as error:
            raise DataError(f"record {record.seq} ({record.kind}) does not read: {_brief(error)}") from error
    if reader is None:
        raise DataError("the log holds no run.begin record: there is nothing to report")
    reader.story.sessions.sort(key=lambda session: session.number)
    return reader.story


def parse(kind: type[T], body: Json | Mapping[str, Json]) -> T:
    """A value of the house's types from its JSON form; fields of the record beside it are passed over."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    value: T = _ADAPTERS[kind].validate_python(body)
    return value


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


class _Reader:
    """Sorts records into the story. A record belongs to the session its slot names, else to the one begun last."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self._sessions: dict[tuple[str, str], Session] = {}
        self._current: Session | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._takers: dict[str, Callable[[Record], None]] = {
            "bar": self._bar,
            "session.begin": self._session,
            "llm.response": self._response,
            "agent.reply": self._reply,
            "opinion": self._opinion,
            "opinion.malformed": self._malformed,
            "decision": self._decision,
            "equity": self._equity,
            "fill": lambda record: self.story.fills.append(Entry(record.seq, parse(Fill, record.body))),
            "cancellation": self._cancellation,
            "trade": lambda record: self.story.trades.append(Entry(record.seq, parse(Trade, record.body))),
            "action": lambda record: self.story.actions.append(Entry(record.seq, parse(Fact, record.body))),
            "run.end": self._end,
        }

    def take(self, record: Record) -> None:
        taker = self._takers.get(record.kind)
        if taker is not None:
            taker(record)

    def _bar(self, record: Record) -> None:
        self.story.bars.setdefault(str(record.body["symbol"]), []).append(parse(Bar, record.body["bar"]))

    def _session(self, record: Record) -> None:
        body = record.body
        opened = parse_instant(str(body["bar_open_time"]))
        self._current = Session(
            number=parse(int, body["number"]),
            symbol=str(body["symbol"]),
            bar_open_time=opened,
            as_of=parse_instant(str(body["as_of"])),
            price=Decimal(str(body["price"])),
            seq=record.seq,
        )
        self._sessions[iso(opened), self._current.symbol] = self._current
        self.story.sessions.append(self._current)

    def _response(self, record: Record) -> None:
        body, fault = record.body, record.body.get("fault")
        self._exchanges[record.seq] = _exchange(body)
        self.story.calls.append(self._exchanges[record.seq])
        session = self._of(record)
        if isinstance(fault, Mapping) and session is not None:
            wait = body.get("retry_in_s")
            then = "" if wait is None else f"asked again after {wait} s"
            trouble = Trouble(record.seq, str(body["agent"]), str(fault["reason"]), str(fault["detail"]), then)
            session.events.append(trouble)

    def _reply(self, record: Record) -> None:
        body, session = record.body, self._of(record)
        if session is None:
            return
        causes = [self._exchanges[cause] for cause in record.caused_by if cause in self._exchanges]
        reply = Reply(
            seq=record.seq,
            agent=str(body["agent"]),
            text=str(body["text"]),
            traced=body["traced"] is True,
            origin=str(body["origin"]),
            exchange=causes[-1] if causes else None,
        )
        session.events.append(reply)

    def _opinion(self, record: Record) -> None:
        body, session = record.body, self._of(record)
        if session is None:
            return
        agent = str(body["agent"])
        if body.get("opinion") is not None:
            answer: Opinion | Abstention = parse(Opinion, body["opinion"])
        else:
            answer = Abstention(_role(agent), str(body["abstention"]))
        session.answers[agent] = Entry(record.seq, answer)

    def _malformed(self, record: Record) -> None:
        body, session = record.body, self._of(record)
        if session is not None:
            then = "asked again" if body["asked_again"] else ""
            session.events.append(Trouble(record.seq, str(body["agent"]), "malformed", str(body["detail"]), then))

    def _decision(self, record: Record) -> None:
        at = iso(parse_instant(str(record.body["bar_open_time"])))
        session = self._sessions.get((at, str(record.body["symbol"])))
        if session is None:
            raise ValueError("no session was begun for it")
        session.decision = Entry(record.seq, parse(Decision, record.body))

    def _cancellation(self, record: Record) -> None:
        self.story.cancellations.append(Entry(record.seq, parse(Cancellation, record.body)))

    def _equity(self, record: Record) -> None:
        body = record.body
        opened, benchmark = parse_instant(str(body["bar_open_time"])), Decimal(str(body["benchmark"]))
        self.story.equity.append(EquityPoint(record.seq, parse(EquityRow, body), opened, benchmark))

    def _end(self, record: Record) -> None:
        self.story.end = record

    def _of(self, record: Record) -> Session | None:
        parts = (record.slot or "").split("/")
        if len(parts) >= 6:
            return self._sessions.get((parts[1], "/".join(parts[2:-3])), self._current)
        return self._current


def _begin(record: Record) -> Story:
    listed = record.body.get("instruments") or []
    instruments = [parse(Instrument, item) for item in listed] if isinstance(listed, list) else []
    question = parse(Question, record.body["question"])
    return Story(record, question, {instrument.symbol: instrument for instrument in instruments})


def _exchange(body: Mapping[str, Json]) -> Exchange:
    return Exchange(
        model=_optional(body.get("gen_ai.response.model")),
        input_tokens=parse(int, body.get("gen_ai.usage.input_tokens") or 0),
        output_tokens=parse(int, body.get("gen_ai.usage.output_tokens") or 0),
        cost_usd=_optional(body.get("cost_usd")),
        latency_s=parse(float, body["latency_s"]) if body.get("latency_s") is not None else None,
    )


def _role(agent: str) -> Role:
    roles = {role.agent: role for role in Role}
    return roles[agent]


def _optional(value: Json) -> str | None:
    return None if value is None else str(value)


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{type(error).__name__}: {error}"
