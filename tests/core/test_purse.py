"""A run that goes on has what is left of its budget, however it ended, until another budget is said."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from main_job import WINDOW, Played, play

sys.path.append(str(Path(__file__).parents[1] / "llm"))
from fault_server import FaultServer, Handler, Received, ok, torn_body

from backtesting.core.purse import left_of_budget
from data.journal.shelf import Shelf

KEY = {"OPENAI_API_KEY": "sk-nobody-is-asked"}
WORDS = (*WINDOW, "--model", "openai/gpt-4o", "--mini", "--decide_every", "8")
ONE_CALL = Decimal("0.0035")


def left(run: Played) -> Decimal | None:
    return left_of_budget(Shelf(run.folder))


def test_what_was_spent_is_not_there_again(tmp_path: Path, bitcoin: str) -> None:
    with FaultServer() as server:
        whole = play(tmp_path / "whole", bitcoin, *WORDS, "--base_url", server.base_url, environ=KEY)
        assert left(whole) is None
        run = play(tmp_path, bitcoin, *WORDS, "--base_url", server.base_url, "--budget_usd", "0.1", environ=KEY)
        paid = ONE_CALL * run.summary["calls"]
        assert (run.code, left(run)) == (3, Decimal("0.1") - paid)
        assert "at most 0.1 USD; run" in run.err

        asked = len(server.received)
        again = play(tmp_path, bitcoin, "--resume", str(run.folder), environ=KEY)
        assert (again.code, len(server.received)) == (3, asked)
        assert f"at most {Decimal('0.1') - paid} USD for what comes" in again.err
        assert "--budget_usd for what comes" in again.summary["reason"]
        assert f"--resume {run.folder} --budget_usd USD" in again.err
        assert left(again) == Decimal("0.1") - paid

        rest = play(tmp_path, bitcoin, "--resume", str(run.folder), "--budget_usd", "1", environ=KEY)
    assert (rest.code, rest.summary["result_digest"]) == (0, whole.summary["result_digest"])
    assert left(rest) == 1 - (ONE_CALL * rest.summary["calls"] - paid)


def test_what_may_be_paid_besides_is_said(tmp_path: Path, bitcoin: str) -> None:
    with FaultServer([torn_body, ok, torn_body]) as server:
        run = play(tmp_path, bitcoin, *WORDS, "--base_url", server.base_url, "--decide_every", "24", environ=KEY)
    assert (run.code, run.summary["possibly_paid"], run.summary["retries"]) == (0, 2, 2)
    assert "possibly paid   2 calls besides" in run.err


def test_a_call_without_a_bill_counts_as_the_dearest_one(tmp_path: Path, bitcoin: str) -> None:
    def unbilled(handler: Handler, received: Received) -> None:
        told = handler.server.owner.completion(received)
        if len(handler.server.owner.received) != 2:
            told["usage"] = None
        handler.say(200, json.dumps(told).encode())

    with FaultServer(then=unbilled) as server:
        words = (*WORDS, "--base_url", server.base_url, "--budget_usd", "0.3")
        run = play(tmp_path, bitcoin, *words, environ=KEY)
    assert left(run) == Decimal("0.3") - ONE_CALL * run.summary["calls"]


@pytest.mark.parametrize("asked", [1, 2])
def test_a_request_that_nobody_knows_the_answer_to_counts_too(tmp_path: Path, bitcoin: str, asked: int) -> None:
    """As after a kill: the log ends behind a request."""
    with FaultServer() as server:
        words = (*WORDS, "--base_url", server.base_url, "--budget_usd", "1")
        run = play(tmp_path, bitcoin, *words, environ=KEY)
    lines = (run.folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    requests = [place for place, line in enumerate(lines) if b'"kind":"llm.request"}' in line]
    (run.folder / "log.jsonl").write_bytes(b"".join(lines[: requests[asked - 1] + 1]))
    assert left(run) == (Decimal(0) if asked == 1 else 1 - 2 * ONE_CALL)
