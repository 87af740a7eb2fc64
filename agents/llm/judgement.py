"""Judges a recorded answer: is it one whole text from the model that was asked?

Everything read here was written by a server: types are checked, what is shown to people is one escaped line.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from agents.llm.models import ModelSpec
from agents.llm.prices import Tokens
from data.model.canonical import Json
from data.model.decisions import FailureReason
from data.model.escape import escape_line

_ENDED_WELL = frozenset({"stop", "end_turn", "stop_sequence", "eos"})
_CUT_OFF = frozenset({"length", "max_tokens"})
_FILTERED = frozenset({"content_filter", "refusal", "safety"})
_NAME_CHARS, _SAID_CHARS = 200, 300
_RELEASE = re.compile(
    r"[-@:](latest|v?\d{3,4}|\d{8}|\d{4}-\d\d-\d\d|(preview|exp)(-\d\d-\d\d|-\d\d-\d{4}|-\d{8}|-\d{4}-\d\d-\d\d)?|v\d+)"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an answer, in one line for people. `again`: asking again may help."""

    reason: FailureReason
    detail: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """What a chat completion says of itself; None where it says nothing usable."""

    response_id: str | None
    model: str | None
    fingerprint: str | None
    finish_reasons: tuple[str, ...]
    tokens: Tokens | None
    choices: tuple[Mapping[str, Json], ...]


class Pins:
    """Which name each model answers to: the first one that fits is the only one for the rest of the run."""

    def __init__(self, accepted: tuple[str, ...]) -> None:
        self._accepted = frozenset(accepted)
        self._pinned: dict[ModelSpec, str] = {}
        self._lock = threading.Lock()

    def fault(self, spec: ModelSpec, answered: str | None) -> Fault | None:
        """None if the model that answered is the one asked for."""
        if answered is None:
            return Fault(FailureReason.WRONG_MODEL, f"the answer does not say which model gave it; asked {spec.name}")
        if answered in self._accepted:
            return None
        with self._lock:
            pinned = self._pinned.get(spec)
            if pinned is None and _is_release_of(spec.name, answered):
                self._pinned[spec] = answered
                return None
        if answered == pinned:
            return None
        asked = spec.name if pinned is None else f"{pinned}, as before"
        hint = f"if that is right, say --accept_models {answered}"
        return Fault(FailureReason.WRONG_MODEL, f"{answered} answered in the place of {asked}; {hint}")


def read_completion(body: bytes) -> Completion | Fault:
    """The parts of a chat completion, or why it is none."""
    try:
        whole = json.loads(body.decode())
    except RecursionError:
        return _invalid("the answer is nested too deeply")
    except UnicodeDecodeError:
        return _invalid("the answer is not UTF-8")
    except ValueError:
        return _invalid(
            f"the answer is not JSON: {_shown(body.decode(), 80)}" if body.strip() else "there is no answer"
        )
    if not isinstance(whole, dict):
        return _invalid("the answer is no chat completion")
    choices = whole.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return _invalid(f"the answer is no chat completion: {said(body)}")
    return Completion(
        response_id=_name(whole.get("id")),
        model=_name(whole.get("model")),
        fingerprint=_name(whole.get("system_fingerprint")),
        finish_reasons=tuple(str(_name(choice.get("finish_reason"))) for choice in choices),
        tokens=_tokens(whole.get("usage")),
        choices=tuple(choices),
    )


def content_of(completion: Completion) -> str | Fault:
    """The one text of a completion, or why it cannot count as an answer."""
    if len(completion.choices) != 1:
        return _invalid(f"{len(completion.choices)} choices instead of one")
    message = completion.choices[0].get("message")
    if not isinstance(message, dict):
        return _invalid("the answer holds no message")
    return _ending_fault(completion, message) or _text_of(message.get("content"))


