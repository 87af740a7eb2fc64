"""A model's server in a process of its own: the built-in rules behind OpenAI's protocol, after a chosen wait.

    python -m benchmarks.rules_server [--latency 1.0 | --latency 0.01:3] [--faults 0.05] [--seed 1]

Prints its address, and serves until its standard input ends. An answer is a function of the request's bytes. With
`--faults` that share of requests is answered with 429, 500 or a reset, chosen by the request's digest and by how often
those bytes came before; the wait is chosen likewise. `GET /counts` tells how often each digest was asked and answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

from agents.llm.completion import plain_completion
from agents.llm.prices import Tokens
from agents.llm.rules import answer

MOST_BYTES = 16 * 1024 * 1024
_REASONS = {200: "OK", 429: "Too Many Requests", 500: "Internal Server Error"}


@dataclass
class Server:
    """`latency` is a range of seconds, `faults` a share of requests."""

    latency: tuple[float, float]
    faults: float
    seed: int
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_under_way: int = 0

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request after the other."""
        try:
            while await self._one(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(min(MOST_BYTES, int(headers.get("content-length", 0))))
        if head[0].startswith("GET"):
            counts = {"asked": self.asked, "answered": self.answered, "most_under_way": self.most_under_way}
            _say(writer, 200, json.dumps(counts).encode())
            return True
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(body, writer)
        finally:
            self.under_way -= 1

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> bool:
        name = sha256(body).hexdigest()
        self.asked[name] += 1
        draw = int.from_bytes(sha256(f"{self.seed}/{name}/{self.asked[name]}".encode()).digest()[:8], "big") / 2**64
        low, high = self.latency
        await asyncio.sleep(low + (high - low) * ((draw * 977) % 1))
        if draw < self.faults:
            return _fail(writer, int(draw * 1e9) % 3)
        asked = json.loads(body)
        told = plain_completion(
            f"made-{name[:24]}", asked["model"], answer(asked["messages"]), Tokens(len(body) // 4, 200)
        )
        _say(writer, 200, json.dumps(told).encode())
        self.answered[name] += 1
        return True


def _fail(writer: asyncio.StreamWriter, how: int) -> bool:
    if how == 0:
        _say(writer, 429, b'{"error":{"message":"slow down"}}', "Retry-After: 0\r\n")
    elif how == 1:
        _say(writer, 500, b'{"error":{"message":"oh"}}')
    else:
        writer.transport.abort()
        return False
    return True


def _say(writer: asyncio.StreamWriter, status: int, body: bytes, more: str = "") -> None:
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n{more}"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def _serve(server: Server) -> None:
    listening = await asyncio.start_server(server.connection, "127.0.0.1", 0, limit=MOST_BYTES, backlog=512)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency", default="0", help="seconds, or LOW:HIGH")
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    low, _, high = options.latency.partition(":")
    asyncio.run(_serve(Server((float(low), float(high or low)), options.faults, options.seed)))


if __name__ == "__main__":
    main()
