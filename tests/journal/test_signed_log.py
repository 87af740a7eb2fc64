"""What is durable is signed, flushes are shared, and a log that was cut off goes on where it can."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signing import KEY

from data.journal.checkpoints import read_checkpoints
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint, open_note
from data.journal.opened import create, keep, reopen
from data.journal.reading import LOG_NAME, read_cuts, read_live, read_records
from data.journal.run_journal import RunJournal
from data.model.errors import DataError


class Standing:
    """A clock that stands still."""

    def now(self) -> datetime:
        return datetime(2025, 4, 1, tzinfo=UTC)


def journal_in(folder: Path) -> RunJournal:
    return RunJournal(create(folder), Standing(), KEY)


def require_signed(folder: Path) -> list[Checkpoint]:
    """Every checkpoint is signed, grows, and has the root and the leaves of its records."""
    leaves = [leaf_hash(line) for line in (folder / LOG_NAME).read_bytes().split(b"\n")[:-1]]
    tree, points, size = Tree(), [], 0
    for point, note in read_checkpoints(folder)[0]:
        text, _ = open_note(note, [KEY.public])
        assert Checkpoint.parse(text) == point
        assert point.size > size
        assert point.leaves == tuple(leaves[size : point.size])
        for leaf in point.leaves:
            tree.add(leaf)
        assert tree.root() == point.root
        size = point.size
        points.append(point)
    return points


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["append", "append", "sync"]), max_size=30))
def test_each_flush_signs_what_came_before_it(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    folder = tmp_path_factory.mktemp("log") / "run"
    journal, appended, sizes = journal_in(folder), 0, []
    for step in steps:
        if step == "append":
            journal.append("x", {"n": appended})
            appended += 1
        else:
            journal.sync()
            sizes += [appended] if appended and [appended] != sizes[-1:] else []
    journal.close()
    assert [point.size for point in require_signed(folder)] == sizes


def test_threads_share_a_flush_and_none_returns_before_its_record_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(tmp_path / "run")
    safe, flushes, really = [0], [0], os.fsync
    log = tmp_path / "run" / LOG_NAME

    def slow(descriptor: int) -> None:
        size = log.stat().st_size
        threading.Event().wait(0.003)
        really(descriptor)
        flushes[0] += 1
        safe[0] = max(safe[0], size)

    monkeypatch.setattr(os, "fsync", slow)
    late: list[int] = []

    def work() -> None:
        for _ in range(25):
            record = journal.append("x", {"said": "y" * 50})
            journal.sync()
            if log.read_bytes()[: safe[0]].count(b"\n") <= record.seq:
                late.append(record.seq)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert late == []
    assert safe[0] == log.stat().st_size
    assert flushes[0] < 150, "200 flushes were asked for, and threads waited together for some"
    assert require_signed(tmp_path / "run")[-1].size == 200


def written(folder: Path, records: int) -> None:
    journal = journal_in(folder)
    for number in range(records):
        journal.append("x", {"n": number, "said": "z" * 40})
        if number % 3 == 2:
            journal.sync()
    journal.close()


def test_a_log_that_is_cut_anywhere_goes_on(tmp_path: Path) -> None:
    written(tmp_path / "whole", 10)
    whole = (tmp_path / "whole" / LOG_NAME).read_bytes()
    points, _ = read_checkpoints(tmp_path / "whole")
    for cut in range(len(whole) + 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / LOG_NAME).write_bytes(whole[:cut])
        (folder / "checkpoints").write_bytes((tmp_path / "whole" / "checkpoints").read_bytes())
        kept = whole[:cut].count(b"\n")
        log = reopen(folder)
        assert log.tree.size == kept
        assert log.torn == whole[:cut].rpartition(b"\n")[2]
        assert log.lost == tuple((point, note) for point, note in points if point.size > kept)
        journal = RunJournal(log, Standing(), KEY)
        journal.append("recovery", {"cut": kept, "asked_again": []})
        journal.sync()
        journal.close()
        assert [record.seq for record in read_records(folder)] == list(range(kept + 1))
        assert require_signed(folder)[-1].size == kept + 1


@pytest.mark.parametrize("part", [b'"n":4', b'"said"', b"\n"])
def test_a_signed_record_that_was_changed_does_not_go_on(tmp_path: Path, part: bytes) -> None:
    written(tmp_path / "run", 9)
    log = tmp_path / "run" / LOG_NAME
    log.write_bytes(log.read_bytes().replace(part, part.replace(b"n", b"m").replace(b"\n", b" \n"), 1))
    if b"sai" in part:
        log.write_bytes(log.read_bytes().replace(b"z", b"y", 1))
    with pytest.raises(DataError, match="changed after it was signed"):
        reopen(tmp_path / "run")


def test_a_torn_checkpoint_is_made_again(tmp_path: Path) -> None:
    written(tmp_path / "run", 9)
    checkpoints = tmp_path / "run" / "checkpoints"
    whole = checkpoints.read_bytes()
    for cut in range(0, len(whole), 7):
        checkpoints.write_bytes(whole[:cut])
        journal = RunJournal(reopen(tmp_path / "run"), Standing(), KEY)
        journal.append("x", {"cut": cut})
        journal.sync()
        journal.close()
        require_signed(tmp_path / "run")


def test_what_was_set_aside_does_not_count(tmp_path: Path) -> None:
    journal = journal_in(tmp_path / "run")
    for kind in ("run.begin", "decision", "market.view", "llm.request", "llm.response", "llm.request", "run.end"):
        journal.append(kind, {})
    journal.append("recovery", {"cut": 2, "asked_again": [3, 4]})
    for kind in ("orphan", "market.view"):
        journal.append(kind, {})
    journal.append("recovery", {"cut": 9, "asked_again": []})
    journal.append("market.view", {})
    journal.close()
    live = [(record.seq, record.kind) for record in read_live(tmp_path / "run")]
    assert live == [
        (0, "run.begin"),
        (1, "decision"),
        (5, "llm.request"),
        (7, "recovery"),
        (8, "orphan"),
        (10, "recovery"),
        (11, "market.view"),
    ]
    assert [(cut.seq, cut.start) for cut in read_cuts(tmp_path / "run")] == [(7, 2), (10, 9)]


def test_a_file_that_could_not_be_replaced_is_as_it_was_and_nothing_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    keep(tmp_path / "kept", b"one")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keep(tmp_path / "kept", b"two")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("kept", b"one")]
