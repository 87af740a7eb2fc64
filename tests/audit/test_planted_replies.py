"""A reply that no model gave, put in while the run went on: the run fails that decision, the audit names the reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from autogen import Agent, ConversableAgent
from recordings import Recorder, live

from agents import group_chat
from backtesting.audit.derivation import rederive
from data.model.decisions import Role
from data.model.protocols import Record

PLANTED = '{"reasons": ["I was put in."], "evidence": ["bars"], "action": "BUY", "confidence": 1}'


def stub(agent: ConversableAgent) -> None:
    """Answers in the model's place."""
    agent.register_reply([Agent, None], lambda *_args, **_named: (True, PLANTED), position=0)


def silence(agent: ConversableAgent) -> None:
    agent.register_reply([Agent, None], lambda *_args, **_named: (True, ""), position=0)


def rewrite(agent: ConversableAgent) -> None:
    """Lets the model answer, and gives out something else."""
    ask = agent.generate_oai_reply

    def reply(_agent: Any, messages: Any, sender: Any, config: Any) -> tuple[bool, Any]:
        ask(messages, sender, config)
        return True, PLANTED

    agent.register_reply([Agent, None], reply, position=0)


def whisper(agent: ConversableAgent) -> None:
    """Changes the message on its way to the others."""
    agent.register_hook(
        "process_message_before_send", lambda **named: {**_as_dict(named["message"]), "content": PLANTED}
    )


def _as_dict(message: Any) -> dict[str, Any]:
    return message if isinstance(message, dict) else {"content": message}


def planted(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, name: str, plant: Callable[..., None]) -> list[Record]:
    build = group_chat.build_agents

    def built(*args: Any) -> dict[Role, ConversableAgent]:
        agents = build(*args)
        plant(agents[Role.FUNDAMENTAL])
        return agents

    monkeypatch.setattr(group_chat, "build_agents", built)
    return live(recorder.rules_until_failure(name))


@pytest.mark.parametrize(
    ("plant", "reason", "found"),
    [
        (stub, "untraced", "came from no recorded provider response (origin: code)"),
        (silence, "empty", "came from no recorded provider response (origin: code)"),
        (rewrite, "untraced", "(/origin): recorded unknown, derived provider"),
        (whisper, "untraced", "was changed after it was heard"),
    ],
)
def test_a_planted_reply_fails_its_decision_and_is_named(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, plant: Callable[..., None], reason: str, found: str
) -> None:
    records = planted(recorder, monkeypatch, f"planted-{plant.__name__}", plant)
    decisions = [record.body for record in records if record.kind == "decision"]
    assert [decision["failure"]["reason"] for decision in decisions] == [reason]  # type: ignore[index, call-overload]
    reply = [record for record in records if record.kind == "agent.reply"][1]
    audit = rederive(records)
    assert [str(one) for one in audit.differences] == [f"reply of Fundamental Analyst at record {reply.seq} {found}"]
    assert audit.traced == (2 if plant is whisper else 1)
