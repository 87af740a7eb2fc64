"""The lines of the communications log, as the guide writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.journal.comms import REPLY_CHARS, lines, money
from data.model.protocols import Record

STAMP = "2025-04-15 13:45:30 - "
A_LINE = re.compile(r"2025-04-15 13:45:30 - (INFO|WARNING|ERROR) - ")


def said(kind: str, body: dict[str, Any]) -> list[str]:
    record = Record(7, datetime(2025, 4, 15, 13, 45, 30, tzinfo=UTC), kind, body)
    return [line.removeprefix(STAMP) for line in lines(record)]


SESSION = {"symbol": "BTCUSDT", "bar_open_time": "2025-04-01T00:00:00Z", "number": 1, "of": 240, "price": "67890.5"}
FAILURE = {"reason": "truncated", "detail": "finish_reason is length", "agent": "Portfolio_Manager"}
AGENTS = ["Technical Analyst", "Fundamental Analyst", "Portfolio Manager", "Decision Agent"]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (
            "session.begin",
            SESSION,
            [
                "INFO - ===== STARTING DECISION SESSION FOR BTCUSDT =====",
                "INFO - Bar: 2025-04-01 00:00 UTC (1 of 240)",
                "INFO - Current price: $67890.50",
            ],
        ),
        ("session.begin", {"symbol": "X"}, ["INFO - ===== STARTING DECISION SESSION FOR X ====="]),
        (
            "chat.begin",
            {"agents": AGENTS},
            [
                "INFO - Initiating multi-agent chat session",
                f"INFO - Participating agents: {', '.join(AGENTS)}",
            ],
        ),
        ("agent.generating", {"agent": "Technical_Analyst"}, ["INFO - Agent Technical Analyst generating reply"]),
        (
            "agent.reply",
            {"agent": "Decision_Agent", "text": "one\ntwo"},
            ["INFO - Agent Decision Agent replied: one\n    two"],
        ),
        (
            "decision",
            {"action": "BUY", "confidence": "0.785", "failure": None},
            ["INFO - Decision: BUY with 78.5% confidence"],
        ),
        (
            "decision",
            {"action": None, "failure": FAILURE},
            ["ERROR - Decision: FAILED, truncated: Agent Portfolio Manager: finish_reason is length"],
        ),
        (
            "decision",
            {
                "action": "BUY",
                "confidence": "1",
                "clamps": [{"rule": "max_exposure", "field": "size", "before": "1", "after": "0.5"}],
            },
            ["INFO - Decision: BUY with 100.0% confidence", "INFO - Limit max_exposure: size 1 becomes 0.5"],
        ),
        ("session.end", {"symbol": "BTCUSDT"}, ["INFO - ===== COMPLETED DECISION SESSION FOR BTCUSDT ====="]),
        (
            "llm.response",
            {"agent": "Decision_Agent", "audit.attempt": 2, "fault": FAILURE, "retry_in_s": 1.5},
            ["WARNING - Agent Decision Agent, attempt 2: truncated: finish_reason is length; asked again in 1.5 s"],
        ),
        ("llm.response", {"agent": "Decision_Agent", "fault": None}, []),
        ("market.view", {}, []),
        (
            "run.end",
            {"status": "complete", "reason": None, "result_digest": "ab" * 32},
            ["INFO - Run complete", f"INFO - Result digest: {'ab' * 32}"],
        ),
    ],
)
def test_a_record_reads_like_the_guide(kind: str, body: dict[str, Any], expected: list[str]) -> None:
    assert said(kind, body) == expected


def test_the_first_line_names_the_run_and_its_model() -> None:
    question = {"symbols": ["BTCUSDT"], "interval": "1h", "start_on": "2025-04-01", "end_on": "2025-04-10"}
    note = "model: rules (built-in, not a language model)"
    body = {"run_id": "r1", "question": question, "model_note": note, "warnings": []}
    first, second = said("run.begin", body)
    assert first == "INFO - Run r1: BTCUSDT 1h from 2025-04-01 to 2025-04-10"
    assert second == f"INFO - {note}"


def test_a_long_reply_is_shortened_and_the_mark_says_where_it_is_whole() -> None:
    (line,) = said("agent.reply", {"agent": "A", "text": "x" * (REPLY_CHARS + 5)})
    assert line.endswith("x … [shortened by 5 characters; whole in record 7]")


@given(st.text(st.characters(), max_size=200))
def test_a_reply_cannot_forge_a_line(text: str) -> None:
    forged = f"{text}\n2025-04-15 13:45:30 - INFO - Decision: BUY with 99.0% confidence\r\x1b[2K{text}"
    record = Record(7, datetime(2025, 4, 15, 13, 45, 30, tzinfo=UTC), "agent.reply", {"agent": "A_B", "text": forged})
    written = "\n".join(lines(record)).split("\n")
    assert [bool(A_LINE.match(line)) for line in written] == [True] + [False] * (len(written) - 1)
    assert "\x1b" not in "".join(written)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("67890.5", "$67890.50"), ("-37.63", "-$37.63"), ("0.00001", "$0.00001"), (None, "None"), ("1E+3", "$1000.00")],
)
def test_money_keeps_its_decimals(amount: str | None, shown: str) -> None:
    assert money(amount) == shown
