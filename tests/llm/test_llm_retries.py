"""Waiting: as long as the server says, in seconds or until a date, and never without end."""

from __future__ import annotations

import fault_server as faults
import openai
import pytest
import wire
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.retries import LONGEST_WAIT_S, wait_s
from data.model.decisions import FailureReason

SHA = "7f" * 32


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Tue, 15 Apr 2025 13:46:00 GMT"}, 30.0),
        ({"retry-after": "Tue, 15 Apr 2025 13:46:00 -0000"}, 30.0),
        ({"retry-after": "Tue, 15 Apr 2025 15:46:00 +0200"}, 30.0),
        ({"retry-after": "Tue, 15 Apr 2025 13:45:00 GMT"}, 0.0),
        ({"retry-after": "300"}, 300.0),
        ({"retry-after": "301"}, None),
        ({"retry-after": "Wed, 16 Apr 2025 13:46:00 GMT"}, None),
    ],
)
def test_the_server_says_how_long(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_s(1, headers, wire.AT, SHA) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3", "nan", "inf", "1e9", "٣", "Tue, 99 Apr 2025 13:46:00 GMT"])
def test_without_a_readable_word_each_wait_is_about_twice_the_last(text: str) -> None:
    waits = [wait_s(attempt, {"retry-after": text}, wire.AT, SHA) for attempt in (1, 2, 3, 4)]
    assert waits == [0.749, 1.498, 2.996, 5.992]


@given(st.text(max_size=60), st.integers(1, 50))
def test_no_header_stops_us_from_waiting_sensibly(text: str, attempt: int) -> None:
    wait = wait_s(attempt, {"retry-after": text}, wire.AT, SHA)
    assert wait is None or 0 <= wait <= LONGEST_WAIT_S


@pytest.mark.parametrize(("value", "nap"), [("2", 2.0), ("Tue, 15 Apr 2025 13:46:15 GMT", 45.0)])
def test_a_retry_waits_as_told(value: str, nap: float) -> None:
    with faults.FaultServer([faults.status(429, Retry_After=value)], answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        line.ask()
    assert line.naps == [nap]
    assert line.bodies("llm.response")[0]["retry_in_s"] == nap


def test_who_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    with faults.FaultServer([faults.status(429, Retry_After="3600")], answer=lambda _: "{}") as provider:
        line = wire.Wire(wire.at(provider.base_url))
        with pytest.raises(openai.APIError):
            line.ask()
    assert line.naps == []
    assert line.turn.failure is not None
    assert line.turn.failure.reason is FailureReason.RATE_LIMITED
    assert "longer than 300 s" in line.turn.failure.detail
