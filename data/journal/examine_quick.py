"""The fast look: every leaf, the tree, the last checkpoint's signature. It sees that something changed, not what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from data.journal.examine_facts import ENDINGS, Facts
from data.journal.examine_json import read_strict
from data.journal.examine_notes import Judge, Note
from data.journal.merkle import Tree, leaf_hash
from data.journal.notes import Checkpoint
from data.model.canonical import Json

_TAIL = 1 << 20


@dataclass(frozen=True)
class Quick:
    """What a fast look found. `roots` by the sizes that were asked for."""

    records: int
    roots: dict[int, bytes]
    facts: Facts
    signed_facts: Facts


def last_checkpoint(file: BinaryIO, length: int, judge: Judge) -> Checkpoint | None:
    """The last note of a file that ends with a whole one; None if it does not, or if it is no good."""
    file.seek(max(0, length - _TAIL))
    tail = file.read(min(length, _TAIL))
    signature = tail.rfind(b"\n\n", 0, len(tail) - 2)
    before = tail.rfind(b"\n\n", 0, max(signature, 0))
    if not tail.endswith(b"\n\n") or signature < 0 or (before < 0 and length > _TAIL):
        return None
    start = before + 2 if before >= 0 else 0
    return judge.judge(Note(start, tail[start:-1])).checkpoint


def look_quickly(lines: Iterable[bytes], signed: int, wanted: set[int]) -> Quick:
    """Raises TooLong, and ValueError for a record about the run that does not read."""
    tree, facts = Tree(), Facts()
    roots = {0: tree.root()}
    signed_facts = facts
    add, stops = tree.add, wanted | {signed}
    seq = 0
    for line in lines:
        add(leaf_hash(line))
        if line.endswith(ENDINGS):
            facts.take(seq, _record(line))
        seq += 1
        if seq in stops:
            roots[seq] = tree.root()
            if seq == signed:
                signed_facts = facts.copy()
    return Quick(seq, roots, facts, signed_facts)


def _record(line: bytes) -> dict[str, Json]:
    value = read_strict(line)
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ValueError("no record")
    return value
