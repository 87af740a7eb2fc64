"""scripts/deploy_ec2.sh and fetch_run.sh against a real OpenSSH server on loopback."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import house
import psutil
import pytest
from rented import Rented

CANARY = "sk-canary-6f1d0c"
SETUP_ONLY = "== set up; begin a run"


def words_of_processes(seen: set[str], done: threading.Event) -> None:
    while not done.is_set():
        for process in psutil.process_iter(["cmdline"]):
            seen.update(process.info["cmdline"] or ())


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Every word on the command line of any process meanwhile, as often as this machine lets us look."""
    seen: set[str] = set()
    done = threading.Event()
    looker = threading.Thread(target=words_of_processes, args=(seen, done))
    looker.start()
    try:
        yield seen
    finally:
        done.set()
        looker.join()


def test_secrets_go_over_standard_input_and_lie_closed(machine: Rented) -> None:
    with watched_processes() as seen:
        told = machine.script("deploy_ec2", "--send", "OPENAI_API_KEY", OPENAI_API_KEY=CANARY)
    assert (told.code, told.err) == (0, "")
    assert SETUP_ONLY in told.out
    secrets = machine.folder / ".env"
    assert secrets.read_text() == f"OPENAI_API_KEY='{CANARY}'\n"
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert any("rented.sh keys" in word for word in seen)
    assert [word for word in seen if CANARY in word] == []
    assert CANARY not in told.out + (machine.place / "sshd.log").read_text()


def test_a_key_sent_again_takes_the_earlier_ones_place(machine: Rented) -> None:
    (machine.folder / ".env").write_text("OPENAI_API_KEY='old'\nDATABASE_URL='postgresql://x'\n")
    told = machine.script("deploy_ec2", "--send", "OPENAI_API_KEY", OPENAI_API_KEY=CANARY)
    assert told.code == 0
    assert (machine.folder / ".env").read_text() == f"DATABASE_URL='postgresql://x'\nOPENAI_API_KEY='{CANARY}'\n"


def test_only_the_product_travels_and_what_runs_left_stays(machine: Rented) -> None:
    kept = machine.folder / "data" / "runs" / "r1" / "log.jsonl"
    stale = machine.folder / "agents" / "gone.py"
    for path in (kept, stale):
        path.parent.mkdir(parents=True)
        path.write_text("x")
    assert machine.script("deploy_ec2").code == 0
    assert kept.is_file()
    assert not stale.exists()
    arrived = {path.name for path in machine.folder.iterdir()}
    assert {"agents", "backtesting", "data", "requirements.txt", ".ci"} <= arrived
    assert arrived & {".git", ".env", "tests", "results", ".arriving"} == set()
    assert {path.name for path in (machine.folder / "data").iterdir()} <= {
        *("__init__.py", "__pycache__", "door.py", "view.py", "journal", "model", "sources", "store", "runs", "keys")
    }


def test_the_signing_key_stays_at_home_and_certifies_the_machines(machine: Rented) -> None:
    assert machine.script("deploy_ec2", "--name", "night-1").code == 0
    home = (machine.place / "keys" / "project.key").read_text().splitlines()
    there = [path.read_text() for path in (machine.folder / "data" / "keys").rglob("*") if path.is_file()]
    assert len(there) == 3
    private = home[home.index("-----BEGIN PRIVATE KEY-----") + 1]
    assert not any(private in text for text in there)
    door = [sys.executable, "-m", "scripts.keys", "show", "--json", "--keys"]
    shown = json.loads(subprocess.check_output([*door, str(machine.folder / "data" / "keys")], cwd=house.ROOT))
    ours = json.loads(subprocess.check_output([*door, str(machine.place / "keys")], cwd=house.ROOT))
    assert shown["host"]["name"] == "night-1"
    assert shown["host"]["certified_by"]["fingerprint"] == ours["fingerprint"]


@pytest.mark.parametrize("script", ["deploy_ec2", "fetch_run"])
def test_a_machine_with_another_host_key_is_not_spoken_to(script: str, machine: Rented) -> None:
    machine.become_strange()
    words = ("--send", "OPENAI_API_KEY") if script == "deploy_ec2" else ("r1",)
    told = machine.script(script, *words, OPENAI_API_KEY=CANARY)
    assert told.code == 2
    assert "Host key verification failed" in told.err
    assert told.err.splitlines()[-1].startswith("error: ssh to ")
    assert not (machine.folder / "agents").exists()


