"""A model's server for many calls at a time: takes its time, fails now and then, goes down, and counts.

It answers in the words of the built-in rules, but trades at a whim that the request's bytes alone decide: often, and
otherwise as soon as one byte is another. How long that takes, and whether it fails, is drawn from the request's digest
and from how often those bytes came before.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "llm"))
import fault_server as server

from agents.llm import rules


@dataclass
class Model:
    """`latency` is a range of seconds, `faults` a share of requests. `hear` is told of each request's arrival,
    `linger` are seconds on top and `is_down` whether nothing is answered, both by the request's body.

    `arrived` are the monotonic seconds of every request, `answered` counts good answers by the request's digest.
    """

    latency: tuple[float, float] = (0.0, 0.0)
    faults: float = 0.0
    hear: Callable[[int], None] = lambda _number: None
    linger: Callable[[bytes], float] = lambda _body: 0.0
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    arrived: list[float] = field(default_factory=list)
    most: int = 0
    url: str = ""
    is_down: Callable[[bytes], bool] = lambda _body: False
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> int:
        return self.asked.total()

    def step(self, handler: server.Handler, received: server.Received) -> None:
        name = sha256(received.body).hexdigest()
        with self._lock:
            self.arrived.append(time.monotonic())
            self.asked[name] += 1
            chance, number = random.Random(f"{name}/{self.asked[name]}"), self.requests
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            self.hear(number)
            time.sleep(chance.uniform(*self.latency) + self.linger(received.body))
        finally:
            with self._lock:
                self._under_way -= 1
        if self.is_down(received.body) or chance.random() < self.faults:
            chance.choice([server.status(429, retry_after="0"), server.status(500, retry_after="0"), reset])(
                handler, received
            )
            return
        server.ok(handler, received)
        with self._lock:
            self.answered[name] += 1


def whimsical(messages: list[dict[str, Any]]) -> str:
    """What the rules say, with an action drawn from all that was said until then."""
    told = json.loads(rules.answer(messages))
    if "size" in told:
        chance = random.Random(json.dumps(messages))
        told |= {"action": chance.choice(["BUY", "SELL", "HOLD"]), "confidence": 0.9}
        told |= {"size": 0.5, "stop_loss": chance.choice([0.002, 0.01]), "take_profit": 0.02}
    return json.dumps(told)


def reset(handler: server.Handler, _received: server.Received) -> None:
    """The connection is reset in the middle of an exchange."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.drop()


@contextmanager
def serving(
    latency: tuple[float, float] = (0.0, 0.0), faults: float = 0.0, hear: Callable[[int], None] = lambda _number: None
) -> Iterator[Model]:
    """A server inside the block."""
    model = Model(latency, faults, hear)
    server.Handler.disable_nagle_algorithm = True  # else each answer waits for the client's delayed ACK
    with server.FaultServer(then=model.step, answer=whimsical) as listening:
        model.url = listening.base_url
        yield model
