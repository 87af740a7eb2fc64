"""A connection that ends half-way, two deployments at once, and an ssh configuration of one's own."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import house
import pytest
from rented import Rented, Told, give_stub
from test_deployed_run import BARS, RULES

SSH = str(shutil.which("ssh"))
CUT = """#!/usr/bin/env bash
if [[ "${*: -1}" == *"$CUT_AT"* ]]; then
    head -c "$CUT_AFTER" | "$SSH" "$@"
    exit 255
fi
exec "$SSH" "$@"
"""
NOT_ALL = "not all of it came, and nothing was done with it"


def through(machine: Rented, ssh: str, **environ: str) -> dict[str, str]:
    """An environment in which `ssh` is a script that knows the real one as $SSH."""
    folder = machine.place / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "ssh").write_text(ssh)
    (folder / "ssh").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "SSH": SSH, **environ}


def cut(machine: Rented, at: str, after: int, *words: str | Path, **environ: str) -> Told:
    told = machine.script("deploy_ec2", *words, **through(machine, CUT, CUT_AT=at, CUT_AFTER=str(after)), **environ)
    assert told.code == 2
    assert "error: ssh to " in told.err
    return told


def left_over(machine: Rented) -> list[Path]:
    return list(machine.folder.glob(".arriving*"))


def test_half_an_upload_leaves_nothing_and_the_same_words_bring_it_whole(machine: Rented) -> None:
    (machine.folder / ".arriving.as-power-failed").mkdir()
    cut(machine, "settle", 20_000)
    assert {path.name for path in machine.folder.iterdir()} == {".venv", ".arriving.as-power-failed"}
    assert machine.script("deploy_ec2").code == 0
    assert (machine.folder / "scripts" / "rented.sh").is_file()
    assert left_over(machine) == []


@pytest.mark.parametrize("after", [0, 30])
def test_half_a_key_is_not_kept(after: int, machine: Rented) -> None:
    before = "OPENAI_API_KEY='old'\n"
    (machine.folder / ".env").write_text(before)
    told = cut(machine, "rented.sh keys", after, "--send", "OPENAI_API_KEY", OPENAI_API_KEY="sk-canary-6f1d0c")
    assert NOT_ALL in told.err
    assert (machine.folder / ".env").read_text() == before
    assert left_over(machine) == []


@pytest.mark.usefixtures("store")
def test_half_a_file_of_bars_is_not_ingested(machine: Rented, database_url: str, shared_data: Path) -> None:
    sent = ("--send", "DATABASE_URL", "--csv", shared_data / BARS, "BTCUSDT", "1h")
    told = cut(machine, "rented.sh ingest", 20_000, *sent, DATABASE_URL=database_url)
    assert NOT_ALL in told.err
    listed = machine.folder / ".venv" / "bin" / "python", "-m", "scripts.data", "list"
    said = subprocess.run(listed, cwd=machine.folder, capture_output=True, text=True, check=True)
    assert "BTCUSDT" not in said.stdout
    assert left_over(machine) == []


def test_a_run_does_not_begin_with_some_of_its_flags(machine: Rented) -> None:
    told = cut(machine, "rented.sh start", 20, "--", *RULES, "--mini", "--budget_usd", "5")
    assert NOT_ALL in told.err
    assert list((machine.folder / "data").glob("logs/detached*")) == []


def test_of_two_deployments_at_once_one_waits(machine: Rented) -> None:
    folder = os.open(machine.folder, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    told = machine.script("deploy_ec2")
    os.close(folder)
    assert (told.code, "another deployment is at work in this folder" in told.err) == (2, True)
    assert [path.name for path in machine.folder.iterdir()] == [".venv"]
    assert machine.script("deploy_ec2").code == 0


WITH_CONFIG = '#!/bin/sh\nexec "$SSH" -F "$SSH_CONFIG" "$@"\n'


def configured(machine: Rented, text: str) -> dict[str, str]:
    """Puts `text` in the place of the user's own ssh configuration."""
    config = machine.place / "own"
    config.write_text(text)
    return through(machine, WITH_CONFIG, SSH_CONFIG=str(config))


def test_a_connection_that_stands_already_does_not_stand_in_for_the_host_key(machine: Rented) -> None:
    environ = configured(machine, f"ControlMaster auto\nControlPath {machine.place}/control\n")
    lax = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=QUIET")
    reached = ("-p", str(machine.port), "-i", str(machine.key), machine.machine[0])
    ssh = (SSH, "-F", environ["SSH_CONFIG"])
    subprocess.run([*ssh, *lax, "-f", "-N", *reached], check=True, stderr=subprocess.DEVNULL)
    try:
        machine.become_strange()
        assert machine.script("deploy_ec2", **environ).code == 2
    finally:
        subprocess.run([*ssh, "-O", "exit", *reached], check=True, capture_output=True)
    assert not (machine.folder / "agents").exists()


def test_a_machine_is_reached_by_an_address_of_ipv6(machine: Rented) -> None:
    environ = configured(machine, f"Host ::1\nHostName 127.0.0.1\nHostKeyAlias [127.0.0.1]:{machine.port}\n")
    _, *rest = machine.machine
    told = machine.plain("deploy_ec2", f"{machine.user}@::1", *rest, *machine.how, **environ)
    assert (told.code, told.err) == (0, "")


def on_a_terminal(command: Sequence[str]) -> tuple[int, str]:
    """The exit code, and what the terminal showed."""
    ours, its = pty.openpty()
    shown = b""
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True) as process:
        os.close(its)
        with suppress(OSError):  # how a terminal says that nobody is there any more
            while more := os.read(ours, 4096):
                shown += more
    os.close(ours)
    return process.returncode, shown.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ssh server gives a terminal away as root only")
def test_watching_on_a_terminal_draws_on_it_and_fetches_nothing_when_it_is_left(machine: Rented) -> None:
    shutil.rmtree(machine.folder)
    give_stub(machine.folder, "test -t 1 && echo drawn on a terminal\nexit 130\n")
    log = machine.folder / "data" / "runs" / "r1" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.touch()
    script = str(house.ROOT / "scripts" / "fetch_run.sh")
    words = ("r1", "--watch", "--to", str(machine.home / "results"))
    code, shown = on_a_terminal(("bash", script, *machine.machine, *machine.how, *words))
    assert (code, shown.splitlines()[0]) == (130, "drawn on a terminal")
    assert not (machine.home / "results").exists()