def _ending_fault(completion: Completion, message: Mapping[str, Json]) -> Fault | None:
    ended, refusal = completion.finish_reasons[0], message.get("refusal")
    if refusal or ended in _FILTERED:
        words = f": {_shown(refusal)}" if isinstance(refusal, str) and refusal else f" (finish_reason {ended})"
        return Fault(FailureReason.REFUSED, f"the model refused{words}")
    if ended in _CUT_OFF:
        count = f" after {completion.tokens.output} tokens" if completion.tokens else ""
        return Fault(FailureReason.TRUNCATED, f"the answer was cut off{count} (finish_reason {ended})")
    if message.get("tool_calls") or message.get("function_call"):
        return _invalid("the model called a tool; none was offered")
    return None if ended in _ENDED_WELL else _invalid(f"the answer ended with finish_reason {ended}")


def _text_of(content: Json) -> str | Fault:
    if content is None or (isinstance(content, str) and not content.strip()):
        return Fault(FailureReason.EMPTY, "the answer is empty")
    if not isinstance(content, str):
        return _invalid("the content is no text")
    return content if _is_unicode(content) else _invalid("the content holds half a character")


def status_fault(spec: ModelSpec, host: str, status: int, body: bytes) -> Fault | None:
    """What an HTTP status other than 200 means, and what to check."""
    if status == 200:
        return None
    words = said(body)
    if status == 429:
        spent = "insufficient_quota" in words
        return Fault(FailureReason.RATE_LIMITED, f"{host} answered 429: {words}", again=not spent)
    if status >= 500 or status == 408:
        return Fault(FailureReason.SERVER_ERROR, f"{host} answered {status}: {words}", again=True)
    if 300 <= status < 400:
        return _rejected(f"{host} redirects elsewhere ({status}), which is never followed; check --base_url")
    if status < 300:
        return _invalid(f"{host} answered {status} instead of 200")
    return _rejected(f"{host} answered {status}; {_check(spec, status)}; it said: {words}")


def said(body: bytes) -> str:
    """A server's own words about an error, as one short line."""
    text = body.decode(errors="replace")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return _shown(text.strip()) or "nothing"
    error = whole.get("error", whole) if isinstance(whole, dict) else whole
    if isinstance(error, dict):
        named = [str(error[name]) for name in ("code", "type", "message", "detail") if error.get(name)]
        error = ": ".join(dict.fromkeys(named)) or text
    return _shown(str(error)) or "nothing"


def _check(spec: ModelSpec, status: int) -> str:
    if status == 401:
        return f"check the key in {spec.key_variable}" if spec.key_variable else "the server wants a key"
    if status == 403:
        key = f"the key in {spec.key_variable}" if spec.key_variable else "the caller"
        return f"check that {key} may use {spec.name}"
    if status == 404:
        return f"check the model's name {spec.name} and the address {spec.base_url}"
    return f"it does not take this request for {spec.name}"


def _is_release_of(asked: str, answered: str) -> bool:
    """The name itself or with a date or version behind it; `x-latest` answers as a release of `x`."""
    answered = answered.removeprefix("models/")
    if answered == asked:
        return True
    stem = re.sub(r"[-:]latest\Z", "", asked)
    return answered == stem or (answered.startswith(stem) and _RELEASE.fullmatch(answered, len(stem)) is not None)


def _tokens(usage: Json) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    counts = [_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    if counts[0] is None or counts[1] is None:
        return None
    details, total = usage.get("prompt_tokens_details"), _count(usage.get("total_tokens"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Tokens(counts[0], counts[1], cached or 0, thought=max(0, (total or 0) - counts[0] - counts[1]))


def _count(value: Json) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count and isinstance(value, int) else None


def _name(value: Json) -> str | None:
    return _shown(value, _NAME_CHARS) if isinstance(value, str) and value else None


def _shown(text: str, chars: int = _SAID_CHARS) -> str:
    return escape_line(text[:chars]) + ("…" if len(text) > chars else "")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _invalid(detail: str) -> Fault:
    return Fault(FailureReason.INVALID_RESPONSE, detail)


def _rejected(detail: str) -> Fault:
    return Fault(FailureReason.REQUEST_REJECTED, detail)
