"""Four agents with nothing switched on besides one model and one prompt."""

from __future__ import annotations

import json
import subprocess
import sys

import house
import pytest
import stage
from autogen import OpenAIWrapper

from agents.roster import build_agents, open_lines
from data.model.decisions import Role


@pytest.fixture
def agents():
    seats = stage.table(stage.ScriptedChannel(stage.journal())).seats
    channel = stage.ScriptedChannel(stage.journal())
    return build_agents(open_lines(list(reversed(seats)), channel, {stage.SPEC: "k"}, 0.0, None))


def test_they_come_in_speaking_order_under_names_autogen_takes(agents) -> None:
    assert [agent.name for agent in agents.values()] == stage.NAMES
    assert list(agents) == list(Role)


@pytest.mark.parametrize("role", Role)
def test_nobody_human_no_code_no_second_model_no_cache(agents, role: Role) -> None:
    agent = agents[role]
    assert agent.human_input_mode == "NEVER"
    assert agent._code_execution_config is False
    assert agent._default_auto_reply == ""
    assert agent.silent is True
    assert agent.client_cache is None
    assert agent._is_termination_msg({"content": "TERMINATE"}) is False
    assert len(agent.client._clients) == 1
    assert agent.llm_config.cache_seed is None
    assert agent.client._clients[0]._oai_client.max_retries == 0
    assert agent.function_map == {}
    assert agent.tools == []


def test_they_share_one_http_client(agents) -> None:
    assert len({id(agent.client._clients[0]._oai_client._client) for agent in agents.values()}) == 1


def test_their_client_takes_what_autogen_s_takes(agents) -> None:
    client = agents[Role.TECHNICAL].client
    assert isinstance(client, OpenAIWrapper)
    assert "max_retries" in client.openai_kwargs
    assert client.openai_kwargs == OpenAIWrapper(model="m", api_key="k").openai_kwargs


def test_the_schema_goes_out_strict_and_wrapped_once() -> None:
    _, channel = stage.talk()
    for role in Role:
        (body,) = channel.asked(role)
        outer = body["response_format"]
        assert outer["type"] == "json_schema"
        assert outer["json_schema"]["strict"] is True
        assert outer["json_schema"]["schema"]["type"] == "object"
        assert "json_schema" not in outer["json_schema"]["schema"]


def test_a_model_without_schemas_is_asked_in_words_alone() -> None:
    channel = stage.ScriptedChannel(stage.journal())
    plain = stage.ModelSpec("ollama", "m", "http://provider.invalid/v1", None, json_schema=False, seed=False)
    seats = [stage.Seat(seat.role, plain, seat.prompt) for seat in stage.table(channel).seats]
    asked = stage.Table(seats, channel, channel.journal, {plain: "k"}, seed=3)
    assert stage.discuss(asked, stage.OPENING, stage.book_text, stage.PREFIX).failure is None
    assert all("response_format" not in body and "seed" not in body for _, body in channel.requests)


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_temperature_and_seed_reach_the_wire(seed: int | None) -> None:
    channel = stage.ScriptedChannel(stage.journal())
    stage.discuss(stage.table(channel, temperature=0.25, seed=seed), stage.OPENING, stage.book_text, stage.PREFIX)
    assert [body.get("seed") for _, body in channel.requests] == [seed] * 4
    assert {body["temperature"] for _, body in channel.requests} == {0.25}
    assert {body["model"] for _, body in channel.requests} == {stage.SPEC.name}


def test_no_environment_variable_redirects_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://elsewhere.invalid/v1")
    _, channel = stage.talk()
    assert channel.hosts == ["provider.invalid"] * 4


def test_the_key_is_in_no_message() -> None:
    _, channel = stage.talk()
    assert "sk-canary" not in json.dumps(channel.requests)


def test_autogen_writes_nothing_where_results_go() -> None:
    code = "import agents.roster, openai; from autogen.oai.client import OpenAIClient as Client\n"
    code += "Client(openai.OpenAI(api_key='x'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=house.ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
