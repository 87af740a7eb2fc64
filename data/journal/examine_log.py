"""One pass over a log beside its checkpoints: each record against its signed leaf, the tree against each signed root.

Nothing is kept but a chunk of each file and the tree's peaks, so a log of any length can be examined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from data.journal.changes import Fault, Kind
from data.journal.checkpoints import FILE_NAME
from data.journal.examine_facts import Facts
from data.journal.examine_files import Blobs
from data.journal.examine_json import Respelled, read_strict
from data.journal.examine_notes import Judged
from data.journal.examine_record import NotARecord, blobs_of, require_record, run_of
from data.journal.line import LONGEST_LINE
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint
from data.journal.reading import LOG_NAME

MOST_FAULTS = 100
_CHUNK = 1 << 20


class TooLong(Exception):
    """A line that no journal writes."""


class Lines:
    """The whole lines of a log's first `length` bytes, without their ends. `torn` is what follows the last one.

    Raises TooLong while iterating. `read` counts bytes.
    """

    def __init__(self, file: BinaryIO, length: int, watch: Callable[[int], None] = lambda _: None) -> None:
        self._file, self._length, self._watch = file, length, watch
        self.read = 0
        self.torn = b""

    def __iter__(self) -> Iterator[bytes]:
        held: list[bytes] = []
        size = 0
        while chunk := self._file.read(min(_CHUNK, self._length - self.read)):
            self.read += len(chunk)
            *lines, rest = chunk.split(b"\n")
            if lines:
                lines[0] = b"".join([*held, lines[0]])
                held, size = [], 0
                if len(lines[0]) > LONGEST_LINE:
                    raise TooLong
                yield from lines
            held.append(rest)
            size += len(rest)
            if size > LONGEST_LINE:
                raise TooLong
            self._watch(self.read)
        self.torn = b"".join(held)

    def as_far(self) -> Iterator[bytes]:
        """The lines up to one that is too long."""
        try:
            yield from self
        except TooLong:
            return


@dataclass(frozen=True)
class Mismatch:
    """The first record that is not what was signed; `signed` is the leaf that stands for it."""

    record: int
    line: bytes
    signed: bytes


@dataclass(frozen=True)
class Old:
    """A signed checkpoint that covers no more than one before it, which covered `before` records."""

    at: int
    checkpoint: Checkpoint
    before: int


@dataclass
class LogPass:
    """What one pass found. `records` whole lines; the first `signed` of them are under a checkpoint."""

    run_id: str
    blobs: Blobs
    wanted: int | None = None  # a size whose root is asked for
    facts: Facts = field(default_factory=Facts)
    signed_facts: Facts | None = None
    faults: list[Fault] = field(default_factory=list)
    old: list[Old] = field(default_factory=list)
    mismatch: Mismatch | None = None
    records: int = 0
    signed: int = 0
    head: Checkpoint | None = None
    first: Checkpoint | None = None
    wanted_root: bytes | None = None
    wanted_signed: bool = False
    torn: bytes = b""
    torn_note: bytes = b""
    _tree: Tree = field(default_factory=Tree)
    _blind: bool = False
    _off: bool = False  # the tree no longer says anything

    def run(self, lines: Lines, notes: Iterable[Judged]) -> None:
        """Reads both to their ends. Raises OSError."""
        self._note_root()
        rest = iter(lines)
        try:
            for judged in notes:
                self._take_note(judged, rest)
            self._take_tail(rest)
        except TooLong:
            self._fault(Kind.TOO_LONG, self.records, f"record {self.records} is longer than 16 MiB", LOG_NAME)
        self.torn = lines.torn

    def _fault(self, kind: Kind, record: int | None, detail: str, file: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(kind, record, detail, file))

    def _take_note(self, judged: Judged, lines: Iterator[bytes]) -> None:
        point = judged.checkpoint
        if judged.note.torn:
            self.torn_note = judged.note.data
        elif point is None:
            self._blind = True
            kind = judged.kind or Kind.EDITED_CHECKPOINT
            self._checkpoint_fault(kind, self.signed, judged, judged.detail)
        elif point.size <= self.signed:
            self.old += [Old(judged.note.at, point, self.signed)][: MOST_FAULTS - len(self.old)]
        else:
            self._take_point(judged, point, lines)

    def _take_point(self, judged: Judged, point: Checkpoint, lines: Iterator[bytes]) -> None:
        start = point.size - len(point.leaves)
        if start > self.signed and not self._blind:
            detail = f"it lists leaves from record {start} on, and the one before it ends at {self.signed}"
            self._checkpoint_fault(Kind.DROPPED_CHECKPOINT, self.signed, judged, detail)
        if start < self.signed:
            detail = f"it lists leaves from record {start} on again, and the one before it ends at {self.signed}"
            self._checkpoint_fault(Kind.REPEATED_CHECKPOINT, start, judged, detail)
        begun, unlisted = self.signed, max(start, self.signed)
        self._take_records(point, start, lines)
        if not self._off and self.records == point.size and self._tree.root() != point.root:
            self._wrong_root(judged, point, begun, unlisted)
        self.signed, self.head, self._blind = point.size, point, False
        self.first = self.first or point
        self.wanted_signed = self.wanted_signed or point.size == self.wanted

    def _take_records(self, point: Checkpoint, start: int, lines: Iterator[bytes]) -> None:
        while self.records < point.size:
            line = next(lines, None)
            if line is None:
                self._short(point)
                return
            place = self.records - start
            leaf = self._add(line)
            if place >= 0 and point.leaves[place] != leaf and not self._off:
                self.mismatch, self._off = Mismatch(self.records - 1, line, point.leaves[place]), True
            elif not self._off:
                self._look(line, self.records - 1, self.facts)

    def _short(self, point: Checkpoint) -> None:
        if not self._off:
            self._off = True
            detail = f"the log ends after {self.records} records, and {point.size} are signed"
            self._fault(Kind.TRUNCATED, self.records, detail, LOG_NAME)

    def _wrong_root(self, judged: Judged, point: Checkpoint, begun: int, unlisted: int) -> None:
        self._off = True
        if unlisted > begun:
            detail = f"one of the records {begun} to {unlisted - 1} is not what was signed; its checkpoint is missing"
            self._fault(Kind.EDITED, begun, detail, LOG_NAME)
        else:
            detail = f"its leaves are those of the log, and its root at {point.size} is of another one"
            self._checkpoint_fault(Kind.FORK, begun, judged, detail)

    def _checkpoint_fault(self, kind: Kind, record: int, judged: Judged, detail: str) -> None:
        self._fault(kind, record, f"the checkpoint at byte {judged.note.at}: {detail}", FILE_NAME)

    def _take_tail(self, lines: Iterator[bytes]) -> None:
        """Records that no checkpoint covers: nobody's word, but records they must be."""
        self.signed_facts = self.facts.copy()
        for line in lines:
            self._add(line)
            if not self._off:
                self._look(line, self.records - 1, self.facts)

    def _add(self, line: bytes) -> bytes:
        leaf = leaf_hash(line)
        self._tree.add(leaf)
        self.records += 1
        if self.records == self.wanted:
            self._note_root()
        return leaf

    def _note_root(self) -> None:
        if self.records == self.wanted:
            self.wanted_root = self._tree.root()

    def _look(self, line: bytes, seq: int, facts: Facts) -> None:
        """Whether the line is a record of this run; its blobs; what it says of the run."""
        value = None
        try:
            value = read_strict(line)
            record = require_record(value, seq, self.run_id)
            body = record["body"]
            assert isinstance(body, dict)
            for fault in self.blobs.check(blobs_of(body), seq):
                self._fault(fault.kind, fault.record, fault.detail, fault.file)
            facts.take(seq, record)
        except Respelled as flaw:
            self._fault(Kind.RE_ENCODED, seq, f"record {seq} is not canonical JSON: {flaw}", LOG_NAME)
        except (NotARecord, ValueError) as flaw:
            spliced = run_of(value) not in (None, self.run_id)
            self._fault(Kind.SPLICED if spliced else Kind.MALFORMED, seq, f"record {seq}: {flaw}", LOG_NAME)
