"""Who sits at the table: four AutoGen agents, each with one model, one prompt and nothing else switched on.

An agent here cannot ask a human, run code, fall back to a second model, answer from a cache or end the chat with a
word. Agents are fresh for every chat, so nothing said about one bar can leak into another. What lasts is a seat's line
to its model: it takes six times as long to make as an agent, and remembers counts and ids, never a message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from autogen import ConversableAgent, LLMConfig, OpenAIWrapper

from agents.llm.channel import Channel
from agents.llm.models import ModelSpec
from agents.opinions import answer_schema
from agents.prompt_files import Prompt, system_message
from data.model.decisions import Role

_NOISE = logging.getLogger("autogen.oai.client")
_NOISE.handlers.clear()  # they write to standard output, where results go
_NOISE.setLevel(logging.ERROR)  # it warns of a key that stands in for the real one, which only the transport knows


@dataclass(frozen=True, slots=True)
class Seat:
    """Who answers for a role, and on which instruction."""

    role: Role
    model: ModelSpec
    prompt: Prompt


@dataclass(frozen=True, eq=False, slots=True)
class Line:
    """A seat's way to its model, for one chat at a time: AutoGen's client, and what each agent in the seat is told."""

    role: Role
    system_message: str
    config: LLMConfig
    client: OpenAIWrapper


def open_lines(
    seats: Sequence[Seat],
    channel: Channel,
    keys: Mapping[ModelSpec, str],
    temperature: float | None,
    seed: int | None,
) -> tuple[Line, ...]:
    """In speaking order, all on the channel's one HTTP client. Raises UsageError."""
    ordered = sorted(seats, key=lambda seat: list(Role).index(seat.role))
    return tuple(_line(seat, channel, keys[seat.model], temperature, seed) for seat in ordered)


def build_agents(lines: Sequence[Line]) -> dict[Role, ConversableAgent]:
    """Fresh agents in the order of the lines."""
    return {
        line.role: _Agent(
            line,
            name=line.role.agent,
            system_message=line.system_message,
            human_input_mode="NEVER",
            code_execution_config=False,
            is_termination_msg=never_ends,
            default_auto_reply="",
            silent=True,
        )
        for line in lines
    }


def _line(seat: Seat, channel: Channel, key: str, temperature: float | None, seed: int | None) -> Line:
    config = LLMConfig.ensure_config(_llm_config(seat, channel, key, temperature, seed))
    return Line(seat.role, system_message(seat.prompt, seat.model), config, _Client(**config))


class _Client(OpenAIWrapper):  # type: ignore[misc]
    """AutoGen's own asks Python for the signature of the SDK again and again, 22 times an agent: it does not change."""

    _signature: ClassVar[set[str]] = set()

    @property
    def openai_kwargs(self) -> set[str]:
        if not _Client._signature:
            _Client._signature = super().openai_kwargs
        return _Client._signature


class _Agent(ConversableAgent):  # type: ignore[misc]
    """One that is given its client, and makes none."""

    def __init__(self, line: Line, **settings: Any) -> None:
        super().__init__(llm_config=False, **settings)
        self.llm_config, self.client = line.config, line.client


def never_ends(_message: dict[str, Any]) -> bool:
    """No word of an agent ends a chat: AutoGen's own rule would take a bare TERMINATE for one."""
    return False


def _llm_config(seat: Seat, channel: Channel, key: str, temperature: float | None, seed: int | None) -> dict[str, Any]:
    """One entry, so that no other model can answer in this one's place; the schema bare, AutoGen wraps it itself."""
    entry = channel.client_config(seat.model, key)
    if seat.model.json_schema:
        entry["response_format"] = answer_schema(seat.role)
    if seat.model.seed and seed is not None:
        entry["seed"] = seed
    # Reasoning models refuse any temperature: what the user did not ask for is not sent.
    asked = {} if temperature is None else {"temperature": temperature}
    return {"config_list": [entry], "cache_seed": None, **asked}
