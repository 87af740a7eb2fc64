"""Watching a run that another process plays: what is seen, and when the watching ends."""

from __future__ import annotations

import fcntl
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from main_job import RULES, Played, play
from rich.console import Console

from backtesting.core.display import watching
from data.model.errors import UsageError
from scripts import runs
from scripts.runs_watch import Watch


@pytest.fixture
def mini(tmp_path: Path, bitcoin: str) -> Played:
    return play(tmp_path / "played", bitcoin, *RULES, "--mini")


@dataclass
class Writer:
    """Another process: each time somebody sleeps, it writes some more of a recorded log; then it lets go of it."""

    folder: Path
    chunks: list[bytes]
    slept: int = 0
    _log: io.BufferedWriter | None = field(default=None)

    def sleep(self, _seconds: float) -> None:
        self.slept += 1
        if self._log is None:
            self.folder.mkdir(parents=True)
            self._log = (self.folder / "log.jsonl").open("wb")
            fcntl.flock(self._log, fcntl.LOCK_EX)
        if self.chunks:
            self._log.write(self.chunks.pop(0))
            self._log.flush()
        else:
            self._log.close()


def cut(data: bytes, pieces: int) -> list[bytes]:
    size = len(data) // pieces + 1
    return [data[start : start + size] for start in range(0, len(data), size)]


def watched(writer: Writer, *, tty: bool = False, width: int = 140) -> tuple[str, list[int], bool, str | None]:
    """What was shown, how many bars were done at each look, and how the run stood at last."""
    out, done = io.StringIO(), list[int]()
    console = Console(file=out, force_terminal=tty, width=width)
    watch = Watch(console, lambda: float(writer.slept), writer.sleep)
    folder = watch.find(str(writer.folder), writer.folder.parent, 1000.0)
    with counted(done):
        last = watch.until_over(folder)
    return out.getvalue(), done, last.is_over, last.status


@contextmanager
def counted(done: list[int]) -> Iterator[None]:
    def noting(console: Console, begun):  # type: ignore[no-untyped-def]
        @contextmanager
        def shown():  # type: ignore[no-untyped-def]
            with watching(console, begun) as update:
                yield lambda now: (done.append(now.bars), update(now))

        return shown()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scripts.runs_watch.watching", noting)
        yield


def test_it_shows_a_run_grow_and_ends_with_it(mini: Played, tmp_path: Path) -> None:
    data = (mini.folder / "log.jsonl").read_bytes()
    writer = Writer(tmp_path / "elsewhere" / "run", cut(data, 40))
    text, done, is_over, status = watched(writer)
    assert (is_over, status, done[-1]) == (True, "complete", 48)
    assert done == sorted(done)
    assert len(set(done)) > 20
    assert text.count("\n") == 1, "not a terminal: one line"
    assert text.startswith(f"run {mini.folder.name}, going on: ")


def test_a_terminal_sees_bar_equity_decision_and_cost(mini: Played, tmp_path: Path) -> None:
    data = (mini.folder / "log.jsonl").read_bytes()
    text, *_ = watched(Writer(tmp_path / "elsewhere" / "run", cut(data, 10)), tty=True)
    final = f"{mini.summary['final_equity']:,.2f}"
    assert "2025-04-02 23:00 UTC" in text
    assert f"equity {final}  HOLD  $0.0000" in text


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_sees_how_far_the_run_is(mini: Played, tmp_path: Path, width: int) -> None:
    data = (mini.folder / "log.jsonl").read_bytes()
    text, *_ = watched(Writer(tmp_path / "elsewhere" / "run", cut(data, 10)), tty=True, width=width)
    assert "2025-04-02 23:00 UTC" in text
    assert "48/48" in text
    assert "equity 9," in text


def test_a_writer_that_dies_is_not_waited_for(mini: Played, tmp_path: Path) -> None:
    data = (mini.folder / "log.jsonl").read_bytes()
    writer = Writer(tmp_path / "elsewhere" / "run", cut(data, 10)[:6])
    _, done, is_over, status = watched(writer)
    assert (is_over, status) == (False, None)
    assert 0 < done[-1] < 48


def test_no_run_is_waited_for_as_long_as_was_said(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "elsewhere" / "run", [])
    watch = Watch(Console(file=io.StringIO()), lambda: float(writer.slept), writer.sleep)
    with pytest.raises(UsageError, match="there is no run"):
        watch.find("nobody", tmp_path, 5.0)
    assert writer.slept == 5


def test_a_run_in_flight_is_watched_until_its_end(
    tmp_path: Path, bitcoin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real job in a thread of its own, the command beside it."""
    root = tmp_path / "played"
    job = threading.Thread(target=play, args=(root, bitcoin, *RULES, "--mini"))
    job.start()
    code = runs.main(["watch", "--runs", str(root / "runs"), "--wait", "60", "--json"])
    job.join()
    said = capsys.readouterr()
    (folder,) = (root / "runs").iterdir()
    found = json.loads(said.out)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (code, found["status"], found["result_digest"]) == (0, "complete", metrics["result_digest"])
    first, *_, last = said.err.splitlines()
    assert first.startswith(f"run {folder.name}, ")
    assert last == f"run {folder.name} is over: complete; check with: python -m scripts.verify {folder}"


def test_a_stopped_run_says_how_to_go_on(mini: Played, capsys: pytest.CaptureFixture[str]) -> None:
    log = mini.folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[:500_000])
    assert runs.main(["watch", str(mini.folder)]) == 3
    assert f"--resume {mini.folder}" in capsys.readouterr().err.splitlines()[-1]


def test_a_log_that_is_read_later_has_a_first_and_a_last_line(mini: Played) -> None:
    lines = mini.err.splitlines()
    assert lines[0].startswith(f"run {mini.folder.name}: 48 decisions, model: rules")
    assert lines[1] == f"watch it with: python -m scripts.runs watch {mini.folder}"
    assert lines[-1].startswith(f"run {mini.folder.name} is over: complete, 48 decisions, return ")
