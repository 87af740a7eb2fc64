"""What is not under a run's own signatures but beside them: a head that was kept elsewhere, time stamps, renderings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.journal.anchors import FOLDER, Anchor, AnchorError, Moment, check_anchors
from data.journal.changes import Fault, Kind
from data.journal.checkpoints import FILE_NAME
from data.journal.examine_facts import Facts
from data.journal.examine_files import check_digest
from data.journal.notes import Checkpoint, NoteError
from data.journal.reading import LOG_NAME

_HEAD = re.compile(r"(0|[1-9][0-9]{0,15})-([0-9a-f]{64})", re.ASCII)
_OF_NONE = "is not a time stamp of"
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pin:
    """A head that was kept outside the folder. `origin` is None if only size and root were kept."""

    size: int
    root: bytes
    origin: str | None = None

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Reads `<size>-<root in hex>`, or a checkpoint's note. Raises ValueError."""
        if found := _HEAD.fullmatch(text.strip()):
            return cls(int(found[1]), bytes.fromhex(found[2]))
        try:
            point = Checkpoint.parse(text.partition("\n\n")[0].rstrip("\n") + "\n")
        except NoteError:
            raise ValueError("not a head of the form <size>-<root in hex>, and not a checkpoint") from None
        return cls(point.size, point.root, point.origin)


def check_pin(pin: Pin, origin: str, records: int, root: bytes | None, *, signed: bool) -> Fault | None:
    """What a pinned head shows. `root` is the tree's at that size, `signed` whether a checkpoint is of that size."""
    if pin.origin not in (None, origin):
        return Fault(Kind.OTHER_RUN, None, f"the pinned head is of {pin.origin!a}, and this is {origin!a}", LOG_NAME)
    if records < pin.size:
        detail = f"the pinned head covers {pin.size} records, and the log ends after {records}"
        return Fault(Kind.TRUNCATED, records, detail, LOG_NAME)
    if root != pin.root:
        detail = f"the first {pin.size} records agree with each other, and are not those of the pinned head"
        return Fault(Kind.REWRITTEN, None, detail, LOG_NAME)
    if not signed:
        detail = f"the pinned head is of {pin.size} records, and no checkpoint is"
        return Fault(Kind.DROPPED_CHECKPOINT, pin.size - 1, detail, FILE_NAME)
    return None


def check_renderings(folder: Path, facts: Facts) -> Iterator[Fault]:
    """The files that the last `rendered` record names against their digests. Raises OSError."""
    files = None if facts.rendered is None else facts.rendered.get("files")
    for name, digest in sorted(files.items()) if isinstance(files, dict) else ():
        if not _PLAIN.fullmatch(name):
            detail = f"record {facts.rendered_at} names {name[:80]!a}, which is no rendering"
            yield Fault(Kind.MALFORMED, facts.rendered_at, detail, LOG_NAME)
            continue
        try:
            wrong = check_digest(folder, name, str(digest))
        except FileNotFoundError:
            yield Fault(Kind.MISSING_FILE, facts.rendered_at, f"{name} is missing", name)
            continue
        if wrong is not None:
            yield Fault(Kind.EDITED_RENDERING, facts.rendered_at, f"{name} is not what was made: {wrong}", name)


@dataclass(frozen=True, slots=True)
class Stamps:
    """The time stamps of a run, what is wrong with them, and what is odd."""

    anchors: tuple[Anchor, ...] = ()
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()


def check_stamps(folder: Path, facts: Facts, said: Facts, authorities: Sequence[bytes]) -> Stamps:
    """`facts` are from signed records, `said` from all; `authorities` are roots (PEM) that the reader trusts.

    Raises OSError.
    """
    found = [_as_recorded(folder, facts, said, moment) for moment in Moment]
    faults = tuple(each for each in found if isinstance(each, Fault))
    remarks = tuple(each for each in found if isinstance(each, str))
    if faults:
        return Stamps(faults=faults, remarks=remarks)
    try:
        return Stamps(check_anchors(folder, authorities), remarks=remarks)
    except AnchorError as error:
        # Stamps that are the very files that were kept may be of a checkpoint that is no longer there.
        dropped = _OF_NONE in str(error) and not remarks
        kind, file = (Kind.DROPPED_CHECKPOINT, FILE_NAME) if dropped else (Kind.FORGED_STAMP, FOLDER)
        return Stamps(faults=(Fault(kind, None, str(error), file),), remarks=remarks)


def _as_recorded(folder: Path, facts: Facts, said: Facts, moment: Moment) -> Fault | str | None:
    """None if the stamp is the file that the log says was kept; a fault or a remark otherwise."""
    record, kept = _recorded(facts, moment)
    if kept is None:
        record, kept = _recorded(said, moment)
    file = moment.path(Path()).as_posix()
    if kept is None:
        return f"{file} is a time stamp that no record names" if (folder / file).exists() else None
    try:
        wrong = check_digest(folder, file, kept)
    except FileNotFoundError:
        return Fault(Kind.MISSING_FILE, record, f"{file} is missing", file)
    if wrong is None:
        return None
    if moment is Moment.HEAD and facts.end_at is not None and (record or 0) < facts.end_at:
        return f"{file} is newer than the time stamp that a record names"
    return Fault(Kind.FORGED_STAMP, record, f"{file} is not the time stamp that was kept: {wrong}", file)


def _recorded(facts: Facts, moment: Moment) -> tuple[int | None, str | None]:
    """The last record about a stamp of that moment, and its digest."""
    for seq, body in reversed(facts.anchors):
        stamp = body.get("stamp")
        if body.get("moment") == moment.value and isinstance(stamp, dict):
            return seq, str(stamp.get("sha256"))
    return None, None
