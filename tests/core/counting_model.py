"""A model's server that counts tokens as OpenAI's tokenizer does, and says so in each answer's usage.

`o200k_part.tiktoken` is the part of the vocabulary `o200k_base` (tiktoken, MIT) that these prompts are made of.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tiktoken

sys.path.append(str(Path(__file__).parents[1] / "llm"))
import fault_server as server

_PIECES = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ]
)


@cache
def encoding() -> tiktoken.Encoding:
    lines = (Path(__file__).parent / "o200k_part.tiktoken").read_text("ascii").splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    return tiktoken.Encoding("o200k_part", pat_str=_PIECES, mergeable_ranks=ranks, special_tokens={})


def tokens(text: str) -> int:
    return len(encoding().encode_ordinary(text))


@dataclass
class Counted:
    """What the server counted, in the list's dollars of `gpt-4o-mini`."""

    calls: int = 0
    input: int = 0
    output: int = 0
    dearest: float = 0.0
    spent: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self, handler: server.Handler, received: server.Received) -> None:
        asked, owner = received.asked, handler.server.owner
        told: dict[str, Any] = owner.completion(received)
        read = 3 + sum(3 + tokens(message["role"]) + tokens(message["content"]) for message in asked["messages"])
        read += tokens(json.dumps(asked["response_format"]))
        said = tokens(told["choices"][0]["message"]["content"])
        told["usage"] = {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}
        cost = (0.15 * read + 0.6 * said) / 1e6
        with self._lock:
            self.calls += 1
            self.input += read
            self.output += said
            self.spent += cost
            self.dearest = max(self.dearest, cost)
        handler.say(200, json.dumps(told).encode())
