"""A run that was stopped by trouble says so in one line, blames no model, and goes on once the cause is gone."""

from __future__ import annotations

import os
import shutil
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databases
import pytest
from sqlalchemy import make_url

sys.path += [str(Path(__file__).parents[1] / room) for room in ("llm", "journal")]
import fault_server as server
from timestamps import Authority, serving
from troubled_run import DIGESTS, REQUESTS, UNDISTURBED, Run, failing_fsync

from backtesting.audit.verdict import prove
from backtesting.core import authentic_backtest
from data.journal import comms_file
from data.journal.checkpoints import read_checkpoints
from data.journal.notes import PublicKey
from data.journal.project_log import ProjectLog
from data.journal.reading import read_live
from data.journal.run_journal import RunJournal
from data.model.errors import StoreUnavailable, UsageError
from data.model.protocols import Record
from data.store.store import Store


@pytest.fixture
def run(
    tmp_path: Path, bitcoin: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody-is-asked")
    monkeypatch.setattr(server.Handler, "disable_nagle_algorithm", True)
    with server.FaultServer() as model:
        if not DIGESTS:
            undisturbed = Run(tmp_path / "undisturbed", bitcoin, capsys, model)
            monkeypatch.setattr(authentic_backtest, "ROOT", undisturbed.root)
            with failing_fsync(undisturbed.root / "runs", lambda *_: False) as asked:
                assert undisturbed.begin() == 0
            UNDISTURBED.extend(asked)
            assert len(model.received) == REQUESTS
            DIGESTS.append(undisturbed.summary["result_digest"])
            model.received.clear()
        monkeypatch.setattr(authentic_backtest, "ROOT", tmp_path)
        yield Run(tmp_path, bitcoin, capsys, model)


def at_request(model: server.FaultServer, number: int, act: Callable[[], None]) -> None:
    """Something happens when the model's server is asked for the `number`th time; it answers then."""

    def step(handler: server.Handler, received: server.Received) -> None:
        act()
        server.ok(handler, received)

    model._script = [server.ok] * (number - 1) + [step]


ON_RECORD = {
    "the run's beginning": ("log.jsonl", lambda _all: 1),
    "the project's entry": ("log.jsonl", lambda _all: 2),
    "a blob": ("a blob", lambda _all: 1),
    "the folder of a blob": ("a folder of blobs", lambda _all: 1),
    "in the middle": ("log.jsonl", lambda every: every // 2),
    "the run's end": ("log.jsonl", lambda every: every - 1),
    "the digests of its files": ("log.jsonl", lambda every: every),
}


@pytest.mark.parametrize("moment", ON_RECORD)
def test_a_failed_fsync_is_final(run: Run, moment: str) -> None:
    of, which = ON_RECORD[moment]
    number = which(UNDISTURBED.count(of))
    assert number > 0, "an undisturbed run asks for no such thing"
    with failing_fsync(run.root / "runs", lambda *asked: asked == (of, number)) as asked:
        run.begin()
    assert (asked[-1], asked.count(of)) == (of, number), "the disk was asked again after it had failed"
    assert asked == UNDISTURBED[: len(asked)]
    run.require_told("Input/output error", "--resume")
    run.go_on()


BEFORE = ("the folder", "run.pub")


@pytest.mark.usefixtures("run")
def test_a_run_begins_with_its_key_before_its_log() -> None:
    """What the next test calls `before`."""
    begun = UNDISTURBED.index("log.jsonl")
    assert set(UNDISTURBED[:begun]) == set(BEFORE)


@pytest.mark.parametrize("of", BEFORE)
def test_a_failed_fsync_before_anything_is_on_record_is_no_run(run: Run, of: str) -> None:
    with failing_fsync(run.root / "runs", lambda *asked: asked == (of, 1)):
        run.require_never_begun("Input/output error")
    run.begin_anew()


def test_a_disk_that_has_no_room_for_the_first_record_is_no_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, room = os.write, [100]

    def filling(descriptor: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(28, "No space left on device")
        written = whole(descriptor, data[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr("data.journal.run_journal.os.write", filling)
        run.require_never_begun("No space left on device")
    assert run.folder.joinpath("log.jsonl").stat().st_size == 100
    run.begin_anew()


class FillingUp:
    """A text file on a disk with room for some more writes."""

    def __init__(self, path: Path, room: int) -> None:
        self._file, self._room = path.open("x"), room

    def write(self, text: str) -> int:
        self._room -= 1
        if self._room == -1:
            os.dup2(os.open("/dev/full", os.O_WRONLY), self._file.fileno())
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        if self._room == 0:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize("room", [0, 1, 9, 31])
def test_a_text_log_on_a_full_disk_stops_the_run(run: Run, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(comms_file, "_create", lambda folder, stem: (folder / stem, _made(folder, stem, room)))
        run.begin()
    run.require_told("No space left on device", "the text log", "--resume")
    run.go_on()


def test_a_text_log_that_cannot_be_closed_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FillingUp] = []

    def create(folder: Path, stem: str) -> tuple[Path, FillingUp]:
        made.append(_made(folder, stem, 10_000))
        return folder / stem, made[-1]

    def spent(_self: ProjectLog, *_arguments: str) -> None:
        made[-1]._room = 0

    with monkeypatch.context() as patch:
        patch.setattr(comms_file, "_create", create)
        patch.setattr(ProjectLog, "ended", spent)
        run.begin()
    run.require_told("No space left on device", "the text log", "--resume")
    run.go_on()


def _made(folder: Path, stem: str, room: int) -> FillingUp:
    folder.mkdir(parents=True, exist_ok=True)
    return FillingUp(folder / stem, room)


def test_a_folder_that_cannot_be_written_is_not_gone_on_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run.begin("--budget_usd", "0.005") == 3
    before, whole = run.folder.joinpath("log.jsonl").read_bytes(), os.open

    def refusing(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if str(path).startswith(str(run.folder)) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system")
        return whole(path, flags, *rest, **named)

    with monkeypatch.context() as read_only:
        read_only.setattr(os, "open", refusing)
        assert run.play("--resume", str(run.folder)) == 2
    (line,) = run.err.splitlines()
    assert "Read-only file system; mend that, then go on with --resume" in line
    assert run.folder.joinpath("log.jsonl").read_bytes() == before
    run.go_on("--budget_usd", "1")


def test_a_database_that_was_lost_on_the_way_comes_back(run: Run, bitcoin: str) -> None:
    url = make_url(bitcoin)
    elsewhere, name = url.set(database="postgres").render_as_string(hide_password=False), url.database

    def lose() -> None:
        databases.run(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        databases.run(
            elsewhere, f"SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'"
        )

    at_request(run.model, 7, lose)
    try:
        assert run.begin() == 3
        assert (run.summary["status"], run.summary["decisions"]) == ("incomplete", 2)
        assert "cannot be used" in run.summary["reason"]
        assert run.play("--resume", str(run.folder)) == 2
    finally:
        databases.run(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    (line,) = run.err.splitlines()
    assert line.startswith("error: ")
    assert [r for r in run.records if r.kind == "decision" and r.body["failure"]] == []
    run.go_on()
    assert set(run.asked().values()) == {1}


def test_a_budget_that_was_used_up_is_raised(run: Run) -> None:
    assert run.begin("--budget_usd", "0.005") == 3
    assert "the budget of $0.005 is used up" in run.summary["reason"]
    assert "--resume" in run.err
    assert 0 < len(run.model.received) < REQUESTS
    assert run.summary["cost_usd"] <= 0.005
    run.go_on("--budget_usd", "1")
    assert len(run.model.received) == REQUESTS
    assert set(run.asked().values()) == {1}


@pytest.mark.parametrize("answered", [2, 5, 8])
def test_a_provider_that_was_down_is_asked_again_for_what_it_owes(run: Run, answered: int) -> None:
    run.model._script, run.model._then = [server.ok] * answered, server.status(500, retry_after="0")
    assert run.begin("--max_failures", "2") == 3
    assert "2 decisions in a row failed" in run.summary["reason"]
    owed = run.asked()
    run.model._then = server.ok
    run.go_on()
    again = run.asked() - owed
    assert set(again.values()) == {1}
    kept = Counter({digest: times for digest, times in owed.items() if times == 1})
    assert sum(kept.values()) == answered
    assert kept.keys().isdisjoint(again)
    assert [r.body["failure"] for r in read_live(run.folder) if r.kind == "decision"] == [None] * 4


@pytest.mark.parametrize("then", [(), ("--max_failures", "9")])
def test_what_stopped_a_run_is_asked_again_whatever_is_said_of_failures_now(run: Run, then: tuple[str, ...]) -> None:
    run.model._script, run.model._then = [server.ok] * 5, server.status(500, retry_after="0")
    assert run.begin("--budget_usd", "0") == 3
    assert run.play("--resume", str(run.folder), "--budget_usd", "1", "--max_failures", "1") == 3
    assert "1 decisions in a row failed" in run.summary["reason"]
    run.model._then = server.ok
    run.go_on(*then)
    assert [r.body["failure"] for r in read_live(run.folder) if r.kind == "decision"] == [None] * 4


def test_a_run_goes_on_where_its_key_is_not(run: Run, tmp_path: Path) -> None:
    assert run.begin("--budget_usd", "0.005") == 3
    home = run.root
    other = Run(tmp_path / "other", run.url, run.capsys, run.model, before=run.before)
    shutil.copytree(run.folder, other.root / "runs" / run.folder.name)
    with pytest.MonkeyPatch.context() as there:
        there.setattr(authentic_backtest, "ROOT", other.root)
        other.go_on("--budget_usd", "1")
    assert set(run.asked().values()) == {1}
    keys = tuple(PublicKey.parse((root / "data/keys/project.pub").read_text().strip()) for root in (home, other.root))
    assert prove(other.folder, trusted=keys).examination.known
    assert not prove(other.folder, trusted=keys[:1]).examination.known
    certified = (other.folder / "run.pub").read_bytes()
    assert certified.startswith((run.folder / "run.pub").read_bytes())
    assert certified.count(b"run " + run.folder.name.encode()) == 2


@pytest.mark.parametrize("torn", [b'{"at":"2025-', b"\0" * 700])
def test_what_was_set_aside_outlives_a_resume_that_fails(
    run: Run, monkeypatch: pytest.MonkeyPatch, torn: bytes
) -> None:
    run.begin("--budget_usd", "0.005")
    log, points = run.folder / "log.jsonl", read_checkpoints(run.folder)[0]
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-3]) + torn)
    run.before = run.before[:-3]

    def refusing(_journal: RunJournal, kind: str, *_rest: Any, **_named: Any) -> Record:
        raise KeyboardInterrupt(kind)

    with monkeypatch.context() as killed:
        killed.setattr(RunJournal, "append", refusing)
        assert run.play("--resume", str(run.folder)) == 130
    run.go_on("--budget_usd", "1")
    (told,) = (record.body for record in run.records if record.kind == "recovery")
    assert b64decode(told["torn"]["base64"]) == torn
    assert told["lost"]["head"] == points[-1][0].head
    assert not list(run.folder.glob("*.part"))


def test_a_checkpoint_that_was_changed_in_the_middle_does_not_pass_for_a_torn_one(run: Run) -> None:
    run.begin("--budget_usd", "0.005")
    path = run.folder / "checkpoints"
    whole = path.read_bytes()
    middle = whole.index(b"\n\n", len(whole) // 2) - 40
    path.write_bytes(whole[:middle] + b"\xff" + whole[middle + 1 :])
    assert run.play("--resume", str(run.folder)) == 2
    assert "not UTF-8; see: python -m scripts.verify" in run.err
    path.write_bytes(whole)
    run.go_on("--budget_usd", "1")


def test_a_last_record_without_a_checkpoint_is_signed_by_a_resume(run: Run) -> None:
    run.begin()
    path = run.folder / "checkpoints"
    notes = path.read_bytes().split(b"\n\n")
    path.write_bytes(b"\n\n".join(notes[:-3]) + b"\n\n")
    run.go_on()


@pytest.mark.parametrize("deaf", ["ProjectLog.ended", "Keyring.retire"])
def test_a_run_that_was_complete_before_its_project_heard_of_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(f"backtesting.core.opening.{deaf}", _interrupted)
        assert run.begin() == 130
    assert run.key.is_file()
    for _ in range(2):
        run.go_on()
        assert run.records == run.before
        assert not run.key.exists()
        assert run.standing == ("complete", 0)
        assert run.project.count(b'"kind":"project.run_ended"') == 1
    assert len(run.model.received) == REQUESTS


def test_a_complete_run_that_was_carried_elsewhere_is_not_entered_there(run: Run, tmp_path: Path) -> None:
    assert run.begin() == 0
    other = Run(tmp_path / "other", run.url, run.capsys, run.model, before=run.before)
    shutil.copytree(run.folder, other.root / "runs" / run.folder.name)
    with pytest.MonkeyPatch.context() as there:
        there.setattr(authentic_backtest, "ROOT", other.root)
        other.go_on()
    assert not (other.root / "data" / "project").exists()


@pytest.mark.parametrize("moment", ["begun", "ended"])
def test_a_project_log_that_cannot_be_written_stops_the_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def refusing(log: ProjectLog, *_arguments: str) -> None:
        raise UsageError(f"the project log {log.folder} cannot be written: Read-only file system; make it writable")

    with monkeypatch.context() as patch:
        patch.setattr(ProjectLog, moment, refusing)
        run.begin()
    run.require_told("the project log", "Read-only file system", f"--resume {run.folder}")
    run.go_on()
    assert run.standing == ("complete", 0)


@pytest.mark.parametrize("where", ["project", "anchors"])
def test_a_full_disk_beside_the_log_stops_the_run(run: Run, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with serving(Authority()) as (stamps, _), monkeypatch.context() as patch:
        patch.setattr("data.journal.project_log._write" if where == "project" else "data.journal.stamping.keep", full)
        run.begin("--timestamp_url", stamps)
    run.require_told("No space left on device", f"--resume {run.folder}")
    assert run.err.count("--resume") == 1
    run.go_on()
    assert run.standing == ("complete", 0)


def test_a_report_that_cannot_be_written_is_written_by_a_resume(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("backtesting.core.outcome.write_renderings", full)
        run.begin()
    run.require_told("No space left on device", "--resume")
    run.go_on()
    assert len(run.model.received) == REQUESTS


@pytest.mark.parametrize("method", ["begin_run", "first_bars"])
def test_a_database_that_is_lost_before_the_first_request(
    run: Run, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    answer = getattr(Store, method)

    def lost(*arguments: Any) -> Any:
        if not (run.root / "runs").exists():
            return answer(*arguments)
        raise StoreUnavailable("the database cannot be used: server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(Store, method, lost)
        run.begin()
    assert run.model.received == []
    run.require_told("server closed the connection", f"--resume {run.folder}")
    run.go_on()


def test_a_database_that_is_lost_at_the_end_hides_no_result(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_arguments: Any) -> None:
        raise StoreUnavailable("the database cannot be used: server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "end_run", lost)
        assert run.begin() == 0
    assert "the run is not listed as ended" in run.err
    assert run.summary["result_digest"] == DIGESTS[0]


def _interrupted(*_arguments: Any) -> None:
    raise KeyboardInterrupt
