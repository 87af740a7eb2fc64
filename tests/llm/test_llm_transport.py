"""Record, then act: what was sent is on record before it leaves, what was told before anybody sees it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fault_server as faults
import httpx
import openai
import pytest
import wire
from autogen import ConversableAgent, OpenAIWrapper

from agents.llm.turn import current_turn
from data.journal.memory_journal import MemoryJournal
from data.model.errors import JournalBroken, RunIncomplete
from data.model.protocols import Record

GOOD = '{"action": "HOLD"} ça va? 価格'


def server(*script: faults.Step) -> faults.FaultServer:
    return faults.FaultServer(script, answer=lambda _messages: GOOD)


class Watched(MemoryJournal):
    """Notes what is durable; breaks at a given kind of record, when appending or when flushing."""

    def __init__(self, append_breaks: str = "", sync_breaks: str = "") -> None:
        super().__init__(wire.Standing())
        self.durable = 0
        self._breaks = append_breaks, sync_breaks

    def append(
        self, kind: str, body: Mapping[str, object], *, slot: str | None = None, caused_by: Sequence[int] = ()
    ) -> Record:
        if kind == self._breaks[0]:
            raise JournalBroken("no space left")
        return super().append(kind, body, slot=slot, caused_by=caused_by)

    def sync(self) -> None:
        if self.records[-1].kind == self._breaks[1]:
            raise JournalBroken("no space left")
        self.durable = len(self.records)


class Spy(httpx.BaseTransport):
    """Stands before the network and notes what was durable when a request passed."""

    def __init__(self, inner: httpx.BaseTransport, journal: Watched) -> None:
        self.inner, self.journal = inner, journal
        self.seen: list[list[str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append([record.kind for record in self.journal.records[: self.journal.durable]])
        return self.inner.handle_request(request)


def test_the_recorded_request_is_what_was_sent() -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask()
    (asked,) = line.bodies("llm.request")
    sent = provider.received[0].body
    assert asked["body"].encode() == sent
    assert asked["audit.request_sha256"] == hashlib.sha256(sent).hexdigest()
    assert asked["url"] == f"{provider.base_url}/chat/completions"
    assert (asked["gen_ai.request.model"], asked["agent"]) == ("gpt-4o", "Technical_Analyst")
    assert line.records("llm.request")[0].slot == line.turn.slot


def test_the_recorded_response_is_what_was_told_and_what_the_application_sees() -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url))
        seen = line.ask()
        told = json.dumps(provider.completion(provider.received[0])).encode()
    (record,) = line.records("llm.response")
    assert str(record.body["body"]).encode() == told
    assert record.body["audit.response_sha256"] == hashlib.sha256(told).hexdigest()
    assert record.caused_by == (line.records("llm.request")[0].seq,)
    exchange = line.turn.exchange
    assert exchange is not None
    assert seen == exchange.content == GOOD
    assert (exchange.request_seq, exchange.response_seq) == (0, 1)
    assert exchange.response_sha256 == record.body["audit.response_sha256"]
    assert (exchange.input_tokens, exchange.output_tokens) == (1000, 100)
    assert record.body["gen_ai.response.finish_reasons"] == ["stop"]


def test_every_attempt_is_durable_before_it_leaves() -> None:
    journal = Watched()
    spies: list[Spy] = []

    def around(inner: httpx.BaseTransport) -> httpx.BaseTransport:
        spies.append(Spy(inner, journal))
        return spies[0]

    with server(faults.status(500)) as provider:
        line = wire.Wire(wire.at(provider.base_url), journal=journal, around=around)
        line.ask()
    first = ["llm.request"]
    assert spies[0].seen == [first, [*first, "llm.response", "llm.request"]]
    assert journal.durable == 4


@pytest.mark.parametrize("broken", [{"append_breaks": "llm.request"}, {"sync_breaks": "llm.request"}])
def test_nothing_leaves_that_is_not_on_record(broken: dict[str, str]) -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url), journal=Watched(**broken))
        with pytest.raises(JournalBroken, match="no space left"):
            line.ask()
    assert provider.received == []


@pytest.mark.parametrize("broken", [{"append_breaks": "llm.response"}, {"sync_breaks": "llm.response"}])
def test_nobody_sees_an_answer_that_is_not_on_record(broken: dict[str, str]) -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url), journal=Watched(**broken))
        with pytest.raises(JournalBroken, match="no space left"):
            line.ask()
    assert len(provider.received) == 1
    assert line.turn.exchange is None


def test_a_broken_journal_passes_through_an_agent_unchanged() -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url), journal=Watched(sync_breaks="llm.response"))
        config = line.channel.client_config(line.spec, wire.KEY)
        agent = ConversableAgent(
            "Technical_Analyst",
            llm_config={"config_list": [config], "cache_seed": None},
            human_input_mode="NEVER",
            silent=True,
        )
        token = current_turn.set(line.turn)
        try:
            with pytest.raises(JournalBroken) as broken:
                agent.generate_reply(messages=[{"role": "user", "content": "What now?"}])
        finally:
            current_turn.reset(token)
    assert type(broken.value) is JournalBroken
    assert broken.value.args == ("no space left",)


def test_whoever_asks_out_of_turn_is_sent_away() -> None:
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url))
        client = OpenAIWrapper(config_list=[line.channel.client_config(line.spec, wire.KEY)], cache_seed=None)
        with pytest.raises(openai.APIConnectionError) as error:
            client.create(messages=wire.MESSAGES)
    assert isinstance(error.value.__cause__, RuntimeError)
    assert "outside of any agent's turn" in str(error.value.__cause__)
    assert provider.received == []


def test_the_client_is_shared_by_every_copy() -> None:
    line = wire.Wire(wire.at("http://127.0.0.1:9/v1"))
    config = line.channel.client_config(line.spec, wire.KEY)
    assert copy.deepcopy(config)["http_client"] is line.channel.http_client


def test_a_user_error_in_the_transport_can_be_found_again() -> None:
    """The SDK wraps it; its cause is still there for who looks."""

    class Refusing(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise RunIncomplete("enough")

    line = wire.Wire(wire.at("http://127.0.0.1:9/v1"), around=lambda _inner: Refusing())
    with pytest.raises(openai.APIConnectionError) as error:
        line.ask()
    assert isinstance(error.value.__cause__, RunIncomplete)


def test_settings_reach_the_server_as_they_are_meant() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"action": {"type": "string"}},
        "required": ["action"],
        "additionalProperties": False,
    }
    with server() as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask(response_format=schema, seed=7)
    asked = provider.received[0].asked
    assert (asked["model"], asked["temperature"], asked["seed"]) == ("gpt-4o", 0.0, 7)
    assert asked["response_format"]["json_schema"]["schema"] == schema
    assert asked["response_format"]["json_schema"]["strict"] is True


def test_headers_are_kept_by_list() -> None:
    with server(faults.status(500, x_request_id="r-1", Set_Cookie="c=1", Retry_After="0")) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask()
    kept = line.bodies("llm.response")[0]["headers"]
    assert (kept["x-request-id"], kept["retry-after"]) == ("r-1", "0")
    assert set(kept) <= {"x-request-id", "retry-after", "content-type", "date"}


EXTRAS = {
    "tool_calls": [],
    "function_call": None,
    "refusal": None,
    "annotations": [],
    "reasoning_content": "hm",
    "audio": 7,
    "role": 7,
}


def with_extras(handler: faults.Handler, received: faults.Received) -> None:
    completion = handler.server.owner.completion(received, finish_reason="end_turn", **EXTRAS)
    completion |= {"usage": {"prompt_tokens": "many"}, "id": ["x"], "created": None, "service_tier": {}}
    handler.say(200, json.dumps(completion).encode())


def test_a_server_s_extras_neither_change_nor_break_an_agent_s_words() -> None:
    with server(with_extras) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        agent = ConversableAgent(
            "Technical_Analyst",
            llm_config={"config_list": [line.channel.client_config(line.spec, wire.KEY)], "cache_seed": None},
            human_input_mode="NEVER",
            silent=True,
        )
        token = current_turn.set(line.turn)
        try:
            reply = agent.generate_reply(messages=[{"role": "user", "content": "What now?"}])
        finally:
            current_turn.reset(token)
    assert reply == GOOD
    assert "reasoning_content" in str(line.bodies("llm.response")[0]["body"])


def test_a_turn_that_asks_again_forgets_what_it_was_told_before() -> None:
    with server(faults.ok, faults.empty, faults.ok) as provider:
        line = wire.Wire(wire.at(provider.base_url))
        client = OpenAIWrapper(config_list=[line.channel.client_config(line.spec, wire.KEY)], cache_seed=None)
        token = current_turn.set(line.turn)
        try:
            client.create(messages=wire.MESSAGES)
            with pytest.raises(openai.APIError):
                client.create(messages=wire.MESSAGES)
            assert (line.turn.exchange, line.turn.failure is None) == (None, False)
            client.create(messages=wire.MESSAGES)
            assert (line.turn.exchange is None, line.turn.failure) == (False, None)
        finally:
            current_turn.reset(token)
