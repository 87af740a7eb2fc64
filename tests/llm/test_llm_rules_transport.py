"""The built-in rules answer like any model: over the same client, recorded and judged the same way."""

from __future__ import annotations

import json

import httpx
import openai
import pytest
import wire

from agents.llm.models import NO_KEY, resolve_model
from agents.llm.rules_transport import RulesTransport

REQUEST = {"model": "rules", "messages": [{"role": "user", "content": "What now?"}], "temperature": 0}


def ask(content: str = "What now?") -> dict[str, object]:
    request = httpx.Request("POST", "http://rules.invalid/v1/chat/completions", json={**REQUEST, "x": content})
    response = RulesTransport(lambda messages: f"heard {messages[-1]['content']}").handle_request(request)
    return dict(json.loads(response.read()))


def test_equal_questions_get_equal_answers_to_the_last_byte() -> None:
    assert ask() == ask()
    assert ask()["id"] != ask("other")["id"]


def test_it_says_that_it_is_the_rules() -> None:
    told = ask()
    assert told["model"] == "rules"
    assert told["choices"][0]["message"]["content"] == "heard What now?"  # type: ignore[index]


def test_the_rules_are_asked_without_a_network() -> None:
    line = wire.Wire(resolve_model("rules"))
    sent: list[str] = []

    class Nowhere(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            sent.append(request.url.host)
            return RulesTransport(lambda _messages: '{"action": "HOLD"}').handle_request(request)

    line = wire.Wire(resolve_model("rules"), around=lambda _inner: Nowhere())
    assert line.ask(NO_KEY) == '{"action": "HOLD"}'
    assert sent == ["rules.invalid"]
    assert line.channel.totals.cost_usd == 0
    (told,) = line.bodies("llm.response")
    assert (told["host"], told["gen_ai.response.model"], told["cost_usd"]) == ("rules.invalid", "rules", "0")


def test_the_built_in_rules_are_wired_and_refuse_a_request_that_is_not_ours() -> None:
    """It crashes as the bug it would be: no answer is made up for a request without facts."""
    line = wire.Wire(resolve_model("rules"))
    with pytest.raises(openai.APIConnectionError) as error:
        line.ask(NO_KEY)
    assert isinstance(error.value.__cause__, ValueError)
    assert line.turn.failure is None
