"""A run's journal read back as its story. The log is streamed; requests and raw responses stay in it.

Sessions are in the order of their numbers, whatever order they were recorded in. Of a run that was stopped and went on
only the records that count belong here; what a model had answered before may then stand before its session.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from pydantic import ValidationError

from backtesting.accounting.significance import Significance
from backtesting.audit.story import Entry, EquityPoint, Exchange, Reply, Session, Story, Trial, Trouble, parse
from data.model.canonical import Json, decimal_text, to_json
from data.model.decisions import Abstention, Decision, Opinion, Role
from data.model.errors import DataError
from data.model.instants import iso, parse_instant
from data.model.market import Bar, Fact, Instrument
from data.model.protocols import Record
from data.model.question import Question
from data.model.trading import Cancellation, EquityRow, Fill, Trade

T = TypeVar("T")


def read_story(records: Iterable[Record]) -> Story:
    """Raises DataError if the log has no beginning, or naming the record that does not read."""
    reader: _Reader | None = None
    for record in records:
        try:
            if record.kind == "run.begin" and reader is None:
                reader = _Reader(_begin(record))
            elif reader is not None:
                reader.take(record)
        except (KeyError, ValueError, TypeError, ArithmeticError, ValidationError) as error:
            raise DataError(f"record {record.seq} ({record.kind}) does not read: {_brief(error)}") from error
    if reader is None:
        raise DataError("the log holds no run.begin record: there is nothing to report")
    reader.story.sessions.sort(key=lambda session: session.number)
    return reader.story


class _Reader:
    """Sorts records into the story. A record belongs to the session its slot names, else to the one begun last."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self._sessions: dict[tuple[str, str], Session] = {}
        self._current: Session | None = None
        self._exchanges: dict[int, Exchange] = {}
        self._early: dict[str, list[Trouble]] = defaultdict(list)
        self._takers: dict[str, Callable[[Record], None]] = {
            "bar": self._bar,
            "session.begin": self._session,
            "agent.generating": self._generating,
            "llm.response": self._response,
            "agent.reply": self._reply,
            "opinion": self._opinion,
            "opinion.malformed": self._malformed,
            "decision": self._decision,
            "equity": self._equity,
            "fill": lambda record: self.story.fills.append(Entry(record.seq, _read(Fill, record.body))),
            "cancellation": self._cancellation,
            "trade": lambda record: self.story.trades.append(Entry(record.seq, _read(Trade, record.body))),
            "action": lambda record: self.story.actions.append(Entry(record.seq, _read(Fact, record.body))),
            "recovery": lambda record: self.story.recoveries.append(record.seq),
            "orphan": lambda record: self.story.orphans.append(record.seq),
            "project.entry": self._entry,
            "run.end": self._end,
        }

    def take(self, record: Record) -> None:
        taker = self._takers.get(record.kind)
        if taker is not None:
            taker(record)

    def _bar(self, record: Record) -> None:
        self.story.bars.setdefault(str(record.body["symbol"]), []).append(_read(Bar, record.body["bar"]))

    def _session(self, record: Record) -> None:
        body = record.body
        opened = parse_instant(str(body["bar_open_time"]))
        self._current = Session(
            number=parse(int, body["number"]),
            symbol=str(body["symbol"]),
            bar_open_time=opened,
            as_of=parse_instant(str(body["as_of"])),
            price=_read(Decimal, body["price"]),
            seq=record.seq,
        )
        self._sessions[iso(opened), self._current.symbol] = self._current
        self.story.sessions.append(self._current)

    def _generating(self, record: Record) -> None:
        """Troubles that were recorded before their session belong where the agent is asked."""
        session, early = self._of(record), self._early.pop(record.slot or "", [])
        if session is not None:
            session.events += early

    def _response(self, record: Record) -> None:
        body, fault = record.body, record.body.get("fault")
        self._exchanges[record.seq] = _exchange(body)
        self.story.calls.append(self._exchanges[record.seq])
        self.story.servers.take(body)
        if not isinstance(fault, Mapping):
            return
        session, wait = self._of(record), body.get("retry_in_s")
        then = "" if wait is None else f"asked again after {wait} s"
        trouble = Trouble(record.seq, str(body["agent"]), str(fault["reason"]), str(fault["detail"]), then)
        if session is not None:
            session.events.append(trouble)
        elif record.slot is not None:
            self._early[record.slot].append(trouble)

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
            answer: Opinion | Abstention = _read(Opinion, body["opinion"])
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
        session.decision = Entry(record.seq, _read(Decision, record.body))

    def _cancellation(self, record: Record) -> None:
        self.story.cancellations.append(Entry(record.seq, _read(Cancellation, record.body)))

    def _equity(self, record: Record) -> None:
        body = record.body
        opened, benchmark = parse_instant(str(body["bar_open_time"])), _read(Decimal, body["benchmark"])
        self.story.equity.append(EquityPoint(record.seq, _read(EquityRow, body), opened, benchmark))

    def _entry(self, record: Record) -> None:
        numbers = (parse(int, record.body[name]) for name in Trial._fields)
        self.story.trial = Entry(record.seq, Trial(*numbers))

    def _end(self, record: Record) -> None:
        _read(dict[str, Decimal | None], record.body.get("metrics") or {})
        if record.body.get("significance") is not None:
            _read(Significance, record.body["significance"])
        self.story.end = record

    def _of(self, record: Record) -> Session | None:
        """None where the session that its slot names was not begun yet."""
        parts = (record.slot or "").split("/")
        if len(parts) >= 6:
            return self._sessions.get((parts[1], "/".join(parts[2:-3])))
        return self._current


def _begin(record: Record) -> Story:
    listed = record.body.get("instruments") or []
    instruments = [_read(Instrument, item) for item in listed] if isinstance(listed, list) else []
    question = _read(Question, record.body["question"])
    return Story(record, question, {instrument.symbol: instrument for instrument in instruments})


def _exchange(body: Mapping[str, Json]) -> Exchange:
    return Exchange(
        model=_optional(body.get("gen_ai.response.model")),
        input_tokens=parse(int, body.get("gen_ai.usage.input_tokens") or 0),
        output_tokens=parse(int, body.get("gen_ai.usage.output_tokens") or 0),
        cost_usd=_cost(body.get("cost_usd")),
        latency_s=_read(float, body["latency_s"]) if body.get("latency_s") is not None else None,
    )


def _read(kind: type[T], body: Json | Mapping[str, Json]) -> T:
    """As `parse`; raises ValueError also for a number so large or small that it cannot be written out."""
    value = parse(kind, body)
    to_json(value)
    return value


def _role(agent: str) -> Role:
    roles = {role.agent: role for role in Role}
    return roles[agent]


def _optional(value: Json) -> str | None:
    return None if value is None else str(value)


def _cost(value: Json) -> str | None:
    return None if value is None else decimal_text(parse(Decimal, value))


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
