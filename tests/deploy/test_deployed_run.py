"""A run on the rented machine: it outlives the connection, comes home, and is what a run here would have been."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import house
import psutil
import pytest
from rented import SSHD, USERADD, Rented, Told, rented

BARS = Path("crypto_spot") / "BTCUSDT_1h_2025-03-01_2025-04-15.csv"
WINDOW = ("--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-05")
RULES = (*WINDOW, "--model", "rules")
AWAY = "agentrader-away"


def started(told: Told) -> str:
    """The run's id, of a deployment that began one."""
    assert told.code == 0, told.err
    (run,) = [line.removeprefix("run ") for line in told.out.splitlines() if line.startswith("run 2")]
    return run


def job(folder: Path) -> psutil.Process:
    """The detached process in a deployed folder."""
    return psutil.Process(int((folder / "data" / "logs" / "detached.pid").read_text()))


def local_digest(url: str, bars: Path, to: Path, *words: str) -> str:
    """The result digest of the same run on this machine, where `make demo` has brought other data already."""
    environ = {**os.environ, "DATABASE_URL": url, "AGENTRADER_KEYS": str(to / "keys")}
    sample = ("-m", "scripts.ingest", "sample")
    ingest = ("-m", "scripts.ingest", "csv", str(bars), "--symbol", "BTCUSDT", "--interval", "1h")
    play = ("-m", "backtesting.core.authentic_backtest", *RULES, *words, "--output_dir", str(to / "runs"), "--json")
    for command in (sample, ingest, play):
        said = subprocess.run(
            [sys.executable, *command], cwd=house.ROOT, env=environ, capture_output=True, text=True, check=True
        )
    return str(json.loads(said.stdout)["result_digest"])


def test_a_detached_run_is_stopped_fetched_resumed_and_fetched_again(
    machine: Rented, database_url: str, shared_data: Path, tmp_path: Path
) -> None:
    bars, results = shared_data / BARS, tmp_path / "results"
    sent = ("--send", "DATABASE_URL")
    told = machine.script("deploy_ec2", *sent, "--csv", bars, "BTCUSDT", "1h", "--", *RULES, DATABASE_URL=database_url)
    run = started(told)
    early = machine.script("fetch_run", run, "--to", results)
    assert (early.code, list(results.glob("*"))) == (3, [])
    assert "still under way" in early.err
    ended = job(machine.folder)
    subprocess.run(["bash", str(machine.folder / "scripts" / "rented.sh"), "stop"], check=True, capture_output=True)
    assert ended.wait(60) is None
    fetched = machine.script("fetch_run", "--to", results)
    assert fetched.code == 3, fetched.err
    assert "INCOMPLETE" in fetched.out
    told = machine.script("deploy_ec2", "--", "--resume", run)
    assert started(told) == run
    fetched = machine.script("fetch_run", run, "--watch", "--to", results)
    assert fetched.code == 0, fetched.err
    assert "INTACT" in fetched.out
    digest = local_digest(database_url, bars, tmp_path / "local")
    assert digest in fetched.out
    names = {path.name.split("-")[0].split("_")[0] for path in (results / "logs" / run).iterdir()}
    assert names == {"agent", "detached"}


def test_what_the_run_refuses_is_said_at_once(machine: Rented) -> None:
    told = machine.script("deploy_ec2", "--", "--sample", "--model", "nobody/nothing")
    assert told.code == 2
    assert "error: " in told.err
    assert "It runs on" not in told.out
    assert machine.script("fetch_run").code == 2


@pytest.fixture
def other_users(tmp_path: Path) -> Iterator[Rented]:
    """A machine whose user is somebody else, with an empty home."""
    if SSHD is None or os.geteuid() != 0 or USERADD is None:
        pytest.skip("needs root, sshd and useradd")
    with tempfile.TemporaryDirectory(prefix=AWAY) as top:
        place, home = Path(top) / "ssh", Path(top) / "home"
        Path(top).chmod(0o755)
        place.mkdir(mode=0o755)
        (place / "keys").mkdir(mode=0o700)
        words = ("--create-home", "--home-dir", str(home), "--shell", "/bin/bash", "--password", "*")
        subprocess.run([USERADD, *words, AWAY], check=True)
        try:
            with rented(AWAY, place, home) as found:
                yield found
        finally:
            end_processes_of(AWAY)
            subprocess.run([USERADD.replace("useradd", "userdel"), AWAY], check=True)


def end_processes_of(user: str) -> None:
    uid = pwd.getpwnam(user).pw_uid
    left = [process for process in psutil.process_iter(["uids"]) if process.info["uids"].real == uid]
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=10)


@pytest.mark.timeout(900)
def test_a_deployment_to_another_user_by_the_book(
    other_users: Rented, database_url: str, shared_data: Path, tmp_path: Path
) -> None:
    """Nothing is there but Python and ssh: packages are installed, the run goes on alone, and its result is ours."""
    bars, results = shared_data / BARS, tmp_path / "results"
    told = other_users.script("deploy_ec2", "--csv", bars, "BTCUSDT", "1h", "--", *RULES, "--mini")
    run = started(told)
    detached = job(other_users.folder)
    assert "sshd" not in [parent.name() for parent in detached.parents()]
    assert detached.username() == AWAY
    time.sleep(1)
    assert detached.is_running()
    fetched = other_users.script("fetch_run", "--watch", "--to", results)
    assert fetched.code == 0, fetched.err
    assert "INTACT, UNANCHORED · RESULT RE-DERIVED" in fetched.out
    assert "for which a given key answers" in fetched.out
    assert local_digest(database_url, bars, tmp_path / "local", "--mini") in fetched.out
    assert (results / run / "log.jsonl").is_file()
