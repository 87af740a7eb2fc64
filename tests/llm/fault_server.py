"""A local model server that speaks OpenAI chat completions and misbehaves exactly as its script says.

    with FaultServer([status(429, retry_after="1"), ok]) as server:
        ...  # ask the model at server.base_url; server.received holds every request

A step answers one request, in order of arrival; when the script is over, `then` answers (well, unless told otherwise).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from agents.llm import rules


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def asked(self) -> dict[str, Any]:
        return json.loads(self.body)


class Handler(BaseHTTPRequestHandler):
    """One connection. Steps speak through `say` and `drop`."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        owner = self.server.owner
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        received = Received(self.path, headers, body)
        owner.next_step(received)(self, received)

    def do_GET(self) -> None:
        self.do_POST()

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drop(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: FaultServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some steps provoke."""


Step = Callable[[Handler, Received], None]


class FaultServer:
    """Listens on a free port of the loopback interface inside the `with` block."""

    def __init__(
        self,
        script: Iterable[Step] = (),
        *,
        then: Step | None = None,
        answer: Callable[[list[dict[str, Any]]], str] = rules.answer,
    ) -> None:
        self.received: list[Received] = []
        self.over = threading.Event()
        self._script, self._then, self._answer = list(script), then or ok, answer
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.owner = self

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def next_step(self, received: Received) -> Step:
        with self._lock:
            self.received.append(received)
            return self._script.pop(0) if self._script else self._then

    def completion(self, received: Received, **choice: Any) -> dict[str, Any]:
        """A good answer; `choice` replaces `content`, `model`, `finish_reason` or adds to the message."""
        asked = received.asked
        content = choice.pop("content") if "content" in choice else self._answer(asked["messages"])
        top = {"model": choice.pop("model", asked["model"])}
        ended = choice.pop("finish_reason", "stop")
        message = {"role": "assistant", "content": content, **choice}
        return {
            "id": f"chatcmpl-{hashlib.sha256(received.body).hexdigest()[:24]}",
            "object": "chat.completion",
            "created": 1743465600,
            **top,
            "choices": [{"index": 0, "finish_reason": ended, "message": message}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }


def completing(**choice: Any) -> Step:
    """A well-formed completion that says something else than it should, or ends otherwise."""

    def step(handler: Handler, received: Received) -> None:
        owner = handler.server.owner
        handler.say(200, json.dumps(owner.completion(received, **choice)).encode())

    return step


def status(code: int, message: str = "as scripted", **headers: str) -> Step:
    """An error of the server. `retry_after="2"` becomes a header."""

    def step(handler: Handler, _received: Received) -> None:
        body = json.dumps({"error": {"message": message, "type": "scripted", "code": None}}).encode()
        handler.say(code, body, **headers)

    return step


def raw(body: bytes, **headers: str) -> Step:
    """Status 200 with whatever bytes."""
    return lambda handler, _received: handler.say(200, body, **headers)


def hang(handler: Handler, _received: Received) -> None:
    """Nothing, until the client has given up."""
    handler.server.owner.over.wait(30)
    handler.drop()


def half_json(handler: Handler, received: Received) -> None:
    """A whole body that stops in the middle of the JSON."""
    whole = json.dumps(handler.server.owner.completion(received)).encode()
    handler.say(200, whole[: len(whole) // 2])


def torn_body(handler: Handler, received: Received) -> None:
    """Half of the bytes that were promised, then the connection is closed."""
    whole = json.dumps(handler.server.owner.completion(received)).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(whole)))
    handler.end_headers()
    handler.wfile.write(whole[: len(whole) // 2])
    handler.drop()


def trickle(handler: Handler, _received: Received) -> None:
    """A byte now and then: no single read ever times out."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.owner.over.wait(0.05):
        handler.wfile.write(b" ")
    handler.drop()


def echo_key(code: int) -> Step:
    """An error whose message repeats the caller's key."""

    def step(handler: Handler, received: Received) -> None:
        status(code, f"bad key {received.headers.get('authorization', '')}")(handler, received)

    return step


def closed(handler: Handler, _received: Received) -> None:
    """The connection is closed without a word."""
    handler.drop()


ok = completing()
empty = completing(content="")
cut_off = completing(content='{"action": "BU', finish_reason="length")
refusal = completing(content=None, refusal="I cannot help with that.")
filtered = completing(content="", finish_reason="content_filter")
other_model = completing(model="gpt-3.5-turbo")
