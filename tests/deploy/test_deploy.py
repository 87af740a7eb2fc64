"""scripts/deploy_ec2.sh and fetch_run.sh against a real OpenSSH server on loopback."""

from __future__ import annotations

import fcntl
import json
import os
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
    for path in (kept, stale, machine.folder / "scripts" / "rented.sh"):
        path.parent.mkdir(parents=True)
        path.write_text("x")
    assert machine.script("deploy_ec2").code == 0
    assert kept.is_file()
    assert not stale.exists()
    arrived = {path.name for path in machine.folder.iterdir()}
    assert {"agents", "backtesting", "data", "requirements.txt", ".ci"} <= arrived
    assert arrived & {".git", ".env", "tests", "results", ".arriving"} == set()
    assert {path.name for path in (machine.folder / "data").iterdir()} <= {
        *(
            "__init__.py",
            "__pycache__",
            "command_line.py",
            "door.py",
            "view.py",
            "journal",
            "model",
            "sources",
            "store",
            "runs",
            "keys",
        )
    }


def test_what_else_lies_in_the_project_stays_at_home(machine: Rented, tmp_path: Path) -> None:
    project, elsewhere = tmp_path / "my project", tmp_path / "else where"
    for path in house.files():
        if not path.is_relative_to(house.ROOT / "tests"):
            copy = project / path.relative_to(house.ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    shutil.copytree(house.ROOT / "benchmarks", project / "benchmarks")
    (project / ".venv").symlink_to(house.ROOT / ".venv")
    for name in ("notes.txt", "notes.md", "config.toml", ".env", "mine.pem", "agents/.env.old", "scripts/old.key"):
        (project / name).write_text(CANARY)
    if os.geteuid() == 0:  # whose number at home may be somebody's there, too
        os.chown(project / "agent_log_patch.py", 65534, 65534)
    elsewhere.mkdir()
    shutil.copy(machine.key, elsewhere / "my own key")
    host, _, folder = machine.machine
    told = machine.plain("deploy_ec2", host, "my own key", folder, *machine.how, project=project, cwd=elsewhere)
    assert (told.code, told.err) == (0, "")
    arrived = [path for path in machine.folder.rglob("*") if path.is_file() and ".venv" not in path.parts]
    assert {"README.md", "Makefile", "pyproject.toml", "alembic.ini"} <= {path.name for path in arrived}
    assert {path.stat().st_uid for path in arrived} == {os.geteuid()}
    assert [path for path in arrived if CANARY.encode() in path.read_bytes()] == []


def test_a_folder_that_holds_something_else_is_left_as_it_is(machine: Rented) -> None:
    (machine.folder / "docs").mkdir()
    (machine.folder / "docs" / "thesis.md").write_text("x")
    told = machine.script("deploy_ec2")
    assert (told.code, "docs was in that folder before" in told.err) == (2, True)
    assert (machine.folder / "docs" / "thesis.md").is_file()
    assert {path.name for path in machine.folder.iterdir()} == {".venv", "docs"}


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


ODD_FOLDERS = ("/", ".", "~", "../x", "a/../..", "a'b", "a b", "-x", "a$(x)", "a`x`", 'a"b', "~/a", "a\nb", "--", "")
MACHINE = ("u@127.0.0.1", __file__, "agentrader")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say HOST KEYFILE FOLDER"),
        (("u@h", "no file", "f"), "there is no key file"),
        (("-oProxyCommand=touch x", __file__, "f"), "is no host"),
        (("u@h; touch x", __file__, "f"), "is no host"),
        *((("u@h", __file__, folder), "is no folder" if folder else "say HOST") for folder in ODD_FOLDERS),
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
        ("deploy_ec2", ("--send", "INTERPOLATED"), "a dollar sign before a brace"),
        ("deploy_ec2", ("--name",), "needs a name"),
        ("deploy_ec2", ("--with", "data/store"), "stays where it is"),
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
    told = Rented("", 0, tmp_path, tmp_path).plain(script, *words, TWO_LINES="a\nb", INTERPOLATED="a${HOME}")
    assert (told.code, told.out) == (2, "")
    assert told.err.count("\n") == 1 + "".join(words).count("\n")
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


SHELL_FILES = sorted(
    [*(house.ROOT / "scripts").glob("*.sh"), *(house.ROOT / ".ci" / name for name in ("run", "find-python"))]
)


@pytest.mark.parametrize("script", SHELL_FILES, ids=lambda path: path.name)
def test_the_scripts_are_sound_shell(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    if (checker := shutil.which("shellcheck")) is None:
        pytest.skip("no shellcheck: apt-get install shellcheck")
    subprocess.run([checker, "-x", str(script)], check=True, cwd=house.ROOT)
