"""A run that stops: calls on the wire end at once, each with its record, and no other leaves."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from decimal import Decimal
from typing import Any

import fault_server as faults
import httpx
import openai
import pytest
import wire

from agents.llm.admission import Aborted, Dropped, calls_before
from agents.llm.network import NetworkTransport
from agents.llm.turn import Turn

LONG_S, SOON_S = 60.0, 10.0


class Stop(BaseException):
    """As a stopped run raises it."""


def until(true: Callable[[], bool]) -> None:
    ended = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < ended, "it never came to that"
        time.sleep(0.002)


def asking(line: wire.Wire, number: int) -> str:
    """One of several who speak over one channel."""
    mine = wire.Wire.__new__(wire.Wire)
    mine.__dict__.update(line.__dict__)
    mine.turn = Turn(f"slot/{number}", "Technical_Analyst", line.spec)
    return mine.ask()


@contextmanager
def several(line: wire.Wire, calls: int) -> Iterator[list[Future[str]]]:
    with ThreadPoolExecutor(calls) as pool:
        yield [pool.submit(asking, line, number) for number in range(calls)]


@pytest.mark.parametrize("step", [faults.hang, faults.trickle], ids=["hangs", "trickles"])
def test_calls_on_the_wire_end_at_once_and_are_all_on_record(step: faults.Step) -> None:
    with faults.FaultServer(then=step) as provider:
        line = wire.Wire(
            wire.at(provider.base_url), clock=wire.Running(), timeout_s=LONG_S, in_flight=6, budget_usd=Decimal(100)
        )
        with several(line, 8) as answers:
            until(lambda: len(provider.received) == 6)
            began = time.monotonic()
            line.channel.abort(Stop("SIGTERM"))
            errors = [answer.exception(SOON_S) for answer in answers]
            assert time.monotonic() - began < SOON_S
    assert [type(error) for error in errors] == [Stop] * 8
    assert len(provider.received) == len(line.records("llm.request")) == 6
    told = line.records("llm.response")
    assert sorted(cause for record in told for cause in record.caused_by) == sorted(
        record.seq for record in line.records("llm.request")
    )
    for body in line.bodies("llm.response"):
        assert body["http.response.status_code"] is None
        assert body["error"] is not None
        assert body["fault"]["reason"] == "unreachable"
        assert "cut short" in body["fault"]["detail"]
        assert body["retry_in_s"] == 0.0
    totals = line.channel.totals
    assert (totals.calls, totals.retries, totals.possibly_paid) == (6, 0, 6)


def test_nothing_leaves_afterwards() -> None:
    with faults.FaultServer(answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask()
        line.channel.abort()
        with pytest.raises(Aborted):
            line.ask()
        assert len(provider.received) == 1
    assert len(line.records("llm.request")) == 1


def test_who_waits_between_two_attempts_waits_no_longer() -> None:
    with faults.FaultServer(then=faults.status(500)) as provider:
        line = wire.Wire(wire.at(provider.base_url), clock=wire.Running(), sleep=None, monotonic=time.monotonic)
        with several(line, 1) as (answer,):
            until(lambda: len(line.records("llm.response")) == 1)
            line.channel.admission.stop(Stop("SIGINT"))
            assert isinstance(answer.exception(SOON_S), Stop)
    assert len(provider.received) == 1


def test_a_call_that_was_let_go_before_the_stop_does_not_connect_after_the_cut() -> None:
    with faults.FaultServer(answer=lambda _: "{}") as provider:
        network = NetworkTransport(wire.Running(), LONG_S)
        network.cut()
        with pytest.raises(httpx.ConnectError, match="the run stops"):
            network.handle_request(httpx.Request("POST", f"{provider.base_url}/chat/completions", content=b"{}"))
    assert provider.received == []


def test_a_call_that_could_not_connect_was_not_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    with faults.FaultServer(answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        begin = line.journal.append

        def stopping(kind: str, *rest: Any, **named: Any) -> Any:
            line.channel.abort(Stop("SIGTERM"))
            return begin(kind, *rest, **named)

        monkeypatch.setattr(line.journal, "append", stopping)
        with pytest.raises(Stop):
            line.ask()
    (told,) = line.bodies("llm.response")
    assert (told["error"], told["retry_in_s"]) == ("ConnectError", 0.0)
    assert line.channel.totals.possibly_paid == 0
    assert provider.received == []


def test_connections_are_forgotten_when_they_close() -> None:
    with faults.FaultServer([faults.ok, faults.closed, faults.ok, faults.torn_body], answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        wires = line.channel._network._wires
        for _ in range(3):
            line.ask()
        assert len(wires._open) == 1
        line.channel.close()
        assert len(wires._open) == 0


def test_a_handshake_that_never_ends_is_cut_too() -> None:
    """A server that takes the connection and says nothing: TLS waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        network = NetworkTransport(wire.Running(), LONG_S)
        request = httpx.Request(
            "POST",
            f"https://127.0.0.1:{silent.getsockname()[1]}/v1",
            content=b"{}",
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), LONG_S)},
        )
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(network.handle_request, request)
            connection, _ = silent.accept()
            connection.recv(1)
            network.cut()
            assert isinstance(answer.exception(SOON_S), httpx.TransportError)
            connection.close()


def test_a_session_that_is_dropped_while_its_call_waits_asks_nothing() -> None:
    """It comes out of the SDK as itself: no model failed."""
    wanted = [True]

    def rank() -> int:
        if not wanted[0]:
            raise Dropped("bar 7")
        return 4

    with faults.FaultServer(then=faults.hang) as provider:
        line = wire.Wire(wire.at(provider.base_url), clock=wire.Running(), timeout_s=LONG_S)
        with ThreadPoolExecutor(2) as pool:
            head = pool.submit(asking, line, 0)
            until(lambda: len(provider.received) == 1)
            context = copy_context()
            context.run(calls_before.set, rank)
            ahead = pool.submit(context.run, asking, line, 1)
            until(lambda: len(line.channel.admission._waiting) == 1)
            wanted[0] = False
            line.channel.admission.wake()
            assert isinstance(ahead.exception(SOON_S), Dropped)
            line.channel.abort(Stop())
            assert isinstance(head.exception(SOON_S), Stop)
    assert len(line.records("llm.request")) == len(line.records("llm.response")) == 1
    assert line.channel.totals.calls == 1


@pytest.mark.parametrize("torn", [Stop(), RuntimeError("a bug")])
def test_money_that_was_set_aside_comes_free_whatever_tears_the_call(torn: BaseException) -> None:
    """Else everybody else would wait for it for ever."""

    def tear(_request: httpx.Request) -> httpx.Response:
        raise torn

    line = wire.Wire(
        wire.at("http://127.0.0.1:9/v1"), around=lambda _: httpx.MockTransport(tear), budget_usd=Decimal(1)
    )
    with pytest.raises((Stop, openai.APIConnectionError)):
        line.ask()
    meter = line.channel._desk.meter
    assert (meter._reserved, meter.totals.possibly_paid) == (0, 1)
    assert meter._spent > 0
