"""A clean stop: SIGINT, SIGTERM and SIGHUP end a run between two records, never inside one.

A signal raises `Stopped` at once only while the process waits for a model (that may take minutes); otherwise it is
remembered and raised at the next `check`. `Stopped` is a `BaseException`: AutoGen and the SDK turn anything less into
a model's failure. Other threads than the main one are never interrupted: they are told at their next word.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import httpx

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_S = 0.2


class Stopped(BaseException):
    """The user asked the run to end; the argument names the signal."""


class StopSwitch:
    """Turned by signals while `listening`; asked by the loop and by whatever waits."""

    def __init__(self) -> None:
        self.pending: str | None = None
        self.signals = 0
        self._waiting = False
        self._is_over = False
        self._over = threading.Condition()  # over an RLock: a signal may come while its own thread is in here

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles the signals inside the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raises Stopped if a signal came."""
        if self.pending is not None:
            raise Stopped(self.pending)

    def wait(self, call: Callable[[], T]) -> T:
        """Runs something slow that a signal may cut short, if it is the main thread that waits."""
        if threading.current_thread() is not threading.main_thread():
            self.check()
            return call()
        self._waiting = True  # before the look: a signal between the two would be heard by nobody
        try:
            self.check()
            return call()
        finally:
            self._waiting = False

    def outcome(self, future: Future[T]) -> T:
        """A future's result, waited for as in `wait`.

        Looks up now and then: of two signals at once the system may give one to another thread, which wakes nobody.
        """

        def landed() -> T:
            while not future.done():
                wait_for([future], timeout=_LOOK_S)
            return future.result()

        return self.wait(landed)

    def pause(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Sleeps. Raises Stopped if a signal came, or whoever walks the bars called everything off."""
        if threading.current_thread() is threading.main_thread():
            self.wait(lambda: sleep(seconds))
        elif self._ends_within(seconds):
            raise Stopped(self.pending or "the end of the run")

    def call_off(self) -> None:
        """Wakes all threads that pause, for good."""
        with self._over:
            self._is_over = True
            self._over.notify_all()

    def _ends_within(self, seconds: float) -> bool:
        with self._over:
            return self._over.wait_for(lambda: self._is_over, seconds)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.pending = signal.Signals(number).name
        self.signals += number != signal.SIGHUP  # a terminal that closes sends several, and nobody is in a hurry
        self.call_off()
        if self._waiting:
            self._waiting = False
            raise Stopped(self.pending)


class StoppableTransport(httpx.BaseTransport):
    """Sends through another transport; a signal cuts the wait for the answer short."""

    def __init__(self, inner: httpx.BaseTransport, switch: StopSwitch) -> None:
        self._inner = inner
        self._switch = switch

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._switch.wait(lambda: self._exchange(request))

    def close(self) -> None:
        self._inner.close()

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        response.read()
        return response
