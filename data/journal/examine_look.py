"""The two ways to look at a log and its checkpoints: at every record and every signature, or at the tree alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from io import BytesIO
from os import fstat
from pathlib import Path
from typing import BinaryIO

from data.journal.changes import Fault, Kind
from data.journal.checkpoints import FILE_NAME
from data.journal.examine_crew import Crew, is_worth_it
from data.journal.examine_facts import Facts
from data.journal.examine_files import Blobs, open_regular
from data.journal.examine_log import Lines, LogPass, TooLong
from data.journal.examine_naming import name_change, name_old
from data.journal.examine_notes import Judge, Note, notes_of
from data.journal.examine_quick import last_checkpoint, look_quickly
from data.journal.notes import Checkpoint
from data.journal.reading import LOG_NAME

Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Seen:
    """What a look came to. `facts` are from signed records, `said` from all; `blobs` are those referred to, if asked.

    `root` is the tree's at the size that was asked for, `covered` whether a checkpoint is of that size.
    """

    faults: tuple[Fault, ...]
    records: int
    signed: int
    head: Checkpoint | None
    facts: Facts
    said: Facts
    torn: int = 0
    torn_note: int = 0
    root: bytes | None = None
    covered: bool = True
    blobs: frozenset[str] | None = None


class Evidence:
    """The log and its checkpoints, as long as they were when this began: the checkpoints first, so none is ahead."""

    def __init__(self, folder: Path, stack: ExitStack, watch: Watch) -> None:
        """Closes the files with the stack. Raises NotRegular and OSError."""
        self.folder = folder
        self.missing: list[Fault] = []
        self._checkpoints, self._notes_length = self._open(FILE_NAME, stack)
        self._log, self._log_length = self._open(LOG_NAME, stack)
        self._watch = watch

    def quick(self, judge: Judge, wanted: int | None) -> Seen | None:
        """None if it does not fit; then only the thorough look can say why."""
        if self.missing:
            return None
        head = last_checkpoint(self._checkpoints, self._notes_length, judge)
        if head is None:
            return None
        lines = self._lines()
        try:
            found = look_quickly(lines, head.size, {head.size if wanted is None else wanted})
        except (TooLong, ValueError):
            return None
        if found.roots.get(head.size) != head.root:
            return None
        if found.signed_facts.complete and (found.records > head.size or lines.torn):
            return None
        root = None if wanted is None else found.roots.get(wanted)
        return Seen((), found.records, head.size, head, found.signed_facts, found.facts, len(lines.torn), root=root)

    def thorough(self, judge: Judge, run_id: str, wanted: int | None) -> Seen:
        """Every record, every checkpoint, every blob. Raises OSError."""
        found = self._read_by_many(judge, run_id, wanted) or self._read(judge, run_id, wanted)
        faults = [*self.missing, *found.faults]
        if found.mismatch is not None:
            lines = self._lines(quietly=True).as_far()
            faults.append(name_change(found.mismatch, lines, self._points(judge), run_id))
        faults += name_old(found.old, self._lines(quietly=True).as_far()) if found.old else ()
        return Seen(
            tuple(faults),
            found.records,
            found.signed,
            found.head,
            found.signed_facts or found.facts,
            found.facts,
            len(found.torn),
            len(found.torn_note),
            found.wanted_root,
            found.wanted_signed,
            frozenset(found.blobs.named),
        )

    def _read_by_many(self, judge: Judge, run_id: str, wanted: int | None) -> LogPass | None:
        """Takes the signatures for good while others check them; None if one is not, or if nobody can be asked."""
        if not is_worth_it(self._notes_length, judge):
            return None
        with closing(Crew(self.folder, self._notes_length, judge)) as crew:
            found = self._read(replace(judge, keys=()), run_id, wanted)
            return found if crew.all_good() else None

    def _read(self, judge: Judge, run_id: str, wanted: int | None) -> LogPass:
        found = LogPass(run_id, Blobs(self.folder), wanted)
        found.run(self._lines(), map(judge.judge, self._notes()))
        return found

    def _open(self, name: str, stack: ExitStack) -> tuple[BinaryIO, int]:
        try:
            file = stack.enter_context(open_regular(self.folder, name))
        except FileNotFoundError:
            self.missing.append(Fault(Kind.MISSING_FILE, None, f"{name} is missing", name))
            return BytesIO(), 0
        return file, fstat(file.fileno()).st_size

    def _lines(self, *, quietly: bool = False) -> Lines:
        self._log.seek(0)
        length = self._log_length
        return Lines(self._log, length, (lambda _: None) if quietly else (lambda done: self._watch(done, length)))

    def _notes(self) -> Iterator[Note]:
        self._checkpoints.seek(0)
        return notes_of(self._checkpoints, self._notes_length)

    def _points(self, judge: Judge) -> Iterator[Checkpoint]:
        """The good ones once more."""
        for note in self._notes():
            found = judge.judge(note).checkpoint
            if found is not None:
                yield found