def test_a_machine_with_no_known_host_key_is_not_spoken_to(machine: Rented) -> None:
    machine.known_hosts.write_text("")
    assert machine.script("deploy_ec2").code == 2
    assert machine.known_hosts.read_text() == ""


def test_a_machine_that_lacks_something_is_named_before_anything_is_changed(machine: Rented) -> None:
    too_old = machine.place / "python3"
    too_old.write_text("#!/bin/sh\necho 3.9.2\n")
    too_old.chmod(0o755)
    public = (machine.place / "user.pub").read_text()
    (machine.place / "authorized").write_text(f'environment="PYTHON={too_old}" {public}')
    told = machine.script("deploy_ec2")
    assert told.code == 2
    assert "needs Python 3.11, 3.12 or 3.13" in told.err
    assert "is Python 3.9.2" in told.err
    assert not (machine.folder / "agents").exists()


@contextmanager
def under_way(folder: Path) -> Iterator[None]:
    lock = folder / "data" / "logs" / "detached.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def test_nothing_is_replaced_under_a_run(machine: Rented) -> None:
    with under_way(machine.folder):
        told = machine.script("deploy_ec2")
        assert told.code == 2
        assert "a run is under way in this folder" in told.err
        assert not (machine.folder / "agents").exists()
    assert machine.script("deploy_ec2").code == 0


ODD_FOLDERS = ("/", ".", "~", "../x", "a/../..", "a'b", "a b", "-x")
MACHINE = ("u@127.0.0.1", __file__, "agentrader")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say HOST KEYFILE FOLDER"),
        (("u@h", "no file", "f"), "there is no key file"),
        (("-oProxyCommand=touch x", __file__, "f"), "is no host"),
        (("u@h; touch x", __file__, "f"), "is no host"),
        *(
            (("u@h", __file__, folder), "is no folder")
            for folder in ("/", ".", "~", "../x", "a/../..", "a'b", "a b", "-x")
        ),
        ((*MACHINE, "--port", "x"), "is no number"),
        ((*MACHINE, "--port"), "needs a value"),
        ((*MACHINE, "--known_hosts", "nowhere"), "there is no file"),
        ((*MACHINE, "--verbose"), "is no flag"),
    ],
)
@pytest.mark.parametrize("script", ["deploy_ec2", "fetch_run"])
def test_wrong_use_is_one_line(script: str, words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    _wrong(script, words, said, tmp_path)


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("deploy_ec2", ("--send", "NOT_SET_HERE"), "read -rs NOT_SET_HERE"),
        ("deploy_ec2", ("--send", "sk-canary"), "never its value"),
        ("deploy_ec2", ("--send", "TWO_LINES"), "a new line"),
        ("deploy_ec2", ("--csv", "nowhere.csv", "S", "1h"), "no such file"),
        ("deploy_ec2", ("--csv", __file__, "S'", "1h"), "are none"),
        ("deploy_ec2", ("--with", "../elsewhere"), "no such path below"),
        ("fetch_run", ("--to",), "needs a folder"),
        ("fetch_run", ("../r1",), "is no run's id"),
        ("fetch_run", ("r1", "r2"), "one run at a time"),
    ],
)
def test_wrong_flags_are_one_line(script: str, words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    _wrong(script, (*MACHINE, *words), said, tmp_path)


def _wrong(script: str, words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    told = Rented("", 0, tmp_path, tmp_path).plain(script, *words, TWO_LINES="a\nb")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith("error: ")
    assert said in told.err


@pytest.mark.parametrize("script", ["deploy_ec2", "fetch_run"])
def test_help_has_an_example(script: str, tmp_path: Path) -> None:
    told = Rented("", 0, tmp_path, tmp_path).plain(script, "--help")
    assert (told.code, told.err) == (0, "")
    assert f"bash scripts/{script}.sh ec2-user@203.0.113.7 rented.pem agentrader" in told.out
    assert "exit codes: " in told.out
    flags = set(re.findall(r"__(\w+)(?= \||\))", (house.ROOT / "scripts" / f"{script}.sh").read_text()))
    assert {flag for flag in flags if f"--{flag}" not in told.out} == set()


def test_the_scripts_are_sound_shell() -> None:
    for script in sorted((house.ROOT / "scripts").glob("*.sh")):
        subprocess.run(["bash", "-n", str(script)], check=True)
        if checker := shutil.which("shellcheck"):
            subprocess.run([checker, "-x", str(script)], check=True, cwd=house.ROOT)
