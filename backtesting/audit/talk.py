"""What agents said: every reply against the exchange it came from, every opinion against the reply it was read from.

A chat is walked through as it must have gone: who had the turn, what its answer comes to, and what that led to.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from agents.opinions import Malformed, parse
from backtesting.audit.exchanges import Asked, Exchanges, Heard, Slot
from backtesting.audit.findings import Findings
from backtesting.audit.shown import check_book, check_market, fact_ids
from backtesting.audit.wire import read_block
from data.model.canonical import Json, to_json
from data.model.decisions import Abstention, Failure, FailureReason, Opinion, Role
from data.model.market import MarketView
from data.model.protocols import Record
from data.model.trading import Book

Answers = Mapping[Role, Opinion | Abstention]


@dataclass(frozen=True, slots=True)
class Said:
    """A reply. `text` is that of the exchange where there is one, else what was recorded."""

    seq: int
    slot: Slot
    text: str
    heard: Heard | None
    traced: bool


@dataclass(frozen=True, slots=True)
class Chat:
    """What a chat came to. A failure's `detail` is empty where only the run itself knew its words."""

    answers: Answers
    failure: Failure | None
    requests: tuple[Asked, ...]


@dataclass
class _Heard:
    """The records of one chat under way."""

    replies: list[Said] = field(default_factory=list)
    malformed: list[Record] = field(default_factory=list)
    opinions: list[Record] = field(default_factory=list)
    used: dict[int, int] = field(default_factory=dict)


@dataclass
class Talk:
    """Takes `agent.reply`, `opinion.malformed` and `opinion` records in order; `conclude` checks a whole chat."""

    findings: Findings
    exchanges: Exchanges
    replies: int = 0
    traced: int = 0
    built_in: int = 0
    said_traced: int = 0
    _chats: dict[tuple[str, str], _Heard] = field(default_factory=dict)

    def reply(self, record: Record) -> None:
        self.replies += 1
        self.said_traced += record.body["traced"] is True
        slot, text = Slot.of(record, self.exchanges.run_id), str(record.body["text"])
        chat = self._chats.setdefault(slot.place, _Heard())
        who = f"reply of {slot.role.shown} at record {record.seq}"
        heard = self._source(record, slot, who, chat)
        if heard is not None:
            chat.used[heard.seq] = record.seq
            assert heard.content is not None
            claimed: dict[str, Json] = {name: record.body[name] for name in ("agent", "text", "traced", "origin")}
            whole: dict[str, Json] = {"agent": slot.agent, "text": heard.content, "traced": True, "origin": "provider"}
            is_traced = self.findings.compare(record.seq, who, claimed, whole)
            self.traced += is_traced
            self.built_in += is_traced and heard.built_in
        text = text if heard is None or heard.content is None else heard.content
        chat.replies.append(Said(record.seq, slot, text, heard, record.body["traced"] is True))

    def malformed(self, record: Record) -> None:
        self._chats.setdefault(Slot.of(record, self.exchanges.run_id).place, _Heard()).malformed.append(record)

    def opinion(self, record: Record) -> None:
        self._chats.setdefault(Slot.of(record, self.exchanges.run_id).place, _Heard()).opinions.append(record)

    def conclude(self, place: tuple[str, str], view: MarketView | None, book: Book | None, recorded: Json) -> Chat:
        """Checks the chat about one decision and forgets it. `recorded` is the failure that the decision names."""
        chat = self._chats.pop(place, _Heard())
        walk = _Walk(self.findings, view, book)
        for number, said in enumerate(chat.replies, 1):
            is_last = number == len(chat.replies)
            walk.hear(said, changed=is_last and said.traced and _was_changed(said, recorded))
        failure = walk.failure or self._silence(walk, place, recorded)
        _compare_all(self.findings, "malformed answer", chat.malformed, walk.malformed)
        _compare_all(self.findings, "opinion", chat.opinions, walk.opinions)
        self.exchanges.forget(place, chat.used)
        return Chat(walk.answers, failure, tuple(walk.requests))

    def _source(self, record: Record, slot: Slot, who: str, chat: _Heard) -> Heard | None:
        """The exchange that a reply came from; None, and a difference, if it came from none."""
        causes, origin = record.caused_by, record.body["origin"]
        heard = self.exchanges.at(slot.place).get(causes[0]) if len(causes) == 1 else None
        if heard is None or heard.asked.slot != slot or heard.content is None:
            rests = f", but rests on record {causes[0]}" if causes else ""
            self.findings.add(record.seq, f"{who} came from no recorded provider response{rests} (origin: {origin})")
            return None
        if heard.seq in chat.used:
            other = chat.used[heard.seq]
            self.findings.add(record.seq, f"{who} is a copy: record {other} came from the same response {heard.seq}")
            return None
        return heard

    def _silence(self, walk: _Walk, place: tuple[str, str], recorded: Json) -> Failure | None:
        """Why the agent whose turn it was said nothing; None if nobody's turn was left."""
        if walk.role is None:
            return None
        last = self.exchanges.silent(Slot(*place, walk.role.agent, str(walk.turn)), recorded)
        if last is None or last.fault is None:
            return Failure(FailureReason.NO_COMMUNICATION, "", walk.role.agent)
        fault, attempt = last.fault, last.asked.attempt
        walk.see(last.asked)
        again = f" (attempt {attempt})" if isinstance(attempt, int) and attempt > 1 else ""
        return Failure(FailureReason(str(fault["reason"])), f"{fault['detail']}{again}", walk.role.agent)


