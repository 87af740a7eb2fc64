"""The patch on AutoGen: everything that agents say is heard once, by whoever asked to hear it, and left as it was."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stage
from autogen import ConversableAgent, GroupChat, GroupChatManager

from data.journal.comms import lines
from data.model.decisions import Role
from data.model.errors import JournalBroken
from orchestration.communication_log import patch_all, patch_autogen

TOUCHED = [
    (ConversableAgent, "generate_reply"),
    (ConversableAgent, "a_generate_reply"),
    (ConversableAgent, "initiate_chat"),
    (ConversableAgent, "a_initiate_chat"),
    (GroupChatManager, "initiate_chat"),
    (GroupChatManager, "a_initiate_chat"),
]


@pytest.fixture(autouse=True)
def classes_as_found() -> Iterator[None]:
    before = found()
    yield
    for (owner, name), function in before.items():
        if function is not None:
            setattr(owner, name, function)
        elif name in vars(owner):
            delattr(owner, name)


def found() -> dict[tuple[type, str], Any]:
    return {(owner, name): vars(owner).get(name) for owner, name in TOUCHED}


def speaker(name: str, says: Any = "hello") -> ConversableAgent:
    return ConversableAgent(name, llm_config=False, human_input_mode="NEVER", default_auto_reply=says, silent=True)


def round_table(
    *agents: ConversableAgent, llm_config: Any = False, speaker_selection_method: str = "round_robin"
) -> GroupChatManager:
    group = GroupChat(agents=list(agents), messages=[], max_round=3, speaker_selection_method=speaker_selection_method)
    return GroupChatManager(group, silent=True, llm_config=llm_config)


def replies(log: Any) -> list[tuple[str, str]]:
    return [(r.body["agent"], r.body["text"]) for r in log.records if r.kind == "agent.reply"]


def test_our_chat_in_its_records() -> None:
    channel = stage.ScriptedChannel(stage.journal())
    undo = patch_autogen(channel.journal, run="run7")
    stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, stage.PREFIX)
    undo()
    turn = ["agent.generating", "llm.request", "llm.response", "agent.reply"]
    assert stage.kinds(channel.journal) == ["chat.begin", *turn * 4]
    records = channel.journal.records
    assert records[0].body == {"agents": [role.shown for role in Role]}
    assert records[0].slot == f"{stage.PREFIX}/chat"
    for number, role in enumerate(Role):
        _, _, response, reply = records[1 + 4 * number : 5 + 4 * number]
        assert reply.body == {"agent": role.agent, "text": stage.answer(role), "traced": True, "origin": "provider"}
        assert reply.slot == f"{stage.PREFIX}/chat/{role.agent}/1"
        assert reply.caused_by == (response.seq,)
    assert (undo.replies, undo.heard(stage.PREFIX), undo.heard("run7/other")) == (4, 4, 0)


def test_asked_again_both_replies_are_heard() -> None:
    channel = stage.ScriptedChannel(stage.journal(), {Role.PORTFOLIO: ["no JSON"]})
    undo = patch_autogen(channel.journal)
    discussion = stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, stage.PREFIX)
    undo()
    assert replies(channel.journal) == [(message.agent, message.text) for message in discussion.messages]
    assert undo.heard(stage.PREFIX) == len(discussion.messages) == 5


@pytest.mark.parametrize("says", ["hello", {"content": "hello"}, {"content": "", "tool_calls": [{"id": "1"}]}, None])
def test_the_very_same_object_comes_back(says: Any) -> None:
    undo = patch_autogen(stage.journal())
    agent = speaker("A", says)
    assert agent.generate_reply([{"role": "user", "content": "x"}]) is says
    assert asyncio.run(agent.a_generate_reply([{"role": "user", "content": "x"}])) is says
    undo()


@pytest.mark.parametrize(
    ("says", "heard"),
    [
        ("hello", ["hello"]),
        ("", [""]),
        ({"content": "hello", "role": "assistant"}, ["hello"]),
        ({"content": None, "tool_calls": [{"id": "é"}]}, ['{"content": null, "tool_calls": [{"id": "é"}]}']),
        (None, []),
    ],
)
def test_a_reply_is_heard_as_it_was_said(says: Any, heard: list[str]) -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    speaker("A", says).generate_reply([{"role": "user", "content": "x"}])
    undo()
    assert [text for _, text in replies(log)] == heard


@pytest.mark.parametrize("agents_first", [True, False])
def test_agents_made_before_and_after_are_heard(agents_first: bool) -> None:
    log = stage.journal()
    agents = [speaker("A"), speaker("B")] if agents_first else []
    undo = patch_autogen(log)
    agents = agents or [speaker("A"), speaker("B")]
    round_table(*agents).initiate_chat(agents[0], message="good morning")
    undo()
    assert [name for name, _ in replies(log)] == ["A", "B", "A"]
    assert stage.kinds(log).count("chat.begin") == 1


def test_a_chat_opened_towards_the_manager_begins_too() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    first, second = speaker("A"), speaker("B")
    first.initiate_chat(round_table(first, second), message="good morning")
    undo()
    assert [r.body["agents"] for r in log.records if r.kind == "chat.begin"] == [["A", "B"]]
    assert replies(log) == [("B", "hello"), ("A", "hello")]


def test_async_chats_are_heard() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    first, second = speaker("A"), speaker("B")
    asyncio.run(round_table(first, second).a_initiate_chat(first, message="good morning"))
    undo()
    assert [r.body["agents"] for r in log.records if r.kind == "chat.begin"] == [["A", "B"]]
    assert [name for name, _ in replies(log)] == ["A", "B", "A"]


def test_two_agents_without_a_manager_are_heard() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    speaker("A").initiate_chat(speaker("B"), message="good morning", max_turns=2)
    undo()
    assert [r.body["agents"] for r in log.records if r.kind == "chat.begin"] == [["A", "B"]]
    assert [name for name, _ in replies(log)] == ["B", "A", "B"]


def test_a_chat_within_an_agents_turn_begins_as_one_of_its_own() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    host, guest = speaker("Host"), speaker("Guest")
    host.register_nested_chats([{"recipient": guest, "max_turns": 1, "message": "psst"}], trigger=lambda _sender: True)
    speaker("A").initiate_chat(host, message="good morning", max_turns=1)
    undo()
    assert [r.body["agents"] for r in log.records if r.kind == "chat.begin"] == [["A", "Host"], ["Host", "Guest"]]


def test_temporary_agents_that_select_a_speaker_are_heard() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    agents = [speaker(name) for name in "ABC"]
    manager = round_table(*agents, llm_config=stage.plain_config("B"), speaker_selection_method="auto")
    manager.initiate_chat(agents[0], message="good morning", silent=True)
    undo()
    assert ("speaker_selection_agent", "B") in replies(log)
    assert [name for name, text in replies(log) if text == "hello"] == ["A", "B", "B"]


def test_words_outside_of_any_turn_are_of_unknown_origin() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    speaker("A").generate_reply([{"role": "user", "content": "x"}])
    undo()
    assert (log.records[-1].body["traced"], log.records[-1].body["origin"]) == (False, "unknown")
    assert log.records[-1].slot is None


def test_words_that_code_made_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ConversableAgent, "generate_oai_reply", lambda *_args, **_kwargs: (True, "I am code"), raising=True
    )
    channel = stage.ScriptedChannel(stage.journal())
    undo = patch_autogen(channel.journal)
    stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, stage.PREFIX)
    undo()
    (said,) = [record.body for record in channel.journal.records if record.kind == "agent.reply"]
    assert said == {"agent": Role.TECHNICAL.agent, "text": "I am code", "traced": False, "origin": "code"}


def test_words_that_differ_from_the_response_are_untraced() -> None:
    generate = ConversableAgent.generate_oai_reply

    def change(agent: Any, *args: Any, **kwargs: Any) -> Any:
        final, reply = generate(agent, *args, **kwargs)
        return final, f"{reply} "

    channel = stage.ScriptedChannel(stage.journal())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ConversableAgent, "generate_oai_reply", change)
        undo = patch_autogen(channel.journal)
        stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, stage.PREFIX)
        undo()
    (said,) = [record.body for record in channel.journal.records if record.kind == "agent.reply"]
    assert (said["traced"], said["origin"]) == (False, "unknown")


def test_an_error_passes_and_leaves_a_line() -> None:
    log = stage.journal()
    undo = patch_autogen(log)
    agent, error = speaker("A"), RuntimeError("with a secret in its words")
    agent.register_reply([ConversableAgent, None], lambda *_args, **_kwargs: (_ for _ in ()).throw(error))
    with pytest.raises(RuntimeError) as caught:
        agent.generate_reply([{"role": "user", "content": "x"}])
    with pytest.raises(RuntimeError):
        asyncio.run(agent.a_generate_reply([{"role": "user", "content": "x"}]))
    undo()
    assert caught.value is error
    assert [(r.kind, r.body.get("error")) for r in log.records] == [
        ("agent.generating", None),
        ("agent.failed", "RuntimeError"),
    ] * 2
    assert lines(log.records[1]) == ("2025-04-15 13:45:30 - ERROR - Agent A failed: RuntimeError",)


def test_a_broken_sink_stops_the_chat() -> None:
    log = stage.journal()
    channel = stage.ScriptedChannel(log)
    undo = patch_autogen(log)

    def full(*_args: Any, **_kwargs: Any) -> Any:
        raise JournalBroken("disk full")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log, "append", full)
        with pytest.raises(JournalBroken):
            stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, stage.PREFIX)
    undo()


def test_undone_the_classes_are_as_they_were() -> None:
    before = found()
    for _ in range(2):
        undo = patch_all(stage.journal())
        assert all(now is not then for now, then in zip(found().values(), before.values(), strict=True))
        undo()
        undo()
        assert found() == before


def test_patched_twice_heard_once() -> None:
    log = stage.journal()
    first, second = patch_all(log), patch_all(log)
    third = patch_autogen(log)
    speaker("A").generate_reply([{"role": "user", "content": "x"}])
    assert first is second
    assert replies(log) == [("A", "hello")]
    second()
    speaker("B").generate_reply([{"role": "user", "content": "x"}])
    assert replies(log) == [("A", "hello"), ("B", "hello")]
    third()
    speaker("C").generate_reply([{"role": "user", "content": "x"}])
    assert len(replies(log)) == 2
    first()


@pytest.mark.parametrize("undo_first", [0, 1])
def test_each_of_two_sinks_hears_until_it_is_undone(undo_first: int) -> None:
    logs = [stage.journal(), stage.journal()]
    undos = [patch_autogen(log) for log in logs]
    speaker("A").generate_reply([{"role": "user", "content": "x"}])
    undos[undo_first]()
    speaker("B").generate_reply([{"role": "user", "content": "x"}])
    undos[1 - undo_first]()
    assert len(replies(logs[undo_first])) == 1
    assert len(replies(logs[1 - undo_first])) == 2


def test_two_runs_at_once_each_hear_their_own() -> None:
    ready = threading.Barrier(4)

    def one(number: int) -> tuple[list[tuple[str, str]], set[str | None], int]:
        channel = stage.ScriptedChannel(stage.journal())
        undo = patch_autogen(channel.journal, run=f"run{number}")
        ready.wait()
        stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, f"run{number}/1/BTCUSDT")
        ready.wait()
        undo()
        runs = {record.slot and record.slot.split("/")[0] for record in channel.journal.records}
        return replies(channel.journal), runs, undo.replies

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))
    for number, (said, runs, count) in enumerate(found):
        assert said == [(role.agent, stage.answer(role)) for role in Role]
        assert runs == {f"run{number}"}
        assert count == 4


def test_other_peoples_chats_are_not_the_runs() -> None:
    log = stage.journal()
    undo = patch_autogen(log, run="run7")
    speaker("A").generate_reply([{"role": "user", "content": "x"}])
    undo()
    assert log.records == []


def patched_by_others(owner: type, name: str, seen: list[tuple[str, Any]]) -> Callable[[], None]:
    """Somebody else's patch, as the guides have it."""
    found = getattr(owner, name)

    def theirs(agent: Any, *args: Any, **kwargs: Any) -> Any:
        result = found(agent, *args, **kwargs)
        seen.append((agent.name, result))
        return result

    mine = vars(owner).get(name)
    setattr(owner, name, theirs)
    return lambda: setattr(owner, name, found) if mine else delattr(owner, name)


