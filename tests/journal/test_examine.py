"""A folder that a killed process left is told from one that was changed; and no folder is too large to examine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import house
import pytest
from crime_scene import Scene

from data.door import SystemClock
from data.journal import examine_look
from data.journal.certificates import PROJECT, Subject, certify
from data.journal.changes import Kind
from data.journal.checkpoints import origin_of, read_checkpoints
from data.journal.examine import Examination, examine
from data.journal.keyring import Keyring
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint, SigningKey
from data.journal.opened import create
from data.journal.run_journal import RunJournal
from data.model.canonical import canonical_bytes
from data.model.errors import DataError, UsageError

RUN = "20250401-abc"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[RunJournal]:
    """A run that was begun: its first record is signed."""
    signer = Keyring(tmp_path / "keys", SystemClock()).issue(RUN)
    opened = RunJournal(create(tmp_path / RUN, signer.certificates), SystemClock(), signer.key)
    opened.append("run.begin", {"run_id": RUN})
    opened.sync()
    yield opened
    opened.close()


def test_a_run_under_way_is_incomplete(journal: RunJournal) -> None:
    found = examine(journal.folder)
    assert (found.verdict, found.records, found.signed, found.remarks) == ("INCOMPLETE", 1, 1, ())
    assert found.head == read_checkpoints(journal.folder)[0][-1][0].head
    assert found.run_id == RUN


def test_an_unsigned_tail_and_torn_ends_are_said(journal: RunJournal) -> None:
    journal.append("bar", {"close": "1"})
    journal.append("bar", {"close": "2"})
    for name in ("log.jsonl", "checkpoints"):
        with (journal.folder / name).open("ab") as file:
            file.write(b'{"at":"2025' if name == "log.jsonl" else b"agentrader/run/2025")
    found = examine(journal.folder)
    assert (found.verdict, found.records, found.signed, found.faults) == ("INCOMPLETE", 3, 1, ())
    assert [remark.split(":")[0] for remark in found.remarks] == [
        "unsigned tail", "torn last line", "torn last checkpoint",
    ]  # fmt: skip
    assert examine(journal.folder, fast=True).remarks == found.remarks


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"at":"2025-04-01T00:00:00Z"}', Kind.MALFORMED),
        (b"no JSON", Kind.MALFORMED),
        (b'{"at": 1}', Kind.RE_ENCODED),
        (b"", Kind.MALFORMED),
        (b"[" * 100_000, Kind.MALFORMED),
    ],
    ids=["fields", "text", "white space", "empty", "deep"],
)
def test_an_unsigned_tail_holds_records_all_the_same(journal: RunJournal, line: bytes, kind: Kind) -> None:
    with (journal.folder / "log.jsonl").open("ab") as file:
        file.write(line + b"\n")
    found = examine(journal.folder)
    assert [(fault.kind, fault.record) for fault in found.faults] == [(kind, 1)]


WRONG = {
    "audit.seq": [2, "1", 1.5, None, True],
    "at": ["2025-04-01", "2025-04-01T00:00:00+00:00", "2025-02-30T00:00:00Z", "2025-04-01T00:00:00.000000Z", 7],
    "audit.caused_by": [[1], [-1], [7], ["0"], [0.5], [True], None, {}],
    "audit.slot": ["run-9/x", 5, RUN, []],
    "body": [None, [], "x", {"text": {"blob": "../../etc/passwd", "media": "text"}}],
    "kind": [None, "", "Run", "run end", "\x1b[2J"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_signed_record_that_is_none_is_malformed(tmp_path: Path, name: str, value: object) -> None:
    """Who has the key can sign anything; it is said all the same."""
    record = {
        "at": "2025-04-01T00:00:00Z", "audit.caused_by": [0], "audit.seq": 1, "audit.slot": f"{RUN}/x", "body": {},
        "kind": "bar",
    }  # fmt: skip
    good = signed(tmp_path / "good", [canonical_bytes(record)])
    assert examine(good).faults == ()
    bad = examine(signed(tmp_path / "bad", [canonical_bytes(record | {name: value})]))
    other = Kind.SPLICED if value == "run-9/x" else Kind.MALFORMED
    assert [(fault.kind, fault.record) for fault in bad.faults] == [(other, 1)]


def signed(folder: Path, lines: list[bytes], each: int = 1) -> Path:
    """A folder with these records after a `run.begin`, a checkpoint for `each` so many."""
    begin = {
        "at": "2025-04-01T00:00:00Z", "audit.caused_by": [], "audit.seq": 0, "audit.slot": None,
        "body": {"run_id": RUN}, "kind": "run.begin",
    }  # fmt: skip
    folder.mkdir(parents=True)
    key, project = SigningKey.new(origin_of(RUN)), SigningKey.new(PROJECT)
    at = datetime(2025, 4, 1, tzinfo=UTC)
    chain = certify(Subject.RUN, RUN, key.public.raw, project, at)
    chain += certify(Subject.PROJECT, PROJECT, project.public.raw, project, at)
    (folder / "run.pub").write_text(chain, "utf-8")
    tree, fresh = Tree(), []
    with (folder / "log.jsonl").open("wb") as log, (folder / "checkpoints").open("wb") as notes:
        for line in (canonical_bytes(begin), *lines):
            log.write(line + b"\n")
            fresh.append(leaf_hash(line))
            tree.add(fresh[-1])
            if tree.size % each == 0 or tree.size == len(lines) + 1:
                note = key.sign(Checkpoint(origin_of(RUN), tree.size, tree.root(), tuple(fresh)).text())
                notes.write(f"{note}\n".encode())
                fresh = []
    return folder


def test_a_folder_that_is_no_runs_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run's folder"):
        examine(tmp_path)


def test_a_folder_with_nothing_in_it_but_a_name_is_incomplete(journal: RunJournal) -> None:
    (journal.folder / "log.jsonl").write_bytes(b"")
    (journal.folder / "checkpoints").write_bytes(b"")
    assert examine(journal.folder).verdict == "INCOMPLETE"


@pytest.mark.parametrize("fast", [False, True])
def test_a_head_may_be_given_as_its_note(scene: Scene, tmp_path: Path, fast: bool) -> None:
    victim = scene.victim(tmp_path)
    for head in (victim.head, f" {victim.head}\n", victim.notes[-1], victim.points[-1].text()):
        found = examine(victim.folder, head=head, fast=fast)
        assert (found.verdict, found.fast) == ("INTACT, ANCHORED", fast)
    other = examine(victim.folder, head=victim.other.notes[-1], fast=fast)
    assert other.faults[0].kind == Kind.OTHER_RUN
    with pytest.raises(UsageError, match="--head"):
        examine(victim.folder, head="6493", fast=fast)


def test_a_head_of_an_earlier_day_anchors_what_it_covers(scene: Scene, tmp_path: Path) -> None:
    victim = scene.victim(tmp_path)
    early = victim.points[20]
    found = examine(victim.folder, head=early.head)
    assert (found.verdict, found.anchored) == ("INTACT, UNANCHORED", early.size)


def test_a_trusted_time_stamp_anchors(scene: Scene, tmp_path: Path) -> None:
    victim = scene.victim(tmp_path, stamped=True)
    found = examine(victim.folder, authorities=[scene.authority.root])
    assert (found.verdict, found.anchored) == ("INTACT, ANCHORED", len(victim.lines) - 1)
    unknown = examine(victim.folder, authorities=[type(scene.authority)().root])
    assert (unknown.verdict, [stamp.doubt is None for stamp in unknown.stamps]) == ("INTACT, UNANCHORED", [False] * 2)


def test_processes_that_check_signatures_see_what_one_sees(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = scene.victim(tmp_path)

    def both() -> list[Examination]:
        found = []
        for many in (True, False):
            monkeypatch.setattr(examine_look, "is_worth_it", lambda _length, judge, many=many: many and judge.keys)
            found.append(examine(victim.folder, head=victim.head))
        return found

    one, other = both()
    assert one == other
    assert one.verdict == "INTACT, ANCHORED"
    notes = victim.notes
    for place in (0, 40, len(notes) - 1):
        victim.notes = [*notes[:place], notes[place].replace("— ", "— ", 1)[:-6] + "AAAA=\n", *notes[place + 1 :]]
        one, other = both()
        assert one == other
        assert one.faults[0].kind in (Kind.EDITED_CHECKPOINT, Kind.RE_ENCODED_CHECKPOINT)


MEASURE = """
import resource, sys
from pathlib import Path
from data.journal.examine import examine
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
small, large = map(Path, sys.argv[1:])
assert examine(small).faults == ()
before = peak()
found = examine(large)
assert found.faults == () and found.records > 20_000, found.faults[:1]
strict = peak() - before
assert examine(large, fast=True).records == found.records
changed = large / "log.jsonl"
with changed.open("r+b") as file:
    file.seek(80_000_000)
    file.write(b"#")
assert examine(large).faults[0].kind == "edited"
print(strict, peak() - before)
"""


def test_a_large_log_needs_little_memory(tmp_path: Path) -> None:
    """150 MB of records; at most 40 MB more than for a log of two lines, also to name a change."""
    text = "Hold. The trend is unbroken. " * 180
    lines = (
        b'{"at":"2025-04-01T00:00:00Z","audit.caused_by":[],"audit.seq":%d,"audit.slot":null,"body":{"text":"%d %b"},'
        b'"kind":"agent.reply"}' % (seq, seq, text.encode())
        for seq in range(1, 28_000)
    )
    small = signed(tmp_path / "small" / RUN, [])
    large = signed(tmp_path / "large" / RUN, list(lines), each=20)
    assert (large / "log.jsonl").stat().st_size > 140_000_000
    command = [sys.executable, "-c", MEASURE, str(small), str(large)]
    done = subprocess.run(command, cwd=house.ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(int(word) < 40 for word in done.stdout.split()), done.stdout
