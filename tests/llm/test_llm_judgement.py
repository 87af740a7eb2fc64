"""Which name may answer for which model; and that nothing a server says breaks the judge."""

from __future__ import annotations

import json

import fault_server as faults
import openai
import pytest
import wire
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.judgement import Fault, Pins, content_of, read_completion, said, status_fault
from agents.llm.models import resolve_model
from data.model.canonical import canonical_bytes
from data.model.decisions import FailureReason
from data.model.escape import escape_line

SPEC = resolve_model("openai/gpt-4o")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4", "gpt-4-0613"),
        ("claude-sonnet-4", "claude-sonnet-4-20250514"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        ("gemini-1.5-flash", "gemini-1.5-flash-002"),
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("gemini-2.5-pro", "gemini-2.5-pro-preview-05-06"),
        ("llama3", "llama3:latest"),
        ("llama3:latest", "llama3"),
    ],
)
def test_a_model_may_answer_as_itself_or_its_release(asked: str, answered: str) -> None:
    assert Pins(()).fault(resolve_model(f"openai/{asked}"), answered) is None


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o", "gpt-4o-mini-2024-07-18"),
        ("gpt-4", "gpt-4o"),
        ("gpt-4", "gpt-4.1"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("claude-opus-4", "claude-opus-4-1"),
        ("gpt-4o", "GPT-4O"),
        ("gpt-4o", "gpt-4o "),
        ("gpt-4o", "azure/gpt-4o"),
        ("gpt-4o", None),
    ],
)
def test_no_other_model_may(asked: str, answered: str | None) -> None:
    fault = Pins(()).fault(resolve_model(f"openai/{asked}"), answered)
    assert fault is not None
    assert fault.reason is FailureReason.WRONG_MODEL


def test_the_first_release_is_the_only_one_for_the_run() -> None:
    pins = Pins(())
    assert pins.fault(SPEC, "gpt-4o-2024-08-06") is None
    assert pins.fault(SPEC, "gpt-4o-2024-08-06") is None
    for other in ("gpt-4o-2024-11-20", "gpt-4o"):
        fault = pins.fault(SPEC, other)
        assert fault is not None
        assert "gpt-4o-2024-08-06, as before" in fault.detail


def test_an_accepted_name_is_accepted_and_pins_nothing() -> None:
    pins = Pins(("vicuna",))
    assert [pins.fault(SPEC, name) for name in ("vicuna", "gpt-4o", "vicuna")] == [None, None, None]


def test_models_are_pinned_apart() -> None:
    pins = Pins(())
    assert pins.fault(SPEC, "gpt-4o-2024-08-06") is None
    assert pins.fault(resolve_model("openai/gpt-4o", "http://localhost/v1"), "gpt-4o-2024-11-20") is None


def test_a_change_of_release_in_the_middle_fails_the_turn() -> None:
    script = [faults.completing(model=f"gpt-4o-2024-{day}", content="{}") for day in ("08-06", "08-06", "11-20")]
    with faults.FaultServer(script) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        assert [line.ask(), line.ask()] == ["{}", "{}"]
        with pytest.raises(openai.APIError):
            line.ask()
    assert line.turn.failure is not None
    assert line.turn.failure.reason is FailureReason.WRONG_MODEL


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "finish_reason": json_values | st.sampled_from(["stop", "length", "content_filter"]),
        "message": json_values
        | st.fixed_dictionaries(
            {}, optional={"content": json_values, "refusal": json_values, "tool_calls": json_values}
        ),
    },
)
completions = st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "model": json_values,
        "usage": json_values | st.fixed_dictionaries({"prompt_tokens": json_values, "completion_tokens": json_values}),
        "choices": json_values | st.lists(choices, max_size=2),
    },
)


@given(json_values | completions)
def test_any_json_is_judged_and_can_be_recorded(value: object) -> None:
    body = json.dumps(value).encode()
    read = read_completion(body)
    found = read if isinstance(read, Fault) else content_of(read)
    if isinstance(found, Fault):
        assert found.detail == escape_line(found.detail)
        assert len(found.detail) < 500
    else:
        assert found.strip()
    if not isinstance(read, Fault):
        canonical_bytes([read.model, read.response_id, read.finish_reasons, read.tokens, read.fingerprint])


@given(st.binary(max_size=200), st.integers(100, 599))
def test_any_bytes_and_status_are_judged(body: bytes, status: int) -> None:
    assert said(body) == escape_line(said(body))
    assert isinstance(read_completion(body), Fault)
    fault = status_fault(SPEC, "host", status, body)
    assert (fault is None) == (status == 200)


def test_a_server_s_words_are_one_escaped_line() -> None:
    body = json.dumps({"error": {"message": "no\nsuch\x1b[31m model \u202e", "code": "model_not_found"}}).encode()
    assert said(body) == "model_not_found: no\\nsuch\\x1b[31m model \\u202e"
    assert len(said(b"<html>" + b"x" * 10_000)) < 400
