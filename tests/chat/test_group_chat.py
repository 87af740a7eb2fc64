"""The chat of four: who speaks when, who hears what, and what ends it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any
from unittest import mock

import openai
import pytest
import stage
from autogen import Cache, ConversableAgent
from autogen.agentchat import groupchat
from autogen.io import IOStream

from agents.llm.turn import current_turn
from agents.opinions import REASK
from data.model.decisions import Failure, FailureReason, Opinion, Role
from data.model.errors import BudgetExhausted, JournalBroken

VALID = {role: stage.answer(role) for role in Role}
BAD = "I would rather not answer in JSON."


def fails_with(reason: FailureReason) -> Callable[[Any], Any]:
    """A transport that found the provider at fault: it says so on the turn and raises."""

    def fail(_request: Any) -> Any:
        turn = current_turn.get()
        assert turn is not None
        turn.failure = Failure(reason, "as scripted", turn.agent)
        raise ConnectionError("as scripted")

    return fail


def test_four_speak_in_order_and_every_word_is_the_recorded_one() -> None:
    discussion, channel = stage.talk()
    assert discussion.failure is None
    assert [message.agent for message in discussion.messages] == stage.NAMES
    assert [agent for agent, _ in channel.requests] == stage.NAMES
    assert all(message.exchange and message.exchange.content == message.text for message in discussion.messages)
    assert list(discussion.answers) == list(Role)
    assert all(isinstance(given, Opinion) for given in discussion.answers.values())


def test_each_turn_has_its_slot() -> None:
    _, channel = stage.talk()
    slots = [record.slot for record in channel.journal.records if record.kind == "llm.request"]
    assert slots == [f"{stage.PREFIX}/chat/{name}/1" for name in stage.NAMES]


def test_everybody_knows_the_market_and_hears_who_spoke_before() -> None:
    _, channel = stage.talk()
    for number, role in enumerate(Role):
        heard = stage.texts(channel.asked(role)[0])
        assert heard[1] == stage.OPENING.text
        assert heard[2 : 2 + number] == [VALID[earlier] for earlier in list(Role)[:number]]
        assert heard.count(stage.OPENING.text) == 1


def test_only_the_portfolio_manager_is_told_of_the_book() -> None:
    discussion, channel = stage.talk()
    told = {role for role in Role if stage.BOOK in stage.texts(channel.asked(role)[0])}
    assert told == {Role.PORTFOLIO}
    assert stage.texts(channel.asked(Role.PORTFOLIO)[0])[-1] == stage.BOOK
    assert all(stage.BOOK not in message.text for message in discussion.messages)


@pytest.mark.parametrize(
    ("script", "speakers"), [({}, 2), ({Role.PORTFOLIO: [BAD]}, 2), ({Role.TECHNICAL: [BAD, BAD]}, None)]
)
def test_the_book_is_opened_once_when_the_manager_s_turn_has_come(script: Any, speakers: int | None) -> None:
    channel = stage.ScriptedChannel(stage.journal(), script)
    asked: list[int] = []

    def book() -> str:
        asked.append(len(channel.requests))
        return stage.BOOK

    stage.discuss(stage.table(channel), stage.OPENING, book, stage.PREFIX)
    assert asked == ([] if speakers is None else [speakers])
    assert [stage.BOOK in stage.texts(body) for body in channel.asked(Role.PORTFOLIO)] == [True] * len(
        channel.asked(Role.PORTFOLIO)
    )


@pytest.mark.parametrize("role", Role)
def test_a_malformed_answer_is_asked_again_once_in_sight_of_all(role: Role) -> None:
    discussion, channel = stage.talk({role: [BAD]})
    assert discussion.failure is None
    said = [message.text for message in discussion.messages if message.agent == role.agent]
    assert said == [BAD, VALID[role]]
    assert [message.turn for message in discussion.messages if message.agent == role.agent] == [1, 2]
    first, again = channel.asked(role)
    assert REASK not in stage.texts(first)
    assert stage.texts(again)[-1] == REASK
    assert BAD in stage.texts(again)
    assert (stage.BOOK in stage.texts(again)) == (role is Role.PORTFOLIO)
    later = [other for other in Role if other.value in [r.value for r in list(Role)[list(Role).index(role) + 1 :]]]
    assert all(BAD in stage.texts(channel.asked(other)[0]) for other in later)
    assert all(REASK not in stage.texts(channel.asked(other)[0]) for other in later)


@pytest.mark.parametrize("role", Role)
def test_malformed_twice_fails_the_decision(role: Role) -> None:
    discussion, channel = stage.talk({role: [BAD, BAD]})
    assert discussion.failure is not None
    assert (discussion.failure.reason, discussion.failure.agent) == (FailureReason.MALFORMED, role.agent)
    assert role not in discussion.answers
    assert len(channel.requests) == list(Role).index(role) + 2
    records = [record.body["asked_again"] for record in channel.journal.records if record.kind == "opinion.malformed"]
    assert records == [True, False]


def test_everybody_may_be_asked_again_once() -> None:
    discussion, channel = stage.talk({role: [BAD] for role in Role})
    assert discussion.failure is None
    assert len(discussion.messages) == len(channel.requests) == 8


def test_the_word_terminate_ends_nothing() -> None:
    discussion, _ = stage.talk({Role.TECHNICAL: ["TERMINATE"], Role.PORTFOLIO: ["TERMINATE"]})
    assert discussion.failure is None
    assert len(discussion.messages) == 6


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("reason", [FailureReason.REFUSED, FailureReason.TIMEOUT, FailureReason.WRONG_MODEL])
def test_what_the_transport_found_at_fault_ends_the_chat(role: Role, reason: FailureReason) -> None:
    discussion, channel = stage.talk({role: [fails_with(reason)]})
    assert discussion.failure == Failure(reason, "as scripted", role.agent)
    assert [agent for agent, _ in channel.requests] == stage.NAMES[: list(Role).index(role) + 1]
    assert role not in discussion.answers


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("content", ["", None])
def test_an_empty_reply_is_a_failure_even_if_the_transport_let_it_pass(role: Role, content: str | None) -> None:
    discussion, channel = stage.talk({role: [lambda _request: stage.completion(content)]})
    assert discussion.failure is not None
    assert (discussion.failure.reason, discussion.failure.agent) == (FailureReason.EMPTY, role.agent)
    assert len(channel.requests) == list(Role).index(role) + 1


def test_a_model_that_calls_a_tool_nobody_gave_it_gets_nowhere() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "place_order", "arguments": "{}"}}
    discussion, channel = stage.talk({Role.TECHNICAL: [lambda _request: stage.completion(None, tool_calls=[call])]})
    assert discussion.failure is not None
    assert discussion.failure.agent == Role.TECHNICAL.agent
    assert len(channel.requests) == 1


def test_what_a_user_can_mend_comes_out_as_itself() -> None:
    with pytest.raises(BudgetExhausted, match=r"0\.12 USD left"):
        stage.talk({Role.FUNDAMENTAL: [BudgetExhausted("0.12 USD left")]})


def test_a_broken_journal_stops_everything() -> None:
    with pytest.raises(JournalBroken, match="disk full"):
        stage.talk({Role.PORTFOLIO: [JournalBroken("disk full")]})


def test_trouble_that_nobody_explained_is_not_taken_for_a_models() -> None:
    with pytest.raises(Exception, match=r"Connection error") as caught:
        stage.talk({Role.TECHNICAL: [RuntimeError("a bug of ours")]})
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_reply_changed_on_its_way_is_untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    send = ConversableAgent._process_message_before_send

    def change(agent: Any, message: Any, *rest: Any) -> Any:
        return (
            stage.answer(Role.FUNDAMENTAL, "SELL")
            if agent.name == Role.FUNDAMENTAL.agent
            else send(agent, message, *rest)
        )

    monkeypatch.setattr(ConversableAgent, "_process_message_before_send", change)
    discussion, _ = stage.talk()
    assert discussion.failure is not None
    assert (discussion.failure.reason, discussion.failure.agent) == (FailureReason.UNTRACED, Role.FUNDAMENTAL.agent)


def test_a_reply_that_no_model_gave_is_untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    speak = ConversableAgent.generate_reply

    def invent(agent: Any, *args: Any, **kwargs: Any) -> Any:
        return VALID[Role.TECHNICAL] if agent.name == Role.TECHNICAL.agent else speak(agent, *args, **kwargs)

    monkeypatch.setattr(ConversableAgent, "generate_reply", invent)
    discussion, channel = stage.talk()
    assert discussion.failure is not None
    assert discussion.failure.reason is FailureReason.UNTRACED
    assert channel.requests == []


def test_somebody_who_answers_for_a_failed_model_does_not_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    speak = ConversableAgent.generate_reply

    def cover_up(agent: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return speak(agent, *args, **kwargs)
        except openai.APIError:
            return VALID[Role.TECHNICAL]

    monkeypatch.setattr(ConversableAgent, "generate_reply", cover_up)
    discussion, _ = stage.talk({Role.TECHNICAL: [fails_with(FailureReason.TRUNCATED)]})
    assert discussion.failure == Failure(FailureReason.TRUNCATED, "as scripted", Role.TECHNICAL.agent)
    assert discussion.answers == {}


def test_an_agent_that_says_nothing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    speak = ConversableAgent.generate_reply

    def mute(agent: Any, *args: Any, **kwargs: Any) -> Any:
        return None if agent.name == Role.PORTFOLIO.agent else speak(agent, *args, **kwargs)

    monkeypatch.setattr(ConversableAgent, "generate_reply", mute)
    discussion, _ = stage.talk()
    assert discussion.failure is not None
    assert (discussion.failure.reason, discussion.failure.agent) == (
        FailureReason.NO_COMMUNICATION,
        Role.PORTFOLIO.agent,
    )


def test_a_cache_somebody_left_open_cannot_answer(tmp_path: Path) -> None:
    def twice() -> int:
        with Cache.disk(cache_path_root=str(tmp_path)):
            return sum(len(stage.talk()[1].requests) for _ in range(2))

    assert copy_context().run(twice) == 8


def test_no_model_chooses_the_speaker_and_none_sums_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("a model was asked who speaks next")

    monkeypatch.setattr(groupchat.GroupChat, "_auto_select_speaker", never)
    _, channel = stage.talk()
    assert len(channel.requests) == 4


def test_nobody_is_asked_at_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a human was asked"))
    assert stage.talk({Role.DECISION: [BAD]})[0].failure is None


def test_nothing_is_printed_in_any_thread() -> None:
    """In a process of its own: AutoGen's handlers hold on to the first standard output they meet."""
    program = """
import stage
from concurrent.futures import ThreadPoolExecutor
from data.model.decisions import Role
with ThreadPoolExecutor(3) as pool:
    list(pool.map(lambda bad: stage.talk({Role.TECHNICAL: ["no JSON"] * bad}), range(3)))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_other_peoples_chats_still_reach_their_stream() -> None:
    stream = mock.Mock()
    with IOStream.set_default(stream):
        stage.talk()
        assert stream.mock_calls == []
        one, two = (ConversableAgent(name, llm_config=False, human_input_mode="NEVER") for name in "AB")
        one.initiate_chat(two, message="good morning", max_turns=1)
        assert stream.send.called
        assert IOStream.get_default() is stream


def test_whoever_talks_afterwards_has_no_turn() -> None:
    assert current_turn.get() is None
    stage.talk()
    assert current_turn.get() is None
    with pytest.raises(JournalBroken):
        stage.talk({Role.PORTFOLIO: [JournalBroken("disk full")]})
    assert current_turn.get() is None


def test_nothing_said_in_one_chat_is_heard_in_the_next() -> None:
    channel = stage.ScriptedChannel(stage.journal(), {Role.TECHNICAL: [VALID[Role.TECHNICAL], VALID[Role.TECHNICAL]]})
    desk = stage.table(channel)
    stage.discuss(desk, stage.OPENING, stage.book_text, "run7/1/BTCUSDT")
    stage.discuss(desk, stage.OPENING, stage.book_text, "run7/2/BTCUSDT")
    assert channel.requests[:4] == channel.requests[4:]


def test_chats_in_several_threads_keep_apart() -> None:
    channel = stage.ScriptedChannel(stage.journal())
    desk, ready = stage.table(channel), threading.Barrier(6)

    def one(number: int) -> Any:
        ready.wait()
        return stage.discuss(desk, stage.OPENING, stage.book_text, f"run7/{number}/BTCUSDT")

    with ThreadPoolExecutor(6) as pool:
        discussions = list(pool.map(one, range(6)))
    slots = {record.seq: record.slot for record in channel.journal.records}
    for number, discussion in enumerate(discussions):
        assert discussion.failure is None
        for message in discussion.messages:
            assert message.exchange is not None
            assert slots[message.exchange.response_seq] == f"run7/{number}/BTCUSDT/chat/{message.agent}/1"
