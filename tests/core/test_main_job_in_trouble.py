"""Trouble on the way: no decision is made up, the fault is named where people and programs look, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import house
import pytest
from main_job import RULES, WINDOW, Played, play

sys.path.insert(0, str(Path(__file__).parents[1] / "llm"))
import fault_server as server

from agents import group_chat
from backtesting.core import outcome, playing
from data.journal import run_journal
from data.journal.reading import read_records
from data.model.errors import JournalBroken

CANARY = "sk-canary-4f1c0ffee"
MODEL = (*WINDOW, "--model", "openai/gpt-4o")
KEY = {"OPENAI_API_KEY": CANARY}

FAULTS = {
    "rate_limited": server.status(429, retry_after="0"),
    "server_error": server.status(500),
    "request_rejected": server.echo_key(401),
    "invalid_response": server.half_json,
    "empty": server.empty,
    "truncated": server.cut_off,
    "refused": server.refusal,
    "wrong_model": server.other_model,
    "unreachable": server.closed,
    "timeout": server.hang,
    "malformed": server.completing(content='{"action": "BUY"} or {"action": "SELL"}'),
}


def against(step: server.Step, root: Path, url: str, *words: str) -> tuple[Played, server.FaultServer]:
    with server.FaultServer(then=step) as model:
        return play(root, url, *MODEL, "--base_url", model.base_url, "--timeout", "0.3", *words, environ=KEY), model


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_is_named_and_never_a_decision(tmp_path: Path, bitcoin: str, reason: str) -> None:
    played, _ = against(FAULTS[reason], tmp_path, bitcoin, "--max_failures", "2")
    assert played.code == 3
    summary = played.summary
    assert (summary["status"], summary["decisions"], summary["failed"]) == ("incomplete", 2, 2)
    assert summary["failures"] == {reason: 2}
    assert summary["result_digest"] is None
    assert "2 decisions in a row failed" in summary["reason"]
    for body in played.of("decision"):
        assert (body["status"], body["action"], body["orders"]) == ("FAILED", None, [])
        assert body["failure"]["reason"] == reason
    assert played.of("fill") == []
    assert reason in played.log
    assert "2 decisions in a row failed" in played.err


def test_a_fault_now_and_then_fails_its_decision_alone(tmp_path: Path, bitcoin: str) -> None:
    script = [server.ok] * 5 + [server.refusal]
    with server.FaultServer(script) as model:
        played = play(tmp_path, bitcoin, *MODEL, "--base_url", model.base_url, "--mini", environ=KEY)
    assert played.code == 0
    assert played.summary["decisions"] == 48
    assert played.summary["failures"] == {"refused": 1}
    assert [body["status"] for body in played.of("decision")[:3]] == ["DECIDED", "FAILED", "DECIDED"]


def test_a_malformed_answer_is_asked_again_once_in_sight_of_all(tmp_path: Path, bitcoin: str) -> None:
    with server.FaultServer([server.completing(content="I would buy.")]) as model:
        played = play(tmp_path, bitcoin, *MODEL, "--base_url", model.base_url, "--mini", environ=KEY)
    assert played.summary["failed"] == 0
    assert played.summary["replies"] == played.summary["replies_traced"] == 4 * 48 + 1
    assert len(played.of("opinion.malformed")) == 1


def test_a_local_server_and_the_built_in_rules_decide_alike(tmp_path: Path, bitcoin: str) -> None:
    served, _ = against(server.ok, tmp_path / "served", bitcoin, "--mini")
    built_in = play(tmp_path / "rules", bitcoin, *RULES, "--mini")
    actions = [[body["action"] for body in played.of("decision")] for played in (served, built_in)]
    assert actions[0] == actions[1]
    assert served.summary["cost_usd"] > 0
    assert served.summary["input_tokens"] == 192_000


def test_the_key_is_nowhere(tmp_path: Path, bitcoin: str) -> None:
    played, model = against(server.echo_key(500), tmp_path, bitcoin, "--max_failures", "1")
    assert any(CANARY in str(received.headers) for received in model.received), "the server was never given the key"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path.name for path in files if CANARY.encode() in path.read_bytes()] == []
    assert CANARY not in played.out + played.err


def test_a_budget_stops_before_the_call_that_could_exceed_it(tmp_path: Path, bitcoin: str) -> None:
    played, model = against(server.ok, tmp_path, bitcoin, "--budget_usd", "0.2")
    assert played.code == 3
    assert "the budget of $0.2 is used up" in played.summary["reason"]
    assert 0 < played.summary["cost_usd"] <= 0.2
    assert len(model.received) == played.summary["calls"]


def test_words_that_no_provider_said_fail_the_decision(
    tmp_path: Path, bitcoin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = group_chat.build_agents

    def with_a_hook(*arguments: object) -> object:
        agents = whole(*arguments)  # type: ignore[arg-type]
        for agent in agents.values():
            agent.register_hook("process_message_before_send", lambda **said: said["message"] + " ")
        return agents

    monkeypatch.setattr(group_chat, "build_agents", with_a_hook)
    played = play(tmp_path, bitcoin, *RULES, "--max_failures", "1")
    assert played.summary["failures"] == {"untraced": 1}


def test_a_run_that_nobody_hears_stops(tmp_path: Path, bitcoin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtesting.core.playing.patch_all", lambda _journal, **_: lambda: None)
    played = play(tmp_path, bitcoin, *RULES)
    assert played.code == 3
    assert "0 were recorded" in played.summary["reason"]


def test_a_full_disk_stops_the_run_and_nobody_takes_it_for_the_model(
    tmp_path: Path, bitcoin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, left = os.write, [40]

    def filling(descriptor: int, data: bytes) -> int:
        left[0] -= data.startswith(b"{")
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return whole(descriptor, data)

    monkeypatch.setattr(run_journal.os, "write", filling)
    with pytest.raises(JournalBroken, match="No space left on device"):
        play(tmp_path, bitcoin, *RULES)
    (folder,) = (tmp_path / "runs").iterdir()
    kinds = [record.kind for record in read_records(folder)]
    assert len(kinds) == 40
    assert "decision" not in kinds or kinds.index("decision") > kinds.index("agent.reply")


def run_in_a_process(tmp_path: Path, url: str, model: server.FaultServer) -> subprocess.Popen[str]:
    words = [
        *MODEL,
        "--base_url",
        model.base_url,
        "--json",
        "--yes",
        "--database",
        url,
        "--output_dir",
        str(tmp_path / "runs"),
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "backtesting.core.authentic_backtest", *words],
        cwd=house.ROOT,
        env={**os.environ, **KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(model: server.FaultServer, requests: int) -> None:
    until = time.monotonic() + 60
    while len(model.received) < requests:
        assert time.monotonic() < until, "the run never came to its requests"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_what_was_done(tmp_path: Path, bitcoin: str, number: signal.Signals) -> None:
    with server.FaultServer([server.ok] * 9, then=server.hang) as model:
        process = run_in_a_process(tmp_path, bitcoin, model)
        wait_for(model, 10)
        process.send_signal(number)
        started = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 20
    assert process.returncode == 3, err
    summary = json.loads(out)
    assert (summary["status"], summary["decisions"]) == ("incomplete", 2)
    assert number.name in summary["reason"]
    assert "Traceback" not in err
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "report.html").exists()


def test_a_signal_while_the_run_is_summed_up_changes_nothing(
    tmp_path: Path, bitcoin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*summed_up: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        outcome.end(*summed_up)

    monkeypatch.setattr(playing, "end", interrupted)
    played = play(tmp_path, bitcoin, *RULES, "--mini")
    assert (played.code, played.summary["status"]) == (0, "complete")
    assert (played.folder / "report.html").exists()


def test_kill_9_loses_no_record(tmp_path: Path, bitcoin: str) -> None:
    with server.FaultServer([server.ok] * 20, then=server.hang) as model:
        process = run_in_a_process(tmp_path, bitcoin, model)
        wait_for(model, 21)
        process.kill()
        process.wait(timeout=10)
    (folder,) = (tmp_path / "runs").iterdir()
    records = list(read_records(folder))
    assert sum(record.kind == "llm.response" for record in records) == 20
    assert sum(record.kind == "llm.request" for record in records) == 21
    assert sum(record.kind == "decision" for record in records) == 5
