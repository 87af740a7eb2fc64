"""A signal ends a wait at once, and anything else only at the next check."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import Future

import httpx
import pytest

from backtesting.core.stopping import SIGNALS, StoppableTransport, Stopped, StopSwitch


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_outside_a_wait_is_remembered(number: signal.Signals) -> None:
    switch = StopSwitch()
    with switch.listening():
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        with pytest.raises(Stopped, match=number.name):
            switch.check()


def test_a_signal_cuts_a_wait_short() -> None:
    switch = StopSwitch()
    with switch.listening():
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        try:
            with pytest.raises(Stopped, match="SIGTERM"):
                switch.wait(lambda: time.sleep(30))
        finally:
            signal.signal(signal.SIGALRM, before)


def test_nothing_is_sent_after_a_stop() -> None:
    switch, sent = StopSwitch(), []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    client = httpx.Client(transport=StoppableTransport(httpx.MockTransport(answer), switch))
    assert client.get("http://model.invalid/").status_code == 200
    switch.pending = "SIGINT"
    with pytest.raises(Stopped):
        client.get("http://model.invalid/")
    assert len(sent) == 1


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopSwitch().listening():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_that_comes_as_a_wait_begins_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    switch = StopSwitch()
    with switch.listening():
        monkeypatch.setattr(switch, "check", lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Stopped, match="SIGTERM"):
            switch.wait(lambda: pytest.fail("nobody would wake it"))


def test_a_signal_that_another_thread_took_is_heard_while_a_result_is_waited_for() -> None:
    switch, never, masked = StopSwitch(), Future[None](), threading.Event()

    def take_it() -> None:
        masked.wait()
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    other = threading.Thread(target=take_it)
    wakes_it_at_last = threading.Timer(10, never.set_result, [None])
    with switch.listening():
        other.start()
        wakes_it_at_last.start()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        masked.set()
        try:
            with pytest.raises(Stopped, match="SIGTERM"):
                switch.outcome(never)
            assert not never.done(), "only the result woke it"
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            wakes_it_at_last.cancel()