@pytest.mark.parametrize("theirs_first", [True, False])
@pytest.mark.parametrize("undo_theirs_first", [True, False])
@pytest.mark.parametrize("seam", [(ConversableAgent, "generate_reply"), (GroupChatManager, "initiate_chat")])
def test_somebody_elses_patch_sees_what_we_see(
    theirs_first: bool, undo_theirs_first: bool, seam: tuple[type, str]
) -> None:
    seen: list[tuple[str, Any]] = []
    channel = stage.ScriptedChannel(stage.journal())
    undo = {}
    for who in ("theirs", "ours") if theirs_first else ("ours", "theirs"):
        undo[who] = patched_by_others(*seam, seen) if who == "theirs" else patch_all(channel.journal)
    stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, stage.PREFIX)
    said = [(role.agent, stage.answer(role)) for role in Role]
    assert replies(channel.journal) == said
    assert stage.kinds(channel.journal).count("chat.begin") == 1
    if seam[1] == "generate_reply":
        assert sorted((name, text) for name, text in seen if name in stage.NAMES) == sorted(said)
    else:
        assert [name for name, _ in seen] == ["Chat_Manager"]
    first, second = ("theirs", "ours") if undo_theirs_first else ("ours", "theirs")
    undo[first]()
    heard, count = len(seen), len(replies(channel.journal))
    stage.discuss(stage.table(channel), stage.OPENING, stage.book_text, stage.PREFIX)
    assert (len(seen) > heard) == (first == "ours")
    if first == "ours":
        assert len(replies(channel.journal)) == count
    undo[second]()
