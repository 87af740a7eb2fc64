"""What was asked of models and what they answered, checked against the raw bodies, by the place in the run it was for.

Of a body only what later checks need is kept, and that only until the place's decision was checked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from backtesting.audit.findings import Findings
from backtesting.audit.servers import Servers
from backtesting.audit.story import parse
from backtesting.audit.wire import Answer, Prompt, raw_body, read_answer, read_prompt
from data.model.canonical import Json, sha256_hex
from data.model.decisions import FailureReason, Role
from data.model.protocols import Record

MOST_PLACES = 1024
"""Decisions whose exchanges are kept at a time: twice what a run has under way at most, for what is left of a stop."""
_NEVER_ANSWERED = frozenset({FailureReason.UNREACHABLE, FailureReason.TIMEOUT, FailureReason.INVALID_RESPONSE})
_AGENTS = {role.agent: role for role in Role}


@dataclass(frozen=True, slots=True)
class Slot:
    """Which decision, whose turn. `bar` is the open time of the decision's last bar, as it is written."""

    bar: str
    symbol: str
    agent: str
    turn: str

    @classmethod
    def of(cls, record: Record, run_id: str) -> Slot:
        """Raises ValueError for a record that is in no agent's turn of this run."""
        run, *parts = (record.slot or "").split("/")
        if run != run_id or len(parts) < 5 or parts[-3] != "chat" or parts[-2] not in _AGENTS:
            raise ValueError("its slot is no agent's turn of this run")
        return cls(parts[0], "/".join(parts[1:-3]), parts[-2], parts[-1])

    @property
    def place(self) -> tuple[str, str]:
        return self.bar, self.symbol

    @property
    def role(self) -> Role:
        return _AGENTS[self.agent]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. Of its messages: the first of a user, those that quote an agent, and what nobody else was told."""

    seq: int
    slot: Slot
    digest: str
    attempt: Json
    model: str
    provider: str
    opening: str
    quoted: tuple[tuple[str, str], ...]
    whispered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer. `content` is None where it cannot count; then `fault` is what was recorded of it."""

    seq: int
    asked: Asked
    content: str | None
    fault: Mapping[str, Json] | None

    @property
    def built_in(self) -> bool:
        return self.asked.provider == "rules"


