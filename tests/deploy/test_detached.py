"""How the far end lets a run go: with systemd as root or as the user, or by setsid, and how it is stopped."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from rented import Told, give_stub

NOBODY = 65534
JOB = """
printf '%s\\0' "$@" >words
env >environment
trap 'exit 3' TERM
echo 'run r-1: begun'
for _ in $(seq 300); do sleep 0.1; done
"""
SUDO = """#!/bin/sh
[ "$1" = -n ] && shift && exec "$@"
"""
SYSTEMD_RUN = """#!/usr/bin/env bash
# Takes what the real one takes, and like it passes on neither environment nor terminal nor open files.
[[ " $TAKES " == *" ${1/--collect/system} "* ]] || exit 1
printf '%s\\0' "$@" >"$TOLD"
while [[ $1 == --* ]]; do
    [[ $1 != --working-directory=* ]] || cd "${1#*=}"
    shift
done
exec 8<&-
env -i PATH=/usr/bin:/bin setsid "$@" </dev/null &>/dev/null &
"""
LOGINCTL = """#!/bin/sh
echo yes
"""
PROPERTIES = ("--collect", "--quiet", "--property=KillMode=process", "--property=UMask=0077")


class Far:
    """The far end's folder; commands run there as somebody who is not root."""

    def __init__(self, top: Path) -> None:
        self.folder = top / "a user's folder"
        self.told = top / "told"
        self._bin = top / "bin"
        self._who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        give_stub(self.folder, JOB)
        self._bin.mkdir()
        fakes = {"sudo": SUDO, "systemd-run": SYSTEMD_RUN, "loginctl": LOGINCTL}
        for path, text in ((self._bin / name, text) for name, text in fakes.items()):
            path.write_text(text)
            path.chmod(0o755)
        for path in (top, *top.rglob("*")):
            path.chmod(path.stat().st_mode | 0o777)

    def run(self, *words: str, takes: str = "", given: bytes = b"") -> Told:
        """A word of rented.sh, where systemd-run takes `system` and `--user`, or one, or neither."""
        path = f"{self._bin}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", str(self.folder / "scripts" / "rented.sh"), *words],
            input=given,
            capture_output=True,
            check=False,
            timeout=60,
            cwd="/",
            env={"PATH": path, "TAKES": takes, "TOLD": str(self.told)},
            **self._who,  # type: ignore[call-overload]
        )
        return Told(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, flags: Sequence[str], takes: str) -> Told:
        stream = b"".join(flag.encode() + b"\0" for flag in flags)
        return self.run("start", takes=takes, given=b"%d\n" % len(stream) + stream)

    def words(self, file: Path) -> list[str]:
        return file.read_bytes().decode().removesuffix("\0").split("\0")

    def log(self) -> str:
        (found,) = (self.folder / "data" / "logs").glob("detached-*.log")
        return found.read_text()


@pytest.fixture
def far() -> Iterator[Far]:
    with tempfile.TemporaryDirectory() as top:
        yield Far(Path(top))


ODD = ("--symbol", "A B", "--prompts", 'it\'s "$HOME" %h `x`', "", "two\nlines")


@pytest.mark.parametrize(
    ("takes", "said", "as_root"),
    [
        ("system --user", "detached under systemd", True),
        ("--user", "detached under systemd, as this user's", False),
        ("", "detached with setsid", None),
    ],
)
def test_a_run_is_let_go_and_can_be_stopped(takes: str, said: str, as_root: bool | None, far: Far) -> None:
    told = far.start(ODD, takes)
    assert (told.code, told.err) == (0, "")
    first, log, run = told.out.splitlines()
    assert (first, run) == (said, "run r-1")
    assert far.words(far.folder / "words") == ["-m", "backtesting.core.authentic_backtest", *ODD]
    detached = psutil.Process(int((far.folder / "data" / "logs" / "detached.pid").read_text()))
    assert os.getpid() not in [parent.pid for parent in detached.parents()]
    assert "a run is under way in this folder" in far.start((), takes).err
    if as_root is not None:
        assert far.words(far.told) == asked_of_systemd(far, as_root, log.removeprefix("log "), detached.uids().real)
    assert far.run("stop").code == 0
    detached.wait(30)
    assert far.log().splitlines()[-1] == "ended with exit code 3"
    assert far.run("stop").code == 2


def asked_of_systemd(far: Far, as_root: bool, log: str, uid: int) -> list[str]:
    group = NOBODY if os.geteuid() == 0 else os.getegid()
    who = (f"--uid={uid}", f"--gid={group}") if as_root else ()
    unit = (*(() if as_root else ("--user",)), *PROPERTIES, f"--working-directory={far.folder}", *who)
    return [*unit, "bash", str(far.folder / "scripts" / "rented.sh"), "work", log]


def test_a_run_that_refuses_says_so_here(far: Far) -> None:
    give_away = far.folder / ".venv" / "bin" / "python"
    give_away.write_text("#!/bin/sh\necho 'error: no such symbol'\nexit 2\n")
    told = far.start(("--symbol", "X"), "system")
    assert (told.code, told.out, told.err) == (2, "detached under systemd\n", "error: no such symbol\n")


def test_what_is_only_being_begun_is_not_stopped_by_an_earlier_runs_number(far: Far) -> None:
    far.start((), "")
    lock = far.folder / "data" / "logs" / "detached.pid"
    pid = int(lock.read_text())
    lock.unlink()
    told = far.run("stop")
    assert (told.code, "only being begun" in told.err) == (2, True)
    psutil.Process(pid).terminate()
    psutil.Process(pid).wait(30)
