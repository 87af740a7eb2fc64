"""The channel against a server that nobody here wrote."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import wire
from aimock import aimock, needs_node
from autogen import ConversableAgent

from agents.llm.turn import current_turn
from data.model.decisions import FailureReason as Reason

pytestmark = [pytest.mark.node, needs_node]

ANSWER = '{"action": "BUY", "confidence": 0.75, "reasons": ["ça monte, 価格 \\" `"]}'
SCHEMA = {
    "type": "object",
    "properties": {"action": {"type": "string"}},
    "required": ["action"],
    "additionalProperties": False,
}


def saying(content: str | None = ANSWER, **more: Any) -> list[dict[str, Any]]:
    return [{"match": {"systemMessage": "You trade."}, "response": {"content": content, **more}}]


def test_an_answer_comes_through_an_agent_letter_for_letter() -> None:
    with aimock(saying()) as server:
        line = wire.Wire(wire.at(server.base_url))
        config = {**line.channel.client_config(line.spec, wire.KEY), "response_format": SCHEMA, "seed": 7}
        agent = ConversableAgent(
            "Technical_Analyst",
            system_message="You trade.",
            llm_config={"config_list": [config], "cache_seed": None, "temperature": 0.0},
            human_input_mode="NEVER",
            silent=True,
        )
        token = current_turn.set(line.turn)
        try:
            reply = agent.generate_reply(messages=[{"role": "user", "content": "What now?"}])
        finally:
            current_turn.reset(token)
        heard = server.journal()
    assert line.turn.exchange is not None
    assert reply == line.turn.exchange.content == ANSWER
    assert [entry["response"]["status"] for entry in heard] == [200]
    assert heard[0]["body"]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert heard[0]["body"]["seed"] == 7
    tokens = line.turn.exchange.input_tokens, line.turn.exchange.output_tokens
    assert None not in tokens
    totals = line.channel.totals
    assert (totals.calls, totals.input_tokens, totals.output_tokens) == (1, *tokens)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"finishReason": "length"}, Reason.TRUNCATED),
        ({"finishReason": "content_filter"}, Reason.REFUSED),
        ({"model": "gpt-4o-mini"}, Reason.WRONG_MODEL),
        ({"content": " "}, Reason.EMPTY),
    ],
)
def test_an_answer_that_cannot_count(more: dict[str, Any], reason: Reason) -> None:
    with aimock(saying(**more)) as server:
        line = wire.Wire(wire.at(server.base_url))
        with pytest.raises(openai.APIError):
            line.ask()
    assert line.turn.failure is not None
    assert line.turn.failure.reason is reason


@pytest.mark.parametrize(
    ("flag", "reason", "attempts"),
    [
        ("--chaos-drop", Reason.SERVER_ERROR, 3),
        ("--chaos-disconnect", Reason.UNREACHABLE, 3),
        ("--chaos-ratelimit", Reason.RATE_LIMITED, 3),
        ("--chaos-malformed", Reason.INVALID_RESPONSE, 1),
    ],
)
def test_trouble_is_named(flag: str, reason: Reason, attempts: int) -> None:
    with aimock(saying(), flag, "1") as server:
        line = wire.Wire(wire.at(server.base_url), max_attempts=3)
        with pytest.raises(openai.APIError):
            line.ask()
    assert line.turn.failure is not None
    assert line.turn.failure.reason is reason
    assert len(line.records("llm.response")) == attempts
    if reason is Reason.RATE_LIMITED:
        told = line.bodies("llm.response")[0]
        assert told["retry_in_s"] == float(told["headers"]["retry-after"]) > 0


def test_a_key_that_the_server_does_not_know() -> None:
    with aimock(saying(), keys="the-right-key") as server:
        line = wire.Wire(wire.at(server.base_url))
        with pytest.raises(openai.APIError):
            line.ask("the-wrong-key")
        assert line.turn.failure is not None
        assert line.turn.failure.reason is Reason.REQUEST_REJECTED
        assert "OPENAI_API_KEY" in line.turn.failure.detail
        assert line.ask("the-right-key") == ANSWER


def test_a_question_it_has_no_answer_to() -> None:
    with aimock([]) as server:
        line = wire.Wire(wire.at(server.base_url))
        with pytest.raises(openai.APIError):
            line.ask()
    assert line.turn.failure is not None
    assert line.turn.failure.reason is Reason.REQUEST_REJECTED
