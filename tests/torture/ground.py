"""Where runs are tortured: starts them, kills them, and knows what the undisturbed one came to."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import house

HERE = Path(__file__).parent
CANARY = "sk-torture-51aa7c0ffee"
ENVIRON = {"OPENAI_API_KEY": CANARY, "AGENTRADER_MODEL": "", "DATABASE_URL": ""}
WINDOW = (
    *("--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-02"),
    *("--decide_every", "4", "--model", "openai/gpt-4o-mini"),
)
LONGEST_S = 60.0
SEED = os.environ.get("TORTURE_SEED") or "1"


@dataclass(frozen=True)
class Ended:
    """A process that is over: its exit code (negative: the signal that ended it) and what it printed."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass
class Ground:
    """`steps` on the disk and `seconds` are those of the undisturbed run, `digest` its result."""

    root: Path
    url: str
    server: str
    counts: Path
    starter: subprocess.Popen[bytes]
    digest: str = ""
    steps: int = 0
    seconds: float = 0.0
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def begin(self, in_flight: int = 1) -> Patient:
        """A new place for one run."""
        root = self.root / f"run-{next(self._numbers)}"
        root.mkdir()
        return Patient(self, root, in_flight)


@dataclass
class Patient:
    """One run, in a root folder of its own."""

    ground: Ground
    root: Path
    in_flight: int = 1
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def folder(self) -> Path | None:
        """The run's folder, None before there is one."""
        found = list((self.root / "runs").glob("*"))
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def flags(self) -> tuple[str, ...]:
        """What a user says who begins the run."""
        server = f"{self.ground.server}/{self.root.name}/v1"
        return (*WINDOW, "--base_url", server, "--concurrency", f"{self.in_flight}")

    @property
    def log(self) -> bytes:
        """The bytes of the run's log, none before there is one."""
        path = None if self.folder is None else self.folder / "log.jsonl"
        return path.read_bytes() if path and path.exists() else b""

    @property
    def next_words(self) -> tuple[str, ...]:
        """What a user says next: the flags as long as nothing was recorded, then `--resume` alone."""
        if self.folder is None:
            return self.flags
        again = ("--resume", str(self.folder), "--concurrency", f"{self.in_flight}")
        return again if b"\n" in self.log else (*again, *self.flags)

    def asked(self) -> Counter[str]:
        """How often the server was asked for each request of this run."""
        lines = (json.loads(line) for line in self.ground.counts.read_bytes().splitlines())
        return Counter(line["sha256"] for line in lines if line["path"].startswith(f"/{self.root.name}/"))

    def words(self, *words: str) -> list[str]:
        return [*words, "--json", "--yes", "--database", self.ground.url, "--output_dir", str(self.root / "runs")]

    def play(
        self,
        *words: str,
        fatal: dict[str, Any] | None = None,
        after: float | None = None,
        by: signal.Signals = signal.SIGKILL,
        longest: int | None = None,
    ) -> Ended:
        """Runs the command to its end, or kills it: in a step on the disk, or `after` so many seconds `by` a signal.

        With `longest`, no file that it writes can become longer than so many bytes.
        """
        number = next(self._numbers)
        out, err = (self.ground.root / f"{self.root.name}-{name}-{number}" for name in ("out", "err"))
        wanted = {
            "root": str(self.root),
            "argv": self.words(*words),
            "environ": ENVIRON,
            "out": str(out),
            "err": str(err),
            "fatal": fatal,
            "longest": longest,
        }
        child = _told(self.ground.starter, wanted)
        if after is not None and (code := _heard(self.ground.starter, after)) is None:
            os.killpg(child, by)
            code = _heard(self.ground.starter, LONGEST_S)
        elif after is None:
            code = _heard(self.ground.starter, LONGEST_S)
        if code is None:
            os.killpg(child, signal.SIGKILL)
            raise AssertionError(f"{words} did not end within {LONGEST_S} s: {err.read_text()}")
        return Ended(code, out.read_text(), err.read_text())


@contextmanager
def prepared(root: Path, url: str) -> Iterator[Ground]:
    """The server, the starter, and an undisturbed run. Ends both processes."""
    counts = root / "asked.jsonl"
    with _running("model_server.py", str(counts), "--latency", "0.004", "--shaky") as server:
        assert server.stdout
        address = server.stdout.readline().decode().strip()
        with _running("starter.py") as starter:
            ground = Ground(root, url, address, counts, starter)
            _warm(ground)
            _measure(ground)
            yield ground


def _warm(ground: Ground) -> None:
    patient = ground.begin()
    wanted = {"root": str(patient.root), "argv": patient.words(*patient.flags), "environ": ENVIRON}
    _tell(ground.starter, wanted)
    assert ground.starter.stdout
    lines = iter(ground.starter.stdout.readline, b"ready\n")
    ground.digest = json.loads(b"".join(lines))["result_digest"]


def _measure(ground: Ground) -> None:
    patient = ground.begin()
    started = time.monotonic()
    ended = patient.play(*patient.flags, fatal={"tell": str(patient.root / "steps")})
    ground.seconds = time.monotonic() - started
    assert (ended.code, ended.summary["result_digest"]) == (0, ground.digest), ended
    ground.steps = int((patient.root / "steps").read_text())


@contextmanager
def _running(script: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *words],
        cwd=house.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    assert process.stdin
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tell(starter: subprocess.Popen[bytes], wanted: dict[str, Any]) -> None:
    assert starter.stdin
    starter.stdin.write(json.dumps(wanted).encode() + b"\n")


def _told(starter: subprocess.Popen[bytes], wanted: dict[str, Any]) -> int:
    _tell(starter, wanted)
    child = _heard(starter, LONGEST_S)
    assert child is not None
    return child


def _heard(starter: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The next number that it says, None if there is none within that time."""
    assert starter.stdout
    ready, _, _ = select.select([starter.stdout], [], [], seconds)
    return int(starter.stdout.readline()) if ready else None
