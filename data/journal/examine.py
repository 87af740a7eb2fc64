"""Whether a run's folder is what was signed: `examine` names the first record that is not, and what was done to it.

It streams, follows no link, executes and unpickles nothing, and needs neither network nor database. What nobody can see
from the folder alone, a rewriting by the owner of the key, a `head` that was kept elsewhere shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from data.journal.anchors import FOLDER as ANCHORS
from data.journal.anchors import Anchor
from data.journal.changes import Fault, Kind
from data.journal.checkpoints import FILE_NAME, origin_of
from data.journal.examine_facts import Facts
from data.journal.examine_files import Survey, survey
from data.journal.examine_look import Evidence, Seen, Watch
from data.journal.examine_notes import Judge
from data.journal.examine_outside import Pin, Stamps, check_pin, check_renderings, check_stamps
from data.journal.examine_signers import Signers, read_signers
from data.journal.notes import PublicKey
from data.journal.opened import PUBLIC_KEY_NAME
from data.journal.reading import LOG_NAME
from data.model.errors import DataError, UsageError

_CORE = (LOG_NAME, FILE_NAME, PUBLIC_KEY_NAME)
_UNREADABLE = frozenset({Kind.MISSING_BLOB, Kind.REPLACED_BLOB, Kind.NOT_A_FILE})
_SIGNERS = frozenset({
    Kind.FOREIGN_KEY, Kind.FORGED_CERTIFICATE, Kind.MALFORMED_CERTIFICATE, Kind.FOREIGN_CERTIFICATE,
})  # fmt: skip
_MOST_NAMED = 20


class Verdict(StrEnum):
    """What a folder is."""

    ANCHORED = "INTACT, ANCHORED"
    UNANCHORED = "INTACT, UNANCHORED"
    INCOMPLETE = "INCOMPLETE"
    TAMPERED = "TAMPERED"


@dataclass(frozen=True)
class Examination:
    """What was found. The first of `faults` is the first bad record; `remarks` are odd, and change no verdict.

    Of `records` whole lines the first `signed` are under a checkpoint, the last of which is `head`; the first `pinned`
    under what was kept outside. `known` says that a trusted key answers for all signers. `facts` are from signed
    records only. `fast` says that less was looked at. Text in it may come from the folder: untrusted.
    """

    folder: Path
    run_id: str
    fast: bool
    faults: tuple[Fault, ...]
    remarks: tuple[str, ...] = ()
    records: int = 0
    signed: int = 0
    head: str | None = None
    known: bool = False
    signers: tuple[PublicKey, ...] = ()
    hosts: tuple[str, ...] = ()
    pinned: int | None = None
    stamps: tuple[Anchor, ...] = ()
    facts: Facts = field(default_factory=Facts)

    @property
    def verdict(self) -> Verdict:
        """Anchored is a run whose end a pinned head or a trusted time stamp covers."""
        if self.faults:
            return Verdict.TAMPERED
        if not self.facts.complete:
            return Verdict.INCOMPLETE
        end = self.facts.end_at
        return Verdict.ANCHORED if end is not None and self.anchored > end else Verdict.UNANCHORED

    @property
    def anchored(self) -> int:
        """How many records are as they were when they were pinned or stamped."""
        return max([self.pinned or 0, *(each.checkpoint.size for each in self.stamps if each.doubt is None)])

    @property
    def readable(self) -> bool:
        """Whether the log and its blobs are what was signed: only then is anything derived from them."""
        return not any(fault.file in _CORE or fault.kind in _UNREADABLE for fault in self.faults)


def examine(
    folder: Path,
    *,
    trusted: Sequence[PublicKey] = (),
    head: str | None = None,
    authorities: Sequence[bytes] = (),
    fast: bool = False,
    watch: Watch = lambda _done, _of: None,
) -> Examination:
    """Examines a run's folder as it was when this began.

    `trusted` are public keys that must answer for the run; `head` is a pinned head or the text of a checkpoint;
    `authorities` are root certificates (PEM) of time-stamping authorities; `watch` hears bytes read, and bytes in all.
    `fast` looks at leaves, tree and last checkpoint, and at everything once they do not fit. Raises UsageError for a
    head that is none, DataError for what is no run's folder or cannot be read.
    """
    try:
        pin = None if head is None else Pin.parse(head)
    except ValueError as error:
        raise UsageError(f"--head: {error}") from None
    try:
        return _examine(folder, trusted, pin, authorities, watch, fast=fast)
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror or error}") from None


def _examine(
    folder: Path,
    trusted: Sequence[PublicKey],
    pin: Pin | None,
    authorities: Sequence[bytes],
    watch: Watch,
    *,
    fast: bool,
) -> Examination:
    found = survey(folder)
    if any(fault.file in _CORE for fault in found.faults):
        return Examination(folder, "", fast, _in_order(found.faults))
    signers = read_signers(folder, trusted)
    judge, wanted = Judge(origin_of(signers.run_id), signers.keys), None if pin is None else pin.size
    with ExitStack() as stack:
        evidence = Evidence(folder, stack, watch)
        if len(evidence.missing) == 2:
            raise DataError(f"{folder} holds neither {LOG_NAME} nor {FILE_NAME}: not a run's folder")
        seen = evidence.quick(judge, wanted) if fast and signers.fault is None else None
        seen = seen or evidence.thorough(judge, signers.run_id, wanted)
    pinned = None if pin is None else _pinned(pin, judge.origin, seen)
    stampable = not (_about(seen.faults, _CORE) or any(fault.file.startswith(ANCHORS) for fault in found.faults))
    stamps = check_stamps(folder, seen.facts, seen.said, authorities) if stampable else Stamps()
    renderings = check_renderings(folder, seen.facts)
    own = (fault for fault in (signers.fault, pinned) if fault is not None)
    return Examination(
        folder=folder,
        run_id=signers.run_id,
        fast=seen.blobs is None,
        faults=_in_order([*found.faults, *_behind_the_end(seen), *seen.faults, *own, *renderings, *stamps.faults]),
        remarks=(*_remarks(folder, signers, found, seen), *stamps.remarks),
        records=seen.records,
        signed=seen.signed,
        head=None if seen.head is None else seen.head.head,
        known=signers.certificates is not None and signers.certificates.known,
        signers=signers.projects,
        hosts=() if signers.certificates is None else signers.certificates.hosts,
        pinned=None if pin is None or pinned is not None else pin.size,
        stamps=stamps.anchors,
        facts=seen.facts,
    )


def _pinned(pin: Pin, origin: str, seen: Seen) -> Fault | None:
    fault = check_pin(pin, origin, seen.records, seen.root, signed=seen.covered)
    # What was done to a record is known better from its signed leaf.
    return None if fault is not None and _about(seen.faults, (LOG_NAME,)) else fault


def _behind_the_end(seen: Seen) -> Iterator[Fault]:
    """A finished run has nothing behind its last checkpoint, but for a time stamp that was just being recorded."""
    if not seen.facts.complete:
        return
    unsigned = seen.records - seen.signed
    if unsigned > len(seen.said.anchors) - len(seen.facts.anchors):
        detail = f"{unsigned} records stand behind the signed end of a finished run"
        yield Fault(Kind.APPENDED, seen.signed, detail, LOG_NAME)
    if seen.torn:
        yield Fault(Kind.APPENDED, seen.records, f"{seen.torn} bytes stand behind the log's last record", LOG_NAME)
    if seen.torn_note:
        detail = f"{seen.torn_note} bytes stand behind the last checkpoint"
        yield Fault(Kind.APPENDED, seen.signed, detail, FILE_NAME)


def _remarks(folder: Path, signers: Signers, found: Survey, seen: Seen) -> Iterator[str]:
    if folder.resolve().name != signers.run_id:
        yield f"the folder is called {folder.resolve().name}, and the run {signers.run_id}"
    yield from _named("stray file, of no run and under no signature", found.strays)
    yield from _named("left behind by a process that was stopped", found.left)
    if seen.blobs is not None:
        yield from _named("blob that no record refers to", sorted(found.blobs - seen.blobs))
    if unsigned := seen.records - seen.signed:
        yield f"unsigned tail: {unsigned} records from {seen.signed} on are under no checkpoint, so nobody's word"
    if seen.facts.complete:
        return
    if seen.said.complete:
        yield "the log goes on to the run's end without a checkpoint: dropped, or lost when power failed"
    if seen.torn:
        yield f"torn last line: {seen.torn} bytes that never became a record"
    if seen.torn_note:
        yield f"torn last checkpoint: {seen.torn_note} bytes"


def _named(what: str, names: Sequence[str]) -> Iterator[str]:
    yield from (f"{what}: {name}" for name in names[:_MOST_NAMED])
    if len(names) > _MOST_NAMED:
        yield f"{what}: {len(names) - _MOST_NAMED} more"


def _about(faults: Iterable[Fault], files: Sequence[str]) -> bool:
    return any(fault.file in files for fault in faults)


def _in_order(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """What cannot be read first, then who signed, then the records in order; what touches no record comes last."""

    def rank(fault: Fault) -> tuple[int, int]:
        if fault.kind is Kind.NOT_A_FILE or (fault.kind is Kind.MISSING_FILE and fault.file in _CORE):
            return 0, 0
        if fault.kind in _SIGNERS:
            return 1, 0
        return (3, 0) if fault.record is None else (2, fault.record)

    # A record that was changed explains a checkpoint that does not fit it.
    faults = sorted(faults, key=lambda fault: fault.file != LOG_NAME)

    return tuple(sorted(faults, key=rank))