@dataclass
class _Walk:
    """A chat, turn by turn."""

    findings: Findings
    view: MarketView | None
    book: Book | None
    role: Role | None = Role.TECHNICAL
    turn: int = 1
    failure: Failure | None = None
    answers: dict[Role, Opinion | Abstention] = field(default_factory=dict)
    opinions: list[_Expected] = field(default_factory=list)
    malformed: list[_Expected] = field(default_factory=list)
    requests: list[Asked] = field(default_factory=list)
    _said: list[tuple[str, str]] = field(default_factory=list)
    _opening: str | None = None
    _ids: Collection[str] = frozenset()

    def hear(self, said: Said, *, changed: bool = False) -> None:
        """`changed` is a reply that did not reach the others as it was heard."""
        who = f"reply of {said.slot.role.shown} at record {said.seq}"
        if self.failure is not None or self.role is None:
            self.findings.add(said.seq, f"{who} was said when the chat was over")
            return
        if (said.slot.agent, said.slot.turn) != (self.role.agent, str(self.turn)):
            due = f"turn {self.turn} of {self.role.shown}"
            self.findings.add(said.seq, f"{who} is out of turn", f"turn {said.slot.turn} of {said.slot.agent}", due)
            return
        if said.heard is not None:
            self.see(said.heard.asked)
        self._said.append((said.slot.agent, said.text))
        if changed:
            self.findings.add(said.seq, f"{who} was changed after it was heard")
        if changed or not said.traced:
            reason = FailureReason.UNTRACED if said.text else FailureReason.EMPTY
            self.failure = Failure(reason, "", said.slot.agent)
            return
        self._read(said, self.role)

    def see(self, asked: Asked) -> None:
        """What an agent was shown: the market, its own book, and what the others had said."""
        self.requests.append(asked)
        self._see_market(asked)
        check_book(self.findings, asked, self.book)
        quoted: list[Json] = [[name, text] for name, text in asked.quoted]
        said: list[Json] = [[name, text] for name, text in self._said]
        self.findings.compare(asked.seq, f"what the request at record {asked.seq} says was said before", quoted, said)

    def _see_market(self, asked: Asked) -> None:
        if self._opening == asked.opening:
            return
        if self._opening is not None:
            self.findings.add(
                asked.seq, f"request at record {asked.seq} opens with another market than those before it"
            )
            return
        self._opening, market = asked.opening, read_block(asked.opening, "market")
        if market is None:
            self.findings.add(asked.seq, f"request at record {asked.seq} shows no market")
            return
        self._ids = fact_ids(market)
        if self.view is not None:
            check_market(self.findings, asked, market, self.view)

    def _read(self, said: Said, role: Role) -> None:
        try:
            answer = parse(role, said.text, self._ids)
        except Malformed as fault:
            again = self.turn == 1
            body: dict[str, Json] = {"agent": role.agent, "detail": str(fault), "asked_again": again}
            self.malformed.append(_Expected(body, said))
            self.turn += 1
            self.failure = None if again else Failure(FailureReason.MALFORMED, str(fault), role.agent)
            return
        told: dict[str, Json] = {"opinion": to_json(answer)}
        if isinstance(answer, Abstention):
            told = {"abstention": answer.reason}
        self.opinions.append(_Expected({"agent": role.agent, **told}, said))
        self.answers[role] = answer
        self.role, self.turn = next((other for other in Role if other not in self.answers), None), 1


@dataclass(frozen=True, slots=True)
class _Expected:
    """The body of a record that must follow from a reply."""

    body: dict[str, Json]
    said: Said


def _was_changed(said: Said, failure: Json) -> bool:
    """Whether the run itself found that a reply that it had heard from a model reached the others otherwise."""
    if not isinstance(failure, Mapping):
        return False
    return failure.get("reason") == FailureReason.UNTRACED.value and failure.get("agent") == said.slot.agent


def _compare_all(findings: Findings, what: str, records: Iterable[Record], expected: Iterable[_Expected]) -> None:
    left: dict[str, deque[Record]] = defaultdict(deque)
    for record in records:
        left[_turn(record)].append(record)
    for due in expected:
        slot, who = due.said.slot, due.said.slot.role.shown
        found = left[f"{slot.agent}/{slot.turn}"]
        if not found:
            findings.add(due.said.seq, f"{what} of {who} is not recorded after its reply at record {due.said.seq}")
            continue
        record = found.popleft()
        recorded: dict[str, Json] = {**record.body, "caused by": [*record.caused_by]}
        causes: list[Json] = [] if due.said.heard is None else [due.said.heard.seq]
        findings.compare(
            record.seq, f"{what} of {who} at record {record.seq}", recorded, {**due.body, "caused by": causes}
        )
    for record in (record for found in left.values() for record in found):
        who = _turn(record).partition("/")[0].replace("_", " ")
        findings.add(record.seq, f"{what} of {who} at record {record.seq} follows from no reply")


def _turn(record: Record) -> str:
    """`<agent>/<turn>` of its slot."""
    return (record.slot or "").rpartition("/chat/")[2]