@dataclass
class Exchanges:
    """Takes `llm.request`, `llm.response` and `orphan` records in order; `prompts` are the agents' instructions."""

    findings: Findings
    run_id: str
    prompts: Mapping[str, str]
    servers: Servers = field(default_factory=Servers)
    orphans: int = 0
    unused: int = 0
    _waiting: dict[int, Asked] = field(default_factory=dict)
    _orphaned: set[int] = field(default_factory=set)
    _discarded: set[int] = field(default_factory=set)
    _heard: dict[tuple[str, str], dict[int, Heard]] = field(default_factory=dict)

    def request(self, record: Record) -> None:
        body, raw = record.body, raw_body(record.body)
        what = f"request at record {record.seq}"
        self.findings.compare(record.seq, f"SHA-256 of the {what}", body["audit.request_sha256"], sha256_hex(raw))
        prompt, slot = read_prompt(raw), Slot.of(record, self.run_id)
        self.findings.compare(record.seq, f"model of the {what}", body["gen_ai.request.model"], prompt.model)
        self.findings.compare(record.seq, f"agent of the {what}", body["agent"], slot.agent)
        instruction = self.prompts.get(slot.agent)
        if instruction is not None and not prompt.system.startswith(instruction):
            self.findings.add(record.seq, f"{what} does not begin with the instruction that the run was begun with")
        self._waiting[record.seq] = _asked(record, slot, prompt)

    def response(self, record: Record) -> None:
        asked = self._waiting.pop(record.caused_by[0], None) if len(record.caused_by) == 1 else None
        what = f"response at record {record.seq}"
        if asked is None:
            self.findings.add(record.seq, f"{what} answers no request that waits for one")
            return
        slot = Slot.of(record, self.run_id)
        theirs = {"slot": f"{asked.slot}", "agent": asked.slot.agent, "attempt": asked.attempt}
        ours = {"slot": f"{slot}", "agent": record.body["agent"], "attempt": record.body["audit.attempt"]}
        self.findings.compare(record.seq, f"turn of the {what}", ours, theirs)
        answer = self._check(record, asked)
        self.servers.take(record.body)
        fault = record.body["fault"]
        heard = Heard(record.seq, asked, answer.content, fault if isinstance(fault, Mapping) else None)
        self._heard.setdefault(asked.slot.place, {})[record.seq] = heard
        if len(self._heard) > MOST_PLACES:
            self.forget(next(iter(self._heard)))

    def orphan(self, record: Record) -> None:
        """A request that nobody knows the answer to."""
        self.orphans += 1
        self._orphaned.update(record.caused_by)

    def discard(self, record: Record) -> None:
        """A `session.discarded`: requests under a book that did not come true. Raises ValueError for another place."""
        place, requests = Slot.of(record, self.run_id).place, parse(tuple[int, ...], record.body["requests"])
        there = {heard.asked.seq for heard in self.at(place).values()}
        there |= {seq for seq, asked in self._waiting.items() if asked.slot.place == place}
        if stray := set(requests) - there:
            raise ValueError(f"record {min(stray)} is no request of its place")
        self._discarded.update(requests)

    def silent(self, slot: Slot, failure: Json) -> Heard | None:
        """The last answer in that turn. Of several sessions ahead it is the one that came true, or that failed so."""
        heard = [one for one in self.at(slot.place).values() if one.asked.slot == slot]
        true = [one for one in heard if one.asked.seq not in self._discarded] or [
            one for one in heard if one.fault is not None and _is_told(one.fault, failure)
        ]
        return next(reversed(true or heard), None)

    def at(self, place: tuple[str, str]) -> Mapping[int, Heard]:
        """The answers for one decision, by the number of their record."""
        return self._heard.get(place, {})

    def forget(self, place: tuple[str, str], used: Collection[int] = ()) -> None:
        """The decision was checked: its exchanges are needed no longer. `used` are those that replies rest on."""
        heard = self._heard.pop(place, {})
        self._compare_questions(heard)
        self._discarded.difference_update(one.asked.seq for one in heard.values())
        self.unused += sum(one.content is not None and one.seq not in used for one in heard.values())

    def _compare_questions(self, heard: Mapping[int, Heard]) -> None:
        """Nobody may ask the same again until an answer is liked."""
        good: dict[tuple[Slot, str], int] = {}
        for one in heard.values():
            earlier = (
                good.setdefault((one.asked.slot, one.asked.digest), one.seq) if one.content is not None else one.seq
            )
            if earlier != one.seq:
                what = f"request at record {one.asked.seq} was answered before, at record {earlier}, and asked again"
                self.findings.add(one.asked.seq, what)

    def forget_all(self) -> None:
        """The log is over."""
        for place in list(self._heard):
            self.forget(place)

    def unanswered(self) -> list[Asked]:
        """Requests without an answer that no `orphan` record names."""
        return [asked for asked in self._waiting.values() if asked.seq not in self._orphaned]

    def _check(self, record: Record, asked: Asked) -> Answer:
        """Compares what the record says of the answer with the answer's body."""
        body, raw = record.body, raw_body(record.body)
        what, status = f"response at record {record.seq}", body["http.response.status_code"]
        answer = read_answer(status, raw) if isinstance(status, int) else Answer()
        derived: dict[str, Json] = {
            "audit.response_sha256": sha256_hex(raw),
            "gen_ai.response.model": answer.model,
            "gen_ai.response.id": answer.response_id,
            "gen_ai.response.finish_reasons": [*answer.finish_reasons],
            "openai.response.system_fingerprint": answer.fingerprint,
            "gen_ai.usage.input_tokens": answer.input_tokens,
            "gen_ai.usage.output_tokens": answer.output_tokens,
        }
        self.findings.compare(record.seq, what, {name: body[name] for name in derived}, derived)
        fault = body["fault"]
        said = FailureReason(str(fault["reason"])) if isinstance(fault, Mapping) else None
        fits = said in _NEVER_ANSWERED if status is None else answer.allows(said, asked.model)
        if not fits:
            self.findings.add(record.seq, f"fault of the {what}", said or "none", answer.fault or "none")
        return answer


def _asked(record: Record, slot: Slot, prompt: Prompt) -> Asked:
    quoted = tuple((said.name, said.text) for said in prompt.messages if said.name in _AGENTS)
    whispered = tuple(said.text for said in prompt.messages if said.role == "user" and said.name is None)
    return Asked(
        seq=record.seq,
        slot=slot,
        digest=str(record.body["audit.request_sha256"]),
        attempt=record.body["audit.attempt"],
        model=str(record.body["gen_ai.request.model"]),
        provider=str(record.body["gen_ai.provider.name"]),
        opening=prompt.opening,
        quoted=quoted,
        whispered=whispered,
    )


def _is_told(fault: Mapping[str, Json], failure: Json) -> bool:
    """Whether this is the fault that a decision's failure tells of."""
    return isinstance(failure, Mapping) and (failure["reason"], str(failure["detail"]).partition(" (attempt ")[0]) == (
        fault["reason"],
        fault["detail"],
    )
