"""A server that misbehaves: no answer is made up, every attempt is on record, and the reason has its code."""

from __future__ import annotations

import fault_server as faults
import openai
import pytest
import wire

from data.model.decisions import FailureReason as Reason

GOOD = '{"action": "HOLD"}'
UNREADABLE = faults.raw(b'{"choices": ' + b"[" * 200_000)

ONCE = [
    (faults.half_json, Reason.INVALID_RESPONSE, "not JSON"),
    (faults.raw(b""), Reason.INVALID_RESPONSE, "no answer"),
    (faults.raw(b"\xff\xfe{}"), Reason.INVALID_RESPONSE, "not UTF-8"),
    (UNREADABLE, Reason.INVALID_RESPONSE, "nested too deeply"),
    (faults.raw(b'{"error": {"message": "overloaded"}}'), Reason.INVALID_RESPONSE, "overloaded"),
    (faults.raw(b'{"model": "gpt-4o", "choices": []}'), Reason.INVALID_RESPONSE, "0 choices"),
    (faults.raw(b"never compressed", Content_Encoding="gzip"), Reason.INVALID_RESPONSE, "cannot be read"),
    (faults.raw(b" " * (8 * 1024 * 1024 + 1)), Reason.INVALID_RESPONSE, "longer than"),
    (faults.empty, Reason.EMPTY, "empty"),
    (faults.completing(content=None), Reason.EMPTY, "empty"),
    (faults.completing(content=" \n"), Reason.EMPTY, "empty"),
    (faults.completing(content="half \ud83d"), Reason.INVALID_RESPONSE, "half a character"),
    (faults.completing(content=[{"type": "text", "text": GOOD}]), Reason.INVALID_RESPONSE, "no text"),
    (faults.completing(content=None, tool_calls=[{"id": "1"}]), Reason.INVALID_RESPONSE, "tool"),
    (faults.completing(content=GOOD, finish_reason=None), Reason.INVALID_RESPONSE, "finish_reason None"),
    (faults.cut_off, Reason.TRUNCATED, "after 100 tokens"),
    (faults.refusal, Reason.REFUSED, "I cannot help with that."),
    (faults.filtered, Reason.REFUSED, "content_filter"),
    (faults.other_model, Reason.WRONG_MODEL, "--accept_models gpt-3.5-turbo"),
    (faults.completing(model=None), Reason.WRONG_MODEL, "does not say which model"),
    (faults.status(400, "no such field"), Reason.REQUEST_REJECTED, "no such field"),
    (faults.status(401), Reason.REQUEST_REJECTED, "OPENAI_API_KEY"),
    (faults.status(403), Reason.REQUEST_REJECTED, "OPENAI_API_KEY may use gpt-4o"),
    (faults.status(404), Reason.REQUEST_REJECTED, "the model's name gpt-4o"),
    (faults.status(429, "insufficient_quota: pay first"), Reason.RATE_LIMITED, "pay first"),
    (faults.status(307, Location="http://elsewhere.invalid/v1"), Reason.REQUEST_REJECTED, "never followed"),
    (faults.status(204), Reason.INVALID_RESPONSE, "204"),
]
AGAIN = [
    (faults.status(429), Reason.RATE_LIMITED, "429"),
    (faults.status(500), Reason.SERVER_ERROR, "500"),
    (faults.status(503), Reason.SERVER_ERROR, "503"),
    (faults.closed, Reason.UNREACHABLE, "broke the connection off"),
    (faults.torn_body, Reason.UNREACHABLE, "broke the connection off"),
    (faults.hang, Reason.TIMEOUT, "within 1 s"),
    (faults.trickle, Reason.TIMEOUT, "within 1 s"),
]


def server(*script: faults.Step, then: faults.Step | None = None) -> faults.FaultServer:
    return faults.FaultServer(script, then=then, answer=lambda _messages: GOOD)


def wired(to: faults.FaultServer, **options: object) -> wire.Wire:
    return wire.Wire(wire.at(to.base_url), clock=wire.Running(), **{"timeout_s": 30.0, **options})


def patience(reason: Reason) -> float:
    """Seconds: short only where the answer never comes, because a busy machine may keep a good one waiting."""
    return 1.0 if reason is Reason.TIMEOUT else 30.0


def fails(line: wire.Wire) -> None:
    with pytest.raises((openai.APIError, TimeoutError)):
        line.ask()


@pytest.mark.parametrize(("step", "reason", "words"), ONCE)
def test_what_asking_again_cannot_mend_fails_at_once(step: faults.Step, reason: Reason, words: str) -> None:
    with server(then=step) as provider:
        line = wired(provider)
        fails(line)
    assert len(provider.received) == 1
    failure = line.turn.failure
    assert failure is not None
    assert (failure.reason, failure.agent) == (reason, "Technical_Analyst")
    assert words in failure.detail
    assert failure.detail.isprintable()
    assert line.turn.exchange is None
    assert line.naps == []
    (told,) = line.bodies("llm.response")
    assert told["fault"] == {"reason": reason.value, "detail": failure.detail}
    assert told["retry_in_s"] is None


@pytest.mark.parametrize(("step", "reason", "words"), AGAIN)
def test_what_may_pass_is_tried_again_in_sight(step: faults.Step, reason: Reason, words: str) -> None:
    with server(step) as provider:
        line = wired(provider, timeout_s=patience(reason))
        assert line.ask() == GOOD
    assert [body["audit.attempt"] for body in line.bodies("llm.request")] == [1, 2]
    first, second = line.bodies("llm.response")
    assert (first["fault"]["reason"], second["fault"]) == (reason.value, None)
    assert words in first["fault"]["detail"]
    assert line.naps == [first["retry_in_s"]]
    assert line.turn.failure is None
    assert (line.channel.totals.calls, line.channel.totals.retries) == (1, 1)


@pytest.mark.parametrize(("step", "reason", "words"), AGAIN)
def test_what_does_not_pass_ends_after_the_last_attempt(step: faults.Step, reason: Reason, words: str) -> None:
    with server(then=step) as provider:
        line = wired(provider, max_attempts=3, timeout_s=patience(reason))
        fails(line)
    assert len(provider.received) == 3
    assert line.turn.failure is not None
    assert line.turn.failure.reason is reason
    assert line.turn.failure.detail.endswith("(attempt 3)")
    assert [body["retry_in_s"] for body in line.bodies("llm.response")] == [*line.naps, None]
    assert line.channel.totals.retries == 2


def test_a_server_that_is_not_there() -> None:
    with server() as provider:
        gone = provider.base_url
    line = wire.Wire(wire.at(gone), max_attempts=2)
    fails(line)
    assert line.turn.failure is not None
    assert line.turn.failure.reason is Reason.UNREACHABLE
    assert "127.0.0.1 cannot be reached" in line.turn.failure.detail
    assert line.bodies("llm.response")[0]["error"] == "ConnectError"
    assert line.channel.totals.possibly_paid == 0


def test_a_body_that_is_no_text_is_kept_whole() -> None:
    with server(then=faults.raw(b"\xff\x00")) as provider:
        line = wired(provider)
        fails(line)
    (told,) = line.bodies("llm.response")
    assert (told["body"], told["body_base64"]) == (None, "/wA=")


def test_a_usable_answer_after_a_failed_turn_is_a_new_turn() -> None:
    with server(faults.empty) as provider:
        line = wired(provider)
        fails(line)
        assert line.ask() == GOOD
    assert line.turn.failure is None
    assert line.turn.exchange is not None
