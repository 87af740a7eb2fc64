"""A run that was stopped goes on as if it never had been, and pays for nothing twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from main_job import RULES, Played, play

from backtesting.core.rehearsal import Diverged
from data.journal.opened import reopen
from data.journal.reading import read_live, read_records
from data.journal.shelf import Shelf
from data.model.errors import DataError, UsageError

MINI = (*RULES, "--mini")


_WHOLE: list[Played] = []


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory, bitcoin: str) -> Played:
    """One run for all tests of this module; the database is emptied between them."""
    if not _WHOLE:
        _WHOLE.append(play(tmp_path_factory.mktemp("whole"), bitcoin, *MINI))
    return _WHOLE[0]


def cut_off(whole: Played, root: Path, length: int) -> Path:
    """The run as a kill would have left it, with so many bytes of its log."""
    folder = root / "runs" / whole.folder.name
    shutil.copytree(whole.root / "data" / "keys", root / "data" / "keys")
    folder.mkdir(parents=True)
    shutil.copytree(whole.folder / "blobs", folder / "blobs")
    for name in ("run.pub", "checkpoints"):
        shutil.copy(whole.folder / name, folder)
    (folder / "log.jsonl").write_bytes((whole.folder / "log.jsonl").read_bytes()[:length])
    return folder


@pytest.mark.parametrize("part", [0.03, 0.1, 0.37, 0.5, 0.99, 0.9999])
def test_a_log_cut_anywhere_goes_on_to_the_same_result(
    tmp_path: Path, bitcoin: str, whole: Played, part: float
) -> None:
    size = (whole.folder / "log.jsonl").stat().st_size
    folder = cut_off(whole, tmp_path, int(size * part))
    kept = list(read_records(folder))
    again = play(tmp_path, bitcoin, "--resume", str(folder))
    assert (again.code, again.summary["result_digest"]) == (0, whole.summary["result_digest"])
    records = list(read_records(folder))
    assert records[: len(kept)] == kept
    assert [record.seq for record in records] == list(range(len(records)))
    answered = [record for record in kept if record.kind == "llm.response"]
    asked = [record.slot for record in records if record.kind == "llm.response"]
    assert len(asked) == len(set(asked)), "a reply that was on record was asked again"
    assert len(answered) <= len(asked)
    assert [r.body for r in read_live(folder) if r.kind == "decision"] == whole.of("decision")


@pytest.mark.parametrize("length", [0, 5000])
def test_a_folder_without_one_record_starts_anew(tmp_path: Path, bitcoin: str, whole: Played, length: int) -> None:
    folder = cut_off(whole, tmp_path, length)
    with pytest.raises(UsageError, match="say the run's flags again"):
        play(tmp_path, bitcoin, "--resume", str(folder))
    again = play(tmp_path, bitcoin, *MINI, "--resume", str(folder))
    assert (again.code, again.summary["result_digest"]) == (0, whole.summary["result_digest"])


@pytest.mark.parametrize("words", [("--symbol", "ETHUSDT"), ("--commission_bps", "11"), ("--allow_short",)])
def test_a_flag_that_changes_the_question_is_refused(
    tmp_path: Path, bitcoin: str, whole: Played, words: tuple[str, ...]
) -> None:
    folder = cut_off(whole, tmp_path, (whole.folder / "log.jsonl").stat().st_size // 2)
    with pytest.raises(UsageError, match=f"{words[0]} does not agree with the run"):
        play(tmp_path, bitcoin, "--resume", str(folder), *words)
    again = play(tmp_path, bitcoin, "--resume", str(folder), "--commission_bps", "10.0", "--max_failures", "5")
    assert again.summary["result_digest"] == whole.summary["result_digest"]


def test_a_program_that_asks_otherwise_does_not_go_on(
    tmp_path: Path, bitcoin: str, whole: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cut_off(whole, tmp_path, (whole.folder / "log.jsonl").stat().st_size // 2)
    monkeypatch.setattr("agents.brief.BARS_SHOWN", 23)
    with pytest.raises(Diverged, match=r"Technical_Analyst/1 differs from the record at /messages/1/content: recorded"):
        play(tmp_path, bitcoin, "--resume", str(folder))
    monkeypatch.undo()
    again = play(tmp_path, bitcoin, "--resume", str(folder))
    assert again.summary["result_digest"] == whole.summary["result_digest"]


def test_two_cannot_go_on_with_one_run(tmp_path: Path, bitcoin: str, whole: Played) -> None:
    folder = cut_off(whole, tmp_path, 500_000)
    log = reopen(folder)
    with pytest.raises(UsageError, match="another process is at work"):
        play(tmp_path, bitcoin, "--resume", str(folder))
    os.close(log.descriptor)


def test_a_changed_log_does_not_go_on(tmp_path: Path, bitcoin: str, whole: Played) -> None:
    folder = cut_off(whole, tmp_path, 500_000)
    log = folder / "log.jsonl"
    log.write_bytes(log.read_bytes().replace(b"BUY", b"SEL", 1))
    with pytest.raises(DataError, match=r"changed after it was signed.*scripts\.verify"):
        play(tmp_path, bitcoin, "--resume", str(folder))


def test_a_finished_run_prints_its_result(bitcoin: str, whole: Played) -> None:
    before = {path.name: path.read_bytes() for path in whole.folder.iterdir() if path.is_file()}
    again = play(whole.root, bitcoin, "--resume", str(whole.folder))
    assert again.code == 0
    assert again.summary == whole.summary | {"communications_log": str(whole.folder / "agent_comms.log")}
    assert {path.name: path.read_bytes() for path in whole.folder.iterdir() if path.is_file()} == before


def test_the_shelf_reads_what_the_log_holds(whole: Played) -> None:
    shelf = Shelf(whole.folder)
    records = list(read_records(whole.folder))
    assert [shelf.read(place) for place in shelf.places] == records
    assert [(p.kind, p.slot, p.caused_by) for p in shelf.places] == [(r.kind, r.slot, r.caused_by) for r in records]
    asked = [r.body["audit.request_sha256"] for r in records if r.kind == "llm.request"]
    assert [p.asked for p in shelf.places if p.kind == "llm.request"] == asked
    shelf.close()
