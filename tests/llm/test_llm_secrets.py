"""A key stays out of everything that is written: records, errors, log lines."""

from __future__ import annotations

import json
import logging
import traceback
from urllib.parse import quote, quote_plus

import fault_server as faults
import httpx
import openai
import pytest
import wire

from agents.llm.models import NO_KEY, api_key, resolve_model
from agents.llm.redaction import MARK, Redactor
from data.journal.line import encode
from data.model.canonical import canonical_bytes
from data.model.errors import UsageError

CANARY = wire.KEY


def everything(line: wire.Wire) -> str:
    return "".join(encode(record, canonical_bytes(record.body)).decode() for record in line.journal.records)


@pytest.fixture
def shouting(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Every library logs all it can."""
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "autogen", "autogen.oai.client"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def test_the_key_reaches_the_server_and_nothing_else(shouting: pytest.LogCaptureFixture) -> None:
    with faults.FaultServer(answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask(CANARY)
    assert provider.received[0].headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in everything(line)
    assert shouting.text
    assert CANARY not in shouting.text


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500])
def test_a_server_that_repeats_the_key(code: int, shouting: pytest.LogCaptureFixture) -> None:
    with faults.FaultServer(then=faults.echo_key(code)) as provider:
        line = wire.Wire(wire.at(provider.base_url), max_attempts=2)
        with pytest.raises(openai.APIError) as error:
            line.ask(CANARY)
    assert line.turn.failure is not None
    assert MARK in line.turn.failure.detail
    said = "".join(traceback.format_exception(error.value)) + repr(line.turn) + everything(line) + shouting.text
    assert CANARY not in said
    assert all(body["redacted"] is True and MARK in body["body"] for body in line.bodies("llm.response"))
    assert not any("redacted" in body for body in line.bodies("llm.request"))


def test_a_header_that_repeats_the_key(shouting: pytest.LogCaptureFixture) -> None:
    with faults.FaultServer([faults.status(500, x_request_id=f"for {CANARY}")], answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask(CANARY)
    assert line.bodies("llm.response")[0]["headers"]["x-request-id"] == f"for {MARK}"
    assert CANARY not in everything(line) + shouting.text


@pytest.mark.parametrize("escaped", [False, True])
def test_a_model_that_repeats_the_key_is_heard_without_it(escaped: bool) -> None:
    key = 'sk-canary/"odd"'
    with faults.FaultServer(answer=lambda _: f"the key is {key}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        heard = line.ask(key)
        told = json.dumps(provider.completion(provider.received[0]))
    assert json.dumps(key)[1:-1] in told
    assert heard == f"the key is {MARK}"
    assert line.turn.exchange is not None
    assert line.turn.exchange.content == heard
    assert key not in everything(line)
    assert json.dumps(key)[1:-1] not in everything(line)


def test_a_key_in_escaped_letters_is_not_heard_either() -> None:
    with faults.FaultServer([spelled_out], answer=lambda _: "x") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        assert line.ask(CANARY) == MARK
    assert CANARY not in everything(line) + repr(line.turn)


def spelled_out(handler: faults.Handler, received: faults.Received) -> None:
    told = json.dumps(handler.server.owner.completion(received, content="KEY"))
    handler.say(200, told.replace("KEY", "".join(f"\\u{ord(letter):04x}" for letter in CANARY)).encode())


def test_a_key_in_what_is_asked_is_sent_and_not_kept() -> None:
    with faults.FaultServer(answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask(CANARY, user=CANARY)
    assert provider.received[0].asked["user"] == CANARY
    (asked,) = line.bodies("llm.request")
    assert asked["redacted"] is True
    assert CANARY not in everything(line)


def test_a_server_that_cannot_be_reached_names_no_key() -> None:
    class Broken(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.LocalProtocolError(f"Illegal header value {request.headers['authorization']}")

    line = wire.Wire(wire.at("http://127.0.0.1:9/v1"), around=lambda _inner: Broken(), max_attempts=1)
    with pytest.raises(openai.APIError) as error:
        line.ask(CANARY)
    assert CANARY not in "".join(traceback.format_exception(error.value)) + everything(line) + repr(line.turn)


def test_user_info_in_a_base_url_goes_nowhere(shouting: pytest.LogCaptureFixture) -> None:
    with faults.FaultServer(then=faults.status(404)) as provider:
        spec = wire.at(provider.base_url.replace("http://", f"http://{CANARY}:{CANARY}@"))
        line = wire.Wire(spec)
        with pytest.raises(openai.APIError):
            line.ask("another-key-123")
    assert provider.received[0].headers["authorization"] == "Bearer another-key-123"
    assert CANARY not in repr(spec) + everything(line) + repr(line.turn) + shouting.text


@pytest.mark.parametrize("url", [f"ftp://x:{CANARY}@host/v1", f"http://x:{CANARY}@", f"http://host/v1?key={CANARY}"])
def test_a_refused_base_url_is_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as error:
        resolve_model("openai/gpt-4o", url)
    assert CANARY not in "".join(traceback.format_exception(error.value))


def test_a_key_that_cannot_be_one_is_not_repeated() -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as error:
        api_key(resolve_model("openai/gpt-4o"), {"OPENAI_API_KEY": f"{CANARY}\nX-Evil: 1"})
    assert CANARY not in str(error.value)


def test_placeholders_are_no_secrets() -> None:
    """Else every answer with the word in it would be changed."""
    redactor = Redactor()
    for placeholder in (NO_KEY, "test", "EMPTY", ""):
        redactor.add(placeholder)
    text = f"a test of {NO_KEY}, EMPTY"
    assert redactor.text(text) == text
    assert redactor.body(text.encode()) == (text.encode(), False)


def test_a_key_with_odd_letters_is_known_in_every_spelling() -> None:
    redactor, key = Redactor(), 'sk-"odd"\\key/+=%'
    redactor.add(key)
    once = json.dumps(key)[1:-1]
    for spelled in (key, quote(key), quote(key, safe=""), quote_plus(key), key.replace("/", "\\/"), once):
        inside = json.dumps({"said": json.dumps({"text": spelled})})
        assert redactor.text(f"it is {spelled}") == f"it is {MARK}"
        assert json.loads(json.loads(redactor.text(inside))["said"])["text"] == MARK
