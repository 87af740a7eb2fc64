"""What was on the wire, read by the audit's own eyes: the bodies of requests and answers as the log holds them.

It knows OpenAI's chat completions and nothing of the code that asked. Everything read here was written by others.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from data.model.canonical import Json
from data.model.decisions import FailureReason
from data.model.escape import escape_line

_ENDED_WELL = frozenset({"stop", "end_turn", "stop_sequence", "eos"})
_CUT_OFF = frozenset({"length", "max_tokens"})
_FILTERED = frozenset({"content_filter", "refusal", "safety"})
_NAME_CHARS = 200
_AS_USER = "System message: "
_BLOCK = re.compile(r"^```json\n(.*?)\n```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer's body says. `content` is its one whole text, None where `fault` says why there is none."""

    is_completion: bool = False
    model: str | None = None
    response_id: str | None = None
    fingerprint: str | None = None
    finish_reasons: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    content: str | None = None
    fault: FailureReason | None = FailureReason.INVALID_RESPONSE

    def allows(self, reason: FailureReason | None, asked: str) -> bool:
        """Whether the answer can have been judged so. A wrong model is judged before what it says."""
        wrong_model = reason is FailureReason.WRONG_MODEL and self.is_completion and self.model != asked
        return wrong_model or reason is self.fault


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a request. `name` is the agent that it quotes, if any."""

    role: str
    name: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model was asked. Unreadable parts are empty."""

    model: str | None
    messages: tuple[Message, ...] = ()

    @property
    def system(self) -> str:
        return next((message.text for message in self.messages if message.role == "system"), "")

    @property
    def opening(self) -> str:
        """The first message of a user: the market."""
        return next((message.text for message in self.messages if message.role == "user"), "")


def raw_body(body: Mapping[str, Json]) -> bytes:
    """The bytes of a recorded exchange. Raises ValueError or KeyError."""
    text = body["body"]
    if isinstance(text, str):
        return text.encode()
    return base64.b64decode(str(body["body_base64"]), validate=True)


def read_answer(status: int, raw: bytes) -> Answer:
    """Never raises: what cannot be read is an invalid response."""
    if status != 200:
        return Answer(fault=_fault_of(status))
    whole = _decoded(raw)
    choices = whole.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return Answer()
    tokens = _tokens(whole.get("usage"))
    read = Answer(
        is_completion=True,
        model=_name(whole.get("model")),
        response_id=_name(whole.get("id")),
        fingerprint=_name(whole.get("system_fingerprint")),
        finish_reasons=tuple(str(_name(choice.get("finish_reason"))) for choice in choices),
        input_tokens=tokens[0],
        output_tokens=tokens[1],
    )
    content = _content(choices)
    if isinstance(content, FailureReason):
        return replace(read, fault=content)
    return replace(read, content=content, fault=None)


def read_prompt(raw: bytes) -> Prompt:
    """Never raises."""
    whole = _decoded(raw)
    model, listed = whole.get("model"), whole.get("messages")
    messages = listed if isinstance(listed, list) else []
    return Prompt(
        model if isinstance(model, str) else None,
        tuple(_message(item) for item in messages if isinstance(item, dict)),
    )


def read_block(text: str, name: str) -> dict[str, Any] | None:
    """The fenced JSON block that holds this one name, its numbers exact; None if there is none."""
    for found in _BLOCK.findall(text):
        try:
            block = json.loads(found, parse_float=Decimal, parse_int=Decimal)
        except (ValueError, RecursionError):
            continue
        if isinstance(block, dict) and isinstance(block.get(name), dict):
            inner: dict[str, Any] = block[name]
            return inner
    return None


def _fault_of(status: int) -> FailureReason:
    if status == 429:
        return FailureReason.RATE_LIMITED
    if status >= 500 or status == 408:
        return FailureReason.SERVER_ERROR
    return FailureReason.REQUEST_REJECTED if status >= 300 else FailureReason.INVALID_RESPONSE


def _content(choices: list[dict[str, Any]]) -> str | FailureReason:
    """The text of the one choice, or why it is no answer."""
    message = choices[0].get("message") if len(choices) == 1 else None
    if not isinstance(message, dict):
        return FailureReason.INVALID_RESPONSE
    ended = str(_name(choices[0].get("finish_reason")))
    if message.get("refusal") or ended in _FILTERED:
        return FailureReason.REFUSED
    if ended in _CUT_OFF:
        return FailureReason.TRUNCATED
    if message.get("tool_calls") or message.get("function_call") or ended not in _ENDED_WELL:
        return FailureReason.INVALID_RESPONSE
    return _text_or_fault(message.get("content"))


def _text_or_fault(content: object) -> str | FailureReason:
    if content is None or (isinstance(content, str) and not content.strip()):
        return FailureReason.EMPTY
    if not isinstance(content, str):
        return FailureReason.INVALID_RESPONSE
    try:
        content.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return FailureReason.INVALID_RESPONSE
    return content


def _message(item: dict[str, Any]) -> Message:
    content, name = item.get("content"), item.get("name")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    text = content if isinstance(content, str) else ""
    if item.get("role") == "user" and text.startswith(_AS_USER):  # models that take no system message
        return Message("system", None, text.removeprefix(_AS_USER))
    return Message(str(item.get("role")), name if isinstance(name, str) else None, text)


def _decoded(raw: bytes) -> dict[str, Any]:
    """The one JSON object; empty if it is none."""
    try:
        whole = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return {}
    return whole if isinstance(whole, dict) else {}


def _tokens(usage: object) -> tuple[int | None, int | None]:
    if not isinstance(usage, dict):
        return None, None
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**53 for count in counts):
        return None, None
    return counts[0], counts[1]


def _name(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return escape_line(value[:_NAME_CHARS]) + ("…" if len(value) > _NAME_CHARS else "")
