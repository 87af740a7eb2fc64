"""The built-in model: expert rules that read what every model reads and answer what every model answers.

It takes the role from the line `Agent: …` of the system message, the facts from the fenced blocks, and the colleagues'
answers from the chat. Equal messages get equal answers; nothing else has any influence. It is not a language model: it
cannot judge words, and says so by abstaining.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.llm.rules_analysts import fundamental, technical
from agents.llm.rules_reading import Colleague, Reading, Verdict
from agents.llm.rules_traders import decision, portfolio
from data.model.decisions import Role

_AGENT = re.compile(r"^Agent: (\w+)\s*$", re.MULTILINE)
_BLOCK = re.compile(r"^```json\n(.*?)\n```", re.MULTILINE | re.DOTALL)
_RULES: Mapping[Role, Callable[[Reading], Verdict]] = {
    Role.TECHNICAL: technical,
    Role.FUNDAMENTAL: fundamental,
    Role.PORTFOLIO: portfolio,
    Role.DECISION: decision,
}


def answer(messages: Sequence[Mapping[str, object]]) -> str:
    """The answer of the agent that is asked, as JSON. Raises ValueError if the messages name none of the agents."""
    role = _role(messages)
    reading = Reading(_block(messages, "market"), _block(messages, "book"), _colleagues(messages))
    return json.dumps(_RULES.get(role, _unruled)(reading).told(role))


def _unruled(_: Reading) -> Verdict:
    """A seat that nobody wrote rules for says so, and has no weight."""
    return Verdict("HOLD", 0.0, ("the built-in rules have none for this seat",))


def _role(messages: Sequence[Mapping[str, object]]) -> Role:
    """The footer comes last in a system message, whatever the prompt before it says."""
    named = [name for message in messages if message.get("role") == "system" for name in _AGENT.findall(_text(message))]
    for role in Role:
        if named and role.agent == named[-1]:
            return role
    raise ValueError("no system message names one of the agents")


def _block(messages: Sequence[Mapping[str, object]], name: str) -> Mapping[str, Any]:
    """The last block of that name that was told by no agent; empty if there is none."""
    agents = {role.agent for role in Role}
    found: Mapping[str, Any] = {}
    for message in messages:
        if message.get("role") == "user" and message.get("name") not in agents:
            for block in map(_decoded, _BLOCK.findall(_text(message))):
                if isinstance(block.get(name), dict):
                    found = block[name]
    return found


def _colleagues(messages: Sequence[Mapping[str, object]]) -> Mapping[Role, Colleague]:
    """The last readable answer of each agent that has spoken."""
    said: dict[Role, Colleague] = {}
    for message in messages:
        for role in Role:
            if message.get("name") == role.agent and (told := Colleague.of(_decoded(_text(message)))):
                said[role] = told
    return said


def _decoded(text: str) -> Mapping[str, Any]:
    """The object that the text ends with; empty if there is none."""
    start = text.find("{")
    try:
        found = json.loads(text[start:].rstrip().removesuffix("```")) if start >= 0 else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(message: Mapping[str, object]) -> str:
    """Plain text, or the text parts of a message in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
