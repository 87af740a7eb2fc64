"""Names what was done to a log where it first parts from what was signed.

Two more looks are enough: is the record that stands there signed for another place, and does the one that should stand
there stand elsewhere? A record that was only given another number is known again for some places around.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from data.journal.changes import Fault, Kind
from data.journal.examine_json import Respelled, read_strict, readings
from data.journal.examine_log import Mismatch, Old
from data.journal.examine_record import run_of
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint
from data.journal.reading import LOG_NAME
from data.model.canonical import Json, canonical_bytes

AROUND = 64


def name_change(found: Mismatch, lines: Iterable[bytes], points: Iterable[Checkpoint], run_id: str) -> Fault:
    """`lines` is the whole log once more, `points` the checkpoints that a known key signed."""
    behind = islice(lines, found.record + 1, None)
    near = list(islice(behind, AROUND))
    respelled = _respelled(found)
    if respelled is not None:
        return _fault(Kind.RE_ENCODED, found.record, f"parses to what was signed, but {respelled}")
    if (other := _other_run(found.line, near, run_id)) is not None:
        return _fault(Kind.SPLICED, found.record, f"is of the run {other[:80]!a}")
    due, ahead = _signed_places(found, points)
    later = _stands_later(found, near, behind)
    if due is None:
        due = next((found.record + step for step, leaf in enumerate(ahead) if step and _is(found, leaf, step)), None)
    if due is None and not later:
        return _fault(Kind.EDITED, found.record, f"{_known_as(found.line)}is not what was signed")
    return _moved(found.record, due, later=later)


def name_old(old: Sequence[Old], lines: Iterable[bytes]) -> Iterator[Fault]:
    """Checkpoints that do not grow: each was here before, or says something else about the same records."""
    roots = _roots(lines, {each.checkpoint.size for each in old})
    for each in old:
        again = roots.get(each.checkpoint.size) == each.checkpoint.root
        size = each.checkpoint.size
        said = "it stands out of order" if again else "it says something else"
        detail = f"the checkpoint at byte {each.at} covers {size} records, and one before it {each.before}: {said}"
        first = max(0, size - len(each.checkpoint.leaves))
        yield Fault(Kind.REPEATED_CHECKPOINT if again else Kind.FORK, first, detail, "checkpoints")


def _moved(record: int, due: int | None, *, later: bool) -> Fault:
    if due is not None and due < record:
        return _fault(Kind.DUPLICATED, record, f"is record {due} once more")
    if due is not None and later:
        return _fault(Kind.REORDERED, record, f"is record {due}, and the one that was signed here stands behind it")
    if due is not None:
        gone = f"{record}" if due == record + 1 else f"{record} to {due - 1}"
        return _fault(Kind.DELETED, record, f"is missing: what stands here is record {due} ({gone} deleted)")
    return _fault(Kind.INSERTED, record, "was never signed, and the one that was stands behind it")


def _fault(kind: Kind, record: int, detail: str) -> Fault:
    return Fault(kind, record, f"record {record} {detail}", LOG_NAME)


def _respelled(found: Mismatch) -> str | None:
    """What is unusual about bytes that mean what was signed; None if they mean something else."""
    if not any(leaf_hash(reading) == found.signed for reading in readings(found.line)):
        return None
    try:
        read_strict(found.line)
    except Respelled as flaw:
        return str(flaw)
    except ValueError:
        pass
    return "it is spelled in another way"


def _known_as(line: bytes) -> str:
    """What the record says that it is, and where it belongs; empty if it does not read."""
    value = _value(line)
    if not isinstance(value, dict):
        return ""
    kind, slot = value.get("kind"), value.get("audit.slot")
    return f"({kind!s:.40}{f' of {slot!s:.120}' if slot else ''}) "


def _other_run(line: bytes, near: Sequence[bytes], run_id: str) -> str | None:
    """The run that the record names, or the first one that is named behind it, if it is not this one."""
    value = _value(line)
    if isinstance(value, dict) and value.get("audit.slot") is not None:
        near = [line]
    named = next((each for each in map(run_of, map(_value, near)) if each is not None), run_id)
    return None if named == run_id else named


def _signed_places(found: Mismatch, points: Iterable[Checkpoint]) -> tuple[int | None, list[bytes]]:
    """Where the record that stands here was signed, and the leaves that were signed from here on."""
    leaf, due, ahead = leaf_hash(found.line), None, list[bytes]()
    for point in points:
        start = point.size - len(point.leaves)
        if due is None and leaf in point.leaves:
            due = start + point.leaves.index(leaf)
        if point.size > found.record and len(ahead) < AROUND:
            ahead += point.leaves[max(0, found.record - start) :]
    return due, ahead[:AROUND]


def _stands_later(found: Mismatch, near: Sequence[bytes], rest: Iterable[bytes]) -> bool:
    if any(leaf_hash(line) == found.signed for line in near):
        return True
    for step, line in enumerate(near, 1):
        if _renumbered(line, found.record, step) == found.signed:
            return True
    return any(leaf_hash(line) == found.signed for line in rest)


def _is(found: Mismatch, leaf: bytes, step: int) -> bool:
    """Whether the record that stands here was signed under a number that is `step` higher."""
    return _renumbered(found.line, found.record + step, -step) == leaf


def _renumbered(line: bytes, seq: int, shift: int) -> bytes | None:
    """The leaf of a record that had the number `seq` before the log moved by `shift` from there on."""
    value = _value(line)
    if not isinstance(value, dict) or not isinstance(causes := value.get("audit.caused_by"), list):
        return None
    first = min(seq, seq + shift)
    before = [cause - shift if isinstance(cause, int) and cause >= first else cause for cause in causes]
    try:
        return leaf_hash(canonical_bytes({**value, "audit.seq": seq, "audit.caused_by": before}))
    except ValueError:
        return None


def _value(line: bytes) -> Json:
    try:
        return read_strict(line)
    except ValueError:
        return None


def _roots(lines: Iterable[bytes], sizes: set[int]) -> dict[int, bytes]:
    tree = Tree()
    roots = {0: tree.root()}
    for line in islice(lines, max(sizes, default=0)):
        tree.add(leaf_hash(line))
        if tree.size in sizes:
            roots[tree.size] = tree.root()
    return roots
