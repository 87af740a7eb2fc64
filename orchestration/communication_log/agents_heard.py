"""What is heard of AutoGen: that a chat begins, that an agent is asked, and what it said or how it failed.

A reply is compared with the response recorded for the agent's turn: the same text is `traced` and of `provider`
origin; without a recorded response code made it; everything else is `unknown`. The manager's own `generate_reply` is
the chat itself, not an agent's turn. A reply that is None says nothing and is no reply.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from autogen import GroupChatManager

from agents.llm.turn import Turn, current_turn
from data.model.protocols import Journal
from orchestration.communication_log.sinks import Part, chat_of, tell

_begun: ContextVar[tuple[Journal, ...]] = ContextVar("sinks told that this chat began", default=())


def deaf(_result: Any) -> None:
    """For calls whose result says nothing new."""


@contextmanager
def watch_chat(agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
    """Around `initiate_chat` and `a_initiate_chat` of any agent, whichever side the manager is on."""
    recipient = args[0] if args else kwargs.get("recipient")
    parties = [party for party in (agent, recipient) if party is not None]
    manager = next((party for party in parties if isinstance(party, GroupChatManager)), None)
    members = parties if manager is None else manager.groupchat.agents
    turn = current_turn.get()
    slot = None if turn is None else chat_of(turn.slot)
    with chat_begun(Part.AGENTS, [str(member.name) for member in members], slot):
        yield deaf


@contextmanager
def chat_begun(part: Part, names: Sequence[str], slot: str | None) -> Iterator[None]:
    """One `chat.begin` for each sink, however many doors the chat is entered through."""
    known = _begun.get()
    told = tell(part, "chat.begin", {"agents": [name.replace("_", " ") for name in names]}, slot, but=known)
    token = _begun.set((*known, *told))
    try:
        yield
    finally:
        _begun.reset(token)


@contextmanager
def watch_reply(agent: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Iterator[Callable[[Any], None]]:
    """Around `generate_reply` and `a_generate_reply` of any agent."""
    if isinstance(agent, GroupChatManager):
        yield deaf
        return
    turn = current_turn.get()
    slot = None if turn is None else turn.slot
    own = turn if turn is not None and turn.agent == agent.name else None
    tell(Part.AGENTS, "agent.generating", {"agent": agent.name}, slot)
    token = _begun.set(())  # a chat that the agent itself begins is another one
    try:
        yield lambda reply: _hear(agent.name, reply, slot, own)
    except Exception as error:
        tell(Part.AGENTS, "agent.failed", {"agent": agent.name, "error": _why(error, own)}, slot)
        raise
    finally:
        _begun.reset(token)


def _hear(name: str, reply: Any, slot: str | None, turn: Turn | None) -> None:
    if reply is None:
        return
    text = said(reply)
    exchange = None if turn is None else turn.exchange
    traced = exchange is not None and exchange.content == text
    made_by_code = turn is not None and exchange is None
    origin = "provider" if traced else "code" if made_by_code else "unknown"
    causes = () if exchange is None else (exchange.response_seq,)
    body = {"agent": name, "text": text, "traced": traced, "origin": origin}
    tell(Part.AGENTS, "agent.reply", body, slot, caused_by=causes)


def said(reply: Any) -> str:
    """The text of a reply; a message that holds more than text (tool calls) as JSON."""
    if isinstance(reply, str):
        return reply
    if isinstance(reply, dict) and isinstance(reply.get("content"), str) and not reply.get("tool_calls"):
        return str(reply["content"])
    return json.dumps(reply, ensure_ascii=False, default=str)


def _why(error: Exception, turn: Turn | None) -> str:
    """What the transport found, else only the kind of error: its words may hold a key."""
    if turn is not None and turn.failure is not None:
        return f"{turn.failure.reason}: {turn.failure.detail}"
    return type(error).__name__
