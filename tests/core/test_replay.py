"""A replay is the run again: the same result without network and database, or the first place that differs."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from main_job import RULES, Played, play

sys.path.insert(0, str(Path(__file__).parents[1] / "llm"))
import fault_server as server

from agents import prompt_files
from backtesting.core.replay import Replay, Replayed
from data.door import SystemClock
from scripts import replay as door

MINI = (*RULES, "--mini")
MODEL = ("--model", "openai/gpt-4o", "--max_failures", "9")


def replayed(folder: Path, **settings: Any) -> Replayed:
    return Replay(folder, SystemClock(), **settings).run()


_RUNS: dict[str, Played] = {}


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory, bitcoin: str) -> Played:
    if "whole" not in _RUNS:
        _RUNS["whole"] = play(tmp_path_factory.mktemp("whole"), bitcoin, *MINI)
    return _RUNS["whole"]


@pytest.fixture
def troubled(tmp_path_factory: pytest.TempPathFactory, bitcoin: str, whole: Played) -> Played:
    """Answers of every kind: asked again, malformed, refused, cut off, a server's fault, a closed connection."""
    assert whole
    if "troubled" not in _RUNS:
        script = [
            server.ok, server.status(429, retry_after="0"), server.ok, server.completing(content="I would buy."),
            server.ok, server.ok, server.refusal, server.ok, server.cut_off, server.closed, server.ok, server.empty,
            server.status(500), server.ok, server.half_json, server.other_model, server.ok, server.echo_key(401),
        ]  # fmt: skip
        root = tmp_path_factory.mktemp("troubled")
        key = {"OPENAI_API_KEY": "sk-canary-4f1c0ffee"}
        with server.FaultServer(script) as model:
            _RUNS["troubled"] = play(root, bitcoin, *MINI, *MODEL, "--base_url", model.base_url, environ=key)
    return _RUNS["troubled"]


@pytest.fixture(autouse=True)
def _shut(whole: Played, troubled: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the runs are made, nothing can be reached, the database neither."""
    assert whole.code == troubled.code == 0

    def shut(*_: object) -> None:
        raise AssertionError("a replay opened a connection")

    monkeypatch.setattr(socket.socket, "connect", shut)
    monkeypatch.setattr("data.store.database.open_database", shut)


def test_the_same_result(whole: Played) -> None:
    found = replayed(whole.folder)
    assert (found.is_same, found.digest, found.divergence) == (True, whole.summary["result_digest"], None)
    assert (len(found.tape.decisions), found.replies) == (48, 192)


def test_a_word_changed_in_a_prompt_is_named(
    whole: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = tmp_path / "prompts"
    shutil.copytree(prompt_files.OURS, ours)
    changed = ours / "portfolio.md"
    changed.write_text(changed.read_text().replace(" risk", " hope", 1))
    monkeypatch.setattr(prompt_files, "OURS", ours)
    found = replayed(whole.folder)
    assert found.divergence is not None
    assert found.divergence.slot is not None
    assert found.divergence.slot.endswith("2025-04-01T00:00:00Z/BTCUSDT/chat/Portfolio_Manager/1")
    assert found.divergence.difference.pointer == "/messages/0/content"
    assert "risk" in found.divergence.difference.before
    assert "hope" in found.divergence.difference.now
    assert door.main([str(whole.folder)]) == 1
    assert "DIVERGED at" in capsys.readouterr().out


def test_other_prompts_are_asked_and_the_answers_stay(whole: Played, tmp_path: Path) -> None:
    other = tmp_path / "prompts"
    shutil.copytree(prompt_files.OURS, other)
    (other / "technical.md").write_text((other / "technical.md").read_text() + "\nBe brief.\n")
    found = replayed(whole.folder, other_prompts=other)
    assert found.is_same
    assert [change.slot.split("/")[-2] for change in found.asked_otherwise] == ["Technical_Analyst"] * 48
    (text,) = found.asked_otherwise[0].texts
    assert "Be brief." in text.now
    assert "Be brief." not in text.before


def test_it_stops_behind_the_bar_that_was_asked_for(whole: Played, capsys: pytest.CaptureFixture[str]) -> None:
    found = replayed(whole.folder, until=datetime(2025, 4, 1, 5, tzinfo=UTC))
    assert len(found.tape.decisions) == 6
    assert door.main([str(whole.folder), "--until", "2025-04-01T05:00", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["decisions"], told["last_decision"]["as_of"]) == (6, "2025-04-01T06:00:00Z")


def test_a_record_without_an_end_is_met_again_as_far_as_it_goes(whole: Played, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(whole.folder, folder)
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    found = replayed(folder)
    assert (found.digest, found.divergence) == (None, None)
    assert 10 < len(found.tape.decisions) < 40
    assert door.main([str(folder)]) == 3


def test_a_run_that_stopped_between_two_bars_has_no_result_to_compare(
    whole: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stopped"
    shutil.copytree(whole.folder, folder)
    lines = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    eleventh = [number for number, line in enumerate(lines) if line.endswith(b'"kind":"bar"}\n')][10]
    (folder / "log.jsonl").write_bytes(b"".join(lines[:eleventh]))
    found = replayed(folder)
    assert (found.digest, found.divergence, len(found.tape.decisions)) == (None, None, 10)
    assert door.main([str(folder)]) == 3
    assert "ANOTHER RESULT" not in capsys.readouterr().out


def test_the_last_decision_is_told_in_the_digits_of_every_other_command(
    whole: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.main([str(whole.folder), "--until", "2025-04-02T05:00"]) == 0
    told = capsys.readouterr().out
    assert "decision 30, BTCUSDT as of 2025-04-02 06:00 UTC: HOLD, confidence 0.85\n" in told
    assert "  equity    10,013.80, cash 10,013.80 at 2025-04-02 06:00 UTC\n" in told


def test_recorded_answers_to_other_prompts_are_called_no_result(
    whole: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "prompts"
    shutil.copytree(prompt_files.OURS, other)
    (other / "technical.md").write_text((other / "technical.md").read_text() + "\nBe brief.\n")
    assert door.main([str(whole.folder), "--from_prompts", str(other)]) == 0
    told = capsys.readouterr().out
    assert "48 requests would have been others; the recorded replies were kept" in told
    assert "SAME RESULT" not in told


@pytest.mark.parametrize("kind", ["fill", "decision", "market.view", "equity", "opinion"])
def test_a_changed_record_is_where_it_parts(whole: Played, tmp_path: Path, kind: str) -> None:
    """As if other code had written it: somebody who changes the log is found by its signatures, long before this."""
    folder = tmp_path / "changed"
    shutil.copytree(whole.folder, folder)
    lines = (folder / "log.jsonl").read_bytes().splitlines(keepends=True)
    (number, line) = next((n, line) for n, line in enumerate(lines) if line.endswith(b'"kind":"%b"}\n' % kind.encode()))
    changed = line.replace(b'BTCUSDT"', b'BTCUSDX"').replace(b'"equity":"1', b'"equity":"2')
    lines[number] = changed.replace(b'"confidence":"0.', b'"confidence":"1.') if changed == line else changed
    assert lines[number] != line
    (folder / "log.jsonl").write_bytes(b"".join(lines))
    divergence = replayed(folder).divergence
    assert divergence is not None
    assert (divergence.seq, divergence.kind) == (number, kind)


def test_a_run_with_every_trouble(troubled: Played) -> None:
    found = replayed(troubled.folder)
    assert troubled.summary["failed"] >= 5
    assert troubled.summary["retries"] >= 3
    assert (found.is_same, found.divergence) == (True, None)
