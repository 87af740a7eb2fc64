"""The chat over the real channel: agents, patches and transport together, only the network is scripted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal

import httpx
import pytest
import stage
from autogen import runtime_logging

from agents.group_chat import Discussion, discuss
from agents.llm.channel import Channel
from agents.llm.prices import Price
from agents.llm.turn import current_turn
from data.journal.memory_journal import MemoryJournal
from data.model.decisions import FailureReason, Role
from data.model.errors import BudgetExhausted
from orchestration.communication_log import patch_all

Handler = Callable[[httpx.Request], httpx.Response]


def speak(_request: httpx.Request) -> httpx.Response:
    turn = current_turn.get()
    assert turn is not None
    return stage.completion(stage.answer(next(role for role in Role if role.agent == turn.agent)))


def over(handler: Handler, log: MemoryJournal, budget_usd: Decimal | None = None) -> Discussion:
    channel = Channel(
        log,
        stage.Standing(),
        lambda _seconds: None,
        budget_usd=budget_usd,
        prices={stage.SPEC.shown: Price(Decimal(1), Decimal(1))},
        around=lambda _network: httpx.MockTransport(handler),
    )
    return discuss(stage.table(channel, log=log), stage.OPENING, stage.book_text, stage.PREFIX)


def test_every_reply_traces_to_its_recorded_response(caplog: pytest.LogCaptureFixture) -> None:
    log = stage.journal()
    undo = patch_all(log, run="run7")
    with caplog.at_level(logging.WARNING):
        discussion = over(speak, log)
    undo()
    assert discussion.failure is None
    responses = {record.seq: record for record in log.records if record.kind == "llm.response"}
    replies = [record for record in log.records if record.kind == "agent.reply"]
    assert len(replies) == len(responses) == 4
    for reply in replies:
        (cause,) = reply.caused_by
        assert reply.body["traced"] is True
        assert responses[cause].slot == reply.slot
        assert responses[cause].body["agent"] == reply.body["agent"]
    assert caplog.messages == []
    assert runtime_logging.logging_enabled() is False


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("response", "reason", "attempts"),
    [
        (lambda: httpx.Response(500), FailureReason.SERVER_ERROR, 5),
        (lambda: httpx.Response(400, json={"error": {"message": "no"}}), FailureReason.REQUEST_REJECTED, 1),
        (lambda: stage.completion(""), FailureReason.EMPTY, 1),
        (lambda: httpx.Response(200, text="{"), FailureReason.INVALID_RESPONSE, 1),
    ],
)
def test_a_fault_is_counted_by_us_alone_and_ends_the_chat(
    role: Role, response: Callable[[], httpx.Response], reason: FailureReason, attempts: int
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        turn = current_turn.get()
        assert turn is not None
        return response() if turn.agent == role.agent else speak(request)

    log = stage.journal()
    undo = patch_all(log)
    discussion = over(handle, log)
    undo()
    assert discussion.failure is not None
    assert (discussion.failure.reason, discussion.failure.agent) == (reason, role.agent)
    kinds = stage.kinds(log)
    assert kinds.count("llm.request") == kinds.count("llm.response") == list(Role).index(role) + attempts
    assert kinds[-1] == "agent.failed"
    assert str(log.records[-1].body["error"]).startswith(f"{reason.value}: ")


def test_an_exhausted_budget_stops_the_run_and_fails_no_decision() -> None:
    log = stage.journal()
    undo = patch_all(log)
    with pytest.raises(BudgetExhausted):
        over(speak, log, Decimal("0.000001"))
    undo()
    assert stage.kinds(log) == ["chat.begin", "agent.generating", "agent.failed"]


def test_the_key_is_in_no_record() -> None:
    log = stage.journal()
    undo = patch_all(log)
    over(lambda _request: httpx.Response(401, text="bad key sk-canary"), log)
    undo()
    assert "sk-canary" not in repr(log.records)
