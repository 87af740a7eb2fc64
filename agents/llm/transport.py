"""Records every request before it leaves and every answer before the application sees it, then judges the answer.

Each attempt is a pair of durable records. An answer that cannot count raises `ModelFailure` and leaves the reason in
the turn; a record that cannot be written raises JournalBroken, a BaseException that no layer above mistakes for a
model's failure. The application gets the recorded text letter for letter, in a completion without the server's extras:
an empty list of tool calls would already make AutoGen take it for more than a text. An exchange that the run has on
record for the same slot and the same bytes is delivered again instead: resume and replay are this, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

import httpx

from agents.llm.admission import Admission
from agents.llm.attempt import Asked, Told
from agents.llm.judgement import Fault, Pins, content_of, read_completion, status_fault
from agents.llm.limits import Taken
from agents.llm.meter import Meter
from agents.llm.models import ModelSpec
from agents.llm.network import CERTIFICATE
from agents.llm.prices import PriceList, Tokens
from agents.llm.redaction import Redactor
from agents.llm.retries import LONGEST_WAIT_S, retry_after_s, wait_s
from agents.llm.turn import ModelFailure, Turn, current_turn
from agents.llm.wires import CONNECT_S
from data.model.decisions import Failure, FailureReason
from data.model.errors import UsageError
from data.model.escape import escape_line
from data.model.protocols import Clock, Journal, Memory, Record

KEPT_HEADERS = (
    "content-type",
    "date",
    "openai-processing-ms",
    "openai-version",
    "request-id",
    "retry-after",
    "retry-after-ms",
    *(f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset") for kind in ("requests", "tokens")),
    "x-request-id",
)
_NEVER_ARRIVED = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


@dataclass(frozen=True)
class Desk:
    """What a transport works with. `timeout_s` is only spoken of here; the network keeps it."""

    journal: Journal
    memory: Memory
    clock: Clock
    sleep: Callable[[float], None]
    admission: Admission
    meter: Meter
    prices: PriceList
    pins: Pins
    redactor: Redactor
    max_attempts: int
    timeout_s: float
    dearer: dict[ModelSpec, frozenset[str]] = field(default_factory=dict)
    """Releases that answered, each dearer for what it answered than the name that was asked for."""

    def worst_usd(self, spec: ModelSpec, request_bytes: int, *, ahead: bool = False) -> Decimal:
        """The most a request may cost. 0 without a budget. Raises UsageError."""
        if self.meter.budget_usd is None:
            return Decimal(0)
        most, now = self.meter.most(request_bytes, ahead=ahead), self.clock.now()
        costs = [self.prices.cost(spec, most, now, name) for name in (None, *self.dearer.get(spec, ()))]
        known = [cost for cost in costs if cost is not None]
        if not known:
            raise UsageError(
                f"the price of {spec.shown} is not known, so --budget_usd cannot be kept; "
                f"say it with --price {spec.shown}=IN,OUT"
            )
        return max(known)

    def cost_usd(self, spec: ModelSpec, tokens: Tokens, answered_as: str | None) -> Decimal | None:
        """What an answer cost, None if that is unknown. The next calls are expected to be as dear."""
        now = self.clock.now()
        cost, listed = self.prices.cost(spec, tokens, now, answered_as), self.prices.cost(spec, tokens, now)
        if answered_as and cost is not None and listed is not None and cost > listed:
            self.dearer[spec] = self.dearer.get(spec, frozenset()) | {answered_as}
        return cost


class _Charge:
    """The money for one attempt, set aside when its turn has come: `worst` dollars of it then."""

    def __init__(self, desk: Desk, asked: Asked) -> None:
        self.worst = Decimal(0)
        self._desk, self._asked = desk, asked

    def __call__(self, calls_before: int) -> bool:
        asked = self._asked
        self.worst = self._desk.worst_usd(asked.turn.model, len(asked.recorded), ahead=calls_before > 0)
        return self._desk.meter.reserve(self.worst, again=self._asked.attempt > 1, before=calls_before)


class RecordingTransport(httpx.BaseTransport):
    """Sends through `inner`, which returns whole answers or raises httpx.RequestError."""

    def __init__(self, inner: httpx.BaseTransport, desk: Desk) -> None:
        self._inner = inner
        self._desk = desk

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises ModelFailure, BudgetExhausted, JournalBroken, and RuntimeError outside of any agent's turn."""
        turn = current_turn.get()
        if turn is None:
            raise RuntimeError("a model was asked outside of any agent's turn")
        turn.exchange = turn.failure = None
        attempt = 1
        while True:
            told, wait = self._attempt(turn, request, attempt)
            if told.fault is None:
                return httpx.Response(200, json=told.delivery())
            if wait is None:
                break
            self._desk.sleep(wait)
            attempt += 1
        detail = told.fault.detail + (f" (attempt {attempt})" if attempt > 1 else "")
        turn.failure = Failure(told.fault.reason, detail, turn.agent)
        raise ModelFailure(detail)

    def close(self) -> None:
        self._inner.close()

    def _attempt(self, turn: Turn, request: httpx.Request, attempt: int) -> tuple[Told, float | None]:
        """One pair of records. The second value is the wait before the next attempt, None if there is to be none."""
        asked = Asked(turn, request, attempt, *self._desk.redactor.body(request.read()))
        known = self._desk.memory.recall(turn.slot, asked.recorded)
        return self._ask(asked) if known is None else self._hear_again(asked, *known)

    def _ask(self, asked: Asked) -> tuple[Told, float | None]:
        charge = _Charge(self._desk, asked)
        with self._desk.admission.enter(asked.host, len(asked.recorded), charge) as taken:
            request_seq = self._begin(asked, charge)
            told = self._account(asked, self._exchange(asked, charge), charge.worst, taken)
            told, wait = self._what_next(asked, told)
            self._heed(asked, told, wait)
            response_seq = self._record("llm.response", told.record(asked, wait), asked.turn, (request_seq,))
        if told.fault is None:
            asked.turn.exchange = told.exchange(asked, request_seq, response_seq)
        return told, wait

    def _begin(self, asked: Asked, charge: _Charge) -> int:
        try:
            return self._record("llm.request", asked.record(), asked.turn, ())
        except BaseException:
            self._desk.meter.take_back(charge.worst, again=asked.attempt > 1)
            raise

    def _exchange(self, asked: Asked, charge: _Charge) -> Told:
        """What came back, judged. Whoever is torn away from the wire leaves a call behind that may be paid."""
        try:
            return self._judge(asked, self._send(asked))
        except BaseException:
            self._desk.meter.lose(charge.worst)
            raise

    def _hear_again(self, asked: Asked, request: Record, response: Record) -> tuple[Told, float | None]:
        """What was recorded for this very request is judged again; nothing is sent, paid or waited for."""
        before = Told.recorded(response.body)
        told = self._judge(asked, replace(before, fault=None) if before.status is not None else before)
        if told.fault and before.fault and told.fault.reason is before.fault.reason:
            told = replace(told, fault=before.fault)
        if told.fault is None:
            asked.turn.exchange = told.exchange(asked, request.seq, response.seq)
        return told, 0.0 if told.fault and told.fault.again else None

    def _record(self, kind: str, body: Mapping[str, object], turn: Turn, caused_by: tuple[int, ...]) -> int:
        record = self._desk.journal.append(kind, body, slot=turn.slot, caused_by=caused_by)
        self._desk.journal.sync()
        return record.seq

    def _send(self, asked: Asked) -> Told:
        started = self._desk.clock.now()

        def elapsed() -> float:
            return max(0.0, round((self._desk.clock.now() - started).total_seconds(), 6))

        try:
            response = self._inner.handle_request(asked.request)
            raw = response.read()
        except httpx.RequestError as error:
            return Told(elapsed(), error=type(error).__name__, fault=self._connection_fault(asked, error))
        body, redacted = self._desk.redactor.body(raw)
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        headers = {name: escape_line(self._desk.redactor.text(value)) for name, value in kept.items()}
        certificate = response.extensions.get(CERTIFICATE)
        return Told(
            elapsed(), response.status_code, headers=headers, body=body, redacted=redacted, certificate=certificate
        )

    def _judge(self, asked: Asked, told: Told) -> Told:
        if told.status is None:
            return told
        spec = asked.turn.model
        fault = status_fault(spec, asked.host, told.status, told.body)
        read = fault or read_completion(told.body)
        if isinstance(read, Fault):
            return replace(told, fault=self._clean(read))
        content = self._desk.pins.fault(spec, read.model) or content_of(read)
        if isinstance(content, Fault):
            return replace(told, completion=read, fault=self._clean(content))
        return replace(told, completion=read, content=self._desk.redactor.text(content))

    def _account(self, asked: Asked, told: Told, worst: Decimal, taken: Taken) -> Told:
        """Settles the reservation: by the bill, as lost where there may be one that never came, else not at all."""
        desk, spec, read = self._desk, asked.turn.model, told.completion
        if read is not None:
            free = desk.prices.is_free(spec)
            counted = read.tokens if free or (read.tokens and read.tokens.input) else None  # no prompt has no token
            tokens = Tokens(0, 0) if free else counted
            cost = None if tokens is None else desk.cost_usd(spec, tokens, read.model)
            desk.meter.settle(worst, counted, cost, len(asked.recorded))
            if counted is not None:
                desk.admission.limits.used(taken, counted.input + counted.written)
            return replace(told, cost_usd=cost)
        unpaid = told.error in _NEVER_ARRIVED if told.status is None else told.status != 200
        settle = desk.meter.release if unpaid else desk.meter.lose
        settle(worst)
        return told

    def _connection_fault(self, asked: Asked, error: httpx.RequestError) -> Fault:
        host, words = asked.host, str(error) or type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            connecting = isinstance(error, httpx.ConnectTimeout)
            limit = min(self._desk.timeout_s, CONNECT_S) if connecting else self._desk.timeout_s
            detail = f"no {'connection to' if connecting else 'answer from'} {host} within {limit:g} s"
            return Fault(FailureReason.TIMEOUT, detail, again=True)
        if isinstance(error, httpx.DecodingError):
            return self._clean(Fault(FailureReason.INVALID_RESPONSE, f"the answer of {host} cannot be read: {words}"))
        what = "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke the connection off"
        return self._clean(Fault(FailureReason.UNREACHABLE, f"{host} {what}: {words}", again=True))

    def _what_next(self, asked: Asked, told: Told) -> tuple[Told, float | None]:
        fault = told.fault
        if told.status is None and self._desk.admission.stopped is not None:
            detail = f"the wait for {asked.host} was cut short, because the run stops"
            return replace(told, fault=Fault(FailureReason.UNREACHABLE, detail, again=True)), 0.0
        if fault is None or not fault.again or asked.attempt >= self._desk.max_attempts:
            return told, None
        wait = wait_s(asked.attempt, told.headers or {}, self._desk.clock.now(), asked.sha256)
        if wait is None:
            detail = f"{fault.detail}; it asks to wait longer than {LONGEST_WAIT_S:g} s"
            return replace(told, fault=replace(fault, detail=detail)), None
        return told, wait

    def _heed(self, asked: Asked, told: Told, wait: float | None) -> None:
        """Lets no call of this process run into what the host has just said of its limits."""
        limits, headers = self._desk.admission.limits, told.headers or {}
        limits.told(asked.host, headers)
        asks = retry_after_s(headers, self._desk.clock.now()) if told.fault else None
        pause = wait if asks is None and told.status == 429 else asks
        if pause is not None and pause <= LONGEST_WAIT_S:
            limits.pause(asked.host, pause)

    def _clean(self, fault: Fault) -> Fault:
        return replace(fault, detail=self._desk.redactor.text(fault.detail))
