"""One attempt to get an answer: what was asked, what was told, and the bodies of the two records about it.

Field names are those of OpenTelemetry's GenAI conventions where they exist; ours begin with `audit.`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import httpx

from agents.llm.completion import plain_completion
from agents.llm.judgement import Completion, Fault
from agents.llm.prices import Tokens
from agents.llm.turn import Exchange, Turn
from data.model.canonical import Json, sha256_hex
from data.model.decisions import FailureReason

CONVENTIONS = "https://opentelemetry.io/schemas/1.37.0"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `recorded` is its body without keys."""

    turn: Turn
    request: httpx.Request
    attempt: int
    recorded: bytes
    redacted: bool

    @property
    def sha256(self) -> str:
        return sha256_hex(self.recorded)

    @property
    def host(self) -> str:
        return self.request.url.host

    def record(self) -> dict[str, Json]:
        """The body of `llm.request`."""
        return {
            "agent": self.turn.agent,
            "url": str(self.request.url.copy_with(query=None, username=None, password=None)),
            "gen_ai.provider.name": self.turn.model.provider,
            "gen_ai.request.model": self.turn.model.name,
            "otel.schema_url": CONVENTIONS,
            "audit.attempt": self.attempt,
            "audit.request_sha256": self.sha256,
            **_text(self.recorded, self.redacted),
        }


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, or an `error` of the connection. `body` is without keys; `cost_usd` is None where unknown.

    `certificate` is the SHA-256 of the server's TLS certificate (DER), None without TLS.
    """

    latency_s: float
    status: int | None = None
    error: str | None = None
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    redacted: bool = False
    completion: Completion | None = None
    content: str = ""
    cost_usd: Decimal | None = None
    fault: Fault | None = None
    certificate: str | None = None

    def record(self, asked: Asked, retry_in_s: float | None) -> dict[str, object]:
        """The body of `llm.response`."""
        read, tokens = self.completion, self.completion.tokens if self.completion else None
        fault = {"reason": self.fault.reason.value, "detail": self.fault.detail} if self.fault else None
        return {
            "agent": asked.turn.agent,
            "http.response.status_code": self.status,
            "error": self.error,
            "headers": self.headers or {},
            "host": asked.host,
            "server.certificate_sha256": self.certificate,
            "otel.schema_url": CONVENTIONS,
            "audit.attempt": asked.attempt,
            "audit.response_sha256": sha256_hex(self.body),
            "gen_ai.response.model": read.model if read else None,
            "gen_ai.response.id": read.response_id if read else None,
            "gen_ai.response.finish_reasons": read.finish_reasons if read else (),
            "openai.response.system_fingerprint": read.fingerprint if read else None,
            "gen_ai.usage.input_tokens": tokens.input if tokens else None,
            "gen_ai.usage.output_tokens": tokens.output if tokens else None,
            "cost_usd": self.cost_usd,
            "latency_s": self.latency_s,
            "fault": fault,
            "retry_in_s": retry_in_s,
            **_text(self.body, self.redacted),
        }

    @classmethod
    def recorded(cls, body: Mapping[str, Json]) -> Told:
        """From the body of an `llm.response`, to be judged again. Raises KeyError, ValueError or TypeError."""
        status, error, cost = body["http.response.status_code"], body["error"], body["cost_usd"]
        headers, text, latency_s = body["headers"], body["body"], body["latency_s"]
        if not (isinstance(headers, dict) and isinstance(latency_s, (int, float))):
            raise ValueError("headers or latency_s of the response do not read")
        return cls(
            latency_s=latency_s,
            status=status if isinstance(status, int) else None,
            error=None if error is None else str(error),
            headers={name: str(value) for name, value in headers.items()},
            body=base64.b64decode(str(body["body_base64"])) if text is None else str(text).encode(),
            redacted=body.get("redacted") is True,
            cost_usd=None if cost is None else Decimal(str(cost)),
            fault=_recorded_fault(body),
            certificate=None if (shown := body.get("server.certificate_sha256")) is None else str(shown),
        )

    def delivery(self) -> dict[str, Json]:
        """What the application gets to see of an answer without a fault."""
        assert self.completion is not None
        read = self.completion
        return plain_completion(read.response_id or "", read.model or "", self.content, read.tokens or Tokens(0, 0))

    def exchange(self, asked: Asked, request_seq: int, response_seq: int) -> Exchange:
        """The recorded pair, for the turn."""
        tokens = self.completion.tokens if self.completion else None
        return Exchange(
            request_seq=request_seq,
            response_seq=response_seq,
            content=self.content,
            request_sha256=asked.sha256,
            response_sha256=sha256_hex(self.body),
            input_tokens=tokens.input if tokens else None,
            output_tokens=tokens.output if tokens else None,
            cost_usd=self.cost_usd,
            latency_s=self.latency_s,
        )


def _recorded_fault(body: Mapping[str, Json]) -> Fault | None:
    fault = body["fault"]
    if not isinstance(fault, dict):
        return None
    again = body["retry_in_s"] is not None
    return Fault(FailureReason(str(fault["reason"])), str(fault["detail"]), again)


def _text(body: bytes, redacted: bool) -> dict[str, Json]:
    """The body as text; what is no UTF-8 in base64. `redacted` is there only where a key was taken out."""
    mark: dict[str, Json] = {"redacted": True} if redacted else {}
    try:
        return {"body": body.decode(), **mark}
    except UnicodeDecodeError:
        return {"body": None, "body_base64": base64.b64encode(body).decode(), **mark}
