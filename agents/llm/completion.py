"""A chat completion in its plainest form: one text of one model, and how many tokens it took."""

from __future__ import annotations

from agents.llm.prices import Tokens
from data.model.canonical import Json


def plain_completion(response_id: str, model: str, content: str, tokens: Tokens) -> dict[str, Json]:
    """As OpenAI's API reference has it, with nothing optional in it."""
    return {
        "id": response_id,
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
        },
    }
