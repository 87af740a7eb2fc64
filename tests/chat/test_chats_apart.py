"""Chats at one table leave nothing behind: whatever went before, each asks byte for byte what it would ask alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import stage
from autogen import ConversableAgent
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import group_chat
from agents.brief import Brief
from agents.llm.admission import Dropped
from agents.llm.turn import current_turn
from data.model.decisions import Failure, FailureReason, Role
from data.model.errors import JournalBroken


class Torn(BaseException):
    """Whatever ends a session from outside."""


def failing(_request: Any) -> Any:
    turn = current_turn.get()
    assert turn is not None
    turn.failure = Failure(FailureReason.SERVER_ERROR, "as scripted", turn.agent)
    raise ConnectionError("as scripted")


TROUBLE: list[stage.Reply] = [
    "no JSON",
    "",
    failing,
    Torn(),
    Dropped(),
    JournalBroken("disk full"),
    RuntimeError("bug"),
]
Script = dict[Role, list[stage.Reply]]
scripts = st.lists(st.dictionaries(st.sampled_from(Role), st.lists(st.sampled_from(TROUBLE), max_size=2)), max_size=6)


def chat(desk: group_chat.Table, number: int) -> None:
    """About bar `number`, with words of its own."""
    opening = Brief(f"Bar {number}: the secret word is alpha-{number}.", frozenset({"f1"}))
    with suppress(Torn, Dropped, JournalBroken, Exception):
        group_chat.discuss(desk, opening, lambda: f"You hold {number} BTCUSDT.", f"run7/{number}/BTCUSDT")


def asked(channel: stage.ScriptedChannel, desk: group_chat.Table, number: int, script: Script) -> list[bytes]:
    """What one chat of that script sends."""
    channel._script = {role.agent: list(lines) for role, lines in script.items()}
    before = len(channel.sent)
    chat(desk, number)
    return channel.sent[before:]


def alone(number: int, script: Script) -> list[bytes]:
    channel = stage.ScriptedChannel(stage.journal())
    return asked(channel, stage.table(channel), number, script)


@given(scripts)
@settings(max_examples=25, deadline=None)
def test_a_chat_asks_what_it_would_ask_alone_whatever_went_before(before: list[Script]) -> None:
    channel = stage.ScriptedChannel(stage.journal())
    desk = stage.table(channel)
    for number, script in enumerate([*before, {}]):
        sent = asked(channel, desk, number, script)
        assert sent == alone(number, script)
        assert all(f"alpha-{number}.".encode() in body for body in sent)


def test_at_one_table_in_many_threads_too() -> None:
    channel = stage.ScriptedChannel(stage.journal())
    desk = stage.table(channel)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: chat(desk, number), range(40)))
    expected = [body for number in range(40) for body in alone(number, {})]
    assert sorted(channel.sent) == sorted(expected)
    assert 1 <= len(desk._idle) <= 8


@pytest.mark.parametrize("torn", [Torn(), JournalBroken("disk full"), RuntimeError("bug")])
def test_what_a_torn_chat_held_is_not_used_again(torn: BaseException) -> None:
    channel = stage.ScriptedChannel(stage.journal(), {Role.PORTFOLIO: [torn]})
    desk = stage.table(channel)
    chat(desk, 1)
    assert desk._idle == []
    chat(desk, 2)
    assert len(desk._idle) == 1


def test_agents_are_new_for_each_chat_and_their_lines_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[Role, ConversableAgent]] = []
    build: Callable[..., dict[Role, ConversableAgent]] = group_chat.build_agents

    def keep(*arguments: Any) -> dict[Role, ConversableAgent]:
        made.append(build(*arguments))
        return made[-1]

    monkeypatch.setattr(group_chat, "build_agents", keep)
    desk = stage.table(stage.ScriptedChannel(stage.journal()))
    for number in range(3):
        chat(desk, number)
    for role in Role:
        agents = [one[role] for one in made]
        assert len({id(agent) for agent in agents}) == 3
        assert len({id(agent.client) for agent in agents}) == 1
        assert {len(agent.hook_lists["process_all_messages_before_reply"]) for agent in agents} == {1}


def test_a_tool_that_somebody_gave_an_agent_does_not_stay() -> None:
    channel = stage.ScriptedChannel(stage.journal())
    desk = stage.table(channel)
    chat(desk, 0)
    (lines,) = desk._idle
    for agent in group_chat.build_agents(lines).values():
        agent.update_tool_signature(
            {"type": "function", "function": {"name": "buy", "parameters": {}}}, is_remove=False
        )
    channel.sent.clear()
    chat(desk, 1)
    assert channel.sent == alone(1, {})
