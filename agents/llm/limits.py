"""A provider's limits, by host: requests and tokens a minute, and the pauses that a server asks for.

What a user states holds in every stretch of 60 seconds (a moving window over what was let go; exact where a bucket
that refills would let twice the limit through in its first minute). What a server says of its own bucket in headers
holds besides. One object may serve all channels of a process. Limit: a request larger than a whole minute's tokens
goes alone.
"""

from __future__ import annotations

import math
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agents.llm.models import RULES_HOST

WINDOW_S = 60.0
_TOKENS_PER_BYTE = 0.25  # of English; what servers count corrects it
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(h|ms|m|s)", re.ASCII)
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(eq=False, slots=True)
class Taken:
    """A request that was let go: when (monotonic seconds), its size, and the tokens it counts for."""

    host: str
    at: float
    request_bytes: int
    tokens: int


@dataclass(slots=True)
class _Bucket:
    """What a server said of its bucket: `left` of `size` at that time, full again after `full_in_s`."""

    at: float
    size: float
    left: float
    full_in_s: float

    def due(self, wanted: float) -> float:
        """When `wanted` are in it, or it is full. It refills at a constant rate, as a token bucket does (RFC 2697)."""
        missing, gone = min(wanted, self.size) - self.left, self.size - self.left
        return self.at if missing <= 0 or gone <= 0 else self.at + self.full_in_s * missing / gone


@dataclass(slots=True)
class _Host:
    """`bytes_seen` and `tokens_seen` are sums over the answers that told their usage, both directions together."""

    window: deque[Taken] = field(default_factory=deque)
    tokens: int = 0
    paused_until: float = -math.inf
    buckets: dict[str, _Bucket] = field(default_factory=dict)
    bytes_seen: int = 0
    tokens_seen: int = 0

    def estimate(self, request_bytes: int) -> int:
        rate = self.tokens_seen / self.bytes_seen if self.bytes_seen else _TOKENS_PER_BYTE
        return math.ceil(request_bytes * rate)


class Limits:
    """Safe for several threads. None is no limit. The built-in rules have none."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        if any(limit is not None and limit < 1 for limit in (requests_per_minute, tokens_per_minute)):
            raise ValueError("a limit of less than one a minute lets nothing go")
        self._monotonic = monotonic
        self._requests, self._tokens = requests_per_minute, tokens_per_minute
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def take(self, host: str, request_bytes: int) -> Taken | float:
        """The request counted as let go now; or the monotonic second before which it cannot go."""
        now = self._monotonic()
        if host == RULES_HOST:
            return Taken(host, now, request_bytes, 0)
        with self._lock:
            there = self._hosts.setdefault(host, _Host())
            tokens = there.estimate(request_bytes)
            due = max(there.paused_until, self._window_due(there, tokens, now), *_buckets_due(there, tokens))
            if due > now:
                return due
            taken = Taken(host, now, request_bytes, tokens)
            there.window.append(taken)
            there.tokens += tokens
            _draw(there, 1, tokens)
            return taken

    def give_back(self, taken: Taken) -> None:
        """It did not go after all."""
        with self._lock:
            there = self._hosts.get(taken.host)
            if there is not None and taken in there.window:
                there.window.remove(taken)
                there.tokens -= taken.tokens
                _draw(there, -1, -taken.tokens)

    def used(self, taken: Taken, tokens: int) -> None:
        """What the server counted, in and out, in the place of what was expected."""
        with self._lock:
            there = self._hosts.get(taken.host)
            if there is None:
                return
            if taken in there.window:
                there.tokens += tokens - taken.tokens
                taken.tokens = tokens
            there.bytes_seen += taken.request_bytes
            there.tokens_seen += tokens

    def pause(self, host: str, seconds: float) -> None:
        """Nothing goes to that host for so long."""
        with self._lock:
            there = self._hosts.setdefault(host, _Host())
            there.paused_until = max(there.paused_until, self._monotonic() + seconds)

    def told(self, host: str, headers: Mapping[str, str]) -> None:
        """A server's own account of its limits, as OpenAI writes it (`x-ratelimit-limit-requests` and so on)."""
        with self._lock:
            there = self._hosts.setdefault(host, _Host())
            for kind in ("requests", "tokens"):
                said = [headers.get(f"x-ratelimit-{what}-{kind}", "") for what in ("limit", "remaining", "reset")]
                size, left, full_in_s = _count(said[0]), _count(said[1]), duration_s(said[2])
                if size is not None and left is not None and full_in_s is not None and full_in_s <= WINDOW_S:
                    there.buckets[kind] = _Bucket(self._monotonic(), size, left, full_in_s)

    def _window_due(self, there: _Host, tokens: int, now: float) -> float:
        window = there.window
        while window and window[0].at + WINDOW_S <= now:
            there.tokens -= window.popleft().tokens
        due = -math.inf
        if self._requests is not None and len(window) >= self._requests:
            due = window[0].at + WINDOW_S
        if self._tokens is not None:
            counted = there.tokens + tokens
            for earlier in window:
                if counted <= self._tokens:
                    break
                counted -= earlier.tokens
                due = max(due, earlier.at + WINDOW_S)
        return due


def duration_s(text: str) -> float | None:
    """Seconds of `6m0s`, `1h2m`, `17ms`, `1.5s` or plain seconds; None if it is none of these."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None if (seconds := _count(text)) is None else float(seconds)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _count(text: str) -> int | None:
    stripped = text.strip()
    return int(stripped) if stripped.isascii() and stripped.isdigit() and len(stripped) < 16 else None


def _buckets_due(there: _Host, tokens: int) -> list[float]:
    wanted = {"requests": 1, "tokens": tokens}
    return [bucket.due(wanted[kind]) for kind, bucket in there.buckets.items()]


def _draw(there: _Host, requests: int, tokens: int) -> None:
    for kind, drawn in (("requests", requests), ("tokens", tokens)):
        if kind in there.buckets:
            there.buckets[kind].left -= drawn
