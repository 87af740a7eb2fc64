"""Records every request before it leaves and every answer before the application sees it, then judges the answer.

Each attempt is a pair of durable records. An answer that cannot count raises `ModelFailure` and leaves the reason in
the turn; a record that cannot be written raises JournalBroken, a BaseException that no layer above mistakes for a
model's failure. The application gets the recorded text letter for letter, in a completion without the server's extras:
an empty list of tool calls would already make AutoGen take it for more than a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import httpx

from agents.llm.attempt import Asked, Told
from agents.llm.judgement import Completion, Fault, Pins, content_of, read_completion, status_fault
from agents.llm.meter import Meter
from agents.llm.models import ModelSpec
from agents.llm.prices import PriceList, Tokens
from agents.llm.redaction import Redactor
from agents.llm.retries import LONGEST_WAIT_S, wait_s
from agents.llm.turn import ModelFailure, Turn, current_turn
from data.model.decisions import Failure, FailureReason
from data.model.errors import UsageError
from data.model.escape import escape_line
from data.model.protocols import Clock, Journal

KEPT_HEADERS = (
    "content-type",
    "date",
    "openai-processing-ms",
    "openai-version",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-request-id",
)
_NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Desk:
    """What a transport works with. `timeout_s` is only spoken of here; the network keeps it."""

    journal: Journal
    clock: Clock
    sleep: Callable[[float], None]
    meter: Meter
    prices: PriceList
    pins: Pins
    redactor: Redactor
    max_attempts: int
    timeout_s: float

    def worst_usd(self, spec: ModelSpec, request_bytes: int) -> Decimal:
        """The most a request may cost: a token is a byte at least. 0 without a budget. Raises UsageError."""
        if self.meter.budget_usd is None:
            return Decimal(0)
        worst = self.prices.cost(spec, Tokens(request_bytes, self.meter.longest_output), self.clock.now())
        if worst is None:
            raise UsageError(f"the price of {spec.shown} is not known, so --budget_usd cannot be kept with it")
        return worst


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
        desk, body = self._desk, request.read()
        worst = desk.worst_usd(turn.model, len(body))
        desk.meter.reserve(worst, again=attempt > 1)
        asked = Asked(turn, request, attempt, *desk.redactor.body(body), worst)
        request_seq = self._record("llm.request", asked.record(), turn, ())
        told = self._judge(asked, self._send(asked))
        told, wait = self._what_next(asked, told)
        response_seq = self._record("llm.response", told.record(asked, wait), turn, (request_seq,))
        if told.fault is None:
            turn.exchange = told.exchange(asked, request_seq, response_seq)
        return told, wait

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
            fault = self._connection_fault(asked, error)
            self._account_for_loss(asked, error)
            return Told(elapsed(), error=type(error).__name__, fault=fault)
        body, redacted = self._desk.redactor.body(raw)
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        headers = {name: escape_line(self._desk.redactor.text(value)) for name, value in kept.items()}
        return Told(elapsed(), response.status_code, headers=headers, body=body, redacted=redacted)

    def _judge(self, asked: Asked, told: Told) -> Told:
        if told.status is None:
            return told
        spec, meter = asked.turn.model, self._desk.meter
        fault = status_fault(spec, asked.host, told.status, told.body)
        if fault is not None:
            meter.release(asked.worst_usd)
            return replace(told, fault=self._clean(fault))
        read = read_completion(told.body)
        if isinstance(read, Fault):
            meter.lose(asked.worst_usd)
            return replace(told, fault=self._clean(read))
        cost = self._settle(asked, read)
        content = self._desk.pins.fault(spec, read.model) or content_of(read)
        if isinstance(content, Fault):
            return replace(told, completion=read, cost_usd=cost, fault=self._clean(content))
        return replace(told, completion=read, cost_usd=cost, content=self._desk.redactor.text(content))

    def _settle(self, asked: Asked, read: Completion) -> Decimal | None:
        spec, desk = asked.turn.model, self._desk
        tokens = read.tokens or (Tokens(0, 0) if desk.prices.is_free(spec) else None)
        cost = None if tokens is None else desk.prices.cost(spec, tokens, desk.clock.now(), read.model)
        desk.meter.settle(asked.worst_usd, read.tokens, cost)
        return cost

    def _account_for_loss(self, asked: Asked, error: httpx.RequestError) -> None:
        settle = self._desk.meter.release if isinstance(error, _NEVER_ARRIVED) else self._desk.meter.lose
        settle(asked.worst_usd)

    def _connection_fault(self, asked: Asked, error: httpx.RequestError) -> Fault:
        host, words = asked.host, str(error) or type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            detail = f"no answer from {host} within {self._desk.timeout_s:g} s"
            return Fault(FailureReason.TIMEOUT, detail, again=True)
        if isinstance(error, httpx.DecodingError):
            return self._clean(Fault(FailureReason.INVALID_RESPONSE, f"the answer of {host} cannot be read: {words}"))
        what = "cannot be reached" if isinstance(error, httpx.ConnectError) else "broke the connection off"
        return self._clean(Fault(FailureReason.UNREACHABLE, f"{host} {what}: {words}", again=True))

    def _what_next(self, asked: Asked, told: Told) -> tuple[Told, float | None]:
        fault = told.fault
        if fault is None or not fault.again or asked.attempt >= self._desk.max_attempts:
            return told, None
        wait = wait_s(asked.attempt, told.headers or {}, self._desk.clock.now(), asked.sha256)
        if wait is None:
            detail = f"{fault.detail}; it asks to wait longer than {LONGEST_WAIT_S:g} s"
            return replace(told, fault=replace(fault, detail=detail)), None
        return told, wait

    def _clean(self, fault: Fault) -> Fault:
        return replace(fault, detail=self._desk.redactor.text(fault.detail))
