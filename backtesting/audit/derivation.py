"""What follows from something else in a log, derived again: replies, opinions, decisions, money, numbers.

`rederive` streams the records that count. It keeps decisions, fills and equity rows; what was said is forgotten once
its decision was checked. It judges what a log says, not whether the log was changed: that is for its signatures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from backtesting.audit.decisions import Decisions
from backtesting.audit.ending import Calls, Ending
from backtesting.audit.exchanges import Exchanges
from backtesting.audit.findings import Difference, Findings
from backtesting.audit.recorded_views import RecordedViews, recorded_instruments
from backtesting.audit.servers import Server
from backtesting.audit.story import parse
from backtesting.audit.talk import Talk
from backtesting.audit.tape import Tape
from data.model.canonical import Json
from data.model.decisions import Role
from data.model.errors import DataError
from data.model.protocols import Record
from data.model.question import Question

MONEY = frozenset({"bar", "action", "fill", "cancellation", "trade", "equity", "market.view", "decision"})
MISREAD = (KeyError, ValueError, TypeError, ArithmeticError, DataError)


@dataclass(frozen=True)
class Derivation:
    """What an audit of a log came to.

    `traced` replies came from a recorded provider response each, `built_in` of them from the built-in rules.
    `unused_replies` are good answers that no reply rests on. `orphans` are requests that nobody knows the answer to,
    `in_flight` those that had none when an unfinished log ended. `result_digest` is None where it does not follow.
    """

    run_id: str
    status: str | None
    replies: int
    traced: int
    built_in: int
    unused_replies: int
    orphans: int
    in_flight: int
    resumed: int
    bars: int
    decisions: int
    failed: int
    fills: int
    trades: int
    servers: tuple[Server, ...]
    result_digest: str | None
    differences: tuple[Difference, ...]

    @property
    def headline(self) -> str:
        """`960 of 960 replies trace to a recorded provider response`."""
        told = f"{self.traced} of {self.replies} replies trace to a recorded provider response"
        if not self.built_in:
            return told
        which = "all" if self.built_in == self.traced else f"{self.built_in}"
        return f"{told} ({which} of them of the built-in rules, not a language model)"


def rederive(records: Iterable[Record]) -> Derivation:
    """Raises DataError if the first record is no readable `run.begin`, and what reading the records raises."""
    stream = iter(records)
    begin = next(stream, None)
    if begin is None or begin.kind != "run.begin":
        raise DataError("the log does not begin with a run.begin record: there is nothing to derive")
    try:
        audit = _Audit(begin)
    except MISREAD as error:
        raise DataError(f"record {begin.seq} (run.begin) does not read: {_brief(error)}") from error
    for record in stream:
        audit.take(record)
    return audit.finish()


class _Audit:
    """Hands every record to whoever checks its kind."""

    def __init__(self, begin: Record) -> None:
        self.begin = begin
        self.run_id = str(begin.body["run_id"])
        self.findings = Findings()
        question, instruments = parse(Question, begin.body["question"]), recorded_instruments(begin)
        self.exchanges = Exchanges(self.findings, self.run_id, _instructions(begin, question, self.findings))
        self.talk = Talk(self.findings, self.exchanges)
        self.tape = Tape(self.findings, question, instruments)
        views = RecordedViews(question.interval, instruments)
        self.decisions = Decisions(self.findings, views, self.talk, self.tape, begin.body["decisions_in_window"])
        self.calls = Calls()
        self.counts: Counter[str] = Counter()
        self.end: Record | None = None
        self.takers: dict[str, Callable[[Record], None]] = {
            "llm.request": self._request,
            "llm.response": self._response,
            "orphan": self.exchanges.orphan,
            "session.discarded": self.exchanges.discard,
            "agent.reply": self._reply,
            "opinion": self.talk.opinion,
            "opinion.malformed": self.talk.malformed,
            "market.view": self.decisions.view,
            "session.begin": self.decisions.begin,
            "decision": self.decisions.decision,
            "session.end": self.decisions.end,
            "bar": self._bar,
            "action": self.tape.action,
            **dict.fromkeys(("fill", "cancellation", "trade", "equity"), self.tape.result),
            "run.begin": self._second,
            "run.end": self._end,
        }

    def take(self, record: Record) -> None:
        self.counts[record.kind] += 1
        taker = self.takers.get(record.kind)
        if taker is None:
            return
        try:
            taker(record)
        except MISREAD as error:
            self.findings.add(record.seq, f"{record.kind} at record {record.seq} does not read: {_brief(error)}")
            if record.kind in MONEY:
                self.tape.part()

    def finish(self) -> Derivation:
        status = None if self.end is None else str(self.end.body.get("status"))
        complete = status == "complete"
        ending = Ending(self.findings, self.begin, self.tape, self.talk, self.calls, self.decisions.failures)
        resumed = self.counts["recovery"]
        self.exchanges.forget_all()
        self.tape.close(None if self.end is None else self.end.seq, complete=complete)
        if self.end is not None:
            self._check_end(ending, self.end, resumed=resumed > 0)
        self.decisions.close(complete=complete)
        return Derivation(
            run_id=self.run_id,
            status=status,
            replies=self.talk.replies,
            traced=self.talk.traced,
            built_in=self.talk.built_in,
            unused_replies=self.exchanges.unused,
            orphans=self.exchanges.orphans,
            in_flight=self._in_flight(complete=complete),
            resumed=resumed,
            bars=self.tape.counts["bar"],
            decisions=self.tape.counts["decision"],
            failed=self.decisions.failures.total(),
            fills=self.tape.counts["fill"],
            trades=self.tape.counts["trade"],
            servers=self.exchanges.servers.all(),
            result_digest=ending.digest() if complete else None,
            differences=self.findings.in_order(),
        )

    def _request(self, record: Record) -> None:
        self.exchanges.request(record)
        self.calls.request(record)

    def _response(self, record: Record) -> None:
        self.exchanges.response(record)
        self.calls.response(record)

    def _reply(self, record: Record) -> None:
        self.calls.reply(record)
        self.talk.reply(record)

    def _bar(self, record: Record) -> None:
        self.decisions.met(record.seq, self.tape.bar(record))

    def _second(self, record: Record) -> None:
        raise ValueError("a run begins once")

    def _end(self, record: Record) -> None:
        self.end = record

    def _check_end(self, ending: Ending, end: Record, *, resumed: bool) -> None:
        try:
            ending.check(end, resumed=resumed)
        except MISREAD as error:
            self.findings.add(end.seq, f"run.end at record {end.seq} does not read: {_brief(error)}")

    def _in_flight(self, *, complete: bool) -> int:
        """Requests without an answer: an unfinished log may end before it came, a complete one names each orphan."""
        waiting = self.exchanges.unanswered()
        for asked in waiting if complete else ():
            self.findings.add(
                asked.seq, f"request at record {asked.seq} has no response, and no orphan record names it"
            )
        return len(waiting)


def _instructions(begin: Record, question: Question, findings: Findings) -> Mapping[str, str]:
    """What each agent was told to be, by its name; none where the log does not hold the prompts."""
    prompts = begin.body.get("prompts")
    told: dict[str, str] = {}
    for role in Role if isinstance(prompts, Mapping) else ():
        assert isinstance(prompts, Mapping)
        prompt: Json = prompts[role.value]
        if not isinstance(prompt, Mapping):
            raise ValueError(f"the prompt of {role.value} does not read")
        told[role.agent] = str(prompt["text"])
        asked = {spec.prompt_sha256 for spec in question.agents if spec.role == role.value}
        if asked != {prompt["sha256"]}:
            findings.add(
                begin.seq, f"prompt of {role.shown} at record {begin.seq}", prompt["sha256"], min(asked, default="")
            )
    return told


def _brief(error: Exception) -> str:
    if isinstance(error, ValueError) and hasattr(error, "errors"):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{error}" if isinstance(error, (ValueError, DataError)) else f"{type(error).__name__} {error}"
