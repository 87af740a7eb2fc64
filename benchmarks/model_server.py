"""A model server that answers at once, in a process of its own: what asking costs, without what answering costs.

Answers every POST with a chat completion that the agent named in the request may give. `answering` runs it.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from agents.llm.completion import plain_completion
from agents.llm.prices import Tokens
from data.door import ROOT
from data.model.decisions import Role

MODEL = "gpt-4o-mini"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_NAMED = re.compile(rb"Agent: (\w+)")


@contextmanager
def answering() -> Iterator[str]:
    """The base URL of a server that lives inside the block."""
    command = [sys.executable, "-m", "benchmarks.model_server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.stdin.close()
            server.wait(10)


class _Connection(asyncio.Protocol):
    """One request after the other; nothing is pipelined."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if ended and length is not None and len(body) >= int(length.group(1)) and self._transport is not None:
            self._received = b""
            self._transport.write(_answer(body))


def _answer(request: bytes) -> bytes:
    named = _NAMED.findall(request)
    content = _SAID[named[0].decode()] if named else "{}"
    body = json.dumps(plain_completion("chatcmpl-1", MODEL, content, Tokens(2000, 100))).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _says(role: Role) -> str:
    said: dict[str, object] = {"reasons": ["The trend is up and the volume confirms it.", "Volatility is low."]}
    if role in (Role.TECHNICAL, Role.FUNDAMENTAL):
        return json.dumps(said | {"evidence": ["bars"], "action": "BUY", "confidence": 0.75})
    figures = {"size": 0.5, "stop_loss": 0.02, "take_profit": None}
    return json.dumps(said | {"action": "BUY", "confidence": 0.75, **figures})


_SAID = {role.agent: _says(role) for role in Role}


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
