"""Who sits at the table: four AutoGen agents, each with one model, one prompt and nothing else switched on.

An agent here cannot ask a human, run code, fall back to a second model, answer from a cache or end the chat with a
word. Fresh agents for every chat: nothing said about one bar can leak into another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autogen import ConversableAgent

from agents.llm.channel import Channel
from agents.llm.models import ModelSpec
from agents.opinions import answer_schema
from agents.prompt_files import Prompt, system_message
from data.model.decisions import Role


@dataclass(frozen=True, slots=True)
class Seat:
    """Who answers for a role, and on which instruction."""

    role: Role
    model: ModelSpec
    prompt: Prompt


def build_agents(
    seats: Sequence[Seat],
    channel: Channel,
    keys: Mapping[ModelSpec, str],
    temperature: float | None,
    seed: int | None,
) -> dict[Role, ConversableAgent]:
    """Fresh agents in speaking order, all on the channel's one HTTP client."""
    ordered = sorted(seats, key=lambda seat: list(Role).index(seat.role))
    return {
        seat.role: ConversableAgent(
            name=seat.role.agent,
            system_message=system_message(seat.prompt, seat.model),
            llm_config=_llm_config(seat, channel, keys[seat.model], temperature, seed),
            human_input_mode="NEVER",
            code_execution_config=False,
            is_termination_msg=never_ends,
            default_auto_reply="",
            silent=True,
        )
        for seat in ordered
    }


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
