"""The project's log: every run is counted once, whoever runs beside it and whoever was killed."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.journal import project_log
from data.journal.keyring import Keyring
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint, SigningKey, encode, sign_note, split_notes
from data.journal.project_log import ProjectLog, Trial, check
from data.model.canonical import canonical_bytes
from data.model.errors import DataError, JournalBroken, UsageError

AT = datetime(2025, 4, 1, 9, 30, tzinfo=UTC)
FORK = multiprocessing.get_context("fork")
LEAF = "ab" * 32


class StandingClock:
    def now(self) -> datetime:
        return AT


def opened(place: Path) -> ProjectLog:
    return ProjectLog(place / "project", keys(place), StandingClock())


def keys(place: Path) -> Keyring:
    return Keyring(place / "keys", StandingClock())


def lines(place: Path) -> list[bytes]:
    data = (place / "project" / "log.jsonl").read_bytes()
    assert data.endswith(b"\n")
    return data.split(b"\n")[:-1]


def root_of(records: list[bytes]) -> str:
    tree = Tree()
    for record in records:
        tree.add(leaf_hash(record))
    return tree.root().hex()


def points(place: Path) -> list[Checkpoint]:
    notes = split_notes((place / "project" / "checkpoints").read_bytes())
    return [Checkpoint.parse(note.rpartition("\n\n")[0] + "\n") for _, note in notes]


def test_a_run_is_told_where_it_stands(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.begun("r1", "q1", LEAF) == Trial(1, 1, 0, 1, root_of(lines(tmp_path)))
    log.begun("r2", "q2", LEAF)
    log.ended("r1", "complete", "5-aa")
    log.begun("r3", "q1", LEAF)
    log.ended("r2", "incomplete", "7-bb")
    trial = log.begun("r4", "q1", LEAF)
    assert trial == Trial(4, 3, 2, 6, root_of(lines(tmp_path)))


def test_a_stopped_run_counts_as_finished_once_it_was_resumed_and_ended(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.begun("r1", "q", LEAF)
    log.ended("r1", "incomplete", "5-aa")
    assert log.begun("r2", "q", LEAF).unfinished == 1
    log.ended("r1", "complete", "9-aa")
    assert log.begun("r3", "q", LEAF).unfinished == 1
    assert json.loads(lines(tmp_path)[3])["audit.caused_by"] == [0]


def test_a_run_that_is_entered_twice_is_one(tmp_path: Path) -> None:
    log = opened(tmp_path)
    first = log.begun("r1", "q", LEAF)
    log.begun("r2", "q", LEAF)
    assert log.begun("r1", "q", LEAF) == first
    assert len(lines(tmp_path)) == 2
    again = log.begun("r1", "q", "cd" * 32)
    assert (again.number, again.unfinished) == (3, 1)


def test_lines_are_a_journals_and_each_append_is_signed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.begun("r1", "q", LEAF)
    log.ended("r1", "complete", "5-aa")
    for seq, line in enumerate(lines(tmp_path)):
        record = json.loads(line)
        assert canonical_bytes(record) == line
        assert record["audit.seq"] == seq
    assert json.loads(lines(tmp_path)[0])["body"] == {"first_leaf": LEAF, "question_digest": "q", "run_id": "r1"}
    assert [(point.origin, point.size, point.root.hex()) for point in points(tmp_path)] == [
        ("agentrader/project", size, root_of(lines(tmp_path)[:size])) for size in (1, 2)
    ]
    assert [point.leaves for point in points(tmp_path)] == [(leaf_hash(line),) for line in lines(tmp_path)]


def test_many_processes_count_each_run_once(tmp_path: Path) -> None:
    queue, barrier = FORK.Queue(), FORK.Barrier(8)

    def work(process: int) -> None:
        log = opened(tmp_path)
        barrier.wait()
        for number in range(20):
            trial = log.begun(f"r{process}-{number}", f"q{process}", f"{process:02x}{number:02x}" * 16)
            queue.put((process, number, trial))

    children = [FORK.Process(target=work, args=(process,)) for process in range(8)]
    for child in children:
        child.start()
    told = [queue.get(timeout=120) for _ in range(160)]
    for child in children:
        child.join()
    assert sorted(trial.number for _, _, trial in told) == list(range(1, 161))
    whole = lines(tmp_path)
    for process, number, trial in told:
        assert trial.of_question == number + 1
        assert trial.root == root_of(whole[: trial.size])
        assert json.loads(whole[trial.size - 1])["body"]["run_id"] == f"r{process}-{number}"
    assert [point.size for point in points(tmp_path)] == list(range(1, 161))
    assert check(tmp_path / "project", "r3-7", "0307" * 16, keys(tmp_path).own()).known


@pytest.mark.parametrize("kept", [1, 30, -1])
def test_a_torn_tail_is_set_aside_where_everybody_sees_it(tmp_path: Path, kept: int) -> None:
    log = opened(tmp_path)
    log.begun("r1", "q", LEAF)
    path = tmp_path / "project" / "log.jsonl"
    torn = path.read_bytes()[:-1][:kept]
    with path.open("ab") as file:
        file.write(torn)
    trial = log.begun("r2", "q", LEAF)
    assert (trial.number, trial.size) == (2, 3)
    recovery = json.loads(lines(tmp_path)[1])
    assert recovery["kind"] == "recovery"
    assert base64.b64decode(recovery["body"]["torn"]["base64"]) == torn
    assert [point.size for point in points(tmp_path)] == [1, 3]
    assert check(tmp_path / "project", "r2", LEAF).trial == trial


def test_a_long_torn_tail_leaves_its_digest(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with (tmp_path / "log").open("wb") as file:
        file.write(b"x" * 100_000)
    (tmp_path / "project").mkdir()
    (tmp_path / "log").rename(tmp_path / "project" / "log.jsonl")
    log.begun("r1", "q", LEAF)
    torn = json.loads(lines(tmp_path)[0])["body"]["torn"]
    assert (torn["bytes"], torn["base64"]) == (100_000, None)


@pytest.mark.parametrize("cut", [1, 40, 150])
def test_a_torn_checkpoint_is_signed_anew(tmp_path: Path, cut: int) -> None:
    log = opened(tmp_path)
    log.begun("r1", "q", LEAF)
    trial = log.begun("r2", "q", LEAF)
    path = tmp_path / "project" / "checkpoints"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match="no signed entry"):
        check(tmp_path / "project", "r2", LEAF)
    assert log.begun("r2", "q", LEAF) == trial
    assert check(tmp_path / "project", "r2", LEAF).trial == trial
    assert len(lines(tmp_path)) == 2


def test_a_torn_tail_behind_an_unsigned_entry_is_still_set_aside(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.begun("r1", "q", LEAF)
    (tmp_path / "project" / "checkpoints").unlink()
    with (tmp_path / "project" / "log.jsonl").open("ab") as file:
        file.write(b"torn")
    log.begun("r1", "q", LEAF)
    log.begun("r2", "q", LEAF)
    assert base64.b64decode(json.loads(lines(tmp_path)[1])["body"]["torn"]["base64"]) == b"torn"


@pytest.mark.parametrize("wait", [0.0, 0.005, 0.01, 0.02, 0.04, 0.08])
def test_a_killed_process_blocks_nobody(tmp_path: Path, wait: float) -> None:
    opened(tmp_path).begun("first", "q", LEAF)

    def work() -> None:
        for number in range(10_000):
            opened(tmp_path).begun(f"r{number}", "q", LEAF)

    child = FORK.Process(target=work)
    child.start()
    time.sleep(wait)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    trial = opened(tmp_path).begun("last", "q", LEAF)
    begun = [json.loads(line) for line in lines(tmp_path) if b"project.run_begun" in line]
    assert trial.number == len(begun)
    assert [record["body"]["run_id"] for record in begun] == [
        "first",
        *(f"r{n}" for n in range(len(begun) - 2)),
        "last",
    ]
    assert check(tmp_path / "project", "last", LEAF, keys(tmp_path).own()).known


@pytest.mark.parametrize("step", range(10))
def test_a_stop_between_any_two_steps_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    class Stop(BaseException):
        pass

    left, fsync = step, os.fsync

    def stopping(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stop
        fsync(descriptor)

    def work() -> None:
        for number in range(9):
            opened(tmp_path).begun(f"r{number}", "q", LEAF)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", stopping)
        with pytest.raises(Stop):
            work()
    trial = opened(tmp_path).begun("last", "q", LEAF)
    assert check(tmp_path / "project", "last", LEAF, keys(tmp_path).own()).trial == trial


def test_a_full_disk_stops_the_run_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    log.begun("r1", "q", LEAF)

    def full(descriptor: int, data: bytes, at: int) -> None:
        os.pwrite(descriptor, data[:50], at)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(project_log, "_write", full)
        with pytest.raises(JournalBroken, match="No space left on device"):
            log.begun("r2", "q", LEAF)
    assert log.begun("r2", "q", LEAF).number == 2
    assert json.loads(lines(tmp_path)[1])["kind"] == "recovery"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "project").write_text("")
    with pytest.raises(UsageError, match="make it writable"):
        opened(tmp_path).begun("r1", "q", LEAF)


def made(place: Path) -> None:
    log = opened(place)
    for number in range(3):
        log.begun(f"r{number}", "q", LEAF)
    log.ended("r1", "complete", "5-aa")


def changed(place: Path, name: str, old: bytes, new: bytes) -> None:
    path = place / "project" / name
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def test_who_has_the_log_can_check_a_runs_entry(tmp_path: Path) -> None:
    made(tmp_path)
    own = keys(tmp_path).own()
    found = check(tmp_path / "project", "r1", LEAF, own)
    assert found.trial == Trial(2, 2, 1, 2, root_of(lines(tmp_path)[:2]))
    assert (found.status, found.runs, found.unfinished) == ("complete", 3, 2)
    assert (found.question_digest, found.signer, found.known) == ("q", own[0], True)
    assert not check(tmp_path / "project", "r1", LEAF).known
    assert check(tmp_path / "project", "r2", LEAF).status is None
    for run_id, leaf in (("r9", LEAF), ("r1", "cd" * 32)):
        with pytest.raises(DataError, match="no signed entry"):
            check(tmp_path / "project", run_id, leaf)


def test_the_log_goes_on_after_a_rotation_and_on_a_certified_machine(tmp_path: Path) -> None:
    log, home = opened(tmp_path), Keyring(tmp_path / "home", StandingClock())
    first = keys(tmp_path).project()
    log.begun("r1", "q", LEAF)
    second = keys(tmp_path).rotate()
    log.begun("r2", "q", LEAF)
    keys(tmp_path).accept(home.certify_host(second, "rented-1").encode())
    log.begun("r3", "q", LEAF)
    folder = tmp_path / "project"
    assert [check(folder, run, LEAF).signer for run in ("r1", "r2", "r3")] == [first, second, home.project()]
    assert check(folder, "r1", LEAF, (first, home.project())).known
    assert not check(folder, "r1", LEAF, (home.project(),)).known


def bad_key(place: Path) -> None:
    """The last checkpoint signed by a stranger."""
    path = place / "project" / "checkpoints"
    *notes, last = [note for _, note in split_notes(path.read_bytes())]
    forged = sign_note(last.rpartition("\n\n")[0] + "\n", SigningKey.new("agentrader/project"))
    path.write_text("".join(f"{note}\n" for note in [*notes, forged]))


def cut_log(place: Path) -> None:
    path = place / "project" / "log.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def another_hash(line: int):
    """In the first checkpoint: line 2 is the root, line 3 the first leaf."""

    def change(place: Path) -> None:
        path = place / "project" / "checkpoints"
        lines = path.read_text().split("\n")
        lines[line] = encode(b"x" * 32)
        path.write_text("\n".join(lines))

    return change


def double_checkpoint(place: Path) -> None:
    path = place / "project" / "checkpoints"
    path.write_bytes(path.read_bytes() * 2)


def swap_lines(place: Path) -> None:
    path = place / "project" / "log.jsonl"
    one, two, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([two, one, *rest]))


def link(place: Path) -> None:
    path = place / "project" / "log.jsonl"
    path.rename(place / "elsewhere")
    path.symlink_to(place / "elsewhere")


def flip(name: str, old: bytes, new: bytes):
    return lambda place: changed(place, name, old, new)


CHANGES = {
    "an edited run": flip("log.jsonl", b'"r1"', b'"r7"'),
    "white space": flip("log.jsonl", b'{"at"', b'{ "at"'),
    "no JSON": flip("log.jsonl", b'{"at"', b'["at"'),
    "a missing field": flip("log.jsonl", b'"question_digest"', b'"question_digesx"'),
    "a blob that leads outside": flip("log.jsonl", b'"q"', b'{"blob":"../x","media":"text"}'),
    "a dropped run": cut_log,
    "swapped runs": swap_lines,
    "another origin": flip("checkpoints", b"agentrader/project\n3\n", b"agentrader/projecx\n3\n"),
    "another size": flip("checkpoints", b"\n3\n", b"\n2\n"),
    "another root": another_hash(2),
    "another leaf": another_hash(3),
    "doubled checkpoints": double_checkpoint,
    "a broken note": flip("checkpoints", b"\n3\n", b"\nx\n"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_log_proves_nothing_and_counts_nothing(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    CHANGES[name](tmp_path)
    with pytest.raises(DataError) as caught:
        check(tmp_path / "project", "r1", LEAF)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError):
        opened(tmp_path).begun("r9", "q", LEAF)


@pytest.mark.parametrize("change", [bad_key, link, flip("project.pub", b"project", b"projecx")])
def test_who_signed_is_checked(tmp_path: Path, change) -> None:
    made(tmp_path)
    change(tmp_path)
    with pytest.raises(DataError):
        check(tmp_path / "project", "r1", LEAF, keys(tmp_path).own())


def test_an_unsigned_entry_counts_for_nothing(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / "project" / "log.jsonl"
    last = path.read_bytes().splitlines()[2].replace(b'"audit.seq":2', b'"audit.seq":4').replace(b'"r2"', b'"r9"')
    with path.open("ab") as file:
        file.write(last + b"\n")
    assert check(tmp_path / "project", "r1", LEAF).runs == 3
    with pytest.raises(DataError, match="no signed entry"):
        check(tmp_path / "project", "r9", LEAF)
