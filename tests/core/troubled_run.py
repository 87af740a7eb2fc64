"""One run through the command, its trouble, and what must be told of it; the disk's part in an undisturbed one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

sys.path += [str(Path(__file__).parents[1] / room) for room in ("llm", "journal")]
import fault_server as server

from backtesting.audit.verdict import RE_DERIVED, prove
from backtesting.core import authentic_backtest
from data.journal.examine import Verdict
from data.journal.project_log import check
from data.journal.reading import first_leaf, read_records
from data.model.protocols import Record

WORDS = (
    *("--symbol", "BTCUSDT", "--interval", "1h", "--start_date", "2025-04-01", "--end_date", "2025-04-01"),
    *("--decide_every", "6", "--model", "openai/gpt-4o-mini"),
)
REQUESTS = 16
DIGESTS: list[str] = []
UNDISTURBED: list[str] = []
"""What a run has the disk make durable, when nothing disturbs it."""


@dataclass
class Run:
    """One run in a root folder of its own, through the command as a user gives it."""

    root: Path
    url: str
    capsys: pytest.CaptureFixture[str]
    model: server.FaultServer
    code: int = -1
    out: str = ""
    err: str = ""
    before: list[Record] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        (found,) = (self.root / "runs").iterdir()
        return found

    @property
    def records(self) -> list[Record]:
        return list(read_records(self.folder))

    @property
    def key(self) -> Path:
        return self.root / "data" / "keys" / "runs" / f"{self.folder.name}.key"

    @property
    def project(self) -> bytes:
        return (self.root / "data" / "project" / "log.jsonl").read_bytes()

    @property
    def standing(self) -> tuple[str | None, int]:
        """How the project says that it ended, and how many did not."""
        found = check(self.root / "data" / "project", self.folder.name, first_leaf(self.folder).hex())
        return found.status, found.unfinished

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads(self.out)

    def play(self, *words: str) -> int:
        self.capsys.readouterr()
        common = ("--json", "--yes", "--database", self.url, "--output_dir", str(self.root / "runs"))
        self.code = authentic_backtest.main([*words, *common])
        self.out, self.err = self.capsys.readouterr()
        return self.code

    def begin(self, *words: str) -> int:
        code = self.play(*WORDS, "--base_url", self.model.base_url, *words)
        self.before = self.records
        return code

    def go_on(self, *words: str) -> None:
        """Resumes it to its end, to the same result as if nothing had happened."""
        assert self.play("--resume", str(self.folder), *words) == 0, self.err
        assert self.summary["result_digest"] == DIGESTS[0]
        assert self.records[: len(self.before)] == self.before
        proof = prove(self.folder, head=self.summary["head"])
        assert (proof.verdict, proof.result) == (Verdict.ANCHORED, RE_DERIVED), proof.examination.remarks

    def require_told(self, *parts: str) -> None:
        """The end is one line, behind those that tell of the beginning, and no decision failed."""
        assert self.code == 3
        (line,) = (line for line in self.err.splitlines() if not line.startswith(("run ", "watch ")))
        assert line.startswith("error: ")
        assert [part for part in parts if part not in line] == [], line
        assert self.out == ""
        assert [r for r in self.records if r.kind == "decision" and r.body["failure"]] == []

    def require_never_begun(self, *parts: str) -> None:
        """The end is one line, and nothing of a run is there."""
        assert self.play(*WORDS, "--base_url", self.model.base_url) == 2
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        assert [part for part in parts if part not in line] == [], line
        assert "--resume" not in line
        assert (self.out, self.records, self.model.received) == ("", [], [])

    def begin_anew(self) -> None:
        """Another run comes to the result of one that nothing disturbed."""
        shutil.rmtree(self.folder)
        assert self.begin() == 0
        assert self.summary["result_digest"] == DIGESTS[0]

    def asked(self) -> Counter[str]:
        return Counter(sha256(each.body).hexdigest() for each in self.model.received)


def what(path: Path, runs: Path) -> str:
    """What an fsync is of, by its place among the runs."""
    inside = path.relative_to(runs).parts[1:]
    if path.is_dir():
        return "a folder of blobs" if inside[:1] == ("blobs",) else "the folder" if not inside else "another folder"
    return "a blob" if inside[:1] == ("blobs",) else inside[0].removesuffix(".part").rstrip(".0123456789")


@contextmanager
def failing_fsync(runs: Path, doomed: Callable[[str, int], bool]) -> Iterator[list[str]]:
    """Fails the fsyncs that `doomed(what, how many of it)` names; the value is what was asked for, in order."""
    whole, asked = os.fsync, list[str]()

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_relative_to(runs):
            asked.append(what(path, runs))
            if doomed(asked[-1], asked.count(asked[-1])):
                raise OSError(5, "Input/output error")
        whole(descriptor)

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(os, "fsync", fsync)
        yield asked
