"""Where a run stands, out of the few records that say so: how far it is, what it has, what it cost, how it ended.

It is made for logs that still grow. What a resume sets aside is taken back; what was paid stays paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from backtesting.audit.story import parse
from data.journal.following import Follower
from data.model.canonical import Json
from data.model.errors import DataError
from data.model.instants import parse_instant
from data.model.protocols import Record
from data.model.question import Question

KINDS = frozenset((
    "run.begin", "project.entry", "bar", "equity", "decision", "llm.response", "recovery", "run.end", "rendered",
))  # fmt: skip
COMPLETE = "complete"


class Marked(NamedTuple):
    """The record, the bar's open time and the equity after it."""

    seq: int
    opened: datetime
    equity: Decimal


class Decided(NamedTuple):
    """The record, and the action or FAILED."""

    seq: int
    said: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A run at one moment. `status` is None while it has no end on record; `cost_usd` None where a price is unknown.

    `is_over` says that nothing of it is to come: its files are made, and their digests on record.
    """

    run_id: str
    question: Question
    model: str
    trial: int | None
    bars: int
    of_bars: int
    decisions: int
    of_decisions: int
    failed: int
    last: Marked | None
    said: str | None
    calls: int
    cost_usd: Decimal | None
    resumed: int
    status: str | None
    reason: str | None
    is_over: bool

    @property
    def total_return(self) -> float | None:
        """Until now, a fraction; None before the first bar."""
        return None if self.last is None else float(self.last.equity / self.question.initial_cash) - 1


class Lookout:
    """Looks at a run's log again and again, and reads only what is new."""

    def __init__(self, folder: Path) -> None:
        self._follower = Follower(folder, KINDS)
        self._course = Course()

    def look(self) -> Standing | None:
        """Where the run stands now; None before its first record. Raises DataError."""
        for record in self._follower.more():
            if record.kind == "run.begin":
                self._course = Course()
            self._course.take(record)
        return self._course.standing


@dataclass
class Course:
    """Takes records of `KINDS` in order. Raises DataError naming the record that does not read."""

    _begin: Mapping[str, Json] | None = None
    _question: Question | None = None
    _trial: int | None = None
    _bars: list[int] = field(default_factory=list)
    _equity: list[Marked] = field(default_factory=list)
    _decisions: list[Decided] = field(default_factory=list)
    _calls: int = 0
    _cost: Decimal | None = Decimal(0)
    _resumed: int = 0
    _end: Mapping[str, Json] | None = None
    _rendered: bool = False

    def take(self, record: Record) -> None:
        try:
            self._take(record)
        except (KeyError, ValueError, TypeError, ArithmeticError, ValidationError) as error:
            what = f"{type(error).__name__}" if isinstance(error, ValidationError) else f"{error}"
            raise DataError(f"record {record.seq} ({record.kind}) does not read: {what}") from error

    @property
    def standing(self) -> Standing | None:
        """None before the first record."""
        if self._begin is None or self._question is None:
            return None
        begin, end = self._begin, self._end or {}
        status = None if self._end is None else str(end.get("status"))
        return Standing(
            run_id=str(begin.get("run_id")),
            question=self._question,
            model=str(begin.get("model_note")).removeprefix("model: "),
            trial=self._trial,
            bars=len(self._bars),
            of_bars=parse(int, begin.get("bars_in_window") or 0),
            decisions=len(self._decisions),
            of_decisions=parse(int, begin.get("decisions_in_window") or 0),
            failed=sum(decided.said == "FAILED" for decided in self._decisions),
            last=self._equity[-1] if self._equity else None,
            said=self._decisions[-1].said if self._decisions else None,
            calls=self._calls,
            cost_usd=self._cost,
            resumed=self._resumed,
            status=status,
            reason=None if end.get("reason") is None else str(end["reason"]),
            is_over=self._rendered,
        )

    def _take(self, record: Record) -> None:
        body = record.body
        if record.kind == "run.begin":
            self._begin, self._question = body, parse(Question, body["question"])
        elif record.kind == "project.entry":
            self._trial = parse(int, body["number"])
        elif record.kind == "bar":
            self._bars.append(record.seq)
        elif record.kind == "equity":
            opened, equity = parse_instant(str(body["bar_open_time"])), Decimal(str(body["equity"]))
            self._equity.append(Marked(record.seq, opened, equity))
        elif record.kind == "decision":
            self._decisions.append(Decided(record.seq, str(body["action"] or body["status"])))
        else:
            self._take_rarer(record)

    def _take_rarer(self, record: Record) -> None:
        if record.kind == "llm.response":
            self._pay(record.body)
        elif record.kind == "recovery":
            self._cut(parse(int, record.body["cut"]))
        elif record.kind == "run.end":
            self._end, self._rendered = record.body, False
        elif record.kind == "rendered":
            self._rendered = self._end is not None

    def _pay(self, body: Mapping[str, Json]) -> None:
        """As the run itself counts: an answer whose price nobody knows makes the whole unknown."""
        self._calls += body["audit.attempt"] == 1
        if body["gen_ai.response.model"] is None and body["cost_usd"] is None:
            return
        known = self._cost is not None and body["cost_usd"] is not None
        self._cost = (self._cost or Decimal(0)) + Decimal(str(body["cost_usd"])) if known else None

    def _cut(self, start: int) -> None:
        """The run goes on behind `start`: what came after it is done again."""
        self._bars = [seq for seq in self._bars if seq < start]
        self._equity = [marked for marked in self._equity if marked.seq < start]
        self._decisions = [decided for decided in self._decisions if decided.seq < start]
        self._end, self._rendered = None, False
        self._resumed += 1
