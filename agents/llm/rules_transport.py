"""The built-in rules behind the same protocol as every model: an OpenAI server without a network.

Equal requests get equal answers, ids included. It counts no tokens, because it has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx

from agents.llm.completion import plain_completion
from agents.llm.models import RULES
from agents.llm.prices import Tokens
from data.model.canonical import sha256_hex

Answer = Callable[[list[dict[str, object]]], str]


class RulesTransport(httpx.BaseTransport):
    """Gives each chat completion request to `answer`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        content = self._answer(json.loads(body)["messages"])
        response_id = f"rules-{sha256_hex(body)[:24]}"
        return httpx.Response(200, json=plain_completion(response_id, RULES, content, Tokens(0, 0)))
