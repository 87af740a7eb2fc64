"""Every decision against what it follows from: the view, the chat about it, the account and the policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from backtesting.audit.findings import Findings
from backtesting.audit.recorded_views import RecordedViews
from backtesting.audit.talk import Chat, Talk
from backtesting.audit.tape import Tape
from data.model.canonical import Json, to_json
from data.model.decisions import Decision, DecisionStatus, Failure, Role
from data.model.instants import iso, parse_instant
from data.model.market import Bar, MarketView
from data.model.protocols import Record
from orchestration.policy.decide import decide

Place = tuple[str, str]


@dataclass
class Decisions:
    """Takes `market.view`, `session.begin`, `decision` and `session.end` records, and the bars that were met."""

    findings: Findings
    views: RecordedViews
    talk: Talk
    tape: Tape
    of: Json
    failures: Counter[str] = field(default_factory=Counter)
    _open: dict[Place, MarketView] = field(default_factory=dict)
    _begun: dict[Place, int] = field(default_factory=dict)
    _met: dict[str, dict[datetime, tuple[int, Bar]]] = field(default_factory=dict)
    _last: dict[str, Json] = field(default_factory=dict)

    def met(self, seq: int, bar: Bar) -> None:
        """A bar of the run, for the next view of its symbol to show."""
        self._met.setdefault(bar.symbol, {})[bar.open_time] = (seq, bar)

    def view(self, record: Record) -> None:
        view, what = self.views.take(record), f"market view at record {record.seq}"
        step = self.tape.step
        derived: dict[str, Json] = {
            "as_of": None if step is None else iso(step.at),
            "bar": to_json(view.last),
            "bars": len(view.bars),
            "digest": view.digest,
            "price": to_json(view.price),
        }
        same = self.findings.compare(record.seq, what, {name: record.body[name] for name in derived}, derived)
        newest = max(row.known_at for rows in (view.bars, view.facts, view.splits) for row in rows)
        if newest > view.as_of:
            self.findings.add(record.seq, f"{what} shows what was not known before {iso(newest)}")
        self._compare_bars(record, view, said=not same)
        self._open[iso(view.last.open_time), view.symbol] = view

    def begin(self, record: Record) -> None:
        body, place = record.body, _place(record)
        view = self._open.get(place)
        if view is None:
            self.findings.add(record.seq, f"session at record {record.seq} begins without a market view")
            return
        self._begun[place] = record.seq
        number = self.tape.counts["decision"] + 1
        derived: dict[str, Json] = {
            **_heading(view, number),
            "as_of": iso(view.as_of),
            "of": self.of,
            "price": to_json(view.price),
            "agents": [role.shown for role in Role],
        }
        self.findings.compare(record.seq, f"session at record {record.seq}", {**body}, derived)

    def decision(self, record: Record) -> None:
        body, place = record.body, _place(record)
        view, was_begun = self._open.pop(place, None), self._begun.pop(place, None)
        chat = self.talk.conclude(place, view, self.tape.book(), body["failure"])
        if isinstance(failure := body["failure"], Mapping):
            self.failures[str(failure["reason"])] += 1
        number = self.tape.counts["decision"] + 1
        self._last = {"symbol": body["symbol"], "number": number, "status": body["status"]}
        what = f"decision about {body['symbol']} at record {record.seq}"
        if was_begun is None or view is None:
            self.findings.add(record.seq, f"{what} belongs to no session")
            self.tape.decided(record, None)
            return
        derived = self._derive(view, chat, body["failure"])
        expected = {} if derived is None else {**_fields(derived), **_heading(view, number)}
        same = derived is None or self.findings.compare(record.seq, what, {**body}, expected)
        self.tape.decided(record, derived)
        if not same:
            self.tape.part()

    def end(self, record: Record) -> None:
        self.findings.compare(record.seq, f"session's end at record {record.seq}", {**record.body}, {**self._last})

    def close(self, *, complete: bool) -> None:
        """A complete run has decided in every session that it began."""
        for seq in self._begun.values() if complete else ():
            self.findings.add(seq, f"session at record {seq} has no decision")

    def _derive(self, view: MarketView, chat: Chat, failure: Json) -> Decision | None:
        """The decision that follows; None where the account can no longer be told."""
        if chat.failure is not None:
            told = _with_words(chat.failure, failure)
            return Decision(view.symbol, view.as_of, DecisionStatus.FAILED, failure=told)
        book, question = self.tape.available(), self.tape.question
        if book is None:
            return None
        return decide(
            view.symbol,
            view.as_of,
            chat.answers,
            question.protocol,
            book,
            view.price,
            view.instrument,
            question.limits,
            question.costs,
        )

    def _compare_bars(self, record: Record, view: MarketView, *, said: bool) -> None:
        """Bars that the account met are those that the agents saw, but for later corrections and restated shares.

        `said` is whether it was named already that the view is not as it was recorded.
        """
        met = self._met.pop(view.symbol, {})
        if met and max(met) != view.last.open_time and not said:
            self.findings.add(record.seq, f"market view at record {record.seq} does not end with the newest bar")
        for bar in reversed(view.bars):
            if not met:
                break
            seq, played = met.pop(bar.open_time, (0, None))
            if played is None or bar.known_at > played.known_at or _is_restated(bar, view):
                continue
            if bar != played:
                self.tape.part()
            if not said:
                what = f"bar of {bar.symbol} at record {seq}, shown at record {record.seq}"
                self.findings.compare(seq, what, to_json(played), to_json(bar))


def _is_restated(bar: Bar, view: MarketView) -> bool:
    return any(split.effective_on is not None and bar.session_on < split.effective_on for split in view.splits)


def _with_words(derived: Failure, recorded: Json) -> Failure:
    """Where only the run knew the words, they are as recorded."""
    words = recorded.get("detail") if isinstance(recorded, Mapping) and not derived.detail else None
    return replace(derived, detail=str(words)) if words else derived


def _fields(decision: Decision) -> dict[str, Json]:
    body = to_json(decision)
    assert isinstance(body, dict)
    return body


def _heading(view: MarketView, number: int) -> dict[str, Json]:
    return {"symbol": view.symbol, "bar_open_time": iso(view.last.open_time), "number": number}


def _place(record: Record) -> Place:
    return iso(parse_instant(str(record.body["bar_open_time"]))), str(record.body["symbol"])
