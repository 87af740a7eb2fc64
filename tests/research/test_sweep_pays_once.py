"""Runs of agents in a sweep that is killed: the next one goes on in their folders and pays for no reply twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import house
import pytest
from conftest import ALONE

IN_A_PLACE = """
import sys
from pathlib import Path
from backtesting.research import agent_runs
from scripts.sweep import main
agent_runs.ROOT = Path(sys.argv[1])
sys.exit(main(sys.argv[2:]))
"""
MODEL_SERVER = house.ROOT / "tests" / "torture" / "model_server.py"


@pytest.fixture
def model(tmp_path: Path) -> Iterator[str]:
    """The address of a model's server that writes down every request before it answers."""
    command = [sys.executable, str(MODEL_SERVER), str(tmp_path / "asked.jsonl"), "--latency", "0.05"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin
    assert server.stdout
    yield server.stdout.readline().strip()
    server.stdin.close()
    server.wait(10)


def asked(tmp_path: Path) -> Counter[str]:
    return Counter(json.loads(line)["sha256"] for line in (tmp_path / "asked.jsonl").read_bytes().splitlines())


def records(tmp_path: Path) -> list[dict[str, Any]]:
    logs = sorted((tmp_path / "sweeps" / "runs").glob("*/log.jsonl"))
    return [json.loads(line) | {"log": log} for log in logs for line in log.read_bytes().splitlines()]


@pytest.mark.timeout(180)
def test_a_killed_sweep_pays_for_no_reply_twice(model: str, bitcoin: str, tmp_path: Path) -> None:
    agents = (
        f'[agents]\nmodels = ["openai/gpt-4o-mini"]\nseeds = [1, 2]\nbase_url = "{model}/sweep/v1"\ndecide_every = 4\n'
    )
    (tmp_path / "spec.toml").write_text(ALONE + agents)
    words = [str(tmp_path / "spec.toml"), "--jobs", "1", "--lease_s", "1", "--json", "--database", bitcoin]
    command = [sys.executable, "-c", IN_A_PLACE, str(tmp_path), *words, "--output_dir", str(tmp_path / "sweeps")]
    environ = os.environ | {"AGENTRADER_KEYS": str(tmp_path / "keys"), "OPENAI_API_KEY": "sk-none"}
    for least in (7, 40):
        driver = subprocess.Popen(command, cwd=house.ROOT, env=environ, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while sum(asked(tmp_path).values()) < least and time.monotonic() < end:
            assert driver.poll() is None
            time.sleep(0.01)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    before = answered(tmp_path)
    times = asked(tmp_path)
    done = subprocess.run(
        command, cwd=house.ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 2
    assert len(before) >= 40 - 3
    now = asked(tmp_path)
    assert {digest for digest in before if now[digest] != times[digest]} == set(), "a recorded reply was asked again"
    assert len(answered(tmp_path)) == 2 * 12 * 4
    requests = Counter(r["body"]["audit.request_sha256"] for r in records(tmp_path) if r["kind"] == "llm.request")
    assert now - requests == Counter(), "the server was asked more than was recorded"


def answered(tmp_path: Path) -> set[str]:
    """The digests of the requests that have an answer on record."""
    found = records(tmp_path)
    requests = {
        (r["log"], r["audit.seq"]): r["body"]["audit.request_sha256"] for r in found if r["kind"] == "llm.request"
    }
    return {requests[r["log"], r["audit.caused_by"][0]] for r in found if r["kind"] == "llm.response"}
