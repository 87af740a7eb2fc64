"""The built-in rules behind the same protocol as every model: an OpenAI server without a network.

Equal requests get equal answers, ids included. It counts no tokens, because it has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx

from agents.llm.models import RULES
from data.model.canonical import sha256_hex

Answer = Callable[[list[dict[str, object]]], str]


class RulesTransport(httpx.BaseTransport):
    """Gives each chat completion request to `answer`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        content = self._answer(json.loads(body)["messages"])
        return httpx.Response(200, json=completion(content, sha256_hex(body)))


def completion(content: str, request_sha256: str) -> dict[str, object]:
    """An OpenAI chat completion that says `content`."""
    return {
        "id": f"rules-{request_sha256[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": RULES,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
